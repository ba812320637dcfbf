from datetime import timedelta

import pytest

from django_jobflow import NotCancellable, NotRetryable
from django_jobflow.attempts import key_digest
from django_jobflow.models import FailedJob, JobRecord, SucceededJob
from django_jobflow.states import ENDED, UNFINISHED, JobState
from tests.engines.contract import (
    FREE,
    HOUR,
    LATER,
    NOON,
    TICK,
    Contract,
    changes,
    columns,
    live,
    make,
    make_many,
    stored,
    succeeded,
)
from tests.factories import SucceededJobFactory

BATCH = 1000

each_ended = pytest.mark.parametrize("state", sorted(ENDED))
each_unfinished = pytest.mark.parametrize("state", sorted(UNFINISHED))


class RetryTests(Contract):
    @each_ended
    def test_ended_record_is_available_from_attempt_zero_with_its_errors(self, state):
        record = make(
            state,
            attempt=3,
            queue_key="q",
            cancel_requested_at=NOON,
            progress=40,
            progress_message="40 of 100",
        )
        assert 3 == len(record.errors)

        stored(record).retry(LATER)

        assert {
            "state": JobState.AVAILABLE,
            "attempt": 0,
            "available_at": LATER,
            "updated_at": LATER,
            "started_at": None,
            "finished_at": None,
            "cancel_requested_at": None,
            "progress": None,
            "progress_message": "",
            "held_queue_key": key_digest("", "q"),
        } == changes(record)

    def test_record_that_runs_again_is_as_it_is_stored(self):
        record = make(JobState.FAILED)

        record.retry(LATER)

        assert columns(stored(record)) == columns(record)

    def test_failed_job_is_a_record_and_runs_again(self):
        make(JobState.FAILED)

        FailedJob.objects.get().retry(LATER)

        assert [JobState.AVAILABLE] == list(live().values())
        assert not FailedJob.objects.exists()

    @each_unfinished
    def test_record_has_not_ended_and_cannot_run_again(self, state):
        record = make(state)

        with pytest.raises(NotRetryable) as error:
            stored(record).retry(LATER)

        assert f"Job {record.pk} cannot be retried: it is {state}." == str(error.value)
        assert {} == changes(record)

    def test_record_has_gone_and_cannot_run_again(self):
        record = make(JobState.FAILED)
        JobRecord.objects.all().delete()

        with pytest.raises(NotRetryable) as error:
            record.retry(LATER)

        expected = f"Job {record.pk} cannot be retried: it has succeeded or was deleted."
        assert expected == str(error.value)

    def test_record_runs_again_once(self):
        record = make(JobState.FAILED)
        twin = stored(record)
        record.retry(LATER)

        with pytest.raises(NotRetryable):
            twin.retry(LATER)

    def test_many_run_again_and_their_ids_are_returned(self):
        records = [make(state) for state in sorted(JobState)]

        done = self.engine.retry(JobRecord.objects.all(), LATER)

        assert {record.pk for record in records if record.state in ENDED} == set(done)
        assert [{}] * 6 == [changes(record) for record in records if record.pk not in done]

    def test_all_attempts_are_there_again(self):
        record = make(JobState.FAILED, max_attempts=2)
        record.retry(LATER)

        for attempt in (1, 2):
            [record] = JobRecord.objects.reserve(1, worker="w", now=LATER)
            record.start(LATER)
            assert attempt == record.attempt
            record.fail(ValueError(), LATER)
            JobRecord.objects.activate_scheduled(LATER + HOUR)

        assert (JobState.FAILED, 4) == (record.state, len(record.errors))

    def test_moment_is_left_out_and_comes_from_the_database(self):
        record, before = make(JobState.FAILED), self.engine.now()

        record.retry()

        assert before <= record.available_at <= self.engine.now()


class CancelTests(Contract):
    @pytest.mark.parametrize("state", sorted(UNFINISHED - {JobState.IN_PROGRESS}))
    def test_waiting_record_is_cancelled_at_once(self, state):
        record = make(state, queue_key="q", execution_key="e")

        assert stored(record).cancel(LATER) is True

        was_held = {"held_queue_key": None}
        if record.held_execution_key:
            was_held["held_execution_key"] = None
        if state == JobState.RESERVED:
            was_held |= FREE
        assert {
            "state": JobState.CANCELLED,
            "finished_at": LATER,
            "updated_at": LATER,
        } | was_held == changes(record)

    def test_running_record_is_asked_to_stop(self):
        record = make(JobState.IN_PROGRESS, queue_key="q", execution_key="e")

        assert stored(record).cancel(LATER) is False
        assert {"cancel_requested_at": LATER, "updated_at": LATER} == changes(record)

    @each_ended
    def test_record_has_ended_and_cannot_be_cancelled(self, state):
        record = make(state)

        with pytest.raises(NotCancellable) as error:
            stored(record).cancel(LATER)

        assert f"Job {record.pk} cannot be cancelled: it is {state}." == str(error.value)
        assert {} == changes(record)

    def test_record_has_succeeded_and_cannot_be_cancelled(self):
        record = make(JobState.IN_PROGRESS)
        twin = stored(record)
        record.succeed(None, NOON)

        with pytest.raises(NotCancellable) as error:
            twin.cancel(LATER)

        expected = f"Job {record.pk} cannot be cancelled: it has succeeded or was deleted."
        assert expected == str(error.value)

    def test_cancelled_record_is_as_it_is_stored(self):
        for state in (JobState.AVAILABLE, JobState.IN_PROGRESS):
            record = make(state)
            record.cancel(LATER)
            assert columns(stored(record)) == columns(record)

    def test_many_are_cancelled_or_asked_and_told_apart(self):
        records = {state: make(state) for state in sorted(JobState)}

        cancelled, asked = self.engine.cancel(JobRecord.objects.all(), LATER)

        waiting = UNFINISHED - {JobState.IN_PROGRESS}
        assert {records[state].pk for state in waiting} == set(cancelled)
        assert [records[JobState.IN_PROGRESS].pk] == asked
        assert [{}, {}] == [changes(records[state]) for state in sorted(ENDED)]

    def test_record_that_a_worker_had_reserved_cannot_start(self):
        record = make(JobState.RESERVED)
        stored(record).cancel(LATER)

        assert JobState.CANCELLED == stored(record).state
        assert 0 == JobRecord.objects.activate_expired(LATER + HOUR)

    def test_cancelled_record_frees_its_queue_key(self):
        record = make(queue_key="q")
        record.cancel(LATER)

        assert self.engine.holder_of(key_digest("", "q")) is None


class DeleteTests(Contract):
    def test_all_but_running_records_are_deleted(self):
        records = {state: make(state) for state in sorted(JobState)}

        assert 7 == self.engine.delete(JobRecord.objects.all())
        assert {records[JobState.IN_PROGRESS].pk: JobState.IN_PROGRESS} == live()

    def test_only_what_is_asked_for_is_deleted(self):
        ours, others = make(queue="a"), make(queue="b")

        assert 1 == self.engine.delete(JobRecord.objects.filter(queue="a").order_by("-pk"))
        assert [others.pk] == list(live())
        assert ours.pk not in live()

    def test_there_is_nothing_and_nothing_is_deleted(self):
        assert 0 == self.engine.delete(JobRecord.objects.all())

    def test_successes_are_deleted_by_their_ids(self):
        one, other = SucceededJobFactory(), SucceededJobFactory()

        assert 1 == self.engine.delete_succeeded([one.pk, one.pk + 1000])
        assert {other.pk} == succeeded()


class PruneEndedTests(Contract):
    @each_ended
    def test_record_that_ended_at_the_moment_is_deleted(self, state):
        make(state, finished_at=NOON)

        assert 1 == self.engine.prune(self.engine.old_ended(NOON))
        assert {} == live()

    @each_ended
    def test_record_that_ended_a_microsecond_later_is_kept(self, state):
        record = make(state, finished_at=NOON + TICK)

        assert 0 == self.engine.prune(self.engine.old_ended(NOON))
        assert {} == changes(record)

    @each_unfinished
    def test_unfinished_record_is_kept(self, state):
        make(state)

        assert 0 == self.engine.prune(self.engine.old_ended(NOON + 1000 * HOUR))

    def test_more_have_ended_than_one_statement_deletes_and_all_go(self):
        make_many(BATCH + 1, JobState.CANCELLED)

        assert BATCH + 1 == self.engine.prune(self.engine.old_ended(NOON))
        assert {} == live()

    def test_successes_are_kept(self):
        SucceededJobFactory(now=NOON - HOUR)

        self.engine.prune(self.engine.old_ended(NOON))

        assert 1 == len(succeeded())


class PruneSucceededTests(Contract):
    def test_success_of_the_moment_is_deleted(self):
        SucceededJobFactory(now=NOON)

        assert 1 == self.engine.prune(self.engine.old_succeeded(NOON))
        assert set() == succeeded()

    def test_success_of_a_microsecond_later_is_kept(self):
        success = SucceededJobFactory(now=NOON + TICK)

        assert 0 == self.engine.prune(self.engine.old_succeeded(NOON))
        assert {success.pk} == succeeded()

    def test_names_are_given_and_only_they_are_deleted(self):
        for name in ("a", "b", "c"):
            SucceededJobFactory(now=NOON, name=name)

        assert 2 == self.engine.prune(self.engine.old_succeeded(NOON, names=["a", "b"]))
        assert ["c"] == list(SucceededJob.objects.values_list("name", flat=True))

    def test_exceptions_are_given_and_they_are_kept(self):
        for name in ("a", "b", "c"):
            SucceededJobFactory(now=NOON, name=name)

        assert 2 == self.engine.prune(self.engine.old_succeeded(NOON, but=["c"]))
        assert ["c"] == list(SucceededJob.objects.values_list("name", flat=True))

    def test_more_are_old_than_one_statement_deletes_and_all_go(self):
        old = columns(SucceededJobFactory.build(now=NOON - timedelta(days=8)))
        SucceededJob.objects.bulk_create(
            [SucceededJob(**old | {"id": number}) for number in range(BATCH + 1)]
        )

        assert BATCH + 1 == self.engine.prune(self.engine.old_succeeded(NOON))
        assert set() == succeeded()

    def test_live_records_are_kept(self):
        record = make(JobState.FAILED)

        self.engine.prune(self.engine.old_succeeded(NOON + HOUR))

        assert {} == changes(record)

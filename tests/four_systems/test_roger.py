"""What Roger does, under our names; and what is known to be wrong with it.

The sentences about it are from its documentation, its source and its list of issues.
"""

import pytest

from django_jobflow import Job, NotCancellable, maintain
from django_jobflow.attempts import key_digest
from django_jobflow.models import JobRecord
from django_jobflow.states import JobState
from tests.engines.contract import (
    LATER,
    NOON,
    Contract,
    changes,
    columns,
    live,
    make,
    stored,
    succeeded,
)


class LifeTests(Contract):
    """Keys, partitions and cancelling, as its users know them."""

    def test_second_job_of_a_queue_key_is_a_duplicate_until_the_first_has_ended(self):
        class Sync(Job):
            def perform(self, account): ...

            def queue_key(self, account):
                return f"sync:{account}"

        first = Sync.enqueue(account=7)
        assert Sync.enqueue(account=7).duplicate
        assert not Sync.using(partition="acme").enqueue(account=7).duplicate

        JobRecord.objects.reserve(9, worker="w", now=first.available_at)
        first.refresh_from_db()
        first.start()
        first.succeed()

        assert not Sync.enqueue(account=7).duplicate

    def test_job_is_cancelled_wherever_it_is(self):
        queued, running = make(), make(JobState.IN_PROGRESS)

        assert queued.cancel(NOON)
        assert not running.cancel(NOON)

        assert {queued.pk: JobState.CANCELLED, running.pk: JobState.IN_PROGRESS} == live()
        assert NOON == stored(running).cancel_requested_at

    def test_cancelled_number_that_never_was_is_an_error(self):
        record = make()
        record.delete()

        with pytest.raises(NotCancellable):
            record.cancel(NOON)


class WeaknessTests(Contract):
    """What is wrong with it is not wrong here."""

    def test_queue_key_is_held_during_the_retry_delay(self):
        """There, it is free during the delay, so a duplicate comes in between."""
        record = make(JobState.IN_PROGRESS, queue_key="q")
        record.fail(ValueError(), NOON)

        assert record.pk == self.engine.holder_of(key_digest("", "q")).pk

    def test_execution_key_of_a_dead_worker_is_freed(self):
        """There, the key of a dead node stays, and nobody ever pulls those that wait for it."""
        make(JobState.IN_PROGRESS, lapsed=True, spent=True, execution_key="e")
        waiting = make(JobState.WAITING, execution_key="e")

        JobRecord.objects.fail_expired_at_max_attempts(LATER)

        assert JobState.AVAILABLE == stored(waiting).state

    def test_waiting_record_that_is_cancelled_frees_no_key_of_another(self):
        """There, cancelling a queued job frees the key that another holds."""
        holder = make(JobState.IN_PROGRESS, execution_key="e")
        cancelled, waiting = (make(JobState.WAITING, execution_key="e") for _ in range(2))

        cancelled.cancel(LATER)

        assert [{}, {}] == [changes(holder), changes(waiting)]

    def test_first_in_is_first_out_behind_a_key(self):
        """There, who waits goes to the tail of its queue when the key is free."""
        holder = make(JobState.IN_PROGRESS, execution_key="e")
        waiting = [make(JobState.WAITING, execution_key="e") for _ in range(3)]

        order = []
        while holder:
            holder.succeed(None, LATER)
            if reserved := JobRecord.objects.reserve(1, worker="w", now=LATER):
                reserved[0].start(LATER)
                order.append(reserved[0].pk)
            holder = next(iter(reserved), None)

        assert [record.pk for record in waiting] == order

    def test_record_with_both_keys_waits_and_is_worked_off(self):
        """There, a job with both keys that has to wait takes itself for a duplicate."""
        holder = make(JobState.IN_PROGRESS, execution_key="e")
        record = make(JobState.WAITING, execution_key="e", queue_key="q")

        holder.succeed(None, LATER)
        [reserved] = JobRecord.objects.reserve(1, worker="w", now=LATER)
        reserved.start(LATER)
        reserved.succeed(None, LATER)

        assert {holder.pk, record.pk} == succeeded()

    def test_pruned_and_deleted_records_leave_no_key_behind(self):
        """There, the keys of a purged queue stay for ever."""
        make(queue_key="q", execution_key="e")
        self.engine.delete(JobRecord.objects.all())

        record = make(queue_key="q", execution_key="e")

        assert columns(stored(record)) == columns(record)

    def test_failure_leaves_a_trace_and_can_be_repeated(self):
        """There, a failed job is gone, or buried where nothing can dig it out."""
        record = make(JobState.IN_PROGRESS, spent=True)
        record.fail(ValueError("x"), NOON)

        record.retry(LATER)

        assert (JobState.AVAILABLE, 3) == (record.state, len(record.errors))

    def test_no_failure_is_thrown_away_for_another(self):
        """There, a hundred are kept, and the oldest makes room for the next."""
        for _ in range(101):
            make(JobState.FAILED)

        maintain.prune(self.engine)

        assert 101 == JobRecord.objects.filter(state=JobState.FAILED).count()

    def test_enqueue_that_is_undone_leaves_no_key(self):
        """There, the key is kept apart from the job, and stays when that is not published."""

        class Sync(Job):
            def perform(self): ...

            def queue_key(self):
                return "sync"

        class Refused(Exception):
            pass

        with pytest.raises(Refused), self.engine.transaction():
            Sync.enqueue()
            raise Refused

        assert not Sync.enqueue().duplicate

    def test_what_waits_for_its_retry_is_a_row_with_its_key(self):
        """There, the queues of retries are gone when the broker starts anew."""
        record = make(JobState.IN_PROGRESS, queue_key="q")

        record.fail(ValueError(), NOON)

        assert (JobState.RETRY, "q") == (stored(record).state, stored(record).queue_key)

"""Defects of other documented job queues that the verbs must not share.

Each class names the kind of system that has them; the sentences are from their documentation,
sources and issue lists.
"""

from datetime import timedelta

import pytest

from django_jobflow import Job, Levels, NotRetryable
from django_jobflow.attempts import key_digest
from django_jobflow.engines.verbs import reservation_of
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.moments import reservation_expiry, retry_time
from django_jobflow.outcomes import ErrorInfo, Failed, Snoozed
from django_jobflow.states import JobState
from tests.engines.contract import (
    HOUR,
    LATER,
    MINUTE,
    NOON,
    TICK,
    Contract,
    changes,
    columns,
    ending,
    make,
    stored,
    succeeded,
)

ERROR = ErrorInfo("E", "text")
HALF = timedelta(milliseconds=500)


class TableQueueTests(Contract):
    """A queue that is one table, with a worker that polls it."""

    def test_reserved_record_at_its_last_attempt_is_never_stuck(self):
        """There, a reservation whose attempt equals the maximum is touched by no sweep."""
        record = make(JobState.RESERVED, lapsed=True, attempt=2, max_attempts=3)

        assert 1 == JobRecord.objects.activate_expired(LATER)
        [again] = JobRecord.objects.reserve(1, worker="w", now=LATER)
        again.start(LATER)

        assert (record.pk, 3) == (again.pk, again.attempt)

    def test_time_shorter_than_a_second_is_not_dropped(self):
        """There, sub-seconds of the clock are dropped and timeouts are floored to seconds."""
        make()

        [record] = JobRecord.objects.reserve(1, worker="w", timeout=0.5, now=NOON)

        assert NOON + HALF == record.expires == reservation_expiry(NOON, 0.5)
        assert 0 == JobRecord.objects.activate_expired(NOON + HALF - TICK)
        assert 1 == JobRecord.objects.activate_expired(NOON + HALF)

    def test_retry_delay_shorter_than_a_second_is_not_dropped(self):
        record = make(JobState.IN_PROGRESS)

        self.engine.settle([ending(record, Failed(ERROR, HALF))], NOON)

        assert NOON + HALF == stored(record).available_at

    def test_first_retry_waits_once_the_base_delay(self):
        """There, the first retry waits for twice the delay that the manual names."""
        assert NOON + HALF == retry_time(NOON, 1, backoff=Levels([HALF, HOUR]))

    def test_lease_that_ends_now_is_over_for_the_worker_and_for_the_sweep(self):
        """There, a job may start while ``expires >= now`` and is swept when ``expires < now``.

        Its manual says ``<=``, which would let both happen.
        """
        record = make(JobState.RESERVED, expires=NOON)

        assert [] == self.engine.start([reservation_of(record)], lease=MINUTE, now=NOON)
        assert 1 == JobRecord.objects.activate_expired(NOON)

    def test_lease_of_a_later_attempt_is_as_long_as_that_of_the_first(self):
        """There, the n-th execution has n times the lease, so a dead worker blocks it longer."""
        first, third = make(JobState.RESERVED), make(JobState.RESERVED, attempt=2)

        first.start(NOON)
        third.start(NOON)

        assert first.expires == third.expires

    def test_error_is_kept_on_the_row(self):
        """There, no error text is kept anywhere."""
        record = make(JobState.IN_PROGRESS)

        record.fail(ValueError("No order 7."), NOON)

        assert "builtins.ValueError: No order 7." == stored(record).exception

    def test_record_that_cannot_run_again_says_why(self):
        """There, a requeue that is refused answers with a value that nothing else takes."""
        record = make(JobState.IN_PROGRESS)

        with pytest.raises(NotRetryable) as error:
            record.retry(LATER)

        assert f"Job {record.pk} cannot be retried: it is IN_PROGRESS." == str(error.value)

    def test_enqueued_record_has_its_attempts_without_being_read_again(self):
        """There, the object has no maximum until it is loaded, and would be retried for ever."""

        class Charge(Job):
            def perform(self):
                pass

        assert 1 == Charge.enqueue().max_attempts

    def test_call_that_is_due_at_once_is_due_by_the_clock_of_the_database(self):
        """There, it is the clock of the application that says when."""

        class Charge(Job):
            def perform(self):
                pass

        before = self.engine.now()
        record = Charge.enqueue()

        assert before <= record.available_at <= self.engine.now()

    def test_reserved_records_come_back_in_order(self):
        """There, the order of what an update returns is not guaranteed."""
        for priority in (1, 3, 2, 5, 4):
            make(priority=priority)

        found = JobRecord.objects.reserve(5, worker="w", now=NOON)

        assert [5, 4, 3, 2, 1] == [record.priority for record in found]

    def test_limit_is_never_exceeded(self):
        """There, a limit inside a correlated query locked too many rows."""
        for queue in "abc":
            for _ in range(3):
                make(queue=queue)

        assert 2 == len(JobRecord.objects.reserve(2, worker="w", queues=list("abc"), now=NOON))
        assert 2 == JobRecord.objects.filter(state=JobState.RESERVED).count()


class ArchiveQueueTests(Contract):
    """A queue that moves what has ended to other tables."""

    def test_success_keeps_every_moment_of_its_record(self):
        """There, one database's archive has the birth of the job as its due time."""
        record = make(JobState.IN_PROGRESS, available_at=NOON - MINUTE, created_at=NOON - HOUR)

        record.succeed(None, LATER)

        success = SucceededJob.objects.get()
        assert (NOON - HOUR, NOON - MINUTE, LATER) == (
            success.created_at,
            success.available_at,
            success.succeeded_at,
        )

    def test_lost_worker_counts_so_that_a_deadly_job_ends(self):
        """There, a job that kills its process is released with its attempts as they were."""
        make(JobState.AVAILABLE, max_attempts=3)

        for _ in range(3):
            [record] = JobRecord.objects.reserve(1, worker="w", now=NOON)
            record.start(NOON)
            self.engine.give_back("w", LATER)

        found = stored(record)
        assert (JobState.FAILED, 3) == (found.state, found.attempt)
        assert {"django_jobflow.exceptions.WorkerLost"} == {
            entry["exception"] for entry in found.errors
        }

    def test_worker_of_another_host_is_another_worker(self):
        """There, the holder is a process id, and one host gives back what another executes."""
        record = make(JobState.IN_PROGRESS, reserved_by="b:17")

        self.engine.give_back("a:17", LATER)

        assert {} == changes(record)

    def test_retry_waits_and_holds_no_worker(self):
        """There, a retry is executed at once inside the same reservation."""
        record = make(JobState.IN_PROGRESS)

        record.fail(ValueError(), NOON)

        assert (JobState.RETRY, None) == (record.state, record.reserved_by)
        assert NOON < record.available_at

    def test_attempts_are_executions(self):
        """There, the limit counts extra executions, and a first success has attempt 0."""
        record = make(JobState.RESERVED, max_attempts=1)
        record.start(NOON)
        record.fail(ValueError(), NOON)

        assert (JobState.FAILED, 1) == (record.state, record.attempt)


class BrokerQueueTests(Contract):
    """A queue that keeps its keys beside a message broker."""

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


class FlowEngineTests(Contract):
    """A queue inside an engine of workflows."""

    def test_attempt_number_is_the_true_one(self):
        """There, a handler was told 1 whatever the truth."""
        make(attempt=1)

        [record] = JobRecord.objects.reserve(1, worker="w", now=NOON)
        record.start(NOON)

        assert 2 == record.attempt

    def test_lost_worker_ends_in_failure_and_not_in_silence(self):
        """There, a job that stalled too often is left "started" for ever."""
        make(JobState.IN_PROGRESS, lapsed=True, spent=True)

        JobRecord.objects.activate_expired(LATER)
        JobRecord.objects.fail_expired_at_max_attempts(LATER)

        assert [JobState.FAILED] == list(JobRecord.objects.values_list("state", flat=True))

    def test_snooze_gives_the_attempt_back_each_time(self):
        record = make(JobState.AVAILABLE, max_attempts=1)

        for _ in range(3):
            [record] = JobRecord.objects.reserve(1, worker="w", now=NOON)
            record.start(NOON)
            self.engine.settle([ending(record, Snoozed(timedelta(0)))], NOON)
            JobRecord.objects.activate_scheduled(NOON)

        assert (JobState.AVAILABLE, 0) == (stored(record).state, stored(record).attempt)

    def test_no_delay_is_no_delay(self):
        """There, a base delay of 0 became the default of the database."""

        class Charge(Job):
            max_attempts = 2
            base_delay = 0

            def perform(self):
                pass

        record = make(JobState.IN_PROGRESS, name=Charge.definition().name)

        record.fail(ValueError(), NOON)

        assert NOON == record.available_at
        assert 1 == JobRecord.objects.activate_scheduled(NOON)

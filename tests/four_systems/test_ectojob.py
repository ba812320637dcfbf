"""What EctoJob does, under our names; and what is known to be wrong with it.

The sentences about it are from its documentation, its source and its list of issues.
"""

from datetime import timedelta

import pytest

from django_jobflow import Job, Levels, NotRetryable, signals
from django_jobflow.attempts import reservation_of
from django_jobflow.execute import timed_out
from django_jobflow.models import JobRecord
from django_jobflow.moments import reservation_expiry, retry_time
from django_jobflow.outcomes import ErrorInfo, Failed
from django_jobflow.states import JobState
from tests.engines.contract import (
    HOUR,
    LATER,
    MINUTE,
    NOON,
    TICK,
    Contract,
    ending,
    make,
    stored,
    succeeded,
)

ERROR = ErrorInfo("E", "text")
HALF = timedelta(milliseconds=500)


class LifeTests(Contract):
    """A job goes through the states that its users know."""

    def test_record_goes_through_the_states_to_its_end(self):
        record = make(JobState.SCHEDULED, available_at=NOON, max_attempts=2, attempt=0)

        assert 1 == JobRecord.objects.activate_scheduled(NOON)
        [reserved] = JobRecord.objects.reserve(1, worker="w", now=NOON)
        reserved.start(NOON)
        reserved.fail(ValueError("no"), NOON)
        assert JobState.RETRY == reserved.state
        JobRecord.objects.activate_scheduled(LATER)
        [reserved] = JobRecord.objects.reserve(1, worker="w", now=LATER)
        reserved.start(LATER)
        reserved.succeed({"paid": True}, LATER)

        assert stored(record) is None
        assert {record.pk} == succeeded()

    def test_requeued_record_begins_anew(self):
        record = make(JobState.FAILED)

        record.retry(NOON)

        assert (JobState.AVAILABLE, 0, NOON) == (
            record.state,
            record.attempt,
            record.available_at,
        )


class WeaknessTests(Contract):
    """What is wrong with it is not wrong here."""

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

    def test_failure_is_told_as_nothing_else(self):
        """There, what has failed is told as completed as well."""
        told = []

        def receive(signal, **_):
            told.append(signal)

        record = make(JobState.IN_PROGRESS, max_attempts=1)
        for signal in signals.BY_EVENT.values():
            signal.connect(receive)
        try:
            record.fail(ValueError(), NOON)
        finally:
            for signal in signals.BY_EVENT.values():
                signal.disconnect(receive)

        assert [signals.job_failed] == told

    def test_crash_and_slowness_are_told_apart(self):
        """There, both are a lease that has run out."""
        slow = make(JobState.IN_PROGRESS)
        self.engine.settle([ending(slow, timed_out(reservation_of(slow)))], NOON)
        crashed = make(JobState.IN_PROGRESS, lapsed=True)
        JobRecord.objects.activate_expired(LATER)

        assert ["JobTimeout", "WorkerLost"] == [
            stored(record).errors[-1]["exception"].rpartition(".")[2] for record in (slow, crashed)
        ]

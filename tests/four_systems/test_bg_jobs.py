"""What bg_jobs does, under our names; and what is known to be wrong with it.

The sentences about it are from its documentation, its source and its list of issues.
"""

from django_jobflow.models import FailedJob, JobRecord, SucceededJob
from django_jobflow.states import JobState
from tests.engines.contract import (
    HOUR,
    LATER,
    MINUTE,
    NOON,
    TICK,
    Contract,
    changes,
    live,
    make,
    stored,
    succeeded,
)


class LifeTests(Contract):
    """Live, failed and succeeded jobs are told apart by where they are."""

    def test_ends_are_archived_with_their_facts(self):
        done, broken = make(JobState.IN_PROGRESS), make(JobState.IN_PROGRESS, spent=True)

        done.succeed(None, NOON)
        broken.fail(ValueError("no"), NOON)

        assert {done.pk} == succeeded()
        assert [broken.pk] == list(FailedJob.objects.values_list("pk", flat=True))
        assert done.created_at == SucceededJob.objects.get().created_at

    def test_what_a_worker_held_is_released(self):
        mine = make(JobState.RESERVED, reserved_by="w")
        other = make(JobState.RESERVED, reserved_by="other")

        self.engine.give_back("w", cause="was killed")

        assert {mine.pk: JobState.AVAILABLE, other.pk: JobState.RESERVED} == live()


class WeaknessTests(Contract):
    """What is wrong with it is not wrong here."""

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

    def test_delayed_job_is_not_due_a_moment_early(self):
        """There, times have whole seconds, and what is to wait a while may be due too soon."""
        due = NOON + MINUTE / 7
        make(JobState.SCHEDULED, available_at=due)

        assert 0 == JobRecord.objects.activate_scheduled(due - TICK)
        assert 1 == JobRecord.objects.activate_scheduled(due)

    def test_attempts_are_executions(self):
        """There, the limit counts extra executions, and a first success has attempt 0."""
        record = make(JobState.RESERVED, max_attempts=1)
        record.start(NOON)
        record.fail(ValueError(), NOON)

        assert (JobState.FAILED, 1) == (record.state, record.attempt)

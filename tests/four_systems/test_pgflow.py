"""What PgFlow does, under our names; and what is known to be wrong with it.

The sentences about it are from its documentation, its source and its list of issues.
"""

from datetime import timedelta

from django_jobflow import Job, observe, settle
from django_jobflow.models import JobRecord
from django_jobflow.outcomes import ErrorInfo, Failed, Snoozed
from django_jobflow.states import JobState
from tests.engines.contract import (
    LATER,
    NOON,
    Contract,
    ending,
    live,
    make,
    stored,
)


class LifeTests(Contract):
    """A job is a flow of one step; its run is the record."""

    def test_definition_is_a_flow_of_one_step(self):
        class Charge(Job):
            queue = "payments"

            def perform(self, order): ...

        definition = Charge.definition()

        assert ("job", "payments", 1) == (
            definition.kind,
            definition.step,
            len(definition.steps),
        )

    def test_output_is_kept_and_the_run_can_be_found(self):
        record = make(JobState.IN_PROGRESS)

        record.succeed({"paid": 3}, NOON)

        job = observe.find(record.pk)
        assert (record.pk, {"paid": 3}) == (job.pk, job.result)

    def test_pruning_keeps_what_is_not_finished(self):
        old, running = make(JobState.FAILED), make(JobState.IN_PROGRESS)

        assert 1 == self.engine.prune(self.engine.old_ended(LATER))

        assert {running.pk} == set(live())
        assert stored(old) is None


class WeaknessTests(Contract):
    """What is wrong with it is not wrong here."""

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

    def test_log_names_the_delay_that_is_taken(self, caplog):
        """There, the log names half of it."""
        record = make(JobState.IN_PROGRESS, attempt=2, max_attempts=5)
        end = ending(record, Failed(ErrorInfo("ValueError", "x", ""), None))

        self.engine.settle([end], NOON)
        settle.report([end], {end.reservation.id}, {})

        [line] = [line for line in caplog.records if getattr(line, "event", "") == "job_retried"]
        assert stored(record).available_at - NOON == timedelta(seconds=line.job_again_in)

    def test_job_is_enqueued_as_soon_as_it_is_declared(self):
        """There, a definition has to be compiled into the database by a migration."""

        class Charge(Job):
            def perform(self): ...

        record = Charge.enqueue()

        assert {record.pk: JobState.AVAILABLE} == live()

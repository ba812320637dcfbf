import pytest

from django_jobflow.models import FailedJob, JobRecord, SucceededJob, Worker
from django_jobflow.models.querysets import JobQuerySet
from django_jobflow.states import JobState
from tests.factories import (
    FailedJobFactory,
    JobRecordFactory,
    SucceededJobFactory,
    WorkerFactory,
    error_entry,
)


class JobRecordTests:
    def test_record_is_named_by_its_job_and_id(self):
        assert "shop.Receipt 7" == str(JobRecord(name="shop.Receipt", id=7))

    def test_success_is_named_by_its_job_and_id(self):
        assert "shop.Receipt 7" == str(SucceededJob(name="shop.Receipt", id=7))

    def test_worker_is_named(self):
        assert "host-1:4711" == str(Worker(name="host-1:4711"))

    def test_exception_is_the_text_of_the_last_error(self):
        record = JobRecordFactory.build(state=JobState.FAILED)

        assert "builtins.ConnectionError: Attempt 3 was refused." == record.exception

    def test_there_was_no_error_and_no_exception(self):
        assert "" == JobRecord().exception

    def test_new_record_is_no_duplicate(self):
        assert JobRecord().duplicate is False

    def test_names_of_the_tables_are_fixed(self):
        assert ["jobflow_job", "jobflow_job", "jobflow_succeeded", "jobflow_worker"] == [
            model._meta.db_table for model in (JobRecord, FailedJob, SucceededJob, Worker)
        ]

    def test_app_makes_its_own_keys_whatever_the_project_says(self):
        assert {"BigAutoField"} == {JobRecord._meta.pk.get_internal_type()}

    def test_only_looking_and_deleting_have_the_usual_permissions(self):
        """Nobody adds or edits a job by hand."""
        for model in (JobRecord, FailedJob, SucceededJob, Worker):
            assert ("view", "delete") == model._meta.default_permissions

    def test_each_action_has_its_permission(self):
        assert [
            "retry_jobrecord",
            "cancel_jobrecord",
            "run_now_jobrecord",
            "reschedule_jobrecord",
            "edit_jobrecord",
        ] == [name for name, _ in JobRecord._meta.permissions]


@pytest.mark.django_db
class FailedJobTests:
    def test_only_failed_records_are_listed(self):
        failed = FailedJobFactory()
        for state in set(JobState) - {JobState.FAILED}:
            JobRecordFactory(state=state)

        assert [failed.pk] == list(FailedJob.objects.values_list("pk", flat=True))

    def test_failed_job_has_the_verbs_of_a_record(self):
        assert isinstance(FailedJob.objects.all(), JobQuerySet)


@pytest.mark.django_db
class FactoryTests:
    """What the other tests rest on."""

    @pytest.mark.parametrize("state", sorted(JobState))
    def test_record_is_legal_and_valid_in_every_state(self, state):
        record = JobRecordFactory(state=state, queue_key="q", execution_key="e")

        record.full_clean()
        assert state == record.state

    @pytest.mark.parametrize("state", [JobState.RETRY, JobState.FAILED])
    def test_every_failed_attempt_has_its_error(self, state):
        record = JobRecordFactory(state=state)

        numbers = [entry["number"] for entry in record.errors]
        assert list(range(1, record.attempt + 1)) == numbers
        assert numbers

    def test_error_has_what_the_package_writes(self):
        record = JobRecordFactory(state=JobState.IN_PROGRESS)
        record.fail(ValueError())

        assert set(record.errors[0]) == set(error_entry(1, record.created_at))

    def test_success_and_worker_are_valid(self):
        SucceededJobFactory().full_clean()
        WorkerFactory(queues=["a"]).full_clean()

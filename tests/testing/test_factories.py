import subprocess
import sys

import pytest

from django_jobflow import JobState
from django_jobflow.models import FailedJob
from django_jobflow.testing import drain, factories
from django_jobflow.testing.factories import (
    FailedJobFactory,
    JobRecordFactory,
    SucceededJobFactory,
)
from tests.app.jobs import MakeOrder, note
from tests.docs.pages import REPOSITORY


@pytest.mark.django_db
class FactoryTests:
    @pytest.mark.parametrize("state", JobState)
    def test_every_state_is_legal(self, state):
        """The constraints of the table refuse what is not."""
        record = JobRecordFactory(state=state, queue_key="k")
        record.refresh_from_db()

        assert state == record.state

    def test_record_of_a_declared_job_is_as_it_would_be_enqueued(self):
        record = JobRecordFactory(job=MakeOrder, args=["7"])
        enqueued = MakeOrder.enqueue("7")

        for name in ("name", "queue", "priority", "args", "kwargs", "max_attempts", "timeout"):
            assert getattr(enqueued, name) == getattr(record, name), name
        assert [2, 2] == [each.max_attempts for each in (record, enqueued)]
        assert "notes" == JobRecordFactory(job=note).queue
        assert "notes" == SucceededJobFactory(job=note).queue

    def test_record_of_a_declared_job_can_be_executed(self):
        JobRecordFactory(job=MakeOrder, args=["7"])

        assert ["tests.app.jobs.MakeOrder"] == drain(raise_errors=True).names

    def test_failed_job_has_an_error_of_each_attempt(self):
        FailedJobFactory(max_attempts=2)

        assert [1, 2] == [each["number"] for each in FailedJob.objects.get().errors]

    def test_every_factory_makes_any_number(self):
        made = [
            getattr(factories, name).create_batch(2)
            for name in vars(factories)
            if name.endswith("Factory") and name != "DjangoModelFactory"
        ]

        assert [2] * 8 == [len({each.pk for each in batch}) for batch in made]

    def test_state_that_is_none_of_a_record_is_refused(self):
        with pytest.raises(ValueError, match="expected state") as caught:
            JobRecordFactory(state="SUCCEEDED")

        states = ", ".join(JobState)
        assert (
            f"JobRecordFactory: expected state to be one of {states}, got 'SUCCEEDED'. "
            "SucceededJobFactory makes those that have succeeded." == str(caught.value)
        )


def test_missing_factory_boy_is_an_error_that_names_the_extra():
    code = (
        "import sys, django; sys.modules['factory'] = None; django.setup()\n"
        "import django_jobflow.testing.factories"
    )

    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True
    )

    assert (
        "ImportError: django_jobflow.testing.factories: expected factory_boy, got none. Install "
        "django-jobflow[testing]."
    ) == ended.stderr.strip().splitlines()[-1]

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError
from django.utils import timezone, translation

from django_jobflow.sentences import moment
from django_jobflow.states import JobState
from tests.factories import JobRecordFactory, SucceededJobFactory
from tests.management.asking import ask, ask_json

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


class WhyTests:
    def test_answer_is_a_sentence(self):
        record = JobRecordFactory(queue="email")

        assert (0, "No living worker serves queue 'email'.\n") == ask("why", record.pk)

    def test_json_has_the_cause_and_the_facts(self):
        due = timezone.now() + HOUR
        record = JobRecordFactory(state=JobState.SCHEDULED, available_at=due)

        assert {
            "id": record.pk,
            "cause": "not_due",
            "sentence": f"It is due at {moment(due)}.",
            "facts": {"at": due.isoformat()},
        } == ask_json("why", record.pk)

    def test_sentence_is_english_and_in_the_time_zone_of_the_project(self, settings):
        settings.TIME_ZONE = "Europe/Berlin"
        due = datetime(2090, 1, 31, 12, tzinfo=UTC)
        record = JobRecordFactory(state=JobState.SCHEDULED, available_at=due)

        with translation.override("de"):
            assert (0, "It is due at Jan. 31, 2090, 13:00:00 CET.\n") == ask("why", record.pk)
            assert "de" == translation.get_language()

    def test_succeeded_job_is_found_too(self):
        job = SucceededJobFactory()

        assert "succeeded" == ask_json("why", job.pk)["cause"]

    def test_terminal_is_not_commanded(self):
        record = JobRecordFactory(state=JobState.WAITING, execution_key="\x1b[2J")
        JobRecordFactory(state=JobState.IN_PROGRESS, execution_key="\x1b[2J")

        assert "\x1b" not in ask("why", record.pk)[1]

    def test_unknown_number_is_an_error(self):
        with pytest.raises(CommandError):
            ask("why", 10**12)

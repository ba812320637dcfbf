"""The sub-commands that change jobs: retry, cancel, run-now, delete and prune."""

from datetime import timedelta

import pytest
from django.utils import timezone

from django_jobflow import states
from django_jobflow.management.subcommands import acting
from django_jobflow.management.subcommands.verbs import Cancel, Delete, Retry, RunNow
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.states import JobState
from tests.factories import FailedJobFactory, JobRecordFactory, SucceededJobFactory
from tests.management.asking import ask, ask_json, refusal

pytestmark = pytest.mark.django_db
VERBS = (Retry, Cancel, RunNow, Delete)
DAY = timedelta(days=1)


def state_of(record):
    return JobRecord.objects.get(pk=record.pk).state


class NamedTests:
    def test_failed_job_will_run_again(self):
        record = FailedJobFactory()

        assert (0, "1 job will run again.\n") == ask("retry", record.pk)
        assert JobState.AVAILABLE == state_of(record)

    def test_waiting_job_is_cancelled_and_running_one_asked(self):
        waiting, running = JobRecordFactory(), JobRecordFactory(state=JobState.IN_PROGRESS)

        expected = "1 job cancelled.\n1 job asked to stop.\n"
        assert (0, expected) == ask("cancel", waiting.pk, running.pk)
        assert (JobState.CANCELLED, JobState.IN_PROGRESS) == (state_of(waiting), state_of(running))

    def test_scheduled_job_is_due(self):
        record = JobRecordFactory(state=JobState.SCHEDULED)

        assert (0, "1 job due now.\n") == ask("run-now", record.pk)
        assert JobState.AVAILABLE == state_of(record)

    def test_deleting_asks_even_for_a_named_job(self):
        record = FailedJobFactory()

        assert (1, "This would delete 1 job. Add --yes to do it.") == refusal("delete", record.pk)
        assert (0, "1 job deleted.\n") == ask("delete", record.pk, "--yes")
        assert not JobRecord.objects.exists()

    @pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
    def test_what_was_not_done_is_said_and_is_a_failure(self, verb):
        unfit = {"retry": "AVAILABLE", "delete": "IN_PROGRESS"}.get(verb.name, "FAILED")
        record = JobRecordFactory(state=unfit)

        code, printed = ask(verb.name, record.pk, record.pk, 10**12, "--yes")

        assert (1, unfit) == (code, state_of(record))
        assert [
            f"0 jobs {verb.past}.",
            f"1 job skipped: {verb.why_skipped}.",
            "1 job not found.",
        ] == printed.splitlines()

    def test_what_has_succeeded_is_said_to_have(self):
        succeeded = SucceededJobFactory()

        code, printed = ask("retry", succeeded.pk, 10**12)

        assert (1, ["1 job succeeded already.", "1 job not found."]) == (
            code,
            printed.splitlines()[1:],
        )

    def test_json_has_the_numbers(self):
        record = FailedJobFactory()

        expected = {"dry_run": False, "done": 1, "asked": 0, "skipped": 0, "missing": 0}
        assert expected == ask_json("retry", record.pk)

    def test_dry_run_of_a_named_job_changes_nothing(self):
        record = FailedJobFactory()

        assert (0, "This would retry 1 job.\n") == ask("retry", record.pk, "--dry-run")
        assert JobState.FAILED == state_of(record)


class FilteredTests:
    @pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
    def test_many_are_touched_only_after_a_yes(self, verb):
        fit = {"retry": "FAILED", "run-now": "RETRY"}.get(verb.name, "AVAILABLE")
        JobRecordFactory.create_batch(2, state=fit, queue="email")
        other = JobRecordFactory(state=fit)

        expected = f"This would {verb.infinitive} 2 jobs."
        assert (0, f"{expected}\n") == ask(verb.name, "--queue=email", "--dry-run")
        assert (1, f"{expected} Add --yes to do it.") == refusal(verb.name, "--queue=email")
        assert 2 == JobRecord.objects.filter(state=fit, queue="email").count()

        assert (0, f"2 jobs {verb.past}.\n") == ask(verb.name, "--queue=email", "--yes")
        assert [other] == list(JobRecord.objects.filter(state=fit))

    @pytest.mark.parametrize("verb", [Retry, Cancel, RunNow], ids=lambda verb: verb.name)
    def test_filters_find_what_the_verb_is_for(self, verb):
        for state in JobState:
            JobRecordFactory(state=state)

        found = ask_json(verb.name, "--queue=default", "--dry-run")

        expected = len(states.origins(verb.verb))
        assert {"dry_run": True, "count": expected, "more": False} == found

    def test_nothing_found_is_nothing_to_do(self):
        assert (0, "0 jobs will run again.\n") == ask("retry", "--queue=nowhere", "--yes")

    def test_large_numbers_are_not_counted_to_the_end(self, monkeypatch):
        monkeypatch.setattr(acting, "MOST_COUNTED", 2)
        FailedJobFactory.create_batch(3)

        assert (0, "This would retry 2+ jobs.\n") == ask("retry", "--state=failed", "--dry-run")

    def test_history_can_be_deleted(self):
        old, new = (SucceededJobFactory(now=timezone.now() - days * DAY) for days in (9, 1))

        answer = ask("delete", "--state=succeeded", "--older-than=7d", "--yes")

        assert (0, "1 job deleted.\n") == answer
        assert [new] == list(SucceededJob.objects.all())
        assert (1, "0 jobs deleted.\n1 job not found.\n") == ask(
            "delete", old.pk, "--state=succeeded", "--yes"
        )

    @pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
    def test_everything_is_nothing_that_anybody_means(self, verb):
        expected = f"{verb.name}: expected numbers of jobs, or a filter."

        assert (2, expected) == refusal(verb.name, "--yes")

    @pytest.mark.parametrize("verb", [Retry, Cancel, RunNow], ids=lambda verb: verb.name)
    def test_what_has_succeeded_has_ended(self, verb):
        expected = f"{verb.name}: a job that has succeeded has ended; only delete takes one."

        assert (2, expected) == refusal(verb.name, "--state=succeeded", "--yes")


class PruneTests:
    @pytest.fixture(autouse=True)
    def retentions(self, settings):
        settings.JOBFLOW = {"RETAIN_SUCCEEDED": DAY, "RETAIN_FAILED": DAY}
        for days in (0, 2, 3):
            SucceededJobFactory(now=timezone.now() - days * DAY)
            FailedJobFactory(now=timezone.now() - days * DAY)

    def test_what_is_older_than_its_retention_is_deleted_after_a_yes(self):
        assert (0, "This would delete 4 jobs.\n") == ask("prune", "--dry-run")
        assert (1, "This would delete 4 jobs. Add --yes to do it.") == refusal("prune")
        assert 3 == SucceededJob.objects.count()

        assert (0, "4 jobs deleted.\n") == ask("prune", "--yes")
        assert (1, 1) == (SucceededJob.objects.count(), JobRecord.objects.count())

    def test_json_has_the_numbers(self):
        assert {"dry_run": True, "count": 4, "more": False} == ask_json("prune", "--dry-run")
        assert {"dry_run": False, "done": 4} == ask_json("prune", "--yes")

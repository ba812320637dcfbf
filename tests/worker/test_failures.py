"""What a worker counts of what fails."""

from collections import Counter

from django.test import override_settings

from django_jobflow.models import FailureGroup, FailureOccurrence, JobRecord, Release, Worker
from django_jobflow.states import JobState
from tests.app import jobs
from tests.worker.test_duties import make_duties as make_duties


def test_worker_counts_each_failed_attempt_by_its_kind(drain):
    jobs.fail_until.enqueue(9)
    jobs.add.enqueue("a", 1)
    jobs.add.enqueue("b", 2)
    jobs.add.enqueue(1)

    with override_settings(JOBFLOW={"RELEASE": "2026.11.1"}):
        drain()

    found = Counter()
    for row in FailureOccurrence.objects.all():  # a slow machine counts in several goes
        found[row.place, row.message, row.name, row.release] += row.count
    name = jobs.fail_until.job.definition().name
    assert 3 == found["tests.app.jobs:fail_until", "attempt # of #", name, "2026.11.1"]
    assert [2] == [count for (place, *_), count in found.items() if place == "tests.app.jobs:add"]
    assert 3 == JobRecord.objects.filter(state=JobState.FAILED, fingerprint__isnull=False).count()


def test_success_costs_no_statement(drain, make_duties, django_assert_num_queries):
    duties = make_duties()

    with django_assert_num_queries(0):
        duties.count_failures()


def test_failures_of_a_process_are_folded_soon(make_duties, drain):
    jobs.add.enqueue("a", 1)
    drain()
    duties = make_duties()
    assert not FailureGroup.objects.exists()

    duties.fold_failures()

    assert [1] == [group.count for group in FailureGroup.objects.all()]


def test_worker_reports_its_release(make_duties):
    with override_settings(JOBFLOW={"RELEASE": "2026.11.1"}):
        make_duties()

    assert ["2026.11.1"] == [worker.release for worker in Worker.objects.all()]
    assert ["2026.11.1"] == [release.name for release in Release.objects.all()]

"""What ``manage.py jobflow`` prints is in one language, whatever that of the project is."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone, translation

from django_jobflow import control, signals
from django_jobflow.models import JobRecord
from django_jobflow.states import JobState
from tests.factories import FailedJobFactory, JobRecordFactory, WorkerFactory
from tests.management.asking import ask, refusal

pytestmark = pytest.mark.django_db


def in_language(language, *arguments):
    """Return exit code and lines of a command in a project of *language*.

    Without numbers, the width that they give to a column and the order that they give to lines:
    a server counts as it likes.
    """
    with translation.override(language):
        code, printed = ask(*arguments)
    return code, sorted(re.sub(r" +", " ", re.sub(r"\d+", "#", printed)).splitlines())


@pytest.mark.parametrize(
    "words",
    ["stats", "list", "health", "doctor", "why {}", "show {}", "workers", "pause", "limit"],
)
def test_commands_are_english_in_every_project(words):
    now = timezone.now()
    a_while_ago = now - timedelta(seconds=30)  # so that no age has another unit a moment later
    FailedJobFactory(now=a_while_ago)
    WorkerFactory(now=now - timedelta(seconds=4))
    record = JobRecordFactory(state=JobState.SCHEDULED, now=a_while_ago)
    control.pause(queue="email", for_=1000, reason="Mail")
    control.set_limit(queue="email", rate="10/m", concurrency=3)
    arguments = words.format(record.pk).split()

    assert in_language("en", *arguments) == in_language("de", *arguments)


def test_mistake_in_a_search_is_english_too():
    with translation.override("de"):
        code, text = refusal("list", "--search", "quue:email")

    assert (2, "Search: at character 1: 'quue' is no key.") == (code, text[:41])


@pytest.mark.parametrize("arguments", [["--queue", "a"], ["--search", "queue:a"]])
def test_receivers_speak_the_language_of_the_project(
    arguments, settings, django_capture_on_commit_callbacks
):
    settings.LANGUAGE_CODE = "de"
    JobRecordFactory(queue="a")
    heard = []

    def hear(**_kwargs):
        heard.append(translation.get_language())

    signals.job_cancelled.connect(hear)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            ask("cancel", *arguments, "--yes")
    finally:
        signals.job_cancelled.disconnect(hear)

    assert 1 == JobRecord.objects.filter(state=JobState.CANCELLED).count()
    assert ["de"] == heard

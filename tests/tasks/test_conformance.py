"""The table of the reference, compared with what the backend does when it is asked."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_jobflow.models import JobRecord
from django_jobflow.tasks.compat import (
    InvalidTask,
    TaskResultDoesNotExist,
    task_backends,
    task_enqueued,
)
from tests.app import tasks

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "django-tasks.md"
TABLE = re.compile(r"^\{#conformance\}\n\|[^\n]*\n\|[-|]*\n((?:\|[^\n]*\n)+)", re.MULTILINE)


def page():
    """What the page says, by what is asked."""
    (table,) = TABLE.findall(PAGE.read_text())
    lines = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return dict(lines)


def raised(call, right=Exception):
    """Return "right" if *call* raises that, or else what has become of it."""
    try:
        call()
    except right:
        return "right"
    except Exception as error:
        return type(error).__name__
    return "accepted"


def enqueue_signal():
    senders = []

    def hear(sender, **kwargs):
        senders.append(sender)

    task_enqueued.connect(hear)
    try:
        tasks.add.enqueue(1)
    finally:
        task_enqueued.disconnect(hear)
    backend = task_backends["default"]
    words = {type(backend): "class", backend: "instance"}
    return " ".join(words.get(each, repr(each)) for each in senders) or "none"


def bad_id():
    wrong = ["", "x", "-1", "1.0", "1 ", "9" * 64, "\0", "\ud800", None, 7, object()]
    words = {
        raised(lambda bad=bad: task_backends["default"].get_result(bad), TaskResultDoesNotExist)
        for bad in wrong
    }
    return ", ".join(sorted(words))


def bad_argument():
    word = raised(lambda: tasks.add.enqueue(datetime(2030, 5, 1, tzinfo=UTC)), TypeError)
    return "TypeError" if word == "right" else word


def unknown_queue():
    word = raised(lambda: tasks.add.using(queue_name="unknown").enqueue(1), InvalidTask)
    return "InvalidTask" if word == "right" else word


def run_after_as_timedelta():
    try:
        result = tasks.add.using(run_after=timedelta(minutes=5)).enqueue(1)
    except Exception as error:
        return type(error).__name__
    record = JobRecord.objects.get(pk=result.id)
    waits = record.available_at - record.created_at == timedelta(minutes=5)
    return "works" if waits and record.state == "SCHEDULED" else "ignored"


def rolls_back_with_the_caller():
    before = JobRecord.objects.count()
    with transaction.atomic():
        tasks.add.enqueue(1)
        transaction.set_rollback(True)
    return "yes" if before == JobRecord.objects.count() else "no"


def statements_per_enqueue():
    with transaction.atomic(), CaptureQueriesContext(connection) as captured:
        tasks.add.enqueue(1)
    return str(len(captured))


PROBES = {
    "enqueue signal": enqueue_signal,
    "bad id": bad_id,
    "bad argument (datetime)": bad_argument,
    "unknown queue": unknown_queue,
    "run_after as timedelta": run_after_as_timedelta,
    "rolls back with the caller": rolls_back_with_the_caller,
    "statements per enqueue": statements_per_enqueue,
}


@pytest.mark.django_db(transaction=True)
def test_page_says_what_the_backend_does():
    assert {asked: probe() for asked, probe in PROBES.items()} == page()

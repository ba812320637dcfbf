from datetime import timedelta

import pytest
from django.utils import timezone

from django_jobflow import job
from django_jobflow.models import JobRecord
from django_jobflow.moving import Procrastinate
from django_jobflow.states import JobState
from tests.management.asking import ask, ask_json
from tests.moving.facts import facts

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("procrastinate", "declared")]

NAME = "shop.tasks.send_receipt"


@pytest.fixture
def task(procrastinate):
    from procrastinate.contrib.django import app

    if NAME not in app.tasks:

        @app.task(name=NAME, queue="email", retry=5)
        def send_receipt(order_id, copy_to=None):
            raise AssertionError("No worker runs here.")

    return app.tasks[NAME]


@pytest.fixture
def rows(procrastinate):
    from procrastinate.contrib.django.models import ProcrastinateJob

    return ProcrastinateJob.objects


@pytest.fixture(autouse=True)
def receipt(declared):
    @job(name=NAME, max_attempts=5)
    def send(order_id, copy_to=None):
        raise AssertionError("No worker runs here.")

    return send


def test_row_becomes_a_job_with_all_that_it_says(task, rows):
    later = timezone.now() + timedelta(hours=1)
    pk = task.configure(
        schedule_at=later, priority=500, lock="smtp", queueing_lock="receipt:7"
    ).defer(order_id=7, copy_to=["ann"])

    assert 0 == ask("import", "procrastinate", "--yes")[0]

    [record] = JobRecord.objects.all()
    assert {
        "name": NAME,
        "state": JobState.SCHEDULED,
        "args": [],
        "kwargs": {"order_id": 7, "copy_to": ["ann"]},
        "queue": "email",
        "priority": 100,
        "available_at": later,
        "execution_key": "smtp",
        "queue_key": "receipt:7",
        "attempt": 0,
        "meta": {"imported_from": {"queue": "procrastinate", "id": str(pk)}},
    } == {
        name: getattr(record, name)
        for name in (
            "name",
            "state",
            "args",
            "kwargs",
            "queue",
            "priority",
            "available_at",
            "execution_key",
            "queue_key",
            "attempt",
            "meta",
        )
    }
    assert "cancelled" == rows.get(pk=pk).status
    assert [] == ask_json("import", "procrastinate", "--yes")["imported"]


def test_attempts_that_have_failed_count_and_one_is_left(task, rows):
    for order_id, attempts in enumerate((2, 9)):
        pk = task.defer(order_id=order_id)
        rows.model._base_manager.filter(pk=pk).update(attempts=attempts)

    ask("import", "procrastinate", "--yes")

    assert [(2, 5), (4, 5)] == facts("attempt", "max_attempts")


def test_jobs_of_one_lock_wait_for_each_other(task, django_capture_on_commit_callbacks):
    for order_id in range(2):
        task.configure(lock="smtp").defer(order_id=order_id)

    with django_capture_on_commit_callbacks(execute=True):
        ask("import", "procrastinate", "--yes")

    assert [("AVAILABLE", "smtp"), ("WAITING", "smtp")] == facts("state", "execution_key")


def test_what_runs_or_has_ended_is_not_imported(task, rows):
    for status in ("doing", "succeeded", "failed", "cancelled"):
        pk = task.defer(order_id=1)
        rows.model._base_manager.filter(pk=pk).update(status=status)

    assert (0, "0 jobs imported.\n") == ask("import", "procrastinate", "--yes")


def test_row_that_a_worker_takes_meanwhile_is_left_to_it(task, rows):
    pk = task.defer(order_id=1)
    source = Procrastinate()
    [row] = source.some(source.ids(), lock=False)
    rows.model._base_manager.filter(pk=pk).update(status="doing")

    assert not source.take(row)
    assert "doing" == rows.get(pk=pk).status


def test_key_that_is_too_long_leaves_the_row_alone(task, rows):
    task.configure(lock="x" * 256).defer(order_id=1)

    code, printed = ask("import", "procrastinate", "--yes")

    assert 1 == code
    assert f"{NAME}: expected execution_key to be at most 255 characters" in printed
    assert ["todo"] == [row.status for row in rows.all()]

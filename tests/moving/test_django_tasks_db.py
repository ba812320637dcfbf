import json
from datetime import timedelta

import pytest
from django.utils import timezone

from django_jobflow import job
from django_jobflow.declare import registry
from django_jobflow.models import JobRecord
from django_jobflow.moving import DjangoTasksDB
from django_jobflow.states import JobState
from django_jobflow.tasks.jobs import TaskJob
from tests.management.asking import ask, ask_json, refusal
from tests.moving.facts import facts

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("django_tasks_db", "declared")]

PATH = "tests.moving.elsewhere.send_receipt"
TASK = "tests.app.tasks.add"


@pytest.fixture
def elsewhere(django_tasks_db):
    from tests.moving import elsewhere

    return elsewhere


@pytest.fixture
def rows(django_tasks_db):
    from django_tasks_db.models import DBTaskResult

    return DBTaskResult.objects


@pytest.fixture
def receipt(declared):
    @job(name=PATH, queue="own", max_attempts=3)
    def send(order_id, copy_to=None):
        raise AssertionError("No worker runs here.")

    return send


def test_row_becomes_a_job_with_all_that_it_says(elsewhere, rows, receipt):
    later = timezone.now().replace(microsecond=0) + timedelta(hours=1)
    task = elsewhere.send_receipt.using(priority=7, queue_name="email", run_after=later)
    result = task.enqueue(7, copy_to=["ann", {"n": None}])

    assert 0 == ask("import", "django-tasks-db", "--yes")[0]

    [record] = JobRecord.objects.all()
    assert {
        "name": PATH,
        "state": JobState.SCHEDULED,
        "args": [7],
        "kwargs": {"copy_to": ["ann", {"n": None}]},
        "priority": 7,
        "queue": "email",
        "available_at": later,
        "attempt": 0,
        "max_attempts": 3,
    } == {
        name: getattr(record, name)
        for name in (
            "name",
            "state",
            "args",
            "kwargs",
            "priority",
            "queue",
            "available_at",
            "attempt",
            "max_attempts",
        )
    }
    expected = {
        "queue": "django-tasks-db",
        "id": result.id,
        "enqueued_at": result.enqueued_at.isoformat(),
    }
    assert {"imported_from": expected} == record.meta
    assert 0 == rows.count()


def test_row_becomes_a_task_of_the_project_without_a_job_declared_for_it(elsewhere, rows):
    elsewhere.send_receipt.enqueue(7)

    assert 0 == ask("import", "django-tasks-db", "--yes", "--map", f"{PATH}={TASK}")[0]

    [record] = JobRecord.objects.all()
    assert (TASK, [7], JobState.AVAILABLE) == (record.name, record.args, record.state)
    assert issubclass(registry.find(TASK), TaskJob)


def test_rows_keep_their_order_and_a_second_run_finds_none(elsewhere, receipt):
    for number in range(3):
        elsewhere.send_receipt.enqueue(number)

    expected = {
        "dry_run": False,
        "imported": [{"calls": PATH, "job": PATH, "count": 3}],
        "left": [],
        "left_count": 0,
        "taken_meanwhile": 0,
    }
    assert expected == ask_json("import", "django-tasks-db", "--yes")
    assert expected | {"imported": []} == ask_json("import", "django-tasks-db", "--yes")
    assert [([0], "AVAILABLE"), ([1], "AVAILABLE"), ([2], "AVAILABLE")] == facts("args", "state")


def test_dry_run_says_what_would_be_and_changes_nothing(elsewhere, rows, receipt):
    elsewhere.send_receipt.enqueue(1)
    stranger = elsewhere.retired.enqueue(2)
    misfit = elsewhere.send_receipt.enqueue(1, 2, 3)

    code, printed = ask("import", "django-tasks-db", "--dry-run")

    lines = [[cell.strip() for cell in line.split("  ") if cell] for line in printed.splitlines()]
    assert 1 == code
    assert [
        ["This would import 1 job."],
        ["CALLS", "JOB", "ROWS"],
        [PATH, PATH, "1"],
        ["2 rows left alone:"],
        ["ROW", "CALLS", "WHY"],
        [
            stranger.id,
            "tests.moving.elsewhere.retired",
            "no job is registered under 'tests.moving.elsewhere.retired'",
        ],
        [
            misfit.id,
            PATH,
            f"{PATH}: too many positional arguments. Expected (order_id, copy_to=None).",
        ],
    ] == lines
    assert 3 == rows.count()
    assert [] == facts("pk")


def test_rows_that_cannot_be_imported_stay_and_the_others_do_not(elsewhere, rows, receipt):
    elsewhere.retired.enqueue(2)
    elsewhere.send_receipt.enqueue(1)

    assert 1 == ask("import", "django-tasks-db", "--yes")[0]
    assert ["tests.moving.elsewhere.retired"] == [row.task_path for row in rows.all()]


def test_names_can_be_mapped(elsewhere, declared, tmp_path):
    @job(name="shop.Send")
    def send(order_id):
        pass

    file = tmp_path / "names"
    file.write_text("# before = now\n\ntests.moving.elsewhere.retired = shop.Send\n")
    elsewhere.send_receipt.enqueue(1)
    elsewhere.retired.enqueue(2)

    ask("import", "django-tasks-db", f"--map={PATH}=shop.Send", f"--map-file={file}", "--yes")

    assert [("shop.Send", [1]), ("shop.Send", [2])] == facts("name", "args")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("old", "--map: expected old=new, got 'old'."),
        ("old=shop.Sned", "--map: No job is registered under 'shop.Sned'."),
    ],
)
def test_wrong_map_is_refused(given, expected):
    code, text = refusal("import", "django-tasks-db", f"--map={given}", "--yes")

    assert 2 == code
    assert text.startswith(expected)


def test_what_runs_or_has_ended_is_not_imported(elsewhere, rows, receipt):
    for status in ("RUNNING", "SUCCESSFUL", "FAILED"):
        elsewhere.send_receipt.enqueue(1)
        rows.filter(status="READY").update(status=status)

    assert (0, "0 jobs imported.\n") == ask("import", "django-tasks-db", "--yes")
    assert 3 == rows.count()


def test_row_that_a_worker_takes_meanwhile_is_left_to_it(elsewhere, rows, receipt):
    elsewhere.send_receipt.enqueue(1)
    source = DjangoTasksDB()
    [row] = source.some(source.ids(), lock=False)
    rows.get().claim("worker")

    assert not source.take(row)
    assert 1 == rows.count()


def test_nothing_is_imported_without_a_yes(elsewhere, rows, receipt):
    elsewhere.send_receipt.enqueue(1)

    expected = (1, "This would import 1 job. Add --yes to do it.")
    assert expected == refusal("import", "django-tasks-db")
    assert 1 == rows.count()


def test_held_queue_key_leaves_the_row_and_the_holder_alone(elsewhere, rows, declared):
    @job(name=PATH, queue_key=lambda order_id: f"receipt:{order_id}", on_duplicate="replace")
    def send(order_id):
        pass

    for number in (1, 2, 2):
        elsewhere.send_receipt.enqueue(number)
    send.enqueue(order_id=1)

    planned = ask_json_of_failure("import", "django-tasks-db", "--dry-run")
    done = ask_json_of_failure("import", "django-tasks-db", "--yes")

    assert planned == done | {"dry_run": True}
    expected = [f"an unfinished job holds the queue key 'receipt:{n}'" for n in (1, 2)]
    assert expected == [left["why"] for left in done["left"]]
    assert [([], {"order_id": 1}), ([2], {})] == facts("args", "kwargs")
    assert 2 == rows.count()


def ask_json_of_failure(*arguments):
    code, printed = ask(*arguments, "--json")
    assert 1 == code
    return json.loads(printed)

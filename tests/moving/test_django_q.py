import datetime as dt
import json
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.utils import timezone

from django_jobflow import job
from django_jobflow.models import JobRecord
from django_jobflow.moving import DjangoQ
from tests.management.asking import ask, ask_json
from tests.moving import functions
from tests.moving.facts import facts

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("django_q", "declared")]

PATH = "tests.moving.functions.send_receipt"
RETRY = timedelta(seconds=90)


@pytest.fixture
def async_task(django_q):
    from django_q.tasks import async_task

    return async_task


@pytest.fixture
def rows(django_q):
    from django_q.models import OrmQ

    return OrmQ.objects


@pytest.fixture(autouse=True)
def receipt(declared):
    @job(name=PATH, queue="email", timeout=30)
    def send(order_id, copy_to=None):
        raise AssertionError("No worker runs here.")

    return send


def left():
    """Return why the rows are left alone."""
    return [
        each["why"]
        for each in json.loads(ask("import", "django-q2", "--yes", "--json")[1])["left"]
    ]


@pytest.mark.parametrize("function", [PATH, functions.send_receipt], ids=["path", "function"])
def test_row_becomes_a_job_with_all_that_it_says(async_task, rows, function):
    task = async_task(function, 7, copy_to=("ann",), timeout=50, group="receipts", task_name="r7")

    expected = [{"calls": PATH, "job": PATH, "count": 1}]
    assert expected == ask_json("import", "django-q2", "--yes")["imported"]

    [record] = JobRecord.objects.all()
    assert (PATH, "email", [7]) == (record.name, record.queue, record.args)
    assert {"copy_to": {"$jobflow": "tuple", "value": ["ann"]}} == record.kwargs
    assert (timedelta(seconds=50), ["receipts"]) == (record.timeout, record.tags)
    [origin] = record.meta.values()
    assert {"queue": "django-q2", "task": task, "name": "r7"} == {
        key: origin[key] for key in ("queue", "task", "name")
    }
    assert 0 == rows.count()
    assert [] == ask_json("import", "django-q2", "--yes")["imported"]


def test_plain_values_come_as_they_were(async_task):
    values = [
        dt.datetime(2030, 1, 31, 12, tzinfo=dt.UTC),
        dt.date(2030, 1, 31),
        Decimal("9.90"),
        UUID(int=7),
        {"a"},  # of more, the order differs from one set to an equal one
        b"bytes",
        None,
    ]
    async_task(PATH, values)
    ask("import", "django-q2", "--yes")

    other = job(name="shop.same")(lambda values: None)
    same = other.enqueue(values=values)
    [(args,), _] = facts("args")
    assert [same.kwargs["values"]] == args


def test_cluster_is_the_queue_unless_it_is_the_default(async_task):
    async_task(PATH, 1)
    async_task(PATH, 2, cluster="reports")

    ask("import", "django-q2", "--yes")

    assert [([1], "email"), ([2], "reports")] == facts("args", "queue")


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"hook": PATH}, "hook"),
        ({"chain": [(PATH, (1,))]}, "chain"),
        ({"iter_count": 3}, "iter_count"),
    ],
    ids=["hook", "chain", "iteration"],
)
def test_task_that_something_follows_is_left_alone(async_task, rows, options, option):
    async_task(PATH, 1, **options)

    assert [f"it has the option {option}, which would be lost"] == left()
    assert 1 == rows.count()


def test_values_that_are_no_plain_data_are_left_alone(async_task, rows):
    async_task(PATH, functions.Mailer())
    async_task(functions.Mailer().send)
    async_task(PATH, functions.send_receipt)

    whys = left()

    assert "its pickle is not plain data: it calls tests.moving.functions.Mailer" == whys[0]
    assert whys[1].startswith("its pickle is not plain data: ")
    assert whys[2].startswith(f"{PATH}: expected arguments that can be stored as JSON")
    assert 3 == rows.count()


def test_package_that_this_project_has_not_signed_is_left_alone(async_task, rows):
    async_task(PATH, 1)
    row = rows.get()
    row.payload = row.payload[:-1] + ("A" if row.payload[-1] != "A" else "B")
    row.save()

    assert ["it is not signed with the key and the name of this project"] == left()


def test_row_that_a_cluster_has_is_not_seen(async_task, rows):
    from django_q.brokers import get_broker

    async_task(PATH, 1)
    [(_, payload)] = get_broker().dequeue()

    assert (0, "0 jobs imported.\n") == ask("import", "django-q2", "--yes")
    assert [payload] == [row.payload for row in rows.all()]


def test_row_that_a_cluster_takes_meanwhile_is_left_to_it(async_task, rows):
    from django_q.brokers import get_broker

    async_task(PATH, 1)
    source = DjangoQ()
    [row] = source.some(source.ids(), lock=False)
    get_broker().dequeue()

    assert not source.take(row)
    assert 1 == rows.count()


def test_row_that_a_cluster_has_had_is_imported_only_if_that_is_said(async_task, rows):
    from django_q.brokers import get_broker

    async_task(PATH, 1)
    get_broker().dequeue()
    # As the database is after the time of its lock: the package is older than that.
    row = rows.get()
    age_package(row, RETRY + timedelta(seconds=1))

    assert ["a cluster has taken it before, and may still execute it"] == left()
    assert 0 == ask("import", "django-q2", "--taken", "--yes")[0]
    assert [([1],)] == facts("args")


def age_package(row, age):
    """Let *row* have been enqueued, and taken, so long ago."""
    from django_q.signing import SignedPackage

    package = SignedPackage.loads(row.payload)
    package["started"] -= age
    row.payload = SignedPackage.dumps(package)
    row.lock = timezone.now() - timedelta(seconds=1)
    row.save()


def test_compressed_package_is_read(async_task, rows):
    from django_q.signing import SignedPackage

    async_task(PATH, "x" * 2000)
    row = rows.get()
    row.payload = SignedPackage.dumps(SignedPackage.loads(row.payload), compressed=True)
    row.save()

    assert row.payload.startswith(".")
    assert 0 == ask("import", "django-q2", "--yes")[0]
    assert [(["x" * 2000],)] == facts("args")

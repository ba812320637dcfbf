"""The workers of the other queue take rows meanwhile: each row goes to one of the two."""

import json
import threading

import pytest
from django.db import OperationalError, connection

from django_jobflow import job
from django_jobflow.models import JobRecord
from django_jobflow.moving import DjangoQ, DjangoTasksDB, Move, Procrastinate
from tests.moving import functions

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("declared")]

ROWS = 150
PATH = "tests.moving.functions.send_receipt"
NAMES = {"tests.moving.elsewhere.send_receipt": PATH}


@pytest.fixture(autouse=True)
def receipt(declared):
    job(name=PATH)(functions.send_receipt)


def meeting(source, take):
    """Import while *take* takes row after row; return the numbers that each has had."""
    taken, start, failure = [], threading.Barrier(2, timeout=30), []

    def work():
        try:
            start.wait()
            while (number := take()) is not None:
                taken.append(number)
        except BaseException as error:
            failure.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    start.wait()
    report = Move(source, "default", NAMES).run()
    thread.join(60)
    assert [] == failure
    assert 0 == report.left_count
    moved = [args[0] if args else kwargs["order_id"] for args, kwargs in records()]
    assert report.moved_count == len(moved)
    return moved, taken


def records():
    return JobRecord.objects.values_list("args", "kwargs")


def test_django_tasks_db(django_tasks_db):
    from django_tasks_db.models import DBTaskResult
    from django_tasks_db.utils import exclusive_transaction, is_locked_database_exception

    from tests.moving import elsewhere

    for number in range(ROWS):
        elsewhere.send_receipt.enqueue(number)

    def take():  # as its worker does, in Worker.run
        while True:
            try:
                with exclusive_transaction():
                    result = DBTaskResult.objects.ready().get_locked()
                    if result is None:
                        return None
                    result.claim("worker")
                    return result.args_kwargs["args"][0]
            except OperationalError as error:
                if not is_locked_database_exception(error):
                    raise

    moved, taken = meeting(DjangoTasksDB(), take)

    assert list(range(ROWS)) == sorted(moved + taken)


def test_django_q(django_q):
    from django_q.brokers.orm import ORM
    from django_q.models import OrmQ
    from django_q.signing import SignedPackage
    from django_q.tasks import async_task

    for number in range(ROWS):
        async_task(PATH, number)
    broker = ORM()

    def take():
        while True:
            found = broker.dequeue()
            if found:
                return SignedPackage.loads(found[0][1])["args"][0]
            if not broker.queue_size():
                return None

    moved, taken = meeting(DjangoQ(), take)

    assert list(range(ROWS)) == sorted(moved + taken)
    assert len(taken) == OrmQ.objects.count()


def test_procrastinate(procrastinate):
    from procrastinate.contrib.django import app

    if "race" not in app.tasks:
        app.task(name="race")(functions.send_receipt)
    for number in range(ROWS):
        app.tasks["race"].defer(order_id=number)
    NAMES["race"] = PATH

    def take():
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id")
            [worker] = cursor.fetchone()
            cursor.execute("SELECT args FROM procrastinate_fetch_job_v2(NULL, %s)", [worker])
            [args] = cursor.fetchone()
            if isinstance(args, str):
                args = json.loads(args)
            return None if args is None else args["order_id"]

    moved, taken = meeting(Procrastinate(), take)

    assert list(range(ROWS)) == sorted(moved + taken)

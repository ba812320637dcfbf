"""What Django's error reports show of a failed enqueue: not the variables of its frames."""

import sys

import pytest
from asgiref.sync import async_to_sync
from django.db import OperationalError, connection
from django.views.debug import ExceptionReporter

from tests.app import jobs

pytestmark = pytest.mark.django_db

CARD = "-".join(["4111"] * 4)  # a report shows this file, too


async def aenqueue():
    await jobs.Charge.aenqueue(7, CARD)


async def using_aenqueue():
    await jobs.Charge.using(delay=60).aenqueue(7, card=CARD)


DOORS = {
    "enqueue": lambda: jobs.Charge.enqueue(7, CARD),
    "using": lambda: jobs.Charge.using(delay=60).enqueue(7, card=CARD),
    "aenqueue": lambda: async_to_sync(aenqueue)(),
    "using aenqueue": lambda: async_to_sync(using_aenqueue)(),
    "enqueue_many": lambda: jobs.Charge.enqueue_many([{"order_id": 7, "card": CARD}]),
    "using enqueue_many": lambda: jobs.Charge.using(delay=60).enqueue_many(
        [{"order_id": 7, "card": CARD}]
    ),
    "function": lambda: jobs.charge_async.enqueue(7, card=CARD),
}


def refuse(execute, sql, params, many, context):
    raise OperationalError("server closed the connection unexpectedly")


@pytest.mark.parametrize("door", DOORS)
def test_report_of_a_database_that_is_gone_does_not_show_the_arguments(door):
    with connection.execute_wrapper(refuse), pytest.raises(OperationalError):
        try:
            DOORS[door]()
        except OperationalError:
            report = ExceptionReporter(None, *sys.exc_info()).get_traceback_html()
            raise

    assert "server closed the connection" in report
    assert CARD not in report

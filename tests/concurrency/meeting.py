"""Threads that do something at the same time, each with a connection of its own."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from tests.engines.contract import ServedByEngines

PATIENCE = 60  # seconds after which a test is stuck


def together(*calls, but=()):
    """Let each of *calls* begin at the same moment; return what they return, in order.

    An exception of one of the classes in *but* is returned like a value; any other is raised.
    """
    barrier = threading.Barrier(len(calls))

    def meet(call):
        try:
            connection.ensure_connection()
            barrier.wait(PATIENCE)
            return call()
        except but as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as threads:
        futures = [threads.submit(meet, call) for call in calls]
        return [future.result(PATIENCE) for future in futures]


@pytest.mark.django_db(transaction=True)
class Concurrent(ServedByEngines):
    """The base of tests with real transactions."""

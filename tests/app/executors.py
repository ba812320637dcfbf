"""What the tests name in JOBFLOW["EXECUTOR"]."""

import os
from concurrent.futures import Executor, Future, ThreadPoolExecutor

from django_jobflow.executors import process_pool


def threads():
    return ThreadPoolExecutor(2)


def one_process():
    return process_pool(1)


def two_processes():
    return process_pool(2)


class Silent(Executor):
    """Takes calls, and never begins them."""

    def submit(self, fn, /, *args, **kwargs):
        return Future()


def none():
    return None


def away():
    raise ConnectionRefusedError("no scheduler")


def once_away():
    """Fail the first time that this process asks."""
    if os.environ.pop("EXECUTOR_IS_AWAY", None):
        away()
    return threads()


not_callable = 1

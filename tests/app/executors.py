"""What the tests name in JOBFLOW["EXECUTOR"]."""

import os
import threading
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor

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


class Forgetful(Executor):
    """Does twice what it is given, as one that takes a process for dead, and loses the answer."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()

        def work():
            for _ in range(2):
                fn(*args, **kwargs)
            future.set_exception(BrokenExecutor("its process is gone"))

        threading.Thread(target=work).start()
        return future

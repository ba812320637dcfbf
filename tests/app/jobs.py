"""The jobs that tests enqueue."""

import asyncio
import ctypes
import logging
import multiprocessing
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from django.db import connection, transaction

from django_jobflow import (
    Cancel,
    Discard,
    Job,
    JobInterrupt,
    Retry,
    Snooze,
    current_context,
    job,
)
from tests.app.models import Order


@job
def add(a, b=1):
    return a + b


@job(queue="notes")
def note(path, text):
    """Append a line to a file: what tests read of bodies that ran in other processes."""
    with Path(path).open("a") as file:
        file.write(f"{text}\n")


@job(max_attempts=3, base_delay=0)
def fail_until(attempt):
    if current_context().attempt < attempt:
        raise ValueError(f"attempt {current_context().attempt} of {attempt}")
    return current_context().attempt


@job
def end_by(kind):
    """End in each way that is not a return."""
    raise {
        "retry": Retry("later", delay=60),
        "snooze": Snooze(60),
        "discard": Discard("of no use"),
        "cancel": Cancel("not needed"),
        "system exit": SystemExit(3),
        "interrupt": KeyboardInterrupt(),
        "error": ZeroDivisionError("by zero"),
    }[kind]


@job
def return_set():
    return {1, 2}


@job(timeout=0.2)
def loop_for_ever():
    while True:
        time.sleep(0.01)


@job(timeout=0.1)
def sleep_in_c(seconds):
    time.sleep(seconds)


@job(timeout=0.2)
async def await_for_ever():
    await asyncio.Event().wait()


@job
async def add_async(a, b):
    await asyncio.sleep(0)
    return a + b


@job
async def count_orders_async():
    return await Order.objects.acount()


@job
def describe_order(order):
    return order.number


@job
async def describe_order_async(order):
    return order.number


@job
def name_thread():
    return threading.current_thread().name


@job
def leave_transaction_open():
    connection.set_autocommit(False)
    Order.objects.create(number="left", email="a@example.com", total=1)


@job(timeout=60, keep_logs=True, max_attempts=2)
def log_and_wait(release):
    """Log a line, then wait until a file appears."""
    logging.getLogger("shop").warning("begun")
    while not Path(release).exists():
        time.sleep(0.01)


@job(timeout=30)
def touch_and_wait(started, release):
    """Say that it has begun, then wait until a file appears."""
    Path(started).touch()
    while not Path(release).exists():
        time.sleep(0.01)


@job(timeout=30)
async def touch_and_wait_async(started):
    Path(started).touch()
    await asyncio.Event().wait()


@job(max_attempts=3)
def end_process(status):
    """End the worker's process from inside, as a crash in C does."""
    os._exit(status)


def set_and_sleep(event):
    event.set()
    time.sleep(600)


@job(timeout=20)
def terminate_own_process():
    """Fork a process that waits, terminate it, and say how it ended."""
    context = multiprocessing.get_context("fork")
    begun = context.Event()
    process = context.Process(target=set_and_sleep, args=[begun])
    process.start()
    begun.wait(10)  # a signal that comes in the middle of the fork is lost in CPython
    process.terminate()
    process.join(10)
    return process.exitcode


@job
def hold_interpreter(started=None):
    """Wait inside C without giving the interpreter lock back."""
    if started is not None:
        Path(started).touch()
    while True:
        with suppress(JobInterrupt):  # one that strikes before it is inside
            ctypes.PyDLL(None).sleep(600)


SESSION = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}


@job
def sleep_deeply(started):
    """Wait inside C, where no exception comes in, and let others run."""
    Path(started).touch()
    while True:
        with suppress(JobInterrupt):  # one that strikes before it is inside
            time.sleep(600)


@job
def tell_process():
    """Say in which process it runs, and through which session it asks the database."""
    with connection.cursor() as cursor:
        cursor.execute(SESSION[connection.vendor])
        return os.getpid(), cursor.fetchone()[0]


@job
def report_progress():
    current_context().progress(40, "nearly half")


class TellAfterwards(Job):
    """Ends in its transaction, and then its own hook fails."""

    transactional = True

    def perform(self):
        Order.objects.create(number="told", email="a@example.com", total=1)
        transaction.on_commit(self.tell)

    def tell(self):
        raise RuntimeError("nobody listens")


class MakeOrder(Job):
    """Writes a row and ends in one transaction."""

    transactional = True
    max_attempts = 2
    base_delay = 60

    def perform(self, number, fail=False):
        Order.objects.create(number=number, email="a@example.com", total=1)
        if fail:
            raise ValueError("after the write")
        return number


class Anything(Job):
    """Takes whatever it is given."""

    def perform(self, *args, **kwargs):
        return None


class Charge(Job):
    """Handles a card that nobody is to see, and ends as it is told."""

    sensitive = {"card", "return"}

    def perform(self, order_id, card, *, how="return"):
        match how:
            case "return":
                return {"charged": card}
            case "return a set":
                return {card}
            case _:
                raise ValueError(f"{how}: {card!r}") from KeyError(card)


@job(sensitive={"card"})
async def charge_async(order_id, card):
    raise ValueError(f"refused: {card}")


class ChargeAndTell(Job):
    """Ends in its transaction, and then its own hook tells the card."""

    transactional = True
    sensitive = True

    def perform(self, card, *, fails=False):
        if fails:
            raise ValueError(f"refused: {card}")
        transaction.on_commit(lambda: self.tell(card))

    def tell(self, card):
        raise RuntimeError(f"nobody listens to {card}")


class Keyed(Job):
    """Holds a queue key and an execution key."""

    def queue_key(self, key, **_):
        return f"queue:{key}"

    def execution_key(self, key, group="one", **_):
        return f"group:{group}"

    def perform(self, key, group="one"):
        return key


@job
def occupy(path, seconds):
    """Append a sign to a file as it begins, and one as it ends."""
    with Path(path).open("a") as file:
        file.write("+\n")
        file.flush()
        time.sleep(seconds)
        file.write("-\n")


@job(timeout=60)
def tell_and_wait(started, release):
    """Say in which process it has begun and how far it is, then wait until a file appears."""
    Path(started).write_text(str(os.getpid()))
    current_context().progress(40)
    while not Path(release).exists():
        time.sleep(0.01)


@job
def log_by_structlog():
    import structlog

    structlog.get_logger("shop").warning("packed", order=7)


@job
async def log_by_structlog_async():
    import structlog

    await asyncio.sleep(0)
    structlog.get_logger("shop").warning("packed", order=7)

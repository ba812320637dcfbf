"""The jobs of a chaos run: one of each kind that a worker treats in a way of its own."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from zlib import crc32

from django.db import connection

from django_jobflow import Cancel, Discard, Exponential, Job, Snooze, current_context
from tests.chaos import ledger
from tests.chaos.models import Effect, Run

STEP = 0.01  # seconds of sleep after which Python has a look at what there is


@contextmanager
def noted(key: str) -> Iterator[None]:
    """Note that a body begins, and that it ends."""
    about = {"key": key, "attempt": current_context().attempt, "job": current_context().job_id}
    ledger.note(ledger.RAN, what="begun", **about)
    yield
    ledger.note(ledger.RAN, what="ended", **about)


def sleep(seconds: float) -> None:
    ends_at = time.monotonic() + seconds
    while (left := ends_at - time.monotonic()) > 0:
        time.sleep(min(left, STEP))


class Patient(Job):
    """Has enough attempts to outlive any number of accidents, but for a fault of ours."""

    abstract = True
    max_attempts = 100
    backoff = Exponential(0.1, cap=1)
    timeout = 120


class Plain(Patient):
    """Asks no database, so that none can make it fail."""

    def perform(self, key, seconds=0.0):
        with noted(key):
            sleep(seconds)


class Fragile(Plain):
    """Has one attempt: it is lost if its worker is, and only then."""

    max_attempts = 1


class Mended(Patient):
    """Fails twice, and then not."""

    def perform(self, key):
        with noted(key):
            if self.context.attempt <= 2:
                raise ValueError("not yet")


class Awaited(Patient):
    """Async, on a connection of its own."""

    async def perform(self, key, seconds=0.0):
        with noted(key):
            await Run.objects.acreate(key=key)
            await asyncio.sleep(seconds)


class Recorded(Patient):
    """Writes in autocommit, so that a repetition shows."""

    def perform(self, key):
        with noted(key):
            Run.objects.create(key=key)


class Written(Patient):
    """Writes in the transaction of its end, so that there is nothing to repeat."""

    transactional = True

    def perform(self, key, seconds=0.0):
        with noted(key):
            Effect.objects.create(key=key)
            sleep(seconds)


class Grouped(Patient):
    """Shares its transaction with others of its kind; some wait for no answer of the database."""

    transactional = "grouped"

    def perform(self, key):
        with noted(key):
            if crc32(key.encode()) % 2:
                Effect.objects.create(key=key)
            else:
                self._write(key)

    def _write(self, key):
        named = connection.ops.quote_name
        table, column = named(Effect._meta.db_table), named("key")
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {table} ({column}) VALUES (%s)", [key])


class Pipelined(Grouped):
    """Is sent with others of its kind, each in its transaction."""

    transactional = "pipelined"


class Parent(Patient):
    """Enqueues another in the transaction of its end."""

    transactional = True

    def perform(self, key):
        with noted(key):
            Effect.objects.create(key=key)
            Plain.enqueue(key=child_of(key))


def child_of(key: str) -> str:
    return f"{key}/child"


class Keyed(Patient):
    """Runs alone among those of its group."""

    def execution_key(self, group, **_):
        return f"group:{group}"

    def perform(self, key, group, seconds=0.0):
        with noted(key):
            sleep(seconds)


class Snoozed(Patient):
    """Gives its attempts back until its time has come."""

    def perform(self, key, until):
        with noted(key):
            if time.time() < until:
                raise Snooze(0.2)


class Cancelled(Patient):
    """Ends itself."""

    def perform(self, key):
        with noted(key):
            raise Cancel("not needed")


class Discarded(Patient):
    """Fails at once, whatever attempts are left."""

    def perform(self, key):
        with noted(key):
            raise Discard("of no use")

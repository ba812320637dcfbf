"""The one interface of everything that is measured: our own queue and its peers.

A side lives in a process of its own, the client (see ``benchmarks.client``), which alone imports
its packages. Its jobs are ``noop``, ``insert``, by the driver alone, ``insert-orm`` and ``stamp``,
with the same bodies for all. Those made for Django call the second ``insert-raw`` and the third
``insert``.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any, ClassVar

from benchmarks.databases import Database

Command = list[str]

PROCESSES_VARIABLE = "BENCHMARK_PROCESSES"
PROCESSES = int(os.environ.get(PROCESSES_VARIABLE, "2"))  # of a worker


class NotOffered(Exception):
    """The side has no such thing; says why."""


class Side:
    """What can be asked of a side; the processes are those of its worker, together.

    Attributes:
        packages: What is installed for it; their versions are reported.
        settings: Its settings beside its defaults, as the report shows them.
        remaining: A SELECT of how many jobs have not ended. None where it is not a database.
        jobs: The names of the jobs that it can be asked for.
        has_bulk: Whether many calls can be enqueued at once.
    """

    packages: ClassVar[Sequence[str]] = ()
    settings: ClassVar[Mapping[str, str]] = {}
    remaining: ClassVar[str | None] = None
    jobs: ClassVar[Sequence[str]] = ("noop", "insert", "insert-orm")
    has_bulk: ClassVar[bool] = False

    def set_up(self) -> None:
        """Make the tables, or whatever else has to be there before the first job."""
        raise NotImplementedError

    def clear(self) -> None:
        """Forget all jobs; the measurements begin with an empty queue."""

    def tear_down(self) -> None:
        """Take away what would stay behind where the server is not only ours."""

    def workers(self, processes: int) -> list[Command]:
        """Return the commands that together are a worker of so many processes."""
        raise NotImplementedError

    def one_by_one(self, job: str, count: int) -> float:
        """Enqueue each in its own transaction; return how many a second."""
        raise NotImplementedError

    def many(self, job: str, count: int) -> float:
        """Enqueue them in bulk; return how many a second."""
        raise NotImplementedError

    def paced(self, count: int, gap: float) -> None:
        """Enqueue a ``stamp`` each *gap* seconds, which says how long after the call it began."""
        raise NotImplementedError

    def due(self, count: int, gap: float, ahead: float) -> None:
        """Enqueue ``stamp``s that are due from *ahead* seconds on, one each *gap* seconds."""
        raise NotOffered("it is not asked for times")

    def describe(self) -> dict[str, Any]:
        """Return what the report says about this side."""
        return {
            "versions": {package: version(package) for package in self.packages},
            "settings": dict(self.settings),
            "remaining": self.remaining,
            "jobs": list(self.jobs),
            "bulk": self.has_bulk,
        }


class PlainSide(Side):
    """A side whose enqueue is a plain function."""

    def enqueue(self, job: str, *args: Any) -> None:
        raise NotImplementedError

    def enqueue_many(self, job: str, count: int) -> None:
        raise NotOffered("it has no bulk enqueue")

    def enqueue_at(self, moment: datetime, job: str, *args: Any) -> None:
        raise NotOffered("it is not asked for times")

    def one_by_one(self, job: str, count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            self.enqueue(job)
        return count / (time.perf_counter() - began)

    def many(self, job: str, count: int) -> float:
        began = time.perf_counter()
        self.enqueue_many(job, count)
        return count / (time.perf_counter() - began)

    def paced(self, count: int, gap: float) -> None:
        began = time.monotonic()
        for number in range(count):
            time.sleep(max(began + number * gap - time.monotonic(), 0))
            self.enqueue("stamp", time.time_ns())

    def due(self, count: int, gap: float, ahead: float) -> None:
        for moment in due_moments(count, gap, ahead):
            self.enqueue_at(moment, "stamp", nanoseconds(moment))


class AsyncSide(Side):
    """A side whose enqueue is a coroutine function."""

    def __init__(self) -> None:
        import uvloop

        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)

    async def enqueue(self, job: str, *args: Any) -> None:
        raise NotImplementedError

    async def enqueue_many(self, job: str, count: int) -> None:
        raise NotOffered("it has no bulk enqueue")

    async def enqueue_at(self, moment: datetime, job: str, *args: Any) -> None:
        raise NotOffered("it is not asked for times")

    def one_by_one(self, job: str, count: int) -> float:
        async def enqueue() -> None:
            for _ in range(count):
                await self.enqueue(job)

        return count / self._timed(enqueue())

    def many(self, job: str, count: int) -> float:
        return count / self._timed(self.enqueue_many(job, count))

    def paced(self, count: int, gap: float) -> None:
        async def enqueue() -> None:
            began = time.monotonic()
            for number in range(count):
                await asyncio.sleep(max(began + number * gap - time.monotonic(), 0))
                await self.enqueue("stamp", time.time_ns())

        self._timed(enqueue())

    def due(self, count: int, gap: float, ahead: float) -> None:
        async def enqueue() -> None:
            for moment in due_moments(count, gap, ahead):
                await self.enqueue_at(moment, "stamp", nanoseconds(moment))

        self._timed(enqueue())

    def _timed(self, work: Awaitable[None]) -> float:
        async def timed() -> float:
            began = time.perf_counter()
            await work
            return time.perf_counter() - began

        return self.runner.run(timed())


def empty(*tables: str) -> None:
    """Empty tables of the side's database."""
    execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE")


def execute(statement: str) -> None:
    """Execute a statement in the side's database."""
    import psycopg

    keywords: dict[str, Any] = database().keywords()
    with psycopg.connect(autocommit=True, **keywords) as connection:
        connection.execute(statement)


def due_moments(count: int, gap: float, ahead: float) -> list[datetime]:
    """Return *count* moments, *gap* seconds apart, the first in *ahead* seconds."""
    first = datetime.now(UTC) + timedelta(seconds=ahead)
    return [first + timedelta(seconds=gap) * number for number in range(count)]


def nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000


def python(*arguments: str) -> Command:
    """Return the command that runs a module with the Python that runs this."""
    return [sys.executable, *arguments]


def database() -> Database:
    """Return the database that this side was given."""
    return Database.from_environment()

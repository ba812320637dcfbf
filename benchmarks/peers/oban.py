"""Oban, the port to Python, free edition."""

from __future__ import annotations

from datetime import datetime
from itertools import batched
from typing import Any

import oban

from benchmarks import counters
from benchmarks.peers.base import AsyncSide, Command, database, empty, execute, python
from benchmarks.project import bodies

LIMIT = 200  # jobs that each process runs at a time; of 10 to 200 the best
BATCH = 1000  # calls in one statement


@oban.worker(queue="default")
class Noop:
    async def process(self, job: oban.Job) -> None:
        counters.bump()


@oban.worker(queue="default")
class Insert:
    async def process(self, job: oban.Job) -> None:
        await bodies.insert_on_loop()


@oban.worker(queue="default")
class InsertOrm:
    async def process(self, job: oban.Job) -> None:
        await bodies.insert_by_orm_on_loop()


@oban.worker(queue="default")
class Stamp:
    async def process(self, job: oban.Job) -> None:
        counters.stamp(job.args["moment"])


WORKERS: dict[str, Any] = {
    "noop": Noop,
    "insert": Insert,
    "insert-orm": InsertOrm,
    "stamp": Stamp,
}


class ObanSide(AsyncSide):
    """Several nodes, each with a pool."""

    packages = ("oban", "psycopg", "uvloop")
    settings = {"oban start": f"--queues default:{LIMIT}", "nodes": "one a process"}
    remaining = "SELECT count(*) FROM oban_jobs WHERE state IN ('available', 'executing')"
    has_bulk = True

    def set_up(self) -> None:
        async def install() -> None:
            from oban.schema import install

            self.pool = await oban.Oban.create_pool(database().url())
            await install(self.pool)
            self.oban = oban.Oban(pool=self.pool)

        self.runner.run(install())
        execute(bodies.TABLE)

    def clear(self) -> None:
        empty("oban_jobs", "benchmark_line")

    def workers(self, processes: int) -> list[Command]:
        options = ["--dsn", database().url(), "--queues", f"default:{LIMIT}"]
        options += ["--cron-modules", __name__, "--log-level", "WARNING"]
        return [python("-m", "oban", "start", *options)] * processes

    async def enqueue(self, job: str, *args: Any) -> None:
        await self.oban.enqueue(WORKERS[job].new(arguments(*args)))

    async def enqueue_many(self, job: str, count: int) -> None:
        for batch in batched(range(count), BATCH):
            await self.oban.enqueue_many([WORKERS[job].new() for _ in batch])

    async def enqueue_at(self, moment: datetime, job: str, *args: Any) -> None:
        await self.oban.enqueue(WORKERS[job].new(arguments(*args), scheduled_at=moment))


def arguments(*args: Any) -> dict[str, Any]:
    return dict(zip(("moment",), args, strict=False))

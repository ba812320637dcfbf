"""PgQueuer, with asyncpg, which it calls its faster driver."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from itertools import batched
from typing import Any

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks import counters
from benchmarks.peers.base import AsyncSide, Command, database, empty, execute, python
from benchmarks.project import bodies

BATCH_SIZE = 2000  # jobs in one fetch; of 10 to 2,000 the best
BATCH = 1000  # calls in one statement


async def work() -> None:
    """Be one worker, until SIGTERM."""
    pool = await bodies.asyncpg_pool(database().url())
    queue = PgQueuer(AsyncpgPoolDriver(pool))

    @queue.entrypoint("noop")
    async def noop(job: Job) -> None:
        counters.bump()

    @queue.entrypoint("insert")
    async def insert(job: Job) -> None:
        await pool.fetch(bodies.INSERT)  # unlike execute(), it prepares what comes again
        counters.bump()

    @queue.entrypoint("insert-orm")
    async def insert_orm(job: Job) -> None:
        await bodies.insert_by_orm_on_loop()

    @queue.entrypoint("stamp")
    async def stamp(job: Job) -> None:
        counters.stamp(int(job.payload or 0))

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, queue.shutdown.set)
    await queue.run(batch_size=BATCH_SIZE)


class PgQueuerSide(AsyncSide):
    """Several workers, each with a pool."""

    packages = ("pgqueuer", "asyncpg", "uvloop")
    settings = {
        "PgQueuer.run()": f"batch_size={BATCH_SIZE}",
        "workers": "one a process",
        "driver": "asyncpg, a pool of 2 to 10 without resets, on uvloop",
        "durability": "durable, its default",
        "pgq autovac": "done",
    }
    remaining = "SELECT count(*) FROM pgqueuer"
    has_bulk = True

    def set_up(self) -> None:
        async def install() -> None:
            connection = await asyncpg.connect(database().url())
            self.queries = Queries(AsyncpgDriver(connection))
            await self.queries.install()
            await self.queries.optimize_autovacuum()

        self.runner.run(install())
        execute(bodies.TABLE)

    def clear(self) -> None:
        empty("pgqueuer", "pgqueuer_log", "pgqueuer_statistics", "benchmark_line")

    def workers(self, processes: int) -> list[Command]:
        # Not by `pgq run`: that of 1.6.0 fails on its own log level with today's typer.
        return [python("-m", __name__)] * processes

    async def enqueue(self, job: str, *args: Any) -> None:
        await self.queries.enqueue(job, payload(*args))

    async def enqueue_many(self, job: str, count: int) -> None:
        for batch in batched(range(count), BATCH):
            size = len(batch)
            await self.queries.enqueue([job] * size, [None] * size, [0] * size)

    async def enqueue_at(self, moment: datetime, job: str, *args: Any) -> None:
        ahead = moment - datetime.now(UTC)
        await self.queries.enqueue(job, payload(*args), execute_after=ahead)


def payload(*args: Any) -> bytes | None:
    return str(args[0]).encode() if args else None


if __name__ == "__main__":
    uvloop.run(work())

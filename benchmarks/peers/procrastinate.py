"""procrastinate, with its own worker on an event loop."""

from __future__ import annotations

from datetime import datetime
from itertools import batched
from typing import Any

import procrastinate

from benchmarks import counters
from benchmarks.peers.base import AsyncSide, Command, database, empty, execute, python
from benchmarks.project import bodies

CONCURRENCY = 10  # coroutines of each process; of 4 to 30 the best
BATCH = 1000  # calls in one statement

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=database().url(), max_size=CONCURRENCY)
)


@app.task(name="noop")
async def noop() -> None:
    counters.bump()


@app.task(name="insert")
async def insert() -> None:
    await bodies.insert_on_loop()


@app.task(name="insert-orm")
def insert_orm() -> None:
    bodies.insert_by_orm()


@app.task(name="stamp")
async def stamp(moment: int) -> None:
    counters.stamp(moment)


class Procrastinate(AsyncSide):
    """Several workers, each with several coroutines."""

    packages = ("procrastinate", "psycopg")
    settings = {
        "procrastinate worker": f"--concurrency {CONCURRENCY}",
        "workers": "one a process",
        "tasks": "async",
    }
    remaining = "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
    has_bulk = True

    def set_up(self) -> None:
        async def install() -> None:
            await app.open_async()
            await app.schema_manager.apply_schema_async()

        self.runner.run(install())
        execute(bodies.TABLE)

    def clear(self) -> None:
        empty("procrastinate_jobs", "procrastinate_events", "benchmark_line")

    def workers(self, processes: int) -> list[Command]:
        name = f"--app={__name__}.app"
        options = ("--log-level=warning", "worker", f"--concurrency={CONCURRENCY}")
        return [python("-m", "procrastinate", name, *options)] * processes

    async def enqueue(self, job: str, *args: Any) -> None:
        await app.tasks[job].defer_async(**arguments(*args))

    async def enqueue_many(self, job: str, count: int) -> None:
        for batch in batched(range(count), BATCH):
            await app.tasks[job].batch_defer_async(*({} for _ in batch))

    async def enqueue_at(self, moment: datetime, job: str, *args: Any) -> None:
        await app.tasks[job].configure(schedule_at=moment).defer_async(**arguments(*args))


def arguments(*args: Any) -> dict[str, Any]:
    return dict(zip(("moment",), args, strict=False))

"""huey, on Redis."""

from __future__ import annotations

from typing import Any

from huey import RedisHuey

from benchmarks import counters
from benchmarks.peers.base import PROCESSES, Command, python
from benchmarks.peers.brokers import REDIS, BrokerSide
from benchmarks.project import bodies

OPTIONS = ("--worker-type", "process", "--no-periodic", "--quiet")

huey = RedisHuey("benchmark", url=REDIS, results=False)


@huey.task()
def noop() -> None:
    counters.bump()


@huey.task()
def insert() -> None:
    bodies.insert_by_thread()


@huey.task()
def insert_orm() -> None:
    bodies.insert_by_orm()


@huey.task()
def stamp(moment: int) -> None:
    counters.stamp(moment)


TASKS: dict[str, Any] = {
    "noop": noop,
    "insert": insert,
    "insert-orm": insert_orm,
    "stamp": stamp,
}


class HueySide(BrokerSide):
    """One consumer whose workers are processes, beside its main process."""

    packages = ("huey", "redis", "psycopg")
    settings = {
        "huey_consumer": f"--workers {PROCESSES} {' '.join(OPTIONS)}",
        "RedisHuey": "results=False; it waits in Redis (blocking), its default",
    }

    def clear(self) -> None:
        huey.flush()

    def workers(self, processes: int) -> list[Command]:
        name = f"{__name__}.huey"
        options = ("--workers", str(processes), *OPTIONS)
        return [python("-m", "huey.bin.huey_consumer", name, *options)]

    def enqueue(self, job: str, *args: Any) -> None:
        TASKS[job](*args)

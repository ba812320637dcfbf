"""dramatiq, on Redis or on RabbitMQ."""

from __future__ import annotations

from typing import Any

import dramatiq

from benchmarks import counters
from benchmarks.peers.base import PROCESSES, Command, python
from benchmarks.peers.brokers import RABBITMQ, REDIS, BrokerSide
from benchmarks.project import bodies

THREADS = 8  # of each process, its default
QUEUE = "benchmark-dramatiq"


def broker() -> dramatiq.Broker:
    if REDIS:
        from dramatiq.brokers.redis import RedisBroker

        return RedisBroker(url=REDIS)
    from dramatiq.brokers.rabbitmq import RabbitmqBroker

    return RabbitmqBroker(url=RABBITMQ)


dramatiq.set_broker(broker())


@dramatiq.actor(queue_name=QUEUE)
def noop() -> None:
    counters.bump()


@dramatiq.actor(queue_name=QUEUE)
def insert() -> None:
    bodies.insert_by_thread()


@dramatiq.actor(queue_name=QUEUE)
def insert_orm() -> None:
    bodies.insert_by_orm()


@dramatiq.actor(queue_name=QUEUE)
def stamp(moment: int) -> None:
    counters.stamp(moment)


ACTORS: dict[str, Any] = {
    "noop": noop,
    "insert": insert,
    "insert-orm": insert_orm,
    "stamp": stamp,
}


class DramatiqSide(BrokerSide):
    """One supervisor that forks, beside its main process."""

    packages = ("dramatiq", "psycopg")
    settings = {
        "dramatiq": f"--processes {PROCESSES} --threads {THREADS}",
        "acknowledged": "after the task has run, its default",
    }

    def clear(self) -> None:
        dramatiq.get_broker().flush_all()

    def tear_down(self) -> None:
        if RABBITMQ:
            channel = dramatiq.get_broker().channel
            for name in (QUEUE, f"{QUEUE}.DQ", f"{QUEUE}.XQ"):
                channel.queue_delete(name)

    def workers(self, processes: int) -> list[Command]:
        options = ("--processes", str(processes), "--threads", str(THREADS))
        return [python("-m", "dramatiq", *options, __name__)]

    def enqueue(self, job: str, *args: Any) -> None:
        ACTORS[job].send(*args)

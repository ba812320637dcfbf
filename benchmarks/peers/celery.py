"""Celery, on Redis or on RabbitMQ."""

from __future__ import annotations

from typing import Any

from celery import Celery

from benchmarks import counters
from benchmarks.peers.base import PROCESSES, Command, python
from benchmarks.peers.brokers import BROKER, BrokerSide
from benchmarks.project import bodies

PREFETCH = 64  # of each process: it advises 50 to 150 for short tasks
QUEUE = "benchmark-celery"
OPTIONS = ("--without-gossip", "--without-mingle", "--without-heartbeat")

app = Celery("benchmark", broker=BROKER, set_as_current=True)
app.conf.update(
    task_default_queue=QUEUE,
    task_ignore_result=True,
    worker_prefetch_multiplier=PREFETCH,
)


@app.task(name="noop")
def noop() -> None:
    counters.bump()


@app.task(name="insert")
def insert() -> None:
    bodies.insert_by_thread()


@app.task(name="insert-orm")
def insert_orm() -> None:
    bodies.insert_by_orm()


@app.task(name="stamp")
def stamp(moment: int) -> None:
    counters.stamp(moment)


class CelerySide(BrokerSide):
    """One worker that forks, beside its main process."""

    packages = ("celery", "kombu", "psycopg")
    settings = {
        "celery worker": f"--pool prefork --concurrency {PROCESSES} {' '.join(OPTIONS)}",
        "worker_prefetch_multiplier": str(PREFETCH),
        "task_ignore_result": "True",
        "acknowledged": "before the task runs, its default",
    }

    def clear(self) -> None:
        app.control.purge()

    def tear_down(self) -> None:
        with app.connection_for_write() as connection:
            channel = connection.default_channel
            channel.queue_delete(QUEUE)
            channel.exchange_delete(QUEUE)

    def workers(self, processes: int) -> list[Command]:
        options = ("--pool", "prefork", "--concurrency", str(processes), *OPTIONS)
        name = f"--app={__name__}"
        return [python("-m", "celery", name, "worker", *options, "--loglevel", "WARNING")]

    def enqueue(self, job: str, *args: Any) -> None:
        app.tasks[job].delay(*args)

"""``manage.py jobflow workers``: who works?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django_jobflow import observe
from django_jobflow.management.output import Output
from django_jobflow.management.subcommands.base import Asking
from django_jobflow.observe import WorkerFacts, spans

HEADS = (
    "worker",
    "signs",
    "queues",
    "partitions",
    "slots",
    "running",
    "reserved",
    "up for",
    "last heartbeat",
)


class Workers(Asking):
    """Lists the worker processes."""

    name = "workers"
    help = "List the worker processes: what they serve, and how much of it they run."

    def answer(self, alias: str, output: Output, options: dict[str, Any]) -> int:
        workers = observe.workers(alias)
        if options["json"]:
            output.json({"workers": [asdict(worker) for worker in workers]})
        elif workers:
            output.table(HEADS, map(_row, workers), numbers=["slots", "running", "reserved"])
        else:
            output.line("There are no workers.")
        return 0


def _row(worker: WorkerFacts) -> list[Any]:
    return [
        worker.name,
        _signs(worker),
        _queues(worker),
        ", ".join(name or "''" for name in worker.partitions) or "all",
        worker.slots,
        worker.running,
        worker.reserved,
        spans.age(worker.started_at),
        f"{spans.length(worker.silent_for)} ago",
    ]


def _signs(worker: WorkerFacts) -> str:
    if not worker.is_alive:
        return "silent"
    return "alive" if worker.stop_requested_at is None else "stopping"


def _queues(worker: WorkerFacts) -> str:
    served = ", ".join(worker.queues) or "all"
    return f"{served} but {', '.join(worker.excluded)}" if worker.excluded else served

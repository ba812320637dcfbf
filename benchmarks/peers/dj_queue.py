"""dj_queue: a backend of ``django.tasks`` after Rails' Solid Queue."""

from __future__ import annotations

from typing import Any, ClassVar

from benchmarks.peers.base import PROCESSES, Command, python
from benchmarks.peers.django import DjangoTasksSide

THREADS = 8  # of each process; of 2 to 8 the best


class DjQueue(DjangoTasksSide):
    """One supervisor that forks, with LISTEN and NOTIFY as they are by default."""

    packages = ("dj-queue", "Django", "psycopg")
    settings = {
        "workers": f"processes: one a process, threads: {THREADS}, the rest as it is by default",
        "CONN_MAX_AGE": "None, since it advises a positive one",
    }
    remaining = (
        "SELECT (SELECT count(*) FROM dj_queue_ready_executions) + "
        "(SELECT count(*) FROM dj_queue_claimed_executions)"
    )
    has_bulk = True
    django: ClassVar[dict[str, Any]] = {
        "apps": ["dj_queue"],
        "DATABASE_ROUTERS": ["dj_queue.routers.DjQueueRouter"],
        "TASKS": {
            "default": {
                "BACKEND": "dj_queue.backend.DjQueueBackend",
                "QUEUES": [],
                "OPTIONS": {"workers": [{"threads": THREADS, "processes": PROCESSES}]},
            }
        },
    }

    def enqueue_many(self, job: str, count: int) -> None:
        task = self._task(job)
        task.get_backend().enqueue_all([(task, [], {})] * count)

    def workers(self, processes: int) -> list[Command]:
        return [python("-m", "django", "dj_queue")]

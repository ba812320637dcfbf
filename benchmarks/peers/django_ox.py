"""django-ox: a backend of ``django.tasks`` with leases."""

from __future__ import annotations

from typing import Any, ClassVar

from benchmarks.peers.base import PROCESSES, Command, python
from benchmarks.peers.django import DjangoTasksSide

CONCURRENCY = 4  # threads of each process


class DjangoOx(DjangoTasksSide):
    """One supervisor with several processes."""

    packages = ("django-ox", "Django", "psycopg")
    settings = {"ox_worker": f"--processes {PROCESSES} --concurrency {CONCURRENCY}"}
    remaining = "SELECT count(*) FROM django_ox_oxtask WHERE status IN ('READY', 'RUNNING')"
    has_bulk = True
    django: ClassVar[dict[str, Any]] = {
        "apps": ["django_ox"],
        "TASKS": {"default": {"BACKEND": "django_ox.backend.OxBackend"}},
    }

    def enqueue_many(self, job: str, count: int) -> None:
        from django_ox.bulk import enqueue_many

        enqueue_many(self._task(job), [((), {})] * count)

    def workers(self, processes: int) -> list[Command]:
        options = ("--processes", str(processes), "--concurrency", str(CONCURRENCY))
        return [python("-m", "django", "ox_worker", *options)]

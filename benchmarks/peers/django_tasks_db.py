"""django-tasks-db: the backend of ``django.tasks`` that keeps its tasks in the database."""

from __future__ import annotations

from typing import Any, ClassVar

from benchmarks.peers.base import Command, python
from benchmarks.peers.django import DjangoTasksSide

WORKER = ("--no-startup-delay", "--verbosity", "0")


class DjangoTasksDb(DjangoTasksSide):
    """Its worker executes one task at a time, so there are several of them."""

    packages = ("django-tasks-db", "Django", "psycopg")
    settings = {"db_worker": " ".join(WORKER), "workers": "one a process"}
    remaining = (
        "SELECT count(*) FROM django_tasks_database_dbtaskresult "
        "WHERE status IN ('READY', 'RUNNING')"
    )
    django: ClassVar[dict[str, Any]] = {
        "apps": ["django_tasks_db"],
        "TASKS": {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}},
    }

    def workers(self, processes: int) -> list[Command]:
        return [python("-m", "django", "db_worker", *WORKER)] * processes

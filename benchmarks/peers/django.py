"""What the sides that are made for Django have in common."""

from __future__ import annotations

import json
import os
from datetime import datetime
from typing import Any, ClassVar

from benchmarks.peers.base import PlainSide

SETTINGS = "benchmarks.project.settings"


class DjangoSide(PlainSide):
    """A side whose jobs live in the project of the benchmarks.

    Attributes:
        django: What its settings add: ``apps``, ``TASKS``, ``JOBFLOW``, ``DATABASE_ROUTERS``, and
            ``OPTIONS`` of the database.
    """

    django: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        import django

        os.environ["BENCHMARK_DJANGO"] = json.dumps(self.django)
        os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS
        django.setup()

    def set_up(self) -> None:
        from django.core.management import call_command

        call_command("migrate", run_syncdb=True, interactive=False, verbosity=0)

    def clear(self) -> None:
        from django.apps import apps
        from django.core.management.color import no_style
        from django.db import connection

        models = apps.get_models(include_auto_created=True)
        tables = [model._meta.db_table for model in models if model._meta.managed]
        with connection.cursor() as cursor:
            for statement in connection.ops.sql_flush(no_style(), tables, allow_cascade=True):
                cursor.execute(statement)

    def describe(self) -> dict[str, Any]:
        # The worker's processes need the same settings as this one.
        return super().describe() | {
            "environment": {
                key: os.environ[key] for key in ("BENCHMARK_DJANGO", "DJANGO_SETTINGS_MODULE")
            }
        }


class DjangoTasksSide(DjangoSide):
    """A side that is a backend of ``django.tasks``."""

    jobs = ("noop", "insert", "insert-raw")

    def enqueue(self, job: str, *args: Any) -> None:
        self._task(job).enqueue(*args)

    def enqueue_at(self, moment: datetime, job: str, *args: Any) -> None:
        self._task(job).using(run_after=moment).enqueue(*args)

    def _task(self, job: str) -> Any:
        from benchmarks.project import tasks

        return getattr(tasks, job.replace("-", "_"))

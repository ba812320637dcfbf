"""The rows of django-tasks-db, the database backend of ``django.tasks``."""

from __future__ import annotations

from typing import Any

from django.db import models

from django_jobflow.moving.sources import Source, later
from django_jobflow.moving.values import Waiting

NEVER = 9999  # the year of "run_after" where it means "at once"


class DjangoTasksDB(Source):
    """``DBTaskResult``: a row is a task and its result."""

    name = "django-tasks-db"
    app = "django_tasks_db"
    label = "django_tasks_database"
    model_name = "DBTaskResult"

    def waiting(self) -> models.QuerySet[Any]:
        return self.rows.filter(status="READY").order_by("enqueued_at", "pk")

    def read(self, row: Any) -> Waiting:
        run_after = None if row.run_after.year == NEVER else row.run_after
        return Waiting(
            id=row.pk,
            path=row.task_path,
            args=row.args_kwargs["args"],
            kwargs=row.args_kwargs["kwargs"],
            options={
                "priority": row.priority,
                "queue": row.queue_name,
                "run_at": later(run_after),
            },
            origin={"enqueued_at": row.enqueued_at},
        )

    def take(self, row: Any) -> bool:
        # There is no word for a task that is not to be run: the row goes.
        return self.rows.filter(pk=row.pk, status="READY").delete()[0] == 1

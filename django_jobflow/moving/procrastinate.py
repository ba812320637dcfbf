"""The rows of procrastinate, through its Django app."""

from __future__ import annotations

from typing import Any

from django.db import models

from django_jobflow.moving.sources import Source, later
from django_jobflow.moving.values import Waiting

LOWEST, HIGHEST = -100, 100  # of our priorities; theirs are any whole numbers


class Procrastinate(Source):
    """``ProcrastinateJob``: a row is a job."""

    name = "procrastinate"
    app = "procrastinate.contrib.django"
    label = "procrastinate"
    model_name = "ProcrastinateJob"

    def database(self) -> str:
        from procrastinate.contrib.django.settings import settings

        return str(settings.DATABASE_ALIAS)

    def waiting(self) -> models.QuerySet[Any]:
        return self.rows.filter(status="todo").order_by("pk")

    def read(self, row: Any) -> Waiting:
        return Waiting(
            id=row.pk,
            path=row.task_name,
            kwargs=row.args,
            options={
                "priority": min(max(row.priority, LOWEST), HIGHEST),
                "queue": row.queue_name,
                "run_at": later(row.scheduled_at),
                "execution_key": row.lock or None,
                "queue_key": row.queueing_lock or None,
            },
            attempts=row.attempts,
        )

    def take(self, row: Any) -> bool:
        # As its own command cancels a job: triggers of its schema note when that was.
        taken = self.rows.filter(pk=row.pk, status="todo").update(status="cancelled")
        return taken == 1

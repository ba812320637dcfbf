"""``manage.py jobflow prune``: deleting what is older than its retention."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from django_jobflow import maintain
from django_jobflow.engines import engine_for
from django_jobflow.management.operator import operator
from django_jobflow.management.subcommands.acting import MOST_COUNTED
from django_jobflow.management.subcommands.deleting import Deleting
from django_jobflow.observe import Count


class Prune(Deleting):
    """Does at once what the workers do from time to time."""

    name = "prune"
    help = (
        "Delete what is older than retain_succeeded of its job, JOBFLOW['RETAIN_SUCCEEDED'] or "
        "JOBFLOW['RETAIN_FAILED'], as workers do."
    )

    def count(self, alias: str, options: dict[str, Any]) -> Count:
        return sum(map(_counted, maintain.prunable(engine_for(alias))), Count(0))

    def delete(self, alias: str, options: dict[str, Any]) -> int:
        return maintain.prune(engine_for(alias), operator())


def _counted(rows: QuerySet[Any]) -> Count:
    # In no order: what has failed and what was cancelled are two ranges of one index.
    number = rows.values("pk")[: MOST_COUNTED + 1].count()
    return Count(min(number, MOST_COUNTED), number > MOST_COUNTED)

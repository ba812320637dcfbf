"""What the workers hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from django.db import models
from django.db.models import Count

from django_jobflow import states
from django_jobflow.models import JobRecord

HELD = sorted(state.value for state in states.HELD)


def held_by(worker: str, alias: str) -> models.QuerySet[JobRecord]:
    """Return the query of what *worker* holds, what it executes first."""
    rows = JobRecord._base_manager.using(alias).filter(state__in=HELD, reserved_by=worker)
    return rows.order_by("state", "expires", "id")


def held_with(column: str, values: Iterable[str], alias: str) -> dict[str, int]:
    """Return how many records a worker holds that have each of *values* in *column*.

    Database:
        None without values, or one statement. It reads what is held, along
        ``jobflow_job_lease``.
    """
    wanted = list(values)
    if not wanted:
        return {}
    rows = JobRecord._base_manager.using(alias).filter(state__in=HELD, **{f"{column}__in": wanted})
    found = dict(rows.order_by().values_list(column).annotate(Count("pk")))
    return {value: found.get(value, 0) for value in wanted}


def held_counts(workers: Iterable[str], alias: str) -> dict[str, dict[str, int]]:
    """Return how many records each of *workers* holds, by state.

    Database:
        One statement. It reads what is held, along ``jobflow_job_lease``.
    """
    rows = JobRecord._base_manager.using(alias).filter(
        state__in=HELD, reserved_by__in=list(workers)
    )
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for worker, state, count in rows.values_list("reserved_by", "state").annotate(Count("pk")):
        counts[worker][state] = count
    return counts

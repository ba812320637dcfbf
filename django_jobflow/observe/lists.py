"""Lists of rows: their orders, their bounded counts, their ends."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models.functions import Lower

from django_jobflow.states import JobState

Rows = models.QuerySet[Any]

LIST_ORDERS: dict[str, tuple[str, ...]] = {
    JobState.SCHEDULED: ("available_at", "id"),
    JobState.RETRY: ("available_at", "id"),
    JobState.AVAILABLE: ("-priority", "available_at", "id"),
    JobState.RESERVED: ("expires", "id"),
    JobState.IN_PROGRESS: ("expires", "id"),
    JobState.WAITING: ("partition", "execution_key", "-priority", "available_at", "id"),
    JobState.FAILED: ("-finished_at", "-id"),
    JobState.CANCELLED: ("-finished_at", "-id"),
}
"""The order of a list of one state: that of the index over this state, so nothing is sorted.

What runs next comes first, and of what has ended, the latest.
"""


def count_up_to(rows: Rows, most: int) -> int:
    """Return how many *rows* there are, or *most* if there are more.

    Args:
        rows: In an order of which an index has all but the last column, the tie-breaker.

    Database:
        One statement. It reads at most *most* rows that match, along the same index as a
        page of them, and nothing but the index where its rows are known to be visible.
    """
    first, *others = [str(column) for column in rows.query.order_by]
    indexed = rows.order_by(first, *others[:-1]).values(first.lstrip("-"))
    return indexed[:most].count()


def named_like(rows: Rows, part: str) -> Rows:
    """Return those of *rows* whose name contains *part*, in whatever case.

    Names are compared letter by letter on MySQL, so ``icontains`` would be strict there.

    Database:
        It looks at each row until the page is full: choose a state first in a large table.
    """
    found: Rows = rows.alias(lower_name=Lower("name")).filter(lower_name__contains=part.lower())
    return found


def first_and_last(rows: Rows, moment: str, *, by: str) -> tuple[datetime, datetime] | None:
    """Return the field *moment* of the first and the last of *rows*; None without rows.

    Args:
        by: The field that orders them, the first column of an index over *rows*.

    Database:
        Two statements of one row each.
    """
    first = rows.order_by(by).values_list(moment, flat=True).first()
    last = rows.order_by(f"-{by}").values_list(moment, flat=True).first()
    return None if first is None or last is None else (min(first, last), max(first, last))

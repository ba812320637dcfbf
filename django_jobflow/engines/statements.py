"""Parts of statements that the engines with statements of their own have in common."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django_jobflow.attempts import RESERVATION_FIELDS
from django_jobflow.models import JobRecord, SucceededJob

# Column names are those of the model's fields: none of them sets another.
JOB = f'"{JobRecord._meta.db_table}"'
SUCCEEDED = f'"{SucceededJob._meta.db_table}"'
ORDER = "priority DESC, available_at, id"
RESERVED_COLUMNS = ", ".join(RESERVATION_FIELDS)

JSON_FIELDS = ("args", "kwargs", "errors", "tags", "meta")


def first_ids(
    queues: Sequence[str] | None,
    values: dict[str, Any],
    *,
    limit: str = "%(limit)s",
    lock: str = "",
) -> str:
    """Return the query for the ids of the first AVAILABLE rows: an index range for each queue.

    Args:
        queues: None means any.
        values: Gets the parameters that the query needs beside ``limit``.
        limit: How the limit of a range is written.
        lock: What locks the rows, where there is such a clause.
    """
    conditions = ["AND priority >= -100"]  # what OF_ANY_QUEUE says
    if queues is not None:
        names = list(dict.fromkeys(queues))
        values |= {f"queue{number}": name for number, name in enumerate(names)}
        conditions = [f"AND queue = %(queue{number})s" for number in range(len(names))]
    # The state as a literal: a planner takes a partial index for nothing else.
    ranges = [
        f"SELECT id, priority, available_at FROM {JOB} "
        f"WHERE state = 'AVAILABLE' {condition} ORDER BY {ORDER} LIMIT {limit} {lock}"
        for condition in conditions
    ]
    if len(ranges) == 1:
        return f"SELECT id FROM ({ranges[0]}) AS first_rows"
    union = " UNION ALL ".join(
        f"SELECT * FROM ({each}) AS range{number}" for number, each in enumerate(ranges)
    )
    return f"SELECT id FROM ({union}) AS ranges ORDER BY {ORDER} LIMIT %(limit)s"


def read_json(text: str) -> Any:
    """Return what *text* holds; most of it is empty."""
    if text == "[]":
        return []
    return {} if text == "{}" else json.loads(text)


def json_text(value: Any) -> str | None:
    """Return *value* as JSON, and None as None."""
    return None if value is None else json.dumps(value)

"""Parts of statements that the engines with statements of their own have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta, tzinfo
from functools import lru_cache
from itertools import count
from typing import Any

from django.db.backends.base.operations import BaseDatabaseOperations
from django.utils.duration import duration_microseconds

from django_jobflow.attempts import RESERVATION_FIELDS, Ending, Range, Reservation, Turn
from django_jobflow.calls import Call, Terms
from django_jobflow.entries import with_entry
from django_jobflow.models import JobRecord, SucceededJob

# Column names are those of the model's fields: none of them sets another.
JOB = f'"{JobRecord._meta.db_table}"'
SUCCEEDED = f'"{SucceededJob._meta.db_table}"'
ORDER = "priority DESC, available_at, id"
RESERVED_COLUMNS = ", ".join(RESERVATION_FIELDS)

NEW = {
    "partition": "''",
    "args": "'[]'",
    "attempt": "0",
    "reserved_count": "0",
    "errors": "'[]'",
    "tags": "'[]'",
    "meta": "'{}'",
    "progress_message": "''",
}
"""What a new row says where nothing is given, in the columns that have no default."""
MICROSECOND = timedelta(microseconds=1)

JSON_FIELDS = ("args", "kwargs", "errors", "tags", "meta")


# A loose index scan: from one key to the next behind it, however many wait for each, and however
# many without one are parked.
KEYS = f"""
    WITH RECURSIVE parts (partition) AS (
        SELECT (SELECT MIN(partition) FROM {JOB} WHERE state = 'WAITING')
        UNION ALL
        SELECT (SELECT MIN(job.partition) FROM {JOB} AS job
            WHERE job.state = 'WAITING' AND job.partition > parts.partition)
        FROM parts WHERE parts.partition IS NOT NULL
    ), line (partition, key) AS (
        SELECT parts.partition, (SELECT MIN(job.execution_key) FROM {JOB} AS job
            WHERE job.state = 'WAITING' AND job.partition = parts.partition)
        FROM parts WHERE parts.partition IS NOT NULL
        UNION ALL
        SELECT line.partition, (SELECT MIN(job.execution_key) FROM {JOB} AS job
            WHERE job.state = 'WAITING' AND job.partition = line.partition
                AND job.execution_key > line.key)
        FROM line WHERE line.key IS NOT NULL
    ) SELECT partition, key FROM line WHERE key IS NOT NULL"""


def first_ids(
    queues: Sequence[str] | None,
    values: dict[str, Any],
    *,
    limit: str = "%(limit)s",
    lock: str = "",
    within: Sequence[str] = ("",),
    columns: str = "id",
) -> str:
    """Return the query for the ids of the first AVAILABLE rows: an index range for each queue.

    Args:
        queues: Their default partitions. None means any queue and any partition.
        values: Gets the parameters that the query needs beside ``limit``.
        limit: How the limit of a range is written.
        lock: What locks the rows, where there is such a clause.
        within: Conditions that cut a range into pieces, in order.
        columns: What is asked for: the id, and what stands in the order.
    """
    conditions = ["AND priority >= -100"]  # what OF_ANY_QUEUE says
    if queues is not None:
        names = list(dict.fromkeys(queues))
        values |= {f"queue{number}": name for number, name in enumerate(names)}
        conditions = [
            f"AND queue = %(queue{number})s AND partition = ''" for number in range(len(names))
        ]
    # The state as a literal: a planner takes a partial index for nothing else.
    ranges = [
        f"SELECT id, priority, available_at FROM {JOB} "
        f"WHERE state = 'AVAILABLE' {condition} {part} ORDER BY {ORDER} LIMIT {limit} {lock}"
        for condition in conditions
        for part in within
    ]
    if len(ranges) == 1:
        return f"SELECT {columns} FROM ({ranges[0]}) AS first_rows"
    union = " UNION ALL ".join(
        f"SELECT * FROM ({each}) AS range{number}" for number, each in enumerate(ranges)
    )
    # The pieces of one range are in order already, and none is looked at, and locked, that those
    # before it leave no room for. A sort would have all of them first.
    order = f"ORDER BY {ORDER}" if len(conditions) > 1 else ""
    return f"SELECT {columns} FROM ({union}) AS ranges {order} LIMIT %(limit)s"


def first_ids_of_turns(
    turns: Sequence[Turn], values: dict[str, Any], *, limit: str = "%({})s", lock: str = ""
) -> str:
    """Return the query for the ids of what comes first in each of *turns*.

    Args:
        values: Gets the parameters.
        limit: How the limit of a range is written, with its name to be put in.
        lock: What locks the rows, where there is such a clause.
    """
    numbers = count()
    parts = []
    for turn in turns:
        ranges = [_range(each, next(numbers), values, limit, lock) for each in turn.ranges]
        number = next(numbers)
        values[f"turn{number}"] = turn.limit
        union = " UNION ALL ".join(
            f"SELECT * FROM ({each}) AS range{number}_{place}" for place, each in enumerate(ranges)
        )
        parts.append(
            f"SELECT id FROM (SELECT id FROM ({union}) AS ranges{number} "
            f"ORDER BY {ORDER} LIMIT %(turn{number})s) AS turn{number}"
        )
    return " UNION ALL ".join(parts)


def _range(each: Range, number: int, values: dict[str, Any], limit: str, lock: str) -> str:
    queue, partition, most = f"queue{number}", f"partition{number}", f"most{number}"
    values |= {queue: each.queue, partition: each.partition, most: each.limit}
    return (
        f"SELECT id, priority, available_at FROM {JOB} "
        f"WHERE state = 'AVAILABLE' AND queue = %({queue})s AND partition = %({partition})s "
        f"ORDER BY {ORDER} LIMIT {limit.format(most)} {lock}"
    )


def read_json(text: str) -> Any:
    """Return what *text* holds; most of it is empty."""
    if text == "[]":
        return []
    return {} if text == "{}" else json.loads(text)


def json_text(value: Any) -> str | None:
    """Return *value* as JSON, and None as None."""
    return None if value is None else json.dumps(value)


def calls_json(calls: Sequence[Call]) -> str:
    """Return *calls* as one JSON text: an object each, without what it has not."""
    return f"[{','.join(map(_call_json, calls))}]"


def _call_json(call: Call) -> str:
    args, kwargs, queue_key, execution_key, held_queue_key = call
    text = f'"kwargs":{kwargs}'
    if args != "[]":
        text += f',"args":{args}'
    if queue_key is not None:
        text += f',"queue_key":{json.dumps(queue_key)},"held_queue_key":"{held_queue_key}"'
    if execution_key is not None:
        text += f',"execution_key":{json.dumps(execution_key)}'
    return f"{{{text}}}"


def ids_of(calls: Sequence[Call], rows: Iterable[tuple[int, str | None]]) -> list[int | None]:
    """Return the ids of *calls* in order, from the rows that were inserted: id and held key.

    Those without a key have got their ids in their order, whatever that of the rows is.
    """
    by_key: dict[str, int] = {}
    unkeyed: list[int] = []
    for pk, key in rows:
        if key is None:
            unkeyed.append(pk)
        else:
            by_key[key] = pk
    others = iter(sorted(unkeyed))
    return [
        next(others) if call.held_queue_key is None else by_key.get(call.held_queue_key)
        for call in calls
    ]


DUE = frozenset({"run_at", "delay"})
"""The terms that are no columns; ``available_at`` is made of them."""


def written(terms: Terms, operations: BaseDatabaseOperations) -> dict[str, Any]:
    """Return what *terms* say as Django writes it where neither moment nor interval is known."""
    said = dict(terms.given)
    for name in said.keys() & {"run_at", "expires_at"}:
        said[name] = operations.adapt_datetimefield_value(said[name])
    for name in said.keys() & {"timeout", "delay"}:
        said[name] = duration_microseconds(said[name])
    return said


def in_order(reservation: Reservation) -> tuple[Any, ...]:
    """Return what to sort by to have the first come first."""
    return -reservation.priority, reservation.available_at, reservation.id


def kept_rows(successes: Iterable[Ending]) -> Iterator[list[Any]]:
    """Return the id and the result of each of *successes*."""
    return ([ending.reservation.id, json_text(ending.result)] for ending in successes)


def end_rows(
    endings: Iterable[Ending], at: str, due: Callable[[timedelta], Any]
) -> Iterator[list[Any]]:
    """Return what each of *endings* writes: id, state, attempt, due time, errors, meta,
    and what kind of failure it is.

    Args:
        at: When an error came about.
        due: Says how the statement is told of a time to come.
    """
    for ending in endings:
        reservation, errors = ending.reservation, None
        if ending.error is not None:
            errors = json.dumps(with_entry(reservation.errors, ending.error | {"at": at}))
        delay = None if ending.delay is None else due(ending.delay)
        meta = json_text(ending.meta)
        kind = ending.failed_as
        yield [reservation.id, ending.state, ending.attempt, delay, errors, meta, kind]


def read_reservation(row: Sequence[Any], worker: str, zone: tzinfo | None) -> Reservation:
    """Return the columns of *row* as the ORM would, which cannot read a statement of ours.

    Args:
        row: Those of ``RESERVATION_FIELDS``, on a database without time zones and durations.
        worker: Who holds the record.
        zone: In which the database keeps moments. None leaves them without one.
    """
    pk, name, queue, partition, priority, args, kwargs, attempt, max_attempts, *rest = row
    timeout, queue_key, execution_key, available_at, created_at, *rest = rest
    errors, tags, meta, expires_at, batch_id, reserved_count = rest
    if zone is not None:
        available_at = available_at.replace(tzinfo=zone)
        created_at = created_at.replace(tzinfo=zone)
        expires_at = expires_at and expires_at.replace(tzinfo=zone)
    return Reservation(
        pk,
        name,
        queue,
        partition,
        priority,
        read_json(args),
        read_json(kwargs),
        attempt,
        max_attempts,
        None if timeout is None else duration(timeout),
        queue_key,
        execution_key,
        available_at,
        created_at,
        read_json(errors),
        read_json(tags),
        read_json(meta),
        expires_at,
        batch_id,
        reserved_count,
        worker,
    )


@lru_cache(maxsize=256)
def duration(microseconds: int) -> timedelta:
    """Return what most jobs have in common with others, made once."""
    return timedelta(microseconds=microseconds)

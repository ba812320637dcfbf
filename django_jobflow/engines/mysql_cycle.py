"""MariaDB and MySQL: the statements of a worker's cycle.

The ORM has no index hints, no INSERT from a SELECT and no UPDATE that joins a list of values:
JSON_TABLE makes rows of one parameter, so that a statement carries any number of ends.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Any

from django_jobflow.attempts import FENCE, RESERVATION_FIELDS, Range, Turn
from django_jobflow.engines.settling import KEPT
from django_jobflow.models import JobRecord, Limit, SucceededJob
from django_jobflow.states import ENDED, KEYED

# Column names are those of the model's fields, and `partition` is a word of the language.
JOB = f"`{JobRecord._meta.db_table}`"
SUCCEEDED = f"`{SucceededJob._meta.db_table}`"
ORDER = "priority DESC, available_at, id"

# Each statement is told its index. The planner goes by what it has sampled of a table that
# changes all the time: it may sort a backlog, or read the whole table where many ids are given,
# and wait there for rows that others have locked.
BY_KEY = "FORCE INDEX (PRIMARY)"
OF_ANY_QUEUE = "FORCE INDEX (jobflow_job_fetch_any)"
IN_LINE = "FORCE INDEX (jobflow_job_waiting)"
OF_HELD = "FORCE INDEX (jobflow_job_lease)"
OF_A_QUEUE = "FORCE INDEX (jobflow_job_fetch_queue)"

PIECE = 4 * 1024 * 1024
"""Letters of values in one statement; a server takes 16 MiB in one, unless it is set otherwise."""


def _columns(names: Iterable[str], table: str = "") -> str:
    return ", ".join(f"{table}`{name}`" for name in names)


FIRST = f"""
    SELECT {{columns}} FROM {JOB} {{index}} WHERE state = 'AVAILABLE' {{condition}}
    ORDER BY {ORDER} LIMIT %(limit)s FOR UPDATE {{skip}}"""

# Locked again, though each range has locked its rows: a read without a lock shows them as they
# were when the statement began.
FIRST_OF_SEVERAL = f"""
    SELECT {_columns(RESERVATION_FIELDS, "job.")}
    FROM ({{ids}}) AS first_rows
    STRAIGHT_JOIN {JOB} AS job {BY_KEY} ON job.id = first_rows.id FOR UPDATE"""

HOLD = f"""
    UPDATE {JOB} {BY_KEY} SET state = 'RESERVED', reserved_by = %(worker)s,
        reserved_at = {{moment}}, reserved_count = reserved_count + 1, updated_at = {{moment}},
        expires = {{moment}} + INTERVAL %(span)s MICROSECOND
    WHERE id IN ({{ids}}) AND state = 'AVAILABLE'"""

STARTED = """state = 'IN_PROGRESS', attempt = attempt + 1,
        reserved_by = %(worker)s, reserved_at = {moment}, started_at = {moment},
        reserved_count = reserved_count + 1, updated_at = {moment},
        expires = {moment} + INTERVAL %(span)s MICROSECOND"""
START = f"""
    UPDATE {JOB} {BY_KEY} SET {STARTED} WHERE id IN ({{ids}}) AND state = 'AVAILABLE'"""

# What waited for its key, and gets it. The ids are sorted: a binary search finds the place of a
# row among them, and with that its digest.
START_NEXT = f"""
    UPDATE {JOB} {BY_KEY} SET held_execution_key = ELT(INTERVAL(id, {{ids}}), {{digests}}),
        {STARTED}
    WHERE id IN ({{ids}}) AND state = 'WAITING' AND parked_for IS NULL"""

LOCK = f"""
    SELECT id, state, {_columns(FENCE)} FROM {JOB} {BY_KEY}
    WHERE id IN ({{ids}}) {{condition}} ORDER BY id FOR UPDATE"""

STANDING = "AND state = 'RESERVED' AND expires > {moment}"

KEEP = f"""
    INSERT INTO {SUCCEEDED} (id, {_columns(KEPT)}, result, succeeded_at)
    SELECT job.id, {_columns(KEPT, "job.")}, ended.result, {{moment}}
    FROM JSON_TABLE(%(ended)s, '$[*]' COLUMNS (
        id BIGINT PATH '$[0]', result LONGTEXT PATH '$[1]')) AS ended
    STRAIGHT_JOIN {JOB} AS job {BY_KEY} ON job.id = ended.id"""

# The form for several tables, since the one for a single table takes no index.
REMOVE = f"DELETE job FROM {JOB} AS job {BY_KEY} WHERE id IN ({{ids}})"


def _is_one_of(states: Iterable[str]) -> str:
    return f"ended.state IN ({', '.join(repr(str(state)) for state in sorted(states))})"


END = f"""
    UPDATE JSON_TABLE(%(ended)s, '$[*]' COLUMNS (
        id BIGINT PATH '$[0]', state VARCHAR(11) PATH '$[1]', attempt INT PATH '$[2]',
        delay BIGINT PATH '$[3]', errors LONGTEXT PATH '$[4]', meta LONGTEXT PATH '$[5]',
        fingerprint VARCHAR(32) PATH '$[6]'
    )) AS ended
    STRAIGHT_JOIN {JOB} AS job {BY_KEY} ON job.id = ended.id
    SET job.state = ended.state, job.attempt = ended.attempt, job.reserved_by = NULL,
        job.reserved_at = NULL, job.expires = NULL, job.updated_at = {{moment}},
        job.available_at =
            COALESCE({{moment}} + INTERVAL ended.delay MICROSECOND, job.available_at),
        job.finished_at = IF({_is_one_of(ENDED)}, {{moment}}, NULL),
        job.held_queue_key = IF({_is_one_of(ENDED)}, NULL, job.held_queue_key),
        job.held_execution_key = IF({_is_one_of(KEYED)}, job.held_execution_key, NULL),
        job.errors = COALESCE(ended.errors, job.errors),
        job.meta = COALESCE(ended.meta, job.meta), job.fingerprint = ended.fingerprint"""

# The first in the line of each of many keys: one index range for each, in one text for any
# number. What comes out of JSON is to have the collation of the columns. With another it would
# use no index; and the server, which keeps the answers of a subquery by what it is asked for,
# would give one answer to keys that differ in case alone.
FIRST_OF_KEYS = f"""
    FROM (SELECT wanted.number - 1 AS number, (SELECT id FROM {JOB} {IN_LINE}
            WHERE state = 'WAITING' AND parked_for IS NULL
                AND `partition` = wanted.part AND execution_key = wanted.name
            ORDER BY {ORDER} LIMIT 1) AS id
        FROM JSON_TABLE(%(keys)s, '$[*]' COLUMNS (number FOR ORDINALITY,
            part VARCHAR(255) CHARACTER SET utf8mb4 COLLATE {{collation}} PATH '$[0]',
            name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE {{collation}} PATH '$[1]'
        )) AS wanted) AS first
    STRAIGHT_JOIN {JOB} AS job {BY_KEY} ON job.id = first.id"""
# A limit that an operator has set for the key of a row.
LIMITED = f"""(SELECT id FROM `{Limit._meta.db_table}`
        WHERE kind = 'key' AND value = job.execution_key AND is_override)"""
FIRST_IN_LINE = f"""
    SELECT first.number, -job.priority, job.available_at, job.id, job.name, {LIMITED}
    {FIRST_OF_KEYS}"""

# With their rows, locked, as far as they have not been given their turn meanwhile. They come in
# the order of the keys: whoever waited for a row here might do so in a ring.
NEXT = f"""
    SELECT {_columns(RESERVATION_FIELDS, "job.")} {FIRST_OF_KEYS}
    WHERE {LIMITED} IS NULL AND job.state = 'WAITING' AND job.parked_for IS NULL
    FOR UPDATE SKIP LOCKED"""

HAND = f"""
    UPDATE JSON_TABLE(%(grants)s, '$[*]' COLUMNS (
        id BIGINT PATH '$[0]', digest VARCHAR(32) PATH '$[1]')) AS turn
    STRAIGHT_JOIN {JOB} AS job {BY_KEY} ON job.id = turn.id
    SET job.state = 'AVAILABLE', job.held_execution_key = turn.digest, job.updated_at = {{moment}}
    WHERE job.state = 'WAITING' AND job.parked_for IS NULL"""


def first_rows(queues: Sequence[str] | None, values: dict[str, Any], *, skip: str) -> str:
    """Return the statement that locks and reads the first AVAILABLE rows.

    Args:
        queues: None means any.
        values: Gets the parameters that the statement needs beside ``limit``.
        skip: What passes over the rows that others have locked, where there is such a clause.
    """
    first = partial(FIRST.format, skip=skip)
    columns = _columns(RESERVATION_FIELDS)
    if queues is None:
        return first(columns=columns, index=OF_ANY_QUEUE, condition="")
    names = list(dict.fromkeys(queues))
    values |= {f"queue{number}": name for number, name in enumerate(names)}
    conditions = [
        f"AND queue = %(queue{number})s AND `partition` = ''" for number in range(len(names))
    ]
    if len(names) == 1:
        return first(columns=columns, index=OF_A_QUEUE, condition=conditions[0])
    ranges = [
        first(columns="id, priority, available_at", index=OF_A_QUEUE, condition=condition)
        for condition in conditions
    ]
    union = " UNION ALL ".join(
        f"SELECT * FROM ({each}) AS range{number}" for number, each in enumerate(ranges)
    )
    ids = f"SELECT id FROM ({union}) AS ranges ORDER BY {ORDER} LIMIT %(limit)s"
    return FIRST_OF_SEVERAL.format(ids=ids)


def first_rows_of_turns(turns: Sequence[Turn], values: dict[str, Any], *, skip: str) -> str:
    """Return the statement that locks and reads what comes first in each of *turns*."""
    form = FIRST.replace("%(limit)s", "%({most})s").format
    numbers = count()
    parts = []
    for turn in turns:
        ranges = [_range(form, each, next(numbers), values, skip) for each in turn.ranges]
        number = next(numbers)
        values[f"turn{number}"] = turn.limit
        union = " UNION ALL ".join(
            f"SELECT * FROM ({each}) AS range{number}_{place}" for place, each in enumerate(ranges)
        )
        parts.append(
            f"SELECT id FROM (SELECT id FROM ({union}) AS ranges{number} "
            f"ORDER BY {ORDER} LIMIT %(turn{number})s) AS turn{number}"
        )
    return FIRST_OF_SEVERAL.format(ids=" UNION ALL ".join(parts))


def _range(
    form: Callable[..., str], each: Range, number: int, values: dict[str, Any], skip: str
) -> str:
    queue, partition, most = f"queue{number}", f"partition{number}", f"most{number}"
    values |= {queue: each.queue, partition: each.partition, most: each.limit}
    return form(
        columns="id, priority, available_at",
        index=OF_A_QUEUE,
        condition=f"AND queue = %({queue})s AND `partition` = %({partition})s",
        most=most,
        skip=skip,
    )


def numbers(ids: Iterable[int]) -> str:
    """Return *ids* as they stand in a statement: much quicker than as parameters."""
    return ", ".join(map(str, ids))


def pieces(rows: Iterable[list[Any]]) -> Iterator[str]:
    """Return *rows* as texts of JSON that are not too long for a statement each."""
    piece: list[str] = []
    length = 0
    for row in map(json.dumps, rows):
        if piece and length + len(row) > PIECE:
            yield f"[{','.join(piece)}]"
            piece, length = [], 0
        piece.append(row)
        length += len(row)
    yield f"[{','.join(piece)}]"

"""PostgreSQL: a whole cycle of a worker in one statement, and so in one round trip.

Its parts are joined as WITH clauses. They all see the table as it was before the statement,
and touch different rows: those that have ended, and those that are AVAILABLE.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any

from django_jobflow.attempts import Demand, Exchange, Reservation
from django_jobflow.engines.postgresql_ends import GONE, OVER
from django_jobflow.engines.statements import JOB, duration, in_order, read_json

# What this worker is not to execute is only promised to it: no attempt is counted. The names are
# the keys of an object, among which the server finds one without a look at each.
ABLE = "(jsonb_exists(%(names)s::jsonb, name) AND (expires_at IS NULL OR expires_at > {moment}))"
TAKEN_VALUES = f"""reserved_by = %(worker)s, reserved_at = {{moment}}, updated_at = {{moment}},
        reserved_count = reserved_count + 1,
        state = CASE WHEN {ABLE} THEN 'IN_PROGRESS' ELSE 'RESERVED' END,
        attempt = attempt + CASE WHEN {ABLE} THEN 1 ELSE 0 END,
        started_at = CASE WHEN {ABLE} THEN {{moment}} ELSE started_at END,
        expires = {{moment}} + CASE WHEN {ABLE} THEN %(lease)s ELSE %(timeout)s END"""
TAKEN = f"""taken AS (
    UPDATE {JOB} SET {TAKEN_VALUES}
    WHERE id = ANY(ARRAY({{ids}}))
    RETURNING *
)"""

# The columns that mostly hold nothing come as one, which then is NULL.
TAKEN_ROWS = """SELECT NULL::bigint[], id, name, queue, priority, args::text, kwargs::text,
    attempt, max_attempts, reserved_count, (EXTRACT(EPOCH FROM timeout) * 1000000)::bigint,
    available_at, created_at, state = 'IN_PROGRESS',
    CASE WHEN partition <> '' OR queue_key IS NOT NULL OR execution_key IS NOT NULL
            OR errors <> '[]' OR tags <> '[]' OR meta <> '{{}}' OR expires_at IS NOT NULL
            OR batch_id IS NOT NULL
        THEN jsonb_build_array(partition, queue_key, execution_key, errors, tags, meta,
            batch_id, expires_at)::text END
FROM taken"""

FILLED = (
    ", NULL::bigint, NULL, NULL, NULL::smallint, NULL, NULL, NULL::int, NULL::int, NULL::int, "
    "NULL::bigint, NULL::timestamptz, NULL::timestamptz, NULL::bool, NULL"
)
"""What makes the row of written ids as long as those of the records taken."""

# A server that crashes may then forget a promise and a start, but never an end.
UNHURRIED = ", set_config('synchronous_commit', 'off', true)"


@lru_cache(maxsize=64)
def cycle(
    ends: frozenset[str],
    ids: str | None,
    *,
    moment: str,
    hurried: bool,
    taking: str = TAKEN,
    told: str = "",
) -> str:
    """Return the statement that settles and takes.

    Args:
        ends: Of "gone" and "over", which ends there are.
        ids: The query for the ids to take. None takes nothing.
        moment: The expression for now.
        hurried: Whether the commit has to wait for the disk.
        taking: The clauses that take; one of them is called ``taken``.
        told: The query for the ids of ends that passed their key on to what was not taken.
    """
    parts = [part for name, part in (("gone", GONE), ("over", OVER)) if name in ends]
    rows = []
    if ends:
        written = " UNION ALL ".join(f"SELECT id FROM {name}" for name in sorted(ends))
        rows.append(f"SELECT ARRAY({written})" + (FILLED if ids is not None else ""))
    if ids is not None:
        parts.append(taking)
        if told:
            rows.append(f"SELECT ARRAY({told})" + FILLED.replace("NULL", "0", 1))
        rows.append(TAKEN_ROWS + ("" if hurried else UNHURRIED))
    statement = f"WITH {', '.join(parts)} {' UNION ALL '.join(rows)}"
    # Short, since psycopg keeps what it has made of a text only up to 4,096 letters.
    return " ".join(statement.format(moment=moment, ids=ids).split())


def demand_values(demand: Demand, limit: int) -> dict[str, Any]:
    """Return the parameters of taking."""
    return {
        "limit": limit,
        "lease": demand.lease,
        "timeout": demand.timeout,
        "names": _names(demand.names),
    }


def take_in(exchange: Exchange, rows: Iterable[tuple[Any, ...]], worker: str) -> None:
    """Put the rows of a cycle's statement into *exchange*."""
    for row in rows:
        if (written := row[0]) is None:
            is_started, reservation = _reservation(row, worker)
            (exchange.started if is_started else exchange.held).append(reservation)
            continue
        is_told = len(row) > 1 and row[1] == 0
        (exchange.passed_on if is_told else exchange.written).update(written)
    exchange.started.sort(key=in_order)


def _reservation(row: tuple[Any, ...], worker: str) -> tuple[bool, Reservation]:
    """Return whether the record of *row* is started, and what holds it."""
    _, pk, name, queue, priority, args, kwargs, attempt, max_attempts, count, *rest = row
    timeout, due, made, is_started, seldom = rest
    partition, queue_key, execution_key, errors, tags, meta, batch_id, expires_at = (
        ("", None, None, [], [], {}, None, None) if seldom is None else _read_seldom(seldom)
    )
    return is_started, Reservation(
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
        due,
        made,
        errors,
        tags,
        meta,
        expires_at,
        batch_id,
        count,
        worker,
    )


def _read_seldom(text: str) -> tuple[Any, ...]:
    *values, expires_at = json.loads(text)
    return *values, None if expires_at is None else datetime.fromisoformat(expires_at)


@lru_cache(maxsize=8)
def _names(names: frozenset[str]) -> str:
    """Return *names* as the keys of an object; made once, since it is sent each cycle."""
    return json.dumps(dict.fromkeys(sorted(names), 0))

"""PostgreSQL: a whole cycle of a worker in one statement, and so in one round trip.

Its parts are joined as WITH clauses. They all see the table as it was before the statement,
and touch different rows: those that have ended, and those that are AVAILABLE.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from django_jobflow.attempts import Demand, Ending, Exchange, Reservation
from django_jobflow.engines.settling import KEPT
from django_jobflow.engines.statements import (
    JOB,
    SUCCEEDED,
    duration,
    in_order,
    json_text,
    read_json,
)
from django_jobflow.states import ENDED, KEYED

ENDED_STATES = ", ".join(f"'{state.value}'" for state in sorted(ENDED))
KEYED_STATES = ", ".join(f"'{state.value}'" for state in sorted(KEYED))


def fence(state: str, *, worker: str = "%(worker)s") -> str:
    """Return the condition that the attempt ``held`` still has the row ``job``.

    A CASE, since the planner cannot guess how many rows it lets through. With statistics that
    know of no row in progress it would expect one, and compare each end with each such row.
    """
    return f"""CASE WHEN job.state = {state} AND job.attempt = held.attempt
        AND job.reserved_by = {worker} AND job.reserved_count = held.count
        THEN true ELSE false END"""


# An array that is NULL is filled up with NULLs by unnest: mostly there is no result to send.
GONE = f"""gone AS (
    DELETE FROM {JOB} AS job
    USING unnest(%(gone_ids)s::bigint[], %(gone_attempts)s::int[], %(gone_counts)s::int[],
        %(results)s::text[], %(keeps)s::bool[]) AS held (id, attempt, count, result, keep)
    WHERE job.id = held.id AND {fence("'IN_PROGRESS'")}
    RETURNING job.*, held.result, held.keep
), kept AS (
    INSERT INTO {SUCCEEDED} (id, {", ".join(KEPT)}, result, succeeded_at)
    SELECT id, {", ".join(KEPT)}, result::jsonb, {{moment}} FROM gone WHERE keep IS NOT FALSE
)"""

OVER = f"""over AS (
    UPDATE {JOB} AS job SET state = held.state, attempt = held.attempt_after,
        reserved_by = NULL, reserved_at = NULL, expires = NULL, updated_at = {{moment}},
        available_at = COALESCE({{moment}} + held.delay, job.available_at),
        finished_at = CASE WHEN held.state IN ({ENDED_STATES}) THEN {{moment}} END,
        held_queue_key =
            CASE WHEN held.state NOT IN ({ENDED_STATES}) THEN job.held_queue_key END,
        held_execution_key =
            CASE WHEN held.state IN ({KEYED_STATES}) THEN job.held_execution_key END,
        errors = CASE WHEN held.error IS NULL THEN job.errors ELSE job.errors ||
            jsonb_build_array(held.error::jsonb || jsonb_build_object('at', {{moment}})) END,
        meta = COALESCE(held.meta::jsonb, job.meta)
    FROM unnest(%(over_ids)s::bigint[], %(over_attempts)s::int[], %(over_counts)s::int[],
        %(origins)s::text[], %(states)s::text[], %(attempts_after)s::int[],
        %(delays)s::interval[], %(errors)s::text[], %(metas)s::text[])
        AS held (id, attempt, count, origin, state, attempt_after, delay, error, meta)
    WHERE job.id = held.id AND {fence("held.origin")}
    RETURNING job.id
)"""

# What this worker is not to execute is only promised to it: no attempt is counted.
ABLE = "(name = ANY(%(names)s::text[]) AND (expires_at IS NULL OR expires_at > {moment}))"
TAKEN = f"""taken AS (
    UPDATE {JOB} SET reserved_by = %(worker)s, reserved_at = {{moment}}, updated_at = {{moment}},
        reserved_count = reserved_count + 1,
        state = CASE WHEN {ABLE} THEN 'IN_PROGRESS' ELSE 'RESERVED' END,
        attempt = attempt + CASE WHEN {ABLE} THEN 1 ELSE 0 END,
        started_at = CASE WHEN {ABLE} THEN {{moment}} ELSE started_at END,
        expires = {{moment}} + CASE WHEN {ABLE} THEN %(lease)s ELSE %(timeout)s END
    WHERE id = ANY(ARRAY({{ids}}))
    RETURNING *
)"""

# One success, in the transaction of its job. Short to plan, and prepared by each slot.
GONE_ALONE = f"""WITH gone AS (
    DELETE FROM {JOB} AS job WHERE job.id = %(id)s
        AND CASE WHEN job.state = 'IN_PROGRESS' AND job.attempt = %(attempt)s
            AND job.reserved_by = %(worker)s AND job.reserved_count = %(count)s
            THEN true ELSE false END
    RETURNING *
), kept AS (
    INSERT INTO {SUCCEEDED} (id, {", ".join(KEPT)}, result, succeeded_at)
    SELECT id, {", ".join(KEPT)}, %(result)s::text::jsonb, STATEMENT_TIMESTAMP()
    FROM gone WHERE %(keep)s
) SELECT id FROM gone /* plan {{plan}} */"""

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
def cycle(ends: frozenset[str], ids: str | None, *, moment: str, hurried: bool) -> str:
    """Return the statement that settles and takes.

    Args:
        ends: Of "gone" and "over", which ends there are.
        ids: The query for the ids to take. None takes nothing.
        moment: The expression for now.
        hurried: Whether the commit has to wait for the disk.
    """
    parts = [part for name, part in (("gone", GONE), ("over", OVER)) if name in ends]
    rows = []
    if ends:
        written = " UNION ALL ".join(f"SELECT id FROM {name}" for name in sorted(ends))
        rows.append(f"SELECT ARRAY({written})" + (FILLED if ids is not None else ""))
    if ids is not None:
        parts.append(TAKEN)
        rows.append(TAKEN_ROWS + ("" if hurried else UNHURRIED))
    statement = f"WITH {', '.join(parts)} {' UNION ALL '.join(rows)}"
    # Short, since psycopg keeps what it has made of a text only up to 4,096 letters.
    return " ".join(statement.format(moment=moment, ids=ids).split())


def end_values(endings: Sequence[Ending]) -> tuple[frozenset[str], dict[str, Any]]:
    """Return which kinds of ends there are, and the parameters that say them."""
    endings = sorted(endings, key=lambda ending: ending.reservation.id)
    gone = [ending for ending in endings if ending.state is None]
    over = [ending for ending in endings if ending.state is not None]
    values: dict[str, Any] = {}
    if gone:
        values |= {
            "gone_ids": _numbers(ending.reservation.id for ending in gone),
            "gone_attempts": _numbers(ending.reservation.attempt for ending in gone),
            "gone_counts": _numbers(ending.reservation.reserved_count for ending in gone),
            "results": _unless_empty([json_text(ending.result) for ending in gone]),
            "keeps": None if all(ending.keep for ending in gone) else [e.keep for e in gone],
        }
    if over:
        values |= {
            "over_ids": _numbers(ending.reservation.id for ending in over),
            "over_attempts": _numbers(ending.reservation.attempt for ending in over),
            "over_counts": _numbers(ending.reservation.reserved_count for ending in over),
            "origins": [ending.origin.value for ending in over],
            "states": [ending.state.value for ending in over if ending.state is not None],
            "attempts_after": _numbers(ending.attempt for ending in over),
            "delays": _unless_empty([ending.delay for ending in over]),
            "errors": _unless_empty([json_text(ending.error) for ending in over]),
            "metas": _unless_empty([json_text(ending.meta) for ending in over]),
        }
    return frozenset(name for name, some in (("gone", gone), ("over", over)) if some), values


def gone_alone(ending: Ending, plan: int) -> tuple[str, dict[str, Any]]:
    """Return the statement that settles one success, and its parameters.

    Args:
        plan: Another number has the server plan it anew.
    """
    reservation = ending.reservation
    return GONE_ALONE.format(plan=plan), {
        "id": reservation.id,
        "attempt": reservation.attempt,
        "worker": reservation.worker,
        "count": reservation.reserved_count,
        "result": json_text(ending.result),
        "keep": ending.keep,
    }


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
    for written, *columns in rows:
        if written is not None:
            exchange.written.update(written)
            continue
        *columns, started, seldom = columns
        reservation = _reservation(columns, seldom, worker)
        (exchange.started if started else exchange.held).append(reservation)
    exchange.started.sort(key=in_order)


def _reservation(columns: list[Any], seldom: str | None, worker: str) -> Reservation:
    pk, name, queue, priority, args, kwargs, attempt, max_attempts, count, *rest = columns
    timeout, due, made = rest
    partition, queue_key, execution_key, errors, tags, meta, batch_id, expires_at = (
        ("", None, None, [], [], {}, None, None) if seldom is None else _read_seldom(seldom)
    )
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
    """Return *names* as PostgreSQL writes an array; made once, since it is sent each cycle."""
    quoted = (name.replace("\\", "\\\\").replace('"', '\\"') for name in sorted(names))
    return "{" + ",".join(f'"{name}"' for name in quoted) + "}"


def _numbers(numbers: Iterable[int]) -> str:
    """Return *numbers* as PostgreSQL writes an array: much quicker than one by one."""
    return "{" + ",".join(map(str, numbers)) + "}"


def _unless_empty(values: list[Any]) -> list[Any] | None:
    return None if all(value is None for value in values) else values

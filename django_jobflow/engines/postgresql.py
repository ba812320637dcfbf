"""PostgreSQL: each of reserve, start and settle is one statement for many rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django_jobflow import states
from django_jobflow.attempts import RESERVATION_FIELDS, Ending, Reservation
from django_jobflow.engines.base import Engine
from django_jobflow.engines.repeating import repeating
from django_jobflow.engines.settling import KEPT
from django_jobflow.engines.statements import (
    JOB,
    JSON_FIELDS,
    RESERVED_COLUMNS,
    SUCCEEDED,
    first_ids,
    json_text,
    read_json,
)

DEADLOCK = "40P01"

# The ORM has no UPDATE or DELETE that returns rows or joins a list of values. States stand
# in the statements as literals: the planner takes a partial index only for those. `moment`
# is a parameter where a test gives the time, and else the server's clock.

ENDED = ", ".join(f"'{state.value}'" for state in sorted(states.ENDED))
KEYED = ", ".join(f"'{state.value}'" for state in sorted(states.KEYED))

# A limit that the planner does not know: it then takes a tenth of the range to be asked for.
# With statistics from before a backlog it would think that the limit exceeds what waits, and
# sort the whole backlog at each call instead of reading the index in its order.
LIMIT = "(SELECT %(limit)s)"

# ARRAY(...) evaluates the limited, locking query once; as a join it might run again.
RESERVE = f"""
    UPDATE {JOB} SET state = 'RESERVED', reserved_by = %(worker)s, reserved_at = {{moment}},
        expires = {{moment}} + %(timeout)s, updated_at = {{moment}}
    WHERE id = ANY(ARRAY({{ids}}))
    RETURNING {RESERVED_COLUMNS}"""

START = f"""
    UPDATE {JOB} AS job SET state = 'IN_PROGRESS', attempt = job.attempt + 1,
        started_at = {{moment}}, expires = {{moment}} + %(lease)s, updated_at = {{moment}}
    FROM unnest(%(ids)s::bigint[], %(attempts)s::int[], %(workers)s::text[])
        AS held (id, attempt, worker)
    WHERE job.id = held.id AND job.state = 'RESERVED' AND job.attempt = held.attempt
        AND job.reserved_by = held.worker AND job.expires > {{moment}}
    RETURNING job.id"""

ARCHIVE = f"""
    WITH gone AS (
        DELETE FROM {JOB} AS job
        USING unnest(%(ids)s::bigint[], %(attempts)s::int[], %(workers)s::text[],
            %(results)s::text[], %(keeps)s::bool[])
            AS held (id, attempt, worker, result, keep)
        WHERE job.id = held.id AND job.state = 'IN_PROGRESS'
            AND job.attempt = held.attempt AND job.reserved_by = held.worker
        RETURNING job.*, held.result, held.keep
    ), kept AS (
        INSERT INTO {SUCCEEDED} (id, {", ".join(KEPT)}, result, succeeded_at)
        SELECT id, {", ".join(KEPT)}, result::jsonb, {{moment}} FROM gone WHERE keep
    )
    SELECT id FROM gone"""

END = f"""
    UPDATE {JOB} AS job SET state = held.state, attempt = held.attempt_after,
        reserved_by = NULL, reserved_at = NULL, expires = NULL, updated_at = {{moment}},
        available_at = COALESCE({{moment}} + held.delay, job.available_at),
        finished_at = CASE WHEN held.state IN ({ENDED}) THEN {{moment}} END,
        held_queue_key = CASE WHEN held.state NOT IN ({ENDED}) THEN job.held_queue_key END,
        held_execution_key =
            CASE WHEN held.state IN ({KEYED}) THEN job.held_execution_key END,
        errors = CASE WHEN held.error IS NULL THEN job.errors ELSE job.errors ||
            jsonb_build_array(held.error::jsonb || jsonb_build_object('at', {{moment}})) END,
        meta = COALESCE(held.meta::jsonb, job.meta)
    FROM unnest(%(ids)s::bigint[], %(attempts)s::int[], %(workers)s::text[],
        %(origins)s::text[], %(states)s::text[], %(attempts_after)s::int[],
        %(delays)s::interval[], %(errors)s::text[], %(metas)s::text[])
        AS held (id, attempt, worker, origin, state, attempt_after, delay, error, meta)
    WHERE job.id = held.id AND job.state = held.origin
        AND job.attempt = held.attempt AND job.reserved_by = held.worker
    RETURNING job.id"""


@repeating
class PostgreSQLEngine(Engine):
    """The engine of PostgreSQL."""

    def is_undone(self, error: Exception) -> bool:
        return getattr(error.__cause__, "sqlstate", None) == DEADLOCK

    def reserve(
        self,
        *,
        limit: int,
        worker: str,
        queues: Sequence[str] | None,
        timeout: timedelta,
        now: datetime | None = None,
    ) -> list[Reservation]:
        if queues is not None and not queues:
            return []
        values = {"limit": limit, "worker": worker, "timeout": timeout}
        ids = first_ids(queues, values, limit=LIMIT, lock="FOR UPDATE SKIP LOCKED")
        rows = self._rows(RESERVE, values, now, ids=ids)
        found = [_reservation(row, worker) for row in rows]
        found.sort(key=lambda row: (-row.priority, row.available_at, row.id))
        return found

    def start(
        self,
        reservations: Sequence[Reservation],
        *,
        lease: timedelta,
        now: datetime | None = None,
    ) -> list[Reservation]:
        if not reservations:
            return []
        values = {**_fence(reservations), "lease": lease}
        hit = {pk for (pk,) in self._rows(START, values, now)}
        started = [reservation for reservation in reservations if reservation.id in hit]
        for reservation in started:
            reservation.attempt += 1
        return started

    def settle(self, endings: Sequence[Ending], now: datetime | None = None) -> set[int]:
        endings = sorted(endings, key=lambda ending: ending.reservation.id)
        successes = [ending for ending in endings if ending.state is None]
        others = [ending for ending in endings if ending.state is not None]
        leaving = [
            ending
            for ending in endings
            if ending.reservation.execution_key and ending.state not in states.KEYED
        ]
        if leaving or (successes and others):
            with self.transaction():
                written = self._archive_all(successes, now) | self._end_all(others, now)
                self.promote(
                    (ending.reservation.partition, ending.reservation.execution_key)
                    for ending in leaving
                    if ending.reservation.id in written
                )
            return written
        return self._archive_all(successes, now) | self._end_all(others, now)

    def _archive_all(self, endings: Sequence[Ending], now: datetime | None) -> set[int]:
        if not endings:
            return set()
        values = _fence([ending.reservation for ending in endings]) | {
            "results": [json_text(ending.result) for ending in endings],
            "keeps": [ending.keep for ending in endings],
        }
        return {pk for (pk,) in self._rows(ARCHIVE, values, now)}

    def _end_all(self, endings: Sequence[Ending], now: datetime | None) -> set[int]:
        if not endings:
            return set()
        values = _fence([ending.reservation for ending in endings]) | {
            "origins": [ending.origin.value for ending in endings],
            "states": [ending.state.value for ending in endings if ending.state is not None],
            "attempts_after": [ending.attempt for ending in endings],
            "delays": [ending.delay for ending in endings],
            "errors": [json_text(ending.error) for ending in endings],
            "metas": [json_text(ending.meta) for ending in endings],
        }
        return {pk for (pk,) in self._rows(END, values, now)}

    def _rows(
        self, statement: str, values: dict[str, Any], now: datetime | None, **parts: str
    ) -> list[tuple[Any, ...]]:
        moment = "STATEMENT_TIMESTAMP()" if now is None else "%(now)s::timestamptz"
        sql = statement.format(moment=moment, **parts)
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values if now is None else {**values, "now": now})
            return list(cursor.fetchall())


def _fence(reservations: Sequence[Reservation]) -> dict[str, list[Any]]:
    return {
        "ids": [reservation.id for reservation in reservations],
        "attempts": [reservation.attempt for reservation in reservations],
        "workers": [reservation.worker for reservation in reservations],
    }


_JSON = [RESERVATION_FIELDS.index(name) for name in JSON_FIELDS]


def _reservation(row: tuple[Any, ...], worker: str) -> Reservation:
    values = [*row, worker]
    for index in _JSON:
        values[index] = read_json(values[index])
    return Reservation(*values)

"""SQLite: one writer at a time, and the clock of the host that it runs on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import models, transaction
from django.db.models import Value
from django.utils import timezone

from django_jobflow import conf
from django_jobflow.attempts import RESERVATION_FIELDS, Ending, Reservation
from django_jobflow.engines.base import Engine
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

# The ORM has no UPDATE that returns rows or joins a list of values: json_each makes rows of
# one parameter, so that a statement carries any number of attempts.

RESERVE = f"""
    UPDATE {JOB} SET state = 'RESERVED', reserved_by = %(worker)s, reserved_at = %(now)s,
        expires = %(expires)s, updated_at = %(now)s
    WHERE id IN ({{ids}}) RETURNING {RESERVED_COLUMNS}"""

START = f"""
    UPDATE {JOB} SET state = 'IN_PROGRESS', attempt = {JOB}.attempt + 1,
        started_at = %(now)s, expires = %(expires)s, updated_at = %(now)s
    FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS attempt,
        json_extract(value, '$[2]') AS worker FROM json_each(%(held)s)) AS held
    WHERE {JOB}.id = held.id AND {JOB}.state = 'RESERVED'
        AND {JOB}.attempt = held.attempt AND {JOB}.reserved_by = held.worker
        AND {JOB}.expires > %(now)s
    RETURNING id"""

KEEP = f"""
    INSERT INTO {SUCCEEDED} (id, {", ".join(KEPT)}, result, succeeded_at)
    SELECT job.id, {", ".join(f"job.{column}" for column in KEPT)}, ended.result, %(now)s
    FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS result
        FROM json_each(%(ended)s)) AS ended
    CROSS JOIN {JOB} AS job ON job.id = ended.id"""


class SQLiteEngine(Engine):
    """The engine of SQLite."""

    tells_changes = True

    def __init__(self, alias: str) -> None:
        super().__init__(alias)
        self._data_version: int | None = None

    def has_changed(self) -> bool:
        # A number in shared memory: microseconds, and no statement on the tables.
        # Past Django's cursor, which costs ten times as much: this runs while idle.
        connection: Any = self.connection
        connection.ensure_connection()
        with connection.wrap_database_errors:
            version: int = connection.connection.execute("PRAGMA data_version").fetchone()[0]
        changed: bool = version != self._data_version
        self._data_version = version
        return changed

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Open a transaction that holds the write lock from its beginning.

        A transaction that reads first and writes later fails at once with "database is
        locked" when another has written in between; one that begins IMMEDIATE waits.
        """
        connection: Any = self.connection
        if connection.in_atomic_block:
            with transaction.atomic(using=self.alias):
                yield
            return
        connection.ensure_connection()  # connecting sets the mode of the settings
        mode, connection.transaction_mode = connection.transaction_mode, "IMMEDIATE"
        try:
            with transaction.atomic(using=self.alias):
                connection.transaction_mode = mode
                yield
        finally:
            connection.transaction_mode = mode

    def clock(self, now: datetime | None, plus: timedelta = timedelta(0)) -> Any:
        # SQLite's own clock has milliseconds, and its text compares wrongly with the
        # microseconds that Django writes. The host is the same, so its clock serves.
        return Value(self.now(now) + plus, output_field=models.DateTimeField())

    def now(self, now: datetime | None = None) -> datetime:
        return timezone.now() if now is None else now

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
        moment = self.now(now)
        values = {
            "limit": limit,
            "worker": worker,
            "now": self._text(moment),
            "expires": self._text(moment + timeout),
        }
        rows = self._rows(RESERVE.format(ids=first_ids(queues, values)), values)
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
        moment = self.now(now)
        held = [[each.id, each.attempt, each.worker] for each in reservations]
        values = {
            "held": json.dumps(held),
            "now": self._text(moment),
            "expires": self._text(moment + lease),
        }
        hit = {pk for (pk,) in self._rows(START, values)}
        started = [reservation for reservation in reservations if reservation.id in hit]
        for reservation in started:
            reservation.attempt += 1
        return started

    def _keep(self, successes: Sequence[Ending], now: datetime | None) -> None:
        ended = [[each.reservation.id, json_text(each.result)] for each in successes]
        values = {"ended": json.dumps(ended), "now": self._text(self.now(now))}
        with self.connection.cursor() as cursor:
            cursor.execute(KEEP, values)

    def _rows(self, statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def _text(self, moment: datetime) -> str:
        """Return *moment* as Django writes it."""
        return str(self.connection.ops.adapt_datetimefield_value(moment))


_JSON = [RESERVATION_FIELDS.index(name) for name in JSON_FIELDS]
_TIMEOUT = RESERVATION_FIELDS.index("timeout")
_MOMENTS = [
    RESERVATION_FIELDS.index(name) for name in ("available_at", "created_at", "expires_at")
]


def _reservation(row: tuple[Any, ...], worker: str) -> Reservation:
    """Return a row as the ORM would, which cannot read what an UPDATE returns."""
    values = [*row, worker]
    for index in _JSON:
        values[index] = read_json(values[index])
    for index in _MOMENTS:
        if values[index] is not None and conf.has_time_zones():
            values[index] = values[index].replace(tzinfo=UTC)
    if values[_TIMEOUT] is not None:
        values[_TIMEOUT] = timedelta(microseconds=values[_TIMEOUT])
    return Reservation(*values)

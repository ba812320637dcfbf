"""Inserting on MariaDB, which returns what it has inserted; MySQL takes the portable way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.db import IntegrityError
from django.utils import timezone
from django.utils.duration import duration_microseconds

from django_jobflow import conf
from django_jobflow.calls import Call, Terms
from django_jobflow.engines.statements import DUE, NEW, written
from django_jobflow.engines.storing import Storing
from django_jobflow.models import JobRecord

DUPLICATE_ENTRY = 1062

JOB = f"`{JobRecord._meta.db_table}`"
CLOCK = "UTC_TIMESTAMP(6) + INTERVAL %(offset)s MICROSECOND"
MOMENTS = {
    "created_at": CLOCK,
    "updated_at": CLOCK,
    "available_at": f"COALESCE(%(run_at)s, {CLOCK} + INTERVAL %(delay)s MICROSECOND)",
}

OWN = {"state": "NULL"} | {column: NEW.get(column, "NULL") for column in Call._fields}
"""What a row has in the columns that are of its own call, unless it is given."""


def _columns(given: Iterable[str]) -> dict[str, str]:
    return NEW | {name: f"%({name})s" for name in given if name not in DUE} | MOMENTS


def _insert(columns: Mapping[str, str]) -> str:
    return f"INSERT INTO {JOB} ({', '.join(f'`{column}`' for column in columns)}) VALUES"


@cache
def store_statement(given: tuple[str, ...]) -> str:
    columns = _columns(given)
    return (
        f"{_insert(columns)} ({', '.join(columns.values())}) "
        "RETURNING id, created_at, available_at"
    )


def store_many_statement(given: Iterable[str], rows: Iterable[Mapping[str, str]]) -> str:
    """Return the statement for *rows*, each the parameters of its own columns.

    A list and no SELECT: for that InnoDB would keep all others from the table's next numbers
    until the statement has ended.
    """
    columns = {name: value for name, value in _columns(given).items() if name not in OWN}
    common = ", ".join(columns.values())
    own = [", ".join({**OWN, **row}.values()) for row in rows]
    values = ", ".join(f"({common}, {each})" for each in own)
    return f"{_insert(columns | OWN)} {values} RETURNING id"


class MySQLStoring(Storing):
    """The verbs of the room *enqueue*."""

    def store(self, terms: Terms, call: Call) -> JobRecord | None:
        if not self.connection.features.can_return_columns_from_insert:
            return super().store(terms, call)
        given = {**terms.given, "state": terms.state_of(call.execution_key).value, **call.given}
        values = given | self._written(terms)
        try:
            [row] = self._returned(store_statement(tuple(given)), values)
        except IntegrityError as error:  # undoes the statement, and not the transaction
            if call.held_queue_key is None or error.args[0] != DUPLICATE_ENTRY:
                raise
            return None
        pk, *moments = row
        return self._as_stored(terms, call, pk, *map(self._aware, moments))

    def holder_of(self, digest: str) -> JobRecord | None:
        """Return the holder, even one that the snapshot of the caller's transaction is without.

        The index has refused the key by what is committed; a plain read may be older.
        """
        holder = super().holder_of(digest)
        if holder is None and self.connection.in_atomic_block:
            statement = f"SELECT * FROM {JOB} WHERE held_queue_key = %s LOCK IN SHARE MODE"
            holder = next(iter(self.records.raw(statement, [digest])), None)
        return holder

    def _insert_rows(self, terms: Terms, calls: Sequence[Call]) -> list[int]:
        values = {**terms.given, **self._written(terms)}
        rows = []
        for number, call in enumerate(calls):
            own = {"state": terms.state_of(call.execution_key).value, **call.given}
            rows.append({name: f"%({name}{number})s" for name in own})
            values.update({f"{name}{number}": value for name, value in own.items()})
        statement = store_many_statement(terms.given, rows)
        return sorted(pk for (pk,) in self._returned(statement, values))

    @property
    def offset(self) -> timedelta:
        """What Django's moments, which have no zone here, are ahead of UTC."""
        zone = self.connection.timezone or timezone.get_default_timezone()
        return datetime.now(zone).utcoffset() or timedelta(0)

    def _written(self, terms: Terms) -> dict[str, Any]:
        offset = {"offset": duration_microseconds(self.offset)}
        return {"run_at": None, "delay": 0} | written(terms, self.connection.ops) | offset

    def _aware(self, moment: datetime) -> datetime:
        return (
            timezone.make_aware(moment, self.connection.timezone)
            if conf.has_time_zones()
            else moment
        )

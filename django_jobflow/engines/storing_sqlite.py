"""Inserting on SQLite: one statement for one call, and one for many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from django_jobflow.calls import Call, Terms
from django_jobflow.engines.statements import DUE, JOB, NEW, calls_json, ids_of, written
from django_jobflow.engines.storing import Storing
from django_jobflow.models import JobRecord

EACH = {
    "state": "CASE WHEN json_extract(value, '$.execution_key') IS NULL "
    "THEN %(state)s ELSE %(keyed_state)s END",
    "args": "COALESCE(json_extract(value, '$.args'), '[]')",
    "kwargs": "json_extract(value, '$.kwargs')",
    "execution_key": "json_extract(value, '$.execution_key')",
}
"""How a row is made of one of many calls, beside what they have in common."""

KEYS = {
    "queue_key": "json_extract(value, '$.queue_key')",
    "held_queue_key": "json_extract(value, '$.held_queue_key')",
}

IF_FREE = "ON CONFLICT (held_queue_key) DO NOTHING"


def _columns(given: Iterable[str]) -> dict[str, str]:
    return NEW | {name: f"%({name})s" for name in given}


@cache
def store_statement(given: tuple[str, ...]) -> str:
    columns = _columns(given)
    return (
        f"INSERT INTO {JOB} ({', '.join(columns)}) VALUES ({', '.join(columns.values())}) "
        f"{IF_FREE if 'held_queue_key' in given else ''} RETURNING id"
    )


@cache
def store_many_statement(given: tuple[str, ...], *, keyed: bool) -> str:
    columns = _columns(given) | EACH | (KEYS if keyed else {})
    # Without a WHERE the parser takes ON for that of a join.
    return (
        f"INSERT INTO {JOB} ({', '.join(columns)}) SELECT {', '.join(columns.values())} "
        f"FROM json_each(%(calls)s) WHERE true {IF_FREE if keyed else ''} "
        "RETURNING id, held_queue_key"
    )


class SQLiteStoring(Storing):
    """The verbs of the room *enqueue*, each one statement."""

    def store(self, terms: Terms, call: Call) -> JobRecord | None:
        now = self.now()
        due = terms.run_at or now + terms.delay
        state = terms.state_of(call.execution_key).value
        values = {**self._written(terms, now, due), "state": state, **call.given}
        rows = self._returned(store_statement(tuple(values)), values)
        return self._as_stored(terms, call, rows[0][0], now, due) if rows else None

    def store_many(self, terms: Terms, calls: Sequence[Call]) -> list[int | None]:
        now = self.now()
        common = self._written(terms, now, terms.run_at or now + terms.delay)
        keyed = any(call.held_queue_key for call in calls)
        values = {
            **common,
            "state": terms.state_of(None).value,
            "keyed_state": terms.state_of("any").value,
            "calls": calls_json(calls),
        }
        return ids_of(
            calls, self._returned(store_many_statement(tuple(common), keyed=keyed), values)
        )

    def _written(self, terms: Terms, now: datetime, due: datetime) -> dict[str, Any]:
        """Return by column what *terms* say, and the moments."""
        said = written(terms, self.connection.ops)
        moment = self.connection.ops.adapt_datetimefield_value(now)
        available_at = self.connection.ops.adapt_datetimefield_value(due)
        return {name: value for name, value in said.items() if name not in DUE} | {
            "created_at": moment,
            "updated_at": moment,
            "available_at": available_at,
        }

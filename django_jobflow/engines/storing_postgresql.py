"""Inserting on PostgreSQL: one statement for one call, and one for many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from django.db import Error

from django_jobflow.calls import Call, Terms
from django_jobflow.engines.postgresql_waking import Notifying, code_of
from django_jobflow.engines.statements import DUE, JOB, NEW, calls_json, ids_of
from django_jobflow.models import JobRecord

if TYPE_CHECKING:
    from django_jobflow.engines.postgresql_inserting import Insertion

# There are few texts and they never change, so that psycopg prepares them where the project
# lets it. A column that is left out is NULL, or a moment with its default, the server's clock.

# What is said of a prepared statement that is not there, or there already, or of a table that
# has changed since.
UNKEPT = {"26000", "42P05", "0A000"}

_unkept: set[str] = set()  # aliases whose sessions did not keep a statement: a pooler's

EACH = {
    "state": "CASE WHEN execution_key IS NULL THEN %(state)s ELSE %(keyed_state)s END",
    "args": "COALESCE(args, '[]')",
    "kwargs": "kwargs",
    "queue_key": "queue_key",
    "execution_key": "execution_key",
    "held_queue_key": "held_queue_key",
}
"""How a row is made of one of many calls, beside what they have in common."""

CALLS = """jsonb_to_recordset(%(calls)s) AS calls (args jsonb, kwargs jsonb,
    queue_key text, execution_key text, held_queue_key text)"""

# All take the keys in one order, so that two of these never wait for each other. The ids are in
# the order of the calls all the same: the column's own numbers would be given after the sort.
SORTED_CALLS = f"""(SELECT nextval((SELECT pg_get_serial_sequence('{JOB}', 'id')::regclass))
    AS id, * FROM {CALLS}) AS calls ORDER BY held_queue_key, id"""

IF_FREE = "ON CONFLICT (held_queue_key) WHERE held_queue_key IS NOT NULL DO NOTHING"


def _columns(given: Iterable[str]) -> dict[str, str]:
    columns = NEW | {name: f"%({name})s" for name in given if name not in DUE}
    if "run_at" in given:
        columns["available_at"] = "%(run_at)s"
    elif "delay" in given:
        columns["available_at"] = "STATEMENT_TIMESTAMP() + %(delay)s"
    return columns


@cache
def store_statement(given: tuple[str, ...]) -> str:
    columns = _columns(given)
    returned = ["id", "created_at", *columns.keys() & {"available_at"}]
    return (
        f"INSERT INTO {JOB} ({', '.join(columns)}) VALUES ({', '.join(columns.values())}) "
        f"{IF_FREE if 'held_queue_key' in given else ''} RETURNING {', '.join(returned)}"
    )


@cache
def store_many_statement(given: tuple[str, ...], *, keyed: bool) -> str:
    columns = _columns(given) | EACH | ({"id": "id"} if keyed else {})
    source = f"{SORTED_CALLS} {IF_FREE}" if keyed else CALLS
    return (
        f"INSERT INTO {JOB} ({', '.join(columns)}) SELECT {', '.join(columns.values())} "
        f"FROM {source} RETURNING id, held_queue_key"
    )


@lru_cache(maxsize=128)
def _insertion(terms: Terms, given: tuple[str, ...]) -> Insertion:
    """Return how calls on *terms* are inserted that say the columns *given*."""
    # psycopg is there only where PostgreSQL is used.
    from django_jobflow.engines.postgresql_inserting import Insertion

    keyed = "any" if "execution_key" in given else None
    values = {**terms.given, "state": terms.state_of(keyed).value}
    columns = (*values, *given)
    return Insertion(terms, store_statement(columns), columns, values.values())


class PostgreSQLStoring(Notifying):
    """The verbs of the room *enqueue*, each one statement."""

    def store(self, terms: Terms, call: Call) -> JobRecord | None:
        state = terms.state_of(call.execution_key).value
        values = {**terms.given, "state": state, **call.given}
        rows = self._returned(store_statement(tuple(values)), values)
        return self._as_stored(terms, call, *rows[0]) if rows else None

    def store_at_once(self, connection: Any, terms: Terms, call: Call) -> JobRecord | None:
        """Insert by a prepared statement, past the cursor; None where that is not the way.

        Idle workers are told in the same round trip, if they are not told of others just now.
        A queue key may have to wait for another's transaction, and moments have a form for
        each setting.
        """
        if call.held_queue_key is not None or terms.is_later or terms.expires_at is not None:
            return None
        if (
            connection.timezone is None
            or self.alias in _unkept
            or not self.keeps_session_of(connection)
        ):
            return None
        given = call.given
        try:
            return _insertion(terms, tuple(given)).of(self, connection, call, given)
        except Error as error:
            if code_of(error) in UNKEPT:
                _unkept.add(self.alias)  # nothing was written, and the next try is not prepared
            elif not self.is_undone(error):
                raise
            return None

    def store_many(self, terms: Terms, calls: Sequence[Call]) -> list[int | None]:
        keyed = any(call.held_queue_key for call in calls)
        values = {
            **terms.given,
            "state": terms.state_of(None).value,
            "keyed_state": terms.state_of("any").value,
            "calls": calls_json(calls),
        }
        rows = self._returned(store_many_statement(tuple(terms.given), keyed=keyed), values)
        return ids_of(calls, rows)

"""PostgreSQL: a statement that goes to the server without a cursor, and planned before.

What one enqueue costs beside its commit is mostly the way of the statement: a cursor, the
values bound into a text, and on the server a text to parse and to plan. In autocommit none of
that is needed; inside a transaction of the caller a statement must not fail for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from hashlib import md5
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import error_from_result
from psycopg.generators import execute, fetch_many, send
from psycopg.pq import ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGconn

USES = 3  # on one connection, before a statement is prepared there: that is a round trip

PIPELINES = psycopg.Pipeline.is_supported()  # by the libpq that is there

GOOD = {ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK}


class Kept:
    """What the session of one connection knows.

    Attributes:
        uses: How often each statement was wanted.
        names: What is prepared.
    """

    def __init__(self) -> None:
        self.uses: Counter[bytes] = Counter()
        self.names: set[bytes] = set()


_kept: WeakKeyDictionary[psycopg.Connection[Any], Kept] = WeakKeyDictionary()


class Prepared(NamedTuple):
    """A statement as the server is to keep it."""

    name: bytes
    text: bytes


@cache
def prepared(statement: str, columns: tuple[str, ...]) -> Prepared:
    """Return *statement* with a place for each of *columns*, under a name of its own.

    The name says what the text is. So whoever has prepared it in a session, behind a pooler it
    may have been another client, it is the same statement.
    """
    text = (statement % {name: f"${place}" for place, name in enumerate(columns, 1)}).encode()
    return Prepared(b"jobflow_" + md5(text, usedforsecurity=False).hexdigest().encode(), text)


def way(connection: Any) -> psycopg.Connection[Any] | None:
    """Return what to talk to in autocommit, unless somebody wants to see each statement.

    Refuses what a cursor of Django's refuses: a thread or an event loop that is not to use it.
    """
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    connection.validate_thread_sharing()
    if connection.in_atomic_block or not connection.autocommit:
        return None
    if is_watched(connection):
        return None
    raw: psycopg.Connection[Any] = connection.connection
    return raw


def is_watched(connection: Any) -> bool:
    """Say whether somebody wants to see each statement."""
    return bool(connection.execute_wrappers or connection.queries_logged)


def is_in_transaction(connection: Any) -> bool:
    """Say whether a transaction is open that takes statements, as far as the client knows."""
    raw: psycopg.Connection[Any] | None = connection.connection
    return raw is not None and raw.pgconn.transaction_status == TransactionStatus.INTRANS


def is_worth_it(raw: psycopg.Connection[Any], statement: Prepared) -> bool:
    """Say whether *statement* comes often enough on this connection to be prepared there."""
    if (kept := _kept.get(raw)) is None:
        kept = _kept[raw] = Kept()
    kept.uses[statement.name] += 1
    return kept.uses[statement.name] > USES


def row(connection: Any, statement: Prepared, texts: Sequence[bytes | None]) -> list[bytes]:
    """Return the row that *statement* returns, each value in PostgreSQL's binary form.

    Nothing in each place means that there was none.

    Args:
        texts: The values of its columns.
    """
    raw: psycopg.Connection[Any] = connection.connection
    with connection.wrap_database_errors:
        _keep(raw, statement)
        raw.pgconn.send_query_prepared(statement.name, texts, result_format=Format.BINARY)
        result = _result(raw)
    return _values(result)


def row_and_word(
    connection: Any, statement: Prepared, texts: Sequence[bytes | None], word: str
) -> tuple[list[bytes], bool]:
    """Do what ``row`` does, and execute *word* once that is committed, in the same round trip.

    Returns:
        The row, and whether *word* was executed without an error.
    """
    raw: psycopg.Connection[Any] = connection.connection
    with connection.wrap_database_errors:
        _keep(raw, statement)
        pgconn = raw.pgconn
        pgconn.enter_pipeline_mode()
        try:
            pgconn.send_query_prepared(statement.name, texts, result_format=Format.BINARY)
            pgconn.pipeline_sync()  # commits
            pgconn.send_query_params(word.encode(), None)
            pgconn.pipeline_sync()
            result, said = raw.wait(_results_of_two(pgconn))
            pgconn.exit_pipeline_mode()
        except BaseException:
            connection.close()  # answers that are still to come would be taken for later ones
            raise
        if result.status not in GOOD:
            raise error_from_result(result, raw.info.encoding)
    return _values(result), said.status in GOOD


def _results_of_two(pgconn: PGconn) -> PQGen[list[Any]]:
    """Return the results of two statements, each of them followed by a synchronization."""
    yield from send(pgconn)
    found = []
    for _ in range(2):
        [result] = yield from fetch_many(pgconn)
        found.append(result)
        yield from fetch_many(pgconn)
    return found


def _keep(raw: psycopg.Connection[Any], statement: Prepared) -> None:
    """Prepare *statement* in the session, unless it is."""
    if statement.name not in (names := _kept[raw].names):
        raw.pgconn.send_prepare(*statement)
        _result(raw)
        names.add(statement.name)


def _values(result: Any) -> list[bytes]:
    return [result.get_value(0, place) or b"" for place in range(result.nfields)]


def say(connection: Any, statement: str) -> None:
    """Execute a statement that has neither values nor rows."""
    raw: psycopg.Connection[Any] = connection.connection
    with connection.wrap_database_errors:
        raw.pgconn.send_query(statement.encode())
        _result(raw)


def _result(raw: psycopg.Connection[Any]) -> Any:
    result = raw.wait(execute(raw.pgconn))[0]
    if result.status not in GOOD:
        raise error_from_result(result, raw.info.encoding)
    return result

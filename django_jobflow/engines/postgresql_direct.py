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
from psycopg.pq.abc import PGconn, PGresult

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
        The row, and whether *word* is known to have been executed. It raises for nothing that
        comes after the commit of the row: whoever heard of that would store it once more.
    """
    raw: psycopg.Connection[Any] = connection.connection
    answers: list[list[PGresult]] = []
    with connection.wrap_database_errors:
        _keep(raw, statement)
        pgconn = raw.pgconn
        pgconn.enter_pipeline_mode()
        try:
            pgconn.send_query_prepared(statement.name, texts, result_format=Format.BINARY)
            pgconn.pipeline_sync()  # commits
            pgconn.send_query_params(word.encode(), None)
            pgconn.pipeline_sync()
            raw.wait(_answers_to_two(pgconn, answers))
            pgconn.exit_pipeline_mode()
        except BaseException as error:
            connection.close()  # what is still to come would be taken for later answers
            if not answers or not isinstance(error, psycopg.Error):
                raise
        result = _good(raw, answers[0])
    said = answers[1] if len(answers) > 1 else []
    return _values(result), bool(said) and all(each.status in GOOD for each in said)


def _answers_to_two(pgconn: PGconn, answers: list[list[PGresult]]) -> PQGen[None]:
    """Read what the server answers to two statements, each followed by a synchronization.

    That is where it commits, so an error may come behind a result.

    Args:
        answers: Gets the results of each statement once its commit is known to be over.
    """
    yield from send(pgconn)
    for _ in range(2):
        results: list[PGresult] = []
        try:
            while True:
                some = yield from fetch_many(pgconn)
                if not some:
                    raise psycopg.OperationalError("The connection was lost.")
                if some[0].status == ExecStatus.PIPELINE_SYNC:
                    break
                results += some
        except psycopg.Error:
            if any(each.status not in GOOD for each in results):
                answers.append(results)  # why the server has closed the connection
            raise
        answers.append(results)


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


def _result(raw: psycopg.Connection[Any]) -> PGresult:
    return _good(raw, raw.wait(execute(raw.pgconn)))


def _good(raw: psycopg.Connection[Any], results: Sequence[PGresult]) -> PGresult:
    """Return the first of *results*, unless there is an error: that of a commit comes last."""
    for result in results:
        if result.status not in GOOD:
            raise error_from_result(result, raw.info.encoding)
    return results[0]

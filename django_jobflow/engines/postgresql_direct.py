"""PostgreSQL: a statement that goes to the server without a cursor, and planned before.

What one enqueue costs beside its commit is mostly the way of the statement: a cursor, the
values bound into a text, and on the server a text to parse and to plan. In autocommit none of
that is needed; inside a transaction of the caller a statement must not fail for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from hashlib import md5
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import error_from_result
from psycopg.generators import execute, fetch_many, send
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

SQLSTATE = DiagnosticField.SQLSTATE

USES = 3  # on one connection, before a statement is prepared there: that is a round trip

PIPELINES = psycopg.Pipeline.is_supported()  # by the libpq that is there

DIVIDED_BY_ZERO = b"22012"
UNLIMITED = b"""SELECT current_setting('idle_in_transaction_session_timeout') = '0'
    AND COALESCE(current_setting('transaction_timeout', true), '0') = '0'"""

GOOD = {ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK}


class Kept:
    """What the session of one connection knows.

    Attributes:
        uses: How often each statement was wanted.
        names: What is prepared.
        is_patient: Whether a transaction may be open for as long as it likes. None means that
            the session was not asked yet.
    """

    def __init__(self) -> None:
        self.uses: Counter[bytes] = Counter()
        self.names: set[bytes] = set()
        self.is_patient: bool | None = None

    def prepare(self, connection: Any, statement: Prepared) -> None:
        """Prepare *statement* in the session, unless it is."""
        if statement.name not in self.names:
            _asked(connection, connection.connection.pgconn.send_prepare, *statement)
            self.names.add(statement.name)


_kept: WeakKeyDictionary[psycopg.Connection[Any], Kept] = WeakKeyDictionary()


class Prepared(NamedTuple):
    """A statement as the server is to keep it."""

    name: bytes
    text: bytes


@lru_cache(maxsize=64)
def prepared(statement: str, columns: tuple[str, ...]) -> Prepared:
    """Return *statement* with a place for each of *columns*, under a name of its own.

    The name says what the text is. So whoever has prepared it in a session, behind a pooler it
    may have been another client, it is the same statement.
    """
    text = (statement % {name: f"${place}" for place, name in enumerate(columns, 1)}).encode()
    return Prepared(b"jobflow_" + md5(text, usedforsecurity=False).hexdigest().encode(), text)


def way(connection: Any) -> psycopg.Connection[Any] | None:
    """Return what to talk to in autocommit, unless somebody wants to see each statement.

    Refuses what a cursor of Django's refuses: a thread or an event loop that is not to use it,
    and whatever others have put in the place of Django's own methods.
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


def is_sound(connection: Any) -> bool:
    """Say whether it is open, in a transaction that takes statements or in none at all."""
    raw: psycopg.Connection[Any] | None = connection.connection
    return raw is not None and raw.pgconn.transaction_status in (
        TransactionStatus.INTRANS,
        TransactionStatus.IDLE,
    )


def kept_for(raw: psycopg.Connection[Any], statement: Prepared) -> Kept | None:
    """Return what the session keeps if *statement* comes there often enough to be prepared.

    Never where psycopg prepares some, too: after a rollback it has the server forget all.
    """
    if raw.prepare_threshold is not None:
        return None
    if (kept := _kept.get(raw)) is None:
        kept = _kept[raw] = Kept()
    kept.uses[statement.name] += 1
    return kept if kept.uses[statement.name] > USES else None


def texts(values: Iterable[Any]) -> list[bytes | None]:
    """Return numbers, texts, truths and None as PostgreSQL reads them."""
    return [None if value is None else str(value).encode() for value in values]


def is_patient(connection: Any) -> bool:
    """Say whether nothing ends a transaction only since it is open.

    Database:
        One statement for each connection.
    """
    raw: psycopg.Connection[Any] = connection.connection
    kept = _kept[raw]
    if kept.is_patient is None:
        with connection.wrap_database_errors:
            result = _asked(connection, raw.pgconn.send_query, UNLIMITED)
        kept.is_patient = result.get_value(0, 0) == b"t"
    return kept.is_patient


def begin_of(connection: Any) -> bytes | None:
    """Return what begins a transaction as psycopg does; None where it is more than BEGIN."""
    raw: psycopg.Connection[Any] = connection.connection
    asked = (raw.isolation_level, raw.read_only, raw.deferrable)
    return b"BEGIN" if asked == (None, None, None) else None


def nothing() -> None:
    """Do nothing."""


def row(
    connection: Any,
    kept: Kept,
    statement: Prepared,
    texts: Sequence[bytes | None],
    meanwhile: Callable[[], object] = nothing,
) -> list[bytes]:
    """Return the row that *statement* returns, each value in PostgreSQL's binary form.

    Nothing in each place means that there was none.

    Args:
        kept: What the session keeps.
        texts: The values of its columns.
        meanwhile: What is to be done while the server is at it.
    """
    send = connection.connection.pgconn.send_query_prepared
    message = (statement.name, texts, None, Format.BINARY)
    try:
        kept.prepare(connection, statement)
        result = _asked(connection, send, *message, meanwhile=meanwhile)
    except psycopg.Error:
        with connection.wrap_database_errors:  # only now: to enter it costs each enqueue
            raise
    return _values(result)


def _values(result: PGresult) -> list[bytes]:
    return [result.get_value(0, place) or b"" for place in range(result.nfields)]


def _asked(
    connection: Any,
    send: Callable[..., object],
    *message: Any,
    meanwhile: Callable[[], object] = nothing,
) -> PGresult:
    """Return what the server answers to the *message* that *send* sends.

    An interrupt may come between the two. Then the connection is closed: the answer would be
    taken for that to the next message. Not so after an error of psycopg's, which comes instead of
    the message where somebody else reads a long answer, or behind its own answer.
    """
    raw: psycopg.Connection[Any] = connection.connection
    try:
        send(*message)
        meanwhile()
        return good(raw, raw.wait(execute(raw.pgconn)))
    except psycopg.Error:
        raise
    except BaseException:
        if raw.pgconn.transaction_status == TransactionStatus.ACTIVE:
            connection.close()
        raise


@contextmanager
def flight(connection: Any) -> Iterator[PGconn]:
    """Have several messages go in one round trip; it ends with the answers to all of them.

    What is still to come when it is left by an error would be taken for later answers, so the
    connection is closed then.
    """
    pgconn: PGconn = connection.connection.pgconn
    try:
        pgconn.enter_pipeline_mode()
        yield pgconn
        pgconn.exit_pipeline_mode()
    except BaseException:  # also where an interrupt comes before whoever is to send
        if pgconn.pipeline_status or pgconn.status != ConnStatus.OK:
            connection.close()
        raise


def row_and_word(
    connection: Any,
    kept: Kept,
    statement: Prepared,
    texts: Sequence[bytes | None],
    word: str,
    meanwhile: Callable[[], object] = nothing,
) -> tuple[list[bytes], bool]:
    """Do what ``row`` does, and execute *word* once that is committed, in the same round trip.

    Returns:
        The row, and whether *word* is known to have been executed. It raises for nothing that
        comes after the commit of the row: whoever heard of that would store it once more.
    """
    raw: psycopg.Connection[Any] = connection.connection
    answers: list[list[PGresult]] = []
    with connection.wrap_database_errors:
        kept.prepare(connection, statement)
        try:
            with flight(connection) as pgconn:
                pgconn.send_query_prepared(statement.name, texts, result_format=Format.BINARY)
                pgconn.pipeline_sync()  # commits
                pgconn.send_query_params(word.encode(), None)
                pgconn.pipeline_sync()
                meanwhile()
                raw.wait(_answers_to_two(pgconn, answers))
        except psycopg.Error:
            if not answers:
                raise
        result = good(raw, answers[0])
    said = answers[1] if len(answers) > 1 else []
    return _values(result), bool(said) and all(each.status in GOOD for each in said)


def keep(connection: Any, statement: Prepared) -> None:
    """Prepare *statement* in the session, of which ``kept_for`` was asked before; unless it is."""
    _kept[connection.connection].prepare(connection, statement)


class Unhit(Exception):
    """What was to be written is not there."""


def end_transaction(
    connection: Any,
    statement: Prepared,
    values: Iterable[Any],
    *,
    before: bytes | None,
    after: bytes | None,
) -> bool:
    """Execute *statement* and commit, in one round trip.

    What fails undoes the transaction, and nothing after it is executed. What is lost with the
    connection behind the commit is no failure.

    Args:
        statement: One that divides by zero if it hits nothing.
        before: What begins this transaction, if nothing has yet.
        after: What begins the next one, if there is one.

    Returns:
        Whether the connection is still there.

    Raises:
        Unhit: The statement hit nothing.
    """
    raw: psycopg.Connection[Any] = connection.connection
    answers: list[PGresult] = []
    place = 0 if before is None else 1  # of the statement's answer; the commit's is the next
    with connection.wrap_database_errors:
        keep(connection, statement)
        try:
            with flight(connection) as pgconn:
                if before is not None:
                    pgconn.send_query_params(before, None)
                pgconn.send_query_prepared(statement.name, texts(values))
                pgconn.send_query_params(b"COMMIT", None)
                if after is not None:
                    pgconn.send_query_params(after, None)
                pgconn.pipeline_sync()
                raw.wait(answers_of(pgconn, answers))
        except psycopg.Error:
            if _is_committed(answers, place):
                return False
            raise
        if not _is_committed(answers, place):
            if answers[place].error_field(SQLSTATE) == DIVIDED_BY_ZERO:
                raise Unhit
            good(raw, answers)
        elif answers[-1].status not in GOOD:
            connection.close()
            return False
    return True


def _is_committed(answers: Sequence[PGresult], place: int) -> bool:
    """Say whether the commit behind the statement at *place* is known to be over."""
    return len(answers) > place + 1 and answers[place + 1].status in GOOD


def answers_of(pgconn: PGconn, answers: list[PGresult]) -> PQGen[None]:
    """Send what is to be sent, and add what is answered up to the synchronization."""
    yield from send(pgconn)
    while some := (yield from fetch_many(pgconn)):
        if some[0].status == ExecStatus.PIPELINE_SYNC:
            return
        answers += some
    raise psycopg.OperationalError("The connection was lost.")


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


def say(connection: Any, statement: str) -> None:
    """Execute a statement that has neither values nor rows."""
    raw: psycopg.Connection[Any] = connection.connection
    with connection.wrap_database_errors:
        _asked(connection, raw.pgconn.send_query, statement.encode())


def send_behind(pgconn: PGconn, text: bytes, last: bytes | None) -> None:
    """Send a statement, planned with *last* if it is the same: that is the one without a name."""
    if text == last:
        pgconn.send_query_prepared(b"", None)
    else:
        pgconn.send_query_params(text, None)


def say_all(connection: Any, statements: Sequence[bytes]) -> None:
    """Execute *statements* that have neither values nor rows, in one round trip.

    One that is that before it is planned once with it: not for longer, since the server reads
    a text like 'now' or a time without a zone when it plans.
    """
    raw: psycopg.Connection[Any] = connection.connection
    answers: list[PGresult] = []
    with connection.wrap_database_errors:
        with flight(connection) as pgconn:
            last = None
            for text in statements:
                send_behind(pgconn, text, last)
                last = text
            pgconn.pipeline_sync()
            raw.wait(answers_of(pgconn, answers))
        good(raw, answers)


def good(raw: psycopg.Connection[Any], results: Sequence[PGresult]) -> PGresult:
    """Return the first of *results*, unless there is an error: that of a commit comes last."""
    for result in results:
        if result.status not in GOOD:
            raise error_from_result(result, raw.info.encoding)
    return results[0]

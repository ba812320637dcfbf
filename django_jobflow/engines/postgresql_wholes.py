"""PostgreSQL: several transactions in one round trip, and with one flush."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg
from django.db import Error
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

from django_jobflow.engines import postgresql_direct as direct
from django_jobflow.engines.transactions import Unanswered

BEGIN, COMMIT, CHAIN, UNFLUSHED = (
    direct.prepared(text, ())
    for text in ("BEGIN", "COMMIT", "COMMIT AND CHAIN", "SET LOCAL synchronous_commit = off")
)
# The least that has a commit wait for the disk.
FLUSHED = "SELECT pg_logical_emit_message(true, 'jobflow', '')"


class Whole(NamedTuple):
    """A transaction that goes to the server as a whole.

    Attributes:
        texts: Statements that have neither values nor rows.
        statement: What comes last; it divides by zero if it hits nothing.
        values: Of its columns.
    """

    texts: Sequence[bytes]
    statement: direct.Prepared
    values: Sequence[bytes | None]


def commit_each(
    connection: Any, wholes: Sequence[Whole], *, prepares: bool = True, blames: bool = False
) -> list[Exception | None]:
    """Execute *wholes*, each a transaction of its own, in one round trip and with one flush.

    Not one synchronization for each: the server answers at once to that, and whoever waits for
    the last would be woken by all. And only the last waits until its commit is on the disk,
    where all before it are by then: the log is written in its order.

    Args:
        prepares: Whether the session may keep their statements.
        blames: Whether there is but one, and it is the one to blame if the connection is lost.

    Returns:
        For each of them None if it is committed, ``Unhit`` if its statement hit nothing, or
        what the server has against it. The first that fails is the last of these: what is
        behind that was not executed. Where the connection was lost, ``Unanswered`` for all of
        which nothing is known, or its error for the one to blame.
    """
    raw: psycopg.Connection[Any] = connection.connection
    answers: list[PGresult] = []
    lost: Exception | None = None
    if connection.connection.closed:  # by somebody else
        return [Unanswered("The connection was closed.") for _ in wholes]
    try:
        with connection.wrap_database_errors:
            if prepares:
                own = {each.statement for each in wholes}
                for statement in {BEGIN, COMMIT, CHAIN, UNFLUSHED} | own:
                    direct.keep(connection, statement)
            with direct.flight(connection) as pgconn:
                _send_wholes(pgconn, wholes, prepares=prepares)
                raw.wait(direct.answers_of(pgconn, answers))
    except Error as error:
        if not raw.closed:  # a statement cannot be kept
            return [error]
        lost = error
    ends = _ends_of(connection, wholes, answers)
    if lost is None:
        try:
            _end_flight(connection, ends)
        except Error as error:  # nobody knows which of them are on the disk
            connection.close()
            lost = error
        else:
            return ends
    committed = 0 if len(wholes) > 1 else sum(each is None for each in ends)
    unknown = wholes[committed:]
    why = [lost] if blames else [Unanswered(str(lost)) for _ in unknown]
    return [*ends[:committed], *why[: len(unknown)]]


def _end_flight(connection: Any, ends: Sequence[Exception | None]) -> None:
    """Leave the transaction that has failed, if one has, and flush the commits before it."""
    if ends[-1] is None:
        return
    status = connection.connection.pgconn.transaction_status
    words = ["ROLLBACK"] if status == TransactionStatus.INERROR else []
    if len(ends) > 1:
        words += ["BEGIN", FLUSHED, "COMMIT"]
    if words:
        direct.say(connection, "; ".join(words))


def _send_wholes(pgconn: PGconn, wholes: Sequence[Whole], *, prepares: bool) -> None:
    def send(statement: direct.Prepared, values: Sequence[bytes | None] | None = None) -> None:
        if prepares:
            pgconn.send_query_prepared(statement.name, values)
        else:
            pgconn.send_query_params(statement.text, values)

    send(BEGIN)
    last = None
    for each in wholes:
        is_last = each is wholes[-1]
        if not is_last:
            send(UNFLUSHED)
        for text in each.texts:
            direct.send_behind(pgconn, text, last)
            # Where nothing is prepared, another has come to be without a name by the next one.
            last = text if prepares else None
        send(each.statement, each.values)
        send(COMMIT if is_last else CHAIN)
    pgconn.pipeline_sync()


def _ends_of(
    connection: Any, wholes: Sequence[Whole], answers: Sequence[PGresult]
) -> list[Exception | None]:
    """Return what is known of *wholes*, up to the first that was not committed."""
    ends: list[Exception | None] = []
    begun, place = answers[:1], 1
    for each in wholes:
        before = 0 if each is wholes[-1] else 1  # how it is committed
        behind = place + before + len(each.texts) + 2
        said = [*begun, *answers[place:behind]]
        if all(answer.status in direct.GOOD for answer in said) and len(answers) >= behind:
            ends.append(None)
            place = behind
            continue
        if any(answer.status not in direct.GOOD for answer in said):
            ends.append(_end_of(connection, said, len(begun) + before + len(each.texts)))
        break
    return ends


def _end_of(connection: Any, said: Sequence[PGresult], place: int) -> Exception:
    """Return what the server has against a transaction whose last statement is at *place*."""
    if len(said) > place and said[place].error_field(direct.SQLSTATE) == direct.DIVIDED_BY_ZERO:
        return direct.Unhit()
    try:
        with connection.wrap_database_errors:
            direct.good(connection.connection, said)
    except Error as error:
        return error
    raise AssertionError("It was committed.")

"""PostgreSQL: bodies that only write are sent with their ends, several transactions at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import InternalError
from psycopg.pq import TransactionStatus

from django_jobflow.attempts import Ending, Reservation
from django_jobflow.engines import postgresql_direct as direct
from django_jobflow.engines import postgresql_wholes as wholes
from django_jobflow.engines.postgresql_ends import gone_alone
from django_jobflow.engines.postgresql_session import UNPREPARED
from django_jobflow.engines.postgresql_transactions import ChainedTransactions
from django_jobflow.engines.postgresql_unasked import Statement
from django_jobflow.engines.postgresql_waking import code_of
from django_jobflow.engines.postgresql_withholding import MOST, MOST_BYTES, Withholding
from django_jobflow.engines.repeating import TRIES
from django_jobflow.engines.transactions import Pending, Unanswered, never

if TYPE_CHECKING:
    from django_jobflow.engines.postgresql import PostgreSQLEngine

LONGEST = 0.02  # seconds that the first may wait for others
MOST_SUSPECTS = 10_000  # that are remembered: who ends in another way is not taken out
GIVEN_BACK = 5  # times, after which one goes alone though nobody here knows why


@dataclass(slots=True, eq=False)
class Unit(Pending):
    """What one body has written, and its end: a transaction that is to be sent.

    Attributes:
        whole: As it is sent.
        hooks: What is to run once it is committed.
        is_suspect: Whether it got no answer when it was sent before, with others.
        tries: How often it was sent.
    """

    whole: wholes.Whole = field(kw_only=True)
    hooks: list[Any] = field(kw_only=True)
    is_suspect: bool = field(kw_only=True)
    tries: int = 0


class Pipelining(Withholding, ChainedTransactions):
    """The transactions of a slot, of which several go in one round trip.

    Django thinks of all of them as one block, as in a chain. The server knows of none until a
    body asks for something: that begins a transaction, behind all that were to be sent. What
    nobody has asked for is sent with its end, as a transaction of its own.
    """

    statuses = frozenset({TransactionStatus.INTRANS, TransactionStatus.IDLE})

    def __init__(self, engine: PostgreSQLEngine) -> None:
        Withholding.__init__(self, engine.alias)
        ChainedTransactions.__init__(self, engine)
        self._units: list[Unit] = []
        self._over: list[Pending] = []
        self._suspects = engine.suspects
        self._taking: AbstractContextManager[None] | None = None
        self._has_asked = False
        self._is_void = False  # not all that the body has executed will be there
        self._since = 0.0  # when the first of the units was ready
        self._size = self._length = 0  # statements of the units, and bytes of their texts

    @contextmanager
    def next(self) -> Iterator[None]:
        self.is_cut = self.waits_for_others = False
        with super().next():
            self._begin_body()
            try:
                yield
            finally:
                self._is_inside = False

    def _begin_body(self) -> None:
        connection: Any = self.engine.connection
        self._forget()
        if self._taking is None and self._may_withhold(connection):
            self._taking = self._taken_over(connection)
            self._taking.__enter__()
        self._own_savepoints = connection.savepoint_state
        self._has_asked = self._is_void = self._is_sending = False
        self._is_inside = self._taking is not None

    def _may_withhold(self, connection: Any) -> bool:
        """Say whether what goes as a transaction of its own is as if psycopg had begun it."""
        return (
            direct.PIPELINES
            and connection.connection is not None
            and direct.begin_of(connection) is not None
            and not direct.is_watched(connection)
        )

    def settle(self, ending: Ending, is_followed: Callable[[], bool] = never) -> bool:
        connection: Any = self.engine.connection
        connection.validate_no_broken_transaction()
        self._is_inside = False
        if self._is_void:
            raise InternalError("A statement of this transaction has failed.")
        unit = self._unit_of(connection, ending)
        if unit is None:
            self._send_all()
            self._give_back()
            # The next is thought to ask, too, and then needs a transaction that has begun.
            return super().settle(ending, is_followed if self._has_asked else never)
        self._add(unit)
        connection.run_on_commit = []
        is_last = self._is_full() or not self._has_nothing_else(connection)
        self.is_begun = not is_last and is_followed()
        return self.is_begun or self._send_with(unit)

    def _send_with(self, unit: Unit) -> bool:
        """Send all there is, of which *unit* is the last; say whether that was still its own."""
        self._send_units(unit)
        self._over.remove(unit)
        if unit.error is not None:
            raise unit.error
        return not unit.is_lost

    def _unit_of(self, connection: Any, ending: Ending) -> Unit | None:
        """Return what is to be sent; None if that is not all there is to do."""
        if self._is_slow or not self._goes_as_a_whole(connection):
            return None
        if len(connection.run_on_commit) > 1 or not self.engine.goes_alone(ending):
            return None
        if any(each.asker is not None for each in self._unsent):
            return None  # somebody has kept the cursor
        statement, values = gone_alone(ending, self.engine.plan, or_fail=True)
        prepared = direct.prepared(statement, tuple(values))
        if direct.kept_for(self._raw, prepared) is None:
            return None
        texts = [each.text.encode() for each in self._unsent]
        whole = wholes.Whole(texts, prepared, direct.texts(values.values()))
        is_suspect = ending.reservation.id in self._suspects
        return Unit(ending, whole=whole, hooks=connection.run_on_commit, is_suspect=is_suspect)

    def _goes_as_a_whole(self, connection: Any) -> bool:
        """Say whether nothing of the present transaction was sent, and nobody is in the way."""
        return (
            self._raw is not None
            and self._raw is connection.connection
            and connection.commit_on_exit
            and not connection.savepoint_ids
            and not connection.queries_logged
            and len(connection.execute_wrappers) == 1
            and self._raw.pgconn.transaction_status == TransactionStatus.IDLE
            and not self._raw.pgconn.pipeline_status
        )

    def _add(self, unit: Unit) -> None:
        if not self._units:
            self._since = time.monotonic()
            self._size = self._length = 0
        self._units.append(unit)
        self._size += len(unit.whole.texts) + 1
        self._length += self._bytes
        self._forget()

    def _is_full(self) -> bool:
        is_large = self._size >= MOST or self._length > MOST_BYTES
        return is_large or time.monotonic() - self._since > LONGEST

    @property
    def has_pending(self) -> bool:
        return bool(self._units)

    def pending(self, ending: Ending) -> bool:
        return bool(self._units) and self._units[-1].ending is ending

    def take_over(self) -> list[Pending]:
        over, self._over = self._over, []
        return over

    def end(self) -> None:
        if self.is_begun:
            self._send_units()
        super().end()

    def _leave(self, *error: Any) -> None:
        try:
            self._send_units()
        finally:
            self._give_back()
            self._forget()
            super()._leave(*error)

    def _give_back(self) -> None:
        taking, self._taking = self._taking, None
        if taking is not None:
            taking.__exit__(None, None, None)

    # Sending

    def _send_before(self) -> None:
        with self._raw.lock:  # a thread of the body's may have something to say, too
            if self._is_inside:
                self._has_asked = True
                self._send_all()
            else:
                self._send_units()

    def _send_all(self) -> None:
        self._send_others()
        if self._unsent:
            self._send_own()

    def _send_others(self) -> None:
        """Send what has ended; what keeps that from its end is no fault of the present body."""
        if not self._units:
            return
        try:
            self._send_units()
        except BaseException as interrupt:
            # One that the body may catch has cost it nothing, if the connection is there.
            self.is_cut = self._raw.closed or not isinstance(interrupt, Exception)
            raise
        if self._raw.closed:
            self.is_cut = True
            raise Unanswered("The connection was lost.")

    def _send_own(self) -> None:
        """Begin a transaction with what the present body has executed so far."""
        with self._lossless():
            mine = self._unsent
            self._forget()
            begins = self._raw.pgconn.transaction_status == TransactionStatus.IDLE
            self._send(["BEGIN"] if begins else [], mine)

    def _send_asked(self, statement: Statement) -> None:
        with self._lossless():
            place = self._unsent.index(statement)
            later = self._unsent[place + 1 :]
            del self._unsent[place:]
            self._send_before()
            asker = statement.asker
            assert asker is not None
            self._execute_by(asker, statement)
            self._unsent += later

    @contextmanager
    def _lossless(self) -> Iterator[None]:
        """Have the body fail unless it comes to its end: an interrupt may come anywhere."""
        was_void, self._is_void = self._is_void, True
        yield
        self._is_void = was_void

    def _send_units(self, own: Unit | None = None) -> None:
        """Send what has ended, and take in what came of it.

        What the database has undone for the sake of another is sent again: it is all there.

        Args:
            own: That of the present body.
        """
        try:
            while self._units:
                self.waits_for_others = any(unit is not own for unit in self._units)
                self._send_once()
        finally:
            self.waits_for_others = False

    def _send_once(self) -> None:
        units = self._units
        for unit in units:
            unit.error = Unanswered("It was interrupted.")  # unless it is known better
        self._over += units
        self._units = []
        if len(self._suspects) > MOST_SUSPECTS:
            self._suspects.clear()
        self._suspects.update(unit.ending.reservation.id for unit in units)
        began = time.monotonic()
        ends = self._commit(units, blames=len(units) == 1 and units[0].is_suspect)
        if not isinstance(ends[0], Unanswered):
            # It may have been the disk: what the statement alone takes, the next one will tell.
            self._is_slow = self._usual.is_exceeded_since(began, len(units))
        for unit, error in zip(units, ends, strict=False):
            self._take_in(unit, error)
        for unit in units[len(ends) :]:  # behind one that failed
            self._send_again(unit)

    def goes_alone(self, reservation: Reservation) -> bool:
        surplus = reservation.reserved_count - reservation.attempt
        return reservation.id in self._suspects or surplus > GIVEN_BACK

    def _commit(self, units: list[Unit], *, blames: bool) -> list[Exception | None]:
        self._is_sending = True
        try:
            with self._raw.lock:
                return wholes.commit_each(
                    self._connection,
                    [each.whole for each in units],
                    prepares=self.engine.prepares,
                    blames=blames,
                )
        finally:
            self._is_sending = False

    def _take_in(self, unit: Unit, error: Exception | None) -> None:
        unit.tries += 1
        if not isinstance(error, Unanswered):
            self._suspects.discard(unit.ending.reservation.id)
        if error is None:
            unit.error = None
            for _, hook, _ in unit.hooks:
                hook()
        elif isinstance(error, direct.Unhit):
            unit.error, unit.is_lost = None, True
        elif unit.tries < TRIES and self._is_undone(error):
            self._send_again(unit)
        else:
            unit.error = error

    def _send_again(self, unit: Unit) -> None:
        self._units.append(unit)  # first, since an interrupt must not lose it
        self._over.remove(unit)

    def _is_undone(self, error: Exception) -> bool:
        """Say whether what it was raised for may well succeed the next time."""
        if isinstance(error, Unanswered):
            return False
        self.engine.note_refusal(error)
        return code_of(error) in UNPREPARED or self.engine.is_undone(error)

"""PostgreSQL: what the bodies of a group write is sent once somebody waits for an answer.

The way there and back takes both sides longer than most statements do. A group is undone and
its bodies are run again one by one where a statement fails: so a body needs no answer that it
does not ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg
from django.db import Error, InternalError, connections
from psycopg.pq import TransactionStatus

from django_jobflow.engines import postgresql_direct as direct
from django_jobflow.engines.postgresql_unasked import Statement, pass_over
from django_jobflow.engines.postgresql_withholding import Withholding
from django_jobflow.engines.savepoints import Chain

PAUSE = 10  # groups that wait for each answer, after the first that was undone
LONGEST_PAUSE = 320


class Member(AbstractContextManager[None]):
    """One body of a group at a time; a generator in its place would cost each a microsecond.

    Args:
        group: Told of its begin and its end.
    """

    def __init__(self, group: Deferring) -> None:
        self._group = group

    def __enter__(self) -> None:
        self._group.enter()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._group.leave(error)


class Deferring(Withholding, Chain):
    """The savepoints of one slot, and what is done inside of them.

    A savepoint is opened by what has to be sent inside of it. What is not sent yet is undone by
    not being sent.

    Args:
        alias: Of the database.
    """

    def __init__(self, alias: str) -> None:
        super().__init__(alias)
        self._member = Member(self)
        self._pause = PAUSE
        self._paused = 0
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._last = ""
        self._is_inside = self._is_open = self._is_sending = False
        # The group is to be undone; the body that runs is to run again, too.
        self._is_broken = self._is_void = False
        self._forget()

    def _forget(self) -> None:
        super()._forget()
        self._bytes_before = 0  # of the texts of those before the present body

    @contextmanager
    def series(self) -> Iterator[None]:
        connection: Any = connections[self.alias]
        if not self._may_defer(connection):
            with super().series():
                yield
            return
        self._begin(connection)
        self._begin_anew()
        try:
            with self._taken_over(connection):
                yield
                self._end()
        except BaseException:
            if self._is_broken:
                self._paused, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
            raise
        finally:
            self._forget()

    def next(self) -> AbstractContextManager[object]:
        return super().next() if self._raw is None else self._member

    def enter(self) -> None:
        """Begin with another body."""
        connection = self._connection
        self._number += 1
        self._mark, self._bytes_before = len(self._unsent), self._bytes
        self._own_savepoints = connection.savepoint_state
        self._is_open, self._is_inside = False, True
        connection.savepoint_ids.append(self._name)

    def leave(self, error: BaseException | None) -> None:
        """End with it; what it has done is undone after an *error*."""
        connection = self._connection
        try:
            if error is None:
                self._see_to_the_end(connection)
            else:
                self._undo_after(connection, error)
        finally:
            self._is_inside = False
            connection.savepoint_ids.pop()

    @property
    def _name(self) -> str:
        """Of the savepoint of the present body."""
        return f"jobflow_{self._number}"

    def _see_to_the_end(self, connection: Any) -> None:
        try:
            self._refuse_failed(connection)
            for each in self._unsent[self._mark :]:
                if each.asker is not None:  # somebody has kept the cursor: a hook, say
                    self._send_before()
                    break
        except BaseException as error:
            self._undo_after(connection, error)
            raise

    def _undo_after(self, connection: Any, error: BaseException) -> None:
        self._undo(connection, self._name)
        if self._is_void and isinstance(error, Exception):
            raise InternalError("A statement of this transaction has failed.") from error

    def _may_defer(self, connection: Any) -> bool:
        if self._paused:
            self._paused -= 1
            return False
        return (
            direct.PIPELINES
            and connection.connection is not None
            and not direct.is_watched(connection)
        )

    def _begin(self, connection: Any) -> None:
        """Have the server begin the transaction: a body is not to find out that it is gone."""
        if direct.is_in_transaction(connection):
            return
        if begin := direct.begin_of(connection):
            direct.say(connection, begin.decode())
        else:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")  # psycopg begins one with it

    def _end(self) -> None:
        """Send what is left, and release the last savepoint."""
        if self._is_broken:
            raise InternalError("This transaction was interrupted.")
        words = [f"RELEASE SAVEPOINT {self._last}"] if self._last else []
        with self._lossless():
            self._send([*(each.text for each in self._unsent), *words], [])

    def _refuse_failed(self, connection: Any) -> None:
        if self._is_broken:
            self._is_void = True
            raise InternalError("A statement of this transaction has failed.")
        if self._raw.pgconn.transaction_status != TransactionStatus.INTRANS:
            super()._refuse_failed(connection)

    def _undo(self, connection: Any, name: str) -> None:
        if self._is_broken:
            connection.needs_rollback = True
            return
        del self._unsent[self._mark :]
        self._bytes = self._bytes_before
        if self._is_open:
            super()._undo(connection, name)
            # Somebody has left the savepoint, or the server has never read so far.
            self._is_broken = connection.needs_rollback
        elif not connection.closed_in_transaction:
            connection.needs_rollback = False
            connection.run_on_commit = [
                each for each in connection.run_on_commit if name not in each[0]
            ]

    def _execute_now(self, execute: Callable[[str], Any], driver: Any) -> Any:
        if driver is None or self._is_open or self._unsent:
            return super()._execute_now(execute, driver)
        with self._raw.lock, self._opened_by_message() as opening:
            result = execute(opening)
            pass_over(opening, driver)
            return result

    def _send_asked(self, statement: Statement) -> None:
        was_broken, self._is_broken = self._is_broken, True
        place = self._unsent.index(statement)
        later = self._unsent[place + 1 :]
        del self._unsent[place:]
        error = self._error_of(statement)
        if error is None:
            self._unsent += later
        self._is_broken = was_broken or self._is_void
        if error is not None:
            raise error

    def _error_of(self, statement: Statement) -> Error | None:
        """Execute *statement* behind all others; return what the server has against it."""
        asker = statement.asker
        assert asker is not None
        opens = not self._is_open and not self._unsent and self._takes_several()
        try:
            if opens and isinstance(asker.driver, psycopg.ClientCursor):
                with self._opened_by_message() as opening:
                    self._execute_by(asker, statement, opening)
                return None
        except Error as error:
            return error
        self._send_before()
        try:
            self._execute_by(asker, statement)
        except Error as error:
            return error
        return None

    @contextmanager
    def _lossless(self) -> Iterator[None]:
        """Have the group undone unless it comes to its end: an interrupt may come anywhere."""
        was_broken, self._is_broken = self._is_broken, True
        try:
            yield
        except Error:
            self._is_void = True
            raise
        self._is_broken = was_broken or self._is_void

    @contextmanager
    def _opened_by_message(self) -> Iterator[str]:
        """Open the savepoint by the message of a statement; yield what goes before that."""
        was_broken, self._is_broken = self._is_broken, True
        last = self._last
        try:
            yield "".join(f"{word};\n" for word in self._opening())
        except Error:
            if direct.is_in_transaction(self._connection):  # it was not sent
                self._last, self._is_open = last, False
            # One that is cut off has met the savepoint as much as the statement.
            self._is_void |= self._raw.closed
            self._is_broken = was_broken or self._is_void
            raise
        self._is_broken = was_broken

    def _opening(self) -> list[str]:
        """Return what opens the savepoint of the present body."""
        words = [f"RELEASE SAVEPOINT {self._last}"] if self._last else []
        self._last = self._name
        self._is_open = True
        return [*words, f"SAVEPOINT {self._last}"]

    def _send_before(self) -> None:
        """Do what the base does, and open the savepoint of the present body."""
        if not self._unsent and (self._is_open or not self._is_inside):
            return
        with self._raw.lock, self._lossless():
            others, mine = self._unsent[: self._mark], self._unsent[self._mark :]
            words = [] if self._is_open or not self._is_inside else self._opening()
            self._forget()
            self._send([*(each.text for each in others), *words], mine)

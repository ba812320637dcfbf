"""PostgreSQL: what the bodies of a group write is sent once somebody waits for an answer.

The way there and back takes both sides longer than most statements do. A group is undone and
its bodies are run again one by one where a statement fails: so a body needs no answer that it
does not ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, RLock
from typing import Any

import psycopg
from django.db import Error, InternalError, connections
from django.db.backends.utils import CursorWrapper
from psycopg.pq import TransactionStatus

from django_jobflow.engines import postgresql_direct as direct
from django_jobflow.engines.postgresql_unasked import Statement, Unasked, pass_over
from django_jobflow.engines.savepoints import Chain

WRITES = {"INSERT", "UPDATE", "DELETE"}

MOST = 256  # statements that are kept
MOST_BYTES = 256 * 1024  # of their texts

PAUSE = 10  # groups that wait for each answer, after the first that was undone
LONGEST_PAUSE = 320


class Deferring(Chain):
    """The savepoints of one slot, and what is done inside of them.

    A savepoint is opened by what has to be sent inside of it. What is not sent yet is undone by
    not being sent.

    Args:
        alias: Of the database.
    """

    def __init__(self, alias: str) -> None:
        super().__init__(alias)
        self._connection: Any = None
        self._raw: Any = None
        self._own_savepoints = 0
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
        self._unsent: list[Statement] = []
        self._mark = 0  # place of the first of the present body
        self._bytes = self._bytes_before = 0  # of the texts; of those before the present body

    @contextmanager
    def series(self) -> Iterator[None]:
        connection: Any = connections[self.alias]
        if not self._may_defer(connection):
            with super().series():
                yield
            return
        self._begin(connection)
        self._begin_anew()
        raw = connection.connection
        self._connection, self._raw = connection, raw
        lock = self._take_over(raw)
        try:
            with connection.execute_wrapper(self._execute):
                yield
                self._end()
        except BaseException:
            if self._is_broken:
                self._paused, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
            raise
        finally:
            raw.lock = lock
            vars(raw).pop("wait", None)
            self._forget()
            self._connection = self._raw = None

    def _take_over(self, raw: Any) -> Lock:
        """Be asked before anything is sent; return what is to be put back.

        All that psycopg does on a connection waits for the server in one place, with the lock
        held, whoever it is that goes past Django.
        """
        lock: Lock = raw.lock
        raw.lock = RLock()
        raw.wait = self._wait
        return lock

    @contextmanager
    def next(self) -> Iterator[None]:
        if self._raw is None:
            with super().next():
                yield
            return
        connection = self._connection
        self._number += 1
        name = f"jobflow_{self._number}"
        self._mark, self._bytes_before = len(self._unsent), self._bytes
        self._own_savepoints = connection.savepoint_state
        self._is_open, self._is_inside = False, True
        connection.savepoint_ids.append(name)
        try:
            yield
            self._refuse_failed(connection)
            # Somebody has kept the cursor: a hook, say.
            if any(each.may_be_asked for each in self._unsent[self._mark :]):
                self._send_before()
        except BaseException as error:
            self._undo(connection, name)
            if self._is_void and isinstance(error, Exception):
                raise InternalError("A statement of this transaction has failed.") from error
            raise
        finally:
            self._is_inside = False
            connection.savepoint_ids.pop()

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

    def _execute(
        self,
        execute: Callable[..., Any],
        sql: Any,
        params: Any,
        many: bool,
        context: dict[str, Any],
    ) -> Any:
        """Keep what only writes; send the rest, and open a savepoint by the same message."""
        wrapper, connection = context["cursor"], context["connection"]
        if isinstance(wrapper.cursor, Unasked):
            wrapper.cursor = wrapper.cursor.statement.cursor  # it forgets what it said before
        if not self._is_inside:
            return execute(sql, params, many, context)
        driver = wrapper.cursor
        # Whoever wants to see each statement sees it as the body has written it, and when.
        is_watched = type(wrapper) is not CursorWrapper or len(connection.execute_wrappers) > 1
        is_plain = type(sql) is str and not many and not driver.closed
        if is_plain and not is_watched and self._takes_several():
            binds = isinstance(driver, psycopg.ClientCursor)
            if (binds or params is None) and self._may_be_kept(connection, sql):
                return self._keep(wrapper, connection, sql, params)
            if binds and not self._is_open and not self._unsent:
                with self._opened_by_message() as opening:
                    result = execute(opening + sql, params, many, context)
                    pass_over(opening, driver)
                    return result
        self._send_before()
        return execute(sql, params, many, context)

    def _takes_several(self) -> bool:
        pgconn = self._raw.pgconn
        is_sound = pgconn.transaction_status == TransactionStatus.INTRANS
        return is_sound and not pgconn.pipeline_status

    def _may_be_kept(self, connection: Any, sql: str) -> bool:
        """Say whether *sql* is one statement without rows, whose error undoes the whole body.

        A body with a savepoint of its own may go on behind an error, and has to know of it.
        """
        is_one = sql.lstrip()[:6].upper() in WRITES and ";" not in sql
        is_silent = is_one and "RETURNING" not in sql.upper()
        return is_silent and connection.savepoint_state == self._own_savepoints

    def _keep(self, wrapper: Any, connection: Any, sql: str, params: Any) -> Unasked:
        connection.validate_no_broken_transaction()
        driver = wrapper.cursor

        def execute(text: str) -> None:
            with connection.wrap_database_errors:
                driver.execute(text)

        text = sql
        if params is not None:
            with connection.wrap_database_errors:
                text = driver.mogrify(sql, params)
        with self._raw.lock:  # a thread of the body's may be at what is past Django
            if len(self._unsent) >= MOST or self._bytes > MOST_BYTES:
                self._send_before()
            statement = Statement(text, driver, execute)
            self._unsent.append(statement)
            self._bytes += len(text)
        wrapper.cursor = unasked = Unasked(statement, self._ask)
        return unasked

    def _ask(self, statement: Statement) -> None:
        """Have *statement* executed by its own cursor, unless its body was undone."""
        if not self._is_inside or statement not in (mine := self._unsent[self._mark :]):
            return
        was_broken, self._is_broken = self._is_broken, True
        place = self._mark + mine.index(statement)
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
        opens = not self._is_open and not self._unsent and self._takes_several()
        try:
            if opens and isinstance(statement.cursor, psycopg.ClientCursor):
                with self._opened_by_message() as opening:
                    statement.execute(opening)
                return None
        except Error as error:
            return error
        self._send_before()
        try:
            statement.execute()
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
        self._last = f"jobflow_{self._number}"
        self._is_open = True
        return [*words, f"SAVEPOINT {self._last}"]

    def _wait(self, *args: Any, **options: Any) -> Any:
        """Do what the connection's method does, behind what was not sent yet."""
        raw = self._raw
        if not self._is_sending:
            try:
                self._send_before()
            except Error:
                # Whoever goes past Django may leave something begun behind him.
                self._connection.close()
                raise
        return type(raw).wait(raw, *args, **options)

    def _send_before(self) -> None:
        """Send what was executed before, and open the savepoint of the present body."""
        if not self._unsent and (self._is_open or not self._is_inside):
            return
        with self._lossless():
            others, mine = self._unsent[: self._mark], self._unsent[self._mark :]
            words = [] if self._is_open or not self._is_inside else self._opening()
            self._forget()
            self._send([*(each.text for each in others), *words], mine)

    def _send(self, batch: list[str], mine: list[Statement]) -> None:
        """Send *batch*, and then what the present body has executed so far."""
        self._is_sending = True
        try:
            for statement in mine:
                if statement.may_be_asked:
                    self._say_all(batch)
                    batch = []
                    statement.execute()
                else:
                    batch.append(statement.text)
            self._say_all(batch)
        finally:
            self._is_sending = False

    def _say_all(self, batch: list[str]) -> None:
        if batch:
            with self._raw.lock:
                direct.say_all(self._connection, [text.encode() for text in batch])

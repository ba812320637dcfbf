"""PostgreSQL: what the bodies of a group write is sent once somebody waits for an answer.

The way there and back takes both sides longer than most statements do. A group is undone and
its bodies are run again one by one where a statement fails: so a body needs no answer that it
does not ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
        self._binder: Any = None  # a cursor that puts values into texts, and executes none
        self._member = Member(self)
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
        lock = self._take_over(connection, raw)
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
            vars(connection).pop("create_cursor", None)
            self._forget()
            self._connection = self._raw = None

    def _take_over(self, connection: Any, raw: Any) -> Lock:
        """Be asked before anything is sent; return what is to be put back.

        All that psycopg does on a connection waits for the server in one place, with the lock
        held, whoever it is that goes past Django.
        """
        if self._binder is None or self._binder.connection is not raw:
            self._binder = connection.create_cursor()
        lock: Lock = raw.lock
        raw.lock = RLock()
        raw.wait = self._wait
        connection.create_cursor = self._create_cursor
        return lock

    def _create_cursor(self, name: str | None = None) -> Any:
        """Do what the connection's method does, but as late as somebody asks."""
        return self.make_cursor(name) if name else Unasked(self)

    def make_cursor(self, name: str | None = None) -> Any:
        """Return a cursor of the driver's, as the connection makes it."""
        connection: Any = connections[self.alias]
        return type(connection).create_cursor(connection, name)

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
        cursor = wrapper.cursor
        if not isinstance(cursor, Unasked):
            cursor = Unasked(self, cursor)
        cursor.keep(None)  # it forgets what it said before
        # Whoever wants to see each statement sees it as the body has written it, and when.
        is_watched = type(wrapper) is not CursorWrapper or len(connection.execute_wrappers) > 1
        is_plain = self._is_inside and type(sql) is str and not many and not cursor.is_closed
        binds = False
        if is_plain and not is_watched and self._takes_several():
            binder = cursor.driver if cursor.has_driver else self._binder
            binds = isinstance(binder, psycopg.ClientCursor)
            if (binds or params is None) and self._may_be_kept(connection, sql):
                wrapper.cursor = cursor
                return self._keep(connection, cursor, binder, sql, params)
        with connection.wrap_database_errors:
            wrapper.cursor = driver = cursor.driver
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

    def _keep(
        self, connection: Any, cursor: Unasked, binder: Any, sql: str, params: Any
    ) -> Unasked:
        connection.validate_no_broken_transaction()
        text = sql
        if params is not None:
            with connection.wrap_database_errors:
                text = binder.mogrify(sql, params)
        with self._raw.lock:  # a thread of the body's may be at what is past Django
            if len(self._unsent) >= MOST or self._bytes > MOST_BYTES:
                self._send_before()
            statement = Statement(text, cursor)
            cursor.keep(statement)
            self._unsent.append(statement)
            self._bytes += len(text)
        return cursor

    def ask(self, statement: Statement) -> None:
        """Have *statement* executed by the cursor of its asker, unless its body was undone."""
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

    def _execute_by(self, asker: Unasked, statement: Statement, opening: str = "") -> None:
        with self._connection.wrap_database_errors:
            asker.execute_by_driver(statement, opening)

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
                if (asker := statement.asker) is not None:
                    self._say_all(batch)
                    batch = []
                    self._execute_by(asker, statement)
                else:
                    batch.append(statement.text)
            self._say_all(batch)
        finally:
            self._is_sending = False

    def _say_all(self, batch: list[str]) -> None:
        if batch:
            with self._raw.lock:
                direct.say_all(self._connection, [text.encode() for text in batch])

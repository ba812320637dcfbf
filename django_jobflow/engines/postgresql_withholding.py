"""PostgreSQL: what a body only writes is kept until somebody waits for an answer.

The way there and back takes both sides longer than most statements do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import RLock
from typing import Any

import psycopg
from django.db import Error
from django.db.backends.utils import CursorWrapper
from psycopg.pq import TransactionStatus

from django_jobflow.engines import postgresql_direct as direct
from django_jobflow.engines.postgresql_unasked import Statement, Unasked, make_cursor

WRITES = {"INSERT", "UPDATE", "DELETE"}

MOST = 256  # statements that are kept
MOST_BYTES = 256 * 1024  # of their texts


class Withholding:
    """The connection of one thread, while bodies run whose statements can wait.

    What was not sent yet is undone by not being sent.

    Args:
        alias: Of the database.
    """

    statuses = frozenset({TransactionStatus.INTRANS})
    """Of the connection, in which a statement may be kept."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._connection: Any = None
        self._raw: Any = None
        self._binder: Any = None  # a cursor that puts values into texts, and executes none
        self._own_savepoints = 0
        self._is_inside = self._is_sending = False
        self._forget()

    def _forget(self) -> None:
        self._unsent: list[Statement] = []
        self._mark = 0  # place of the first of the present body
        self._bytes = 0  # of the texts

    def _send_before(self) -> None:
        """Send what was executed before, since something has to be sent now."""
        raise NotImplementedError

    def ask(self, statement: Statement) -> None:
        """Have *statement* executed by the cursor of its asker, unless its body was undone."""
        if self._raw is None:
            return
        with self._raw.lock:  # a thread of the body's may have sent it just now
            if self._is_inside and statement in self._unsent[self._mark :]:
                self._send_asked(statement)

    def _send_asked(self, statement: Statement) -> None:
        """Send what was executed before *statement*, and have that answered."""
        raise NotImplementedError

    @contextmanager
    def _taken_over(self, connection: Any) -> Iterator[None]:
        """Be asked before anything is sent.

        All that psycopg does on a connection waits for the server in one place, with the lock
        held, whoever it is that goes past Django.
        """
        raw = connection.connection
        if self._binder is None or self._binder.connection is not raw:
            self._binder = connection.create_cursor()
            # Not a copy, as of a cursor: a body may have the connection adapt more.
            self._binder._adapters = raw.adapters
        self._connection, self._raw = connection, raw
        lock = raw.lock
        raw.lock, raw.wait = RLock(), self._wait
        connection.create_cursor = partial(self._create_cursor, connection)
        try:
            with connection.execute_wrapper(self._execute):
                yield
        finally:
            raw.lock = lock
            vars(raw).pop("wait", None)
            vars(connection).pop("create_cursor", None)
            self._connection = self._raw = None

    def _create_cursor(self, connection: Any, name: str | None = None) -> Any:
        """Do what the connection's method does, but as late as somebody asks."""
        return make_cursor(connection, name) if name else Unasked(self, connection)

    def _execute(
        self,
        execute: Callable[..., Any],
        sql: Any,
        params: Any,
        many: bool,
        context: dict[str, Any],
    ) -> Any:
        """Keep what only writes, and send the rest."""
        wrapper, connection = context["cursor"], context["connection"]
        cursor = wrapper.cursor
        if not isinstance(cursor, Unasked):
            cursor = Unasked(self, connection, cursor)
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

        def execute_behind(opening: str) -> Any:
            return execute(opening + sql if opening else sql, params, many, context)

        return self._execute_now(execute_behind, driver if binds else None)

    def _execute_now(self, execute: Callable[[str], Any], driver: Any) -> Any:
        """Send a statement that somebody waits for.

        Args:
            execute: Executes it, by one message with what it is given to go before it.
            driver: The driver's cursor if it takes several statements in one message, or None.
        """
        self._send_before()
        return execute("")

    def _takes_several(self) -> bool:
        pgconn = self._raw.pgconn
        return pgconn.transaction_status in self.statuses and not pgconn.pipeline_status

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

    def _execute_by(self, asker: Unasked, statement: Statement, opening: str = "") -> None:
        with self._connection.wrap_database_errors:
            asker.execute_by_driver(statement, opening)

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

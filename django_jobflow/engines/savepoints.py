"""Savepoints inside one transaction, one after the other: each undoes what came after it alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.db import Error, connections, transaction


class Savepoints:
    """Those of the transaction that is open on this thread's connection.

    Args:
        alias: Of the database.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias

    @contextmanager
    def series(self) -> Iterator[None]:
        """Be inside of the transaction that was just opened: keep what was not undone."""
        yield

    def next(self) -> AbstractContextManager[object]:
        """Open one; whatever is raised inside undoes what was done inside.

        Database:
            Two statements: it is opened and released. In a chain one.
        """
        return transaction.atomic(using=self.alias)


class Chain(Savepoints):
    """PostgreSQL: releases each by the same message that opens the next.

    The server answers a message as fast as a statement, and what a savepoint costs is hardly
    more than that. Until it is released nothing is lost: the transaction knows by itself when
    a statement has failed.
    """

    _number = 0
    _last = ""

    @contextmanager
    def series(self) -> Iterator[None]:
        self._last = ""
        yield
        # It says, too, whether this is still the transaction in which all of them were opened.
        if self._last:
            self._say(connections[self.alias], f"RELEASE SAVEPOINT {self._last}")

    def next(self) -> AbstractContextManager[object]:
        return self._opened()

    @contextmanager
    def _opened(self) -> Iterator[None]:
        connection: Any = connections[self.alias]
        name = self._open(connection)
        connection.savepoint_ids.append(name)  # hooks that are left inside go with it
        try:
            yield
            self._refuse_failed(connection)
        except BaseException:
            self._undo(connection, name)
            raise
        finally:
            connection.savepoint_ids.pop()

    def _open(self, connection: Any) -> str:
        self._number += 1
        name = f"jobflow_{self._number}"  # no two alike, since hooks are told apart by it
        released = f"RELEASE SAVEPOINT {self._last}; " if self._last else ""
        self._say(connection, f"{released}SAVEPOINT {name}")
        self._last = name
        return name

    def _refuse_failed(self, connection: Any) -> None:
        """Raise what the server says of a transaction that is no more; costs it nothing else."""
        # psycopg is there only where PostgreSQL is used.
        from django_jobflow.engines import postgresql_direct as direct

        if not direct.is_in_transaction(connection):
            with connection.cursor() as cursor:
                cursor.execute(f"RELEASE SAVEPOINT {self._last}")

    def _undo(self, connection: Any, name: str) -> None:
        """Roll back to the savepoint, as ``transaction.atomic`` does."""
        if connection.closed_in_transaction:
            return
        connection.needs_rollback = False
        try:
            connection.savepoint_rollback(name)
        except Error:
            connection.needs_rollback = True  # only all of it can be undone

    def _say(self, connection: Any, statement: str) -> None:
        from django_jobflow.engines import postgresql_direct as direct

        # The first of a transaction goes through a cursor, which begins it.
        if direct.is_in_transaction(connection) and not direct.is_watched(connection):
            direct.say(connection, statement)
            return
        with connection.cursor() as cursor:
            cursor.execute(statement)

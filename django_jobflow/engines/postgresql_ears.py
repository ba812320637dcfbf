"""PostgreSQL: hearing of the ends of records, for all in a process who wait for one.

They share one connection and one thread, which are there while somebody waits.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Any

from django.db import connections

from django_jobflow import events
from django_jobflow.engines.postgresql_news import ENDED_CHANNEL

logger = logging.getLogger("django_jobflow.engines")

PATIENCE = 5.0  # seconds in which the server has to take a connection

Call = Callable[[], object]


class Ears:
    """Those of one process on one database.

    Args:
        alias: Of the database.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._lock = threading.Lock()
        self._calls: dict[int, list[Call]] = {}
        self._session: _Session | None = None

    def join(self, pk: int, call: Call) -> bool:
        """Have *call* called, in another thread, when it is said that this record has ended.

        Returns:
            Whether anything is heard at all.
        """
        with self._lock:
            self._calls.setdefault(pk, []).append(call)
            if self._session is None or not self._session.is_alive():
                self._session = _Session(self.alias, self._tell)
                self._session.start()
            session = self._session
        session.settled.wait(PATIENCE)
        return session.listens

    def leave(self, pk: int, call: Call) -> None:
        """Call it no more; the last one closes the connection."""
        session = None
        with self._lock:
            self._calls[pk].remove(call)
            if not self._calls[pk]:
                del self._calls[pk]
            if not self._calls:
                session, self._session = self._session, None
        if session is not None:
            session.stop()

    def _tell(self, ids: list[int]) -> None:
        with self._lock:
            calls = [call for pk in ids for call in self._calls.get(pk, ())]
        for call in calls:
            try:
                call()
            except RuntimeError:  # the event loop of one who waited is closed by now
                continue


class _Session(threading.Thread):
    """One connection that listens, in a thread of its own."""

    def __init__(self, alias: str, tell: Callable[[list[int]], None]) -> None:
        super().__init__(name="jobflow-ears", daemon=True)
        self.alias = alias
        self.tell = tell
        self.settled = threading.Event()
        self.listens = False
        self._mine, self._theirs = socket.socketpair()

    def run(self) -> None:
        connection: Any = connections[self.alias].copy()
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {ENDED_CHANNEL}")
            self.listens = True
            self.settled.set()
            self._hear(connection.connection)
            with connection.cursor() as cursor:
                cursor.execute("UNLISTEN *")  # a pool may give it to somebody else
        except Exception as error:  # those who wait look for themselves, each second
            events.log(logger, logging.WARNING, "listening_failed", error=repr(error))
        finally:
            self.settled.set()
            connection.close()
            self._mine.close()

    def stop(self) -> None:
        """End it, and wait for that."""
        self._theirs.close()
        self.join(PATIENCE)

    def _hear(self, raw: Any) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(raw.fileno(), selectors.EVENT_READ)
            selector.register(self._mine, selectors.EVENT_READ)
            while all(key.fileobj is not self._mine for key, _ in selector.select()):
                raw.pgconn.consume_input()
                while notice := raw.pgconn.notifies():
                    self.tell([int(pk) for pk in notice.extra.decode().split(",")])


_ears: dict[str, Ears] = {}


def ears_of(alias: str) -> Ears:
    """Return those of this process on the database behind *alias*."""
    return _ears.setdefault(alias, Ears(alias))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ears.clear)  # the thread has stayed behind

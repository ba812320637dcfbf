"""PostgreSQL: a worker's LISTEN, on the connection that it has anyway."""

from __future__ import annotations

import secrets
from typing import Any

import psycopg
from django.db import connections

from django_jobflow.engines.postgresql_news import AWAITED, CHANNEL, read_payload
from django_jobflow.engines.waking import Attend, Hear

TEST = "?"  # what the payload of a test begins with; no queue is named so


class Listener:
    """Hears what is said on the channel, while idle and while another statement runs.

    Args:
        alias: Of the database; the connection is that of the calling thread.
        hear: Called in this thread with what was said.
        attend: Called with the ids of records for whose ends somebody waits.

    Attributes:
        hears_itself: Whether the last test was heard.
    """

    def __init__(self, alias: str, hear: Hear, attend: Attend) -> None:
        self.alias = alias
        self.hear = hear
        self.attend = attend
        self.hears_itself = False
        self._test = ""
        self._raw: Any = None

    def follow(self) -> int | None:
        """Listen, if the connection is a new one; return the socket to wait at then."""
        connection: Any = connections[self.alias]
        connection.ensure_connection()
        if connection.connection is self._raw:
            return None
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        self._raw = connection.connection
        self._raw.add_notify_handler(self._take)
        socket: int = self._raw.fileno()
        return socket

    def take(self, *, read: bool) -> None:
        """Pass on what has come.

        Args:
            read: Whether to read from the socket. Otherwise only what came along with the
                answer to a statement, and did not wait in the socket.
        """
        connection: Any = connections[self.alias]
        if self._raw is None or connection.connection is not self._raw:
            return
        with connection.wrap_database_errors:
            if read:
                self._raw.pgconn.consume_input()
            while notice := self._raw.pgconn.notifies():
                self._hear(notice.extra.decode())

    def send_test(self) -> None:
        """Send a notice from another connection, that is to be heard.

        Others test themselves on the same channel, mostly those that were started with this one.
        """
        self.hears_itself, self._test = False, TEST + secrets.token_hex(8)
        other = connections[self.alias].copy()
        try:
            with other.cursor() as cursor:
                cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, self._test])
        finally:
            other.close()

    def stop(self) -> None:
        """Listen no more; a pool may give the connection to somebody else."""
        connection: Any = connections[self.alias]
        if self._raw is not None and connection.connection is self._raw:
            self._raw.remove_notify_handler(self._take)
            with connection.cursor() as cursor:
                cursor.execute(f"UNLISTEN {CHANNEL}")
        self._raw = None

    def _take(self, notice: psycopg.Notify) -> None:
        self._hear(notice.payload)

    def _hear(self, payload: str) -> None:
        if payload.startswith(TEST):
            self.hears_itself = self.hears_itself or payload == self._test
        elif payload.startswith(AWAITED):
            self.attend([int(pk) for pk in payload[1:].split(",")])
        else:
            self.hear(*read_payload(payload))

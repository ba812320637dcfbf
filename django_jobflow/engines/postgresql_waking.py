"""PostgreSQL: NOTIFY after the commit, and what a worker needs to LISTEN."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import Error, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_jobflow import conf, events
from django_jobflow.engines.awaiting import Leave
from django_jobflow.engines.base import Engine
from django_jobflow.engines.postgresql_news import (
    ANY,
    AWAITED,
    ENDED_CHANNEL,
    Said,
    notify,
    payload_of,
)
from django_jobflow.engines.waking import Attend, Hear, ignore

if TYPE_CHECKING:
    from django_jobflow.engines.postgresql_listener import Listener

logger = logging.getLogger("django_jobflow.engines")

IDS = 300  # that one notice names
NOTICES = 500  # that one statement sends
STORING = 0.001  # seconds that it takes to store a call, mostly less

_said: defaultdict[str, Said] = defaultdict(Said)


class Notifying(Engine):
    """The engine of PostgreSQL, as far as it wakes workers."""

    _pooled = False

    @property
    def keeps_sessions(self) -> bool:
        """Whether what is set, prepared or listened to stays with this client."""
        return self.keeps_session_of(self.connection)

    def keeps_session_of(self, connection: BaseDatabaseWrapper) -> bool:
        """Do what ``keeps_sessions`` does, for the *connection* of this thread."""
        if self._pooled or conf.current().WAKE_UP == "poll":
            return False
        # What Django asks for behind a pooler that gives each transaction another session.
        return not connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")

    def forgo_session(self) -> None:
        self._pooled = True

    def wake(
        self, queues: Collection[str] | None = None, *, delay: timedelta | None = None
    ) -> None:
        # NOTIFY needs no session, so a client of a pooler wakes workers that are not.
        if conf.current().WAKE_UP == "poll":
            return
        connection: Any = self.connection
        if not connection.in_atomic_block:
            # Whoever manages transactions by hand has not committed yet, and cannot be awaited.
            if connection.get_autocommit():
                News(self, queues, delay).tell()
            return
        hooks = connection.run_on_commit
        known = getattr(hooks[-1][1], "__self__", None) if hooks else None
        # The last hook is told of this too, if it runs whenever this transaction is committed.
        if isinstance(known, News) and hooks[-1][0] <= set(connection.savepoint_ids):
            known.add(queues, delay)
        else:
            news = News(self, queues, delay)
            transaction.on_commit(news.tell, using=self.alias, robust=True)

    def news_of(self, queue: str, now: float) -> str:
        """Return the statement that tells of work on *queue*; empty if others were told just now.

        What is silence no more when that work is committed is told along with it: afterwards it
        would be a round trip of its own.

        Args:
            now: By ``time.monotonic``, before that work is committed.
        """
        unsaid = _said[self.alias].unsaid((queue,), now + STORING)
        return notify(payload_of(unsaid)) if unsaid else ""

    def note_news(self, queue: str, now: float) -> None:
        """Take in that the statement of ``news_of`` was executed, after its *now*."""
        _said[self.alias].note((queue,), now)
        self.has_told = True

    def note_silence(self, now: float) -> None:
        """Take in that ``news_of`` was empty at *now*, and that the work is committed.

        There is nothing to say, unless the time is over in which others are known to look once
        more.
        """
        self.has_told = time.monotonic() < now + STORING

    def _say(self, statement: str) -> None:
        """Execute a statement that has neither values nor rows, in the quickest way."""
        # psycopg is there only where PostgreSQL is used.
        from django_jobflow.engines import postgresql_direct as direct

        connection: Any = self.connection
        if direct.way(connection) is not None:
            direct.say(connection, statement)
            return
        with connection.cursor() as cursor:
            cursor.execute(statement)

    def cannot_listen(self) -> str:
        return "" if self.keeps_sessions else "DISABLE_SERVER_SIDE_CURSORS is set: a pooler"

    def tell(self, notices: Sequence[tuple[str, str]]) -> None:
        try:
            with self.connection.cursor() as cursor:
                for begin in range(0, len(notices), NOTICES):
                    some = notices[begin : begin + NOTICES]
                    said = ", ".join(["pg_notify(%s, %s)"] * len(some))
                    cursor.execute(f"SELECT {said}", [word for pair in some for word in pair])
        except Error as error:
            events.log(logger, logging.WARNING, "wake_up_failed", error=repr(error))

    def tell_ends(self, ids: Iterable[int]) -> None:
        names = [str(pk) for pk in ids]
        self.tell(
            [
                (ENDED_CHANNEL, ",".join(names[begin : begin + IDS]))
                for begin in range(0, len(names), IDS)
            ]
        )

    def announce_wait(self, pk: int) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(notify(f"{AWAITED}{pk:d}"))

    def listen_for(self, pk: int, call: Callable[[], object]) -> Leave | None:
        if conf.current().WAKE_UP == "poll" or not self.keeps_sessions:
            return None
        from django_jobflow.engines.postgresql_ears import ears_of

        ears = ears_of(self.alias)
        if ears.join(pk, call):
            return partial(ears.leave, pk, call)
        ears.leave(pk, call)
        return None

    def listener(self, hear: Hear, attend: Attend = ignore) -> Listener:
        # psycopg is there only where PostgreSQL is used.
        from django_jobflow.engines.postgresql_listener import Listener

        return Listener(self.alias, hear, attend)


class News:
    """What one transaction has done that idle workers should know."""

    def __init__(
        self, engine: Notifying, queues: Collection[str] | None, delay: timedelta | None
    ) -> None:
        self.engine = engine
        self.queues: set[str] = set()
        self.due_at: float | None = None
        self.add(queues, delay)

    def add(self, queues: Collection[str] | None, delay: timedelta | None) -> None:
        """Take in work on *queues*, or some that is due after *delay*."""
        if delay is None:
            self.queues.update((ANY,) if queues is None else queues)
            return
        due_at = time.monotonic() + delay.total_seconds()
        self.due_at = due_at if self.due_at is None else min(self.due_at, due_at)

    def tell(self) -> None:
        """Send it, in a transaction of its own.

        One that notifies takes a lock on the whole database at its end, so it should be short.
        """
        # A test that runs the hooks of its transaction has it still open.
        if self.engine.connection.in_atomic_block:
            return
        said = _said[self.engine.alias]
        payload = said.news(self.queues, self.due_at)
        if not payload:
            return
        try:
            self.engine._say(notify(payload))
        except Error as error:
            said.forget()
            events.log(logger, logging.WARNING, "wake_up_failed", error=repr(error))


def code_of(error: Exception) -> str | None:
    """Return PostgreSQL's own code for what *error* is about."""
    return getattr(error.__cause__, "sqlstate", None)

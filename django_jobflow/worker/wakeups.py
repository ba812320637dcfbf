"""How a sleeping worker learns of new work: it is told, it notices, or it looks."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

from django.db import Error

from django_jobflow import conf, events
from django_jobflow.engines import Engine
from django_jobflow.engines.waking import Attend, ignore
from django_jobflow.worker.agenda import Agenda
from django_jobflow.worker.fetch import Fetch
from django_jobflow.worker.inbox import Inbox
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.trouble import REFUSED

logger = logging.getLogger("django_jobflow.worker")

NOTIFY, CHANGES, POLL = "notify", "changes", "poll"
PATIENCE = 0.5  # seconds in which a worker has to hear its own notice


class WakeUps:
    """The way of one worker process, chosen at its start, and kept up.

    Args:
        engine: The database.
        options: Those of the process.
        fetch: Which queues it serves.
        agenda: Gets the news.
        inbox: Where the coordinator sleeps.
        attend: Takes in for which records' ends somebody waits.

    Attributes:
        mode: "notify", "changes" or "poll". None means that it is not chosen yet.
    """

    def __init__(
        self,
        engine: Engine,
        options: WorkerOptions,
        fetch: Fetch,
        agenda: Agenda,
        inbox: Inbox,
        attend: Attend = ignore,
    ) -> None:
        self.engine = engine
        self.options = options
        self.fetch = fetch
        self.agenda = agenda
        self.inbox = inbox
        self.mode: str | None = None
        self._listener = None if self._why_not_listen() else engine.listener(self._hear, attend)

    def follow(self) -> None:
        """Listen on the connection, which may be another than last time."""
        if self.mode is None:
            self._choose()
        elif self._listener is not None and (socket := self._listener.follow()) is not None:
            self.inbox.watch(socket)
            self.agenda.start_anew()

    def take(self) -> None:
        """Take in what was said; costs no statement."""
        if self._listener is not None:
            self._listener.take(read=self.inbox.socket_called)

    def lose_connection(self) -> None:
        """Wait at its socket no more: it is about to be closed."""
        self.inbox.watch(None)
        self.agenda.start_anew()

    def stop(self) -> None:
        """Leave the connection as it was found."""
        self.inbox.watch(None)
        if self._listener is not None:
            self._listener.stop()

    # Choosing

    def _choose(self) -> None:
        """Take the quickest way that works here, and say which and why."""
        mode, reason = POLL, self._why_not_listen()
        if self._listener is not None:
            mode, reason = self._test()
        elif self.engine.tells_changes and not self._is_to_poll():
            mode, reason = CHANGES, "the database counts its changes"
        self.agenda.watches = mode == CHANGES
        self.agenda.rely_on_polls(eager=mode == POLL)
        self.mode = mode
        events.log(logger, logging.INFO, "wake_ups", mode=mode, reason=reason)

    def _is_to_poll(self) -> bool:
        return conf.current().WAKE_UP == POLL

    def _why_not_listen(self) -> str:
        if self._is_to_poll():
            return "JOBFLOW['WAKE_UP'] says so"
        if self.options.drain:
            return "it ends when it finds nothing"
        return self.engine.cannot_listen()

    def _test(self) -> tuple[str, str]:
        """Listen, and keep to it if a notice from another connection is heard."""
        assert self._listener is not None
        try:
            self.inbox.watch(self._listener.follow())
        except REFUSED as error:
            return self._give_up(f"LISTEN was refused: {error!r}")
        try:
            self._listener.send_test()
        except Error as error:
            return self._give_up(f"no second connection for a test: {error!r}")
        if not self._hears_itself():
            self.engine.forgo_session()
            return self._give_up("its own notice did not come back; is a pooler in between?")
        return NOTIFY, "its own notice came back"

    def _give_up(self, reason: str) -> tuple[str, str]:
        self.stop()
        self._listener = None
        return POLL, reason

    def _hears_itself(self) -> bool:
        assert self._listener is not None
        deadline = time.monotonic() + PATIENCE
        self.take()
        while not self._listener.hears_itself and (left := deadline - time.monotonic()) > 0:
            self.inbox.sleep(left)
            self.take()
        return self._listener.hears_itself

    def _hear(self, queues: frozenset[str] | None, due_in: float | None) -> None:
        if queues is None or any(map(self.fetch.serves, queues)):
            self.fetch.hear(queues)
            self.agenda.announce()
        if due_in is not None:
            self.agenda.expect(timedelta(seconds=due_in))

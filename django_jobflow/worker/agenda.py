"""When the coordinator looks at the table, and when it activates what is due."""

from __future__ import annotations

import time
from datetime import timedelta

from django_jobflow.engines import Engine
from django_jobflow.worker.clockwork import Polling, Timer
from django_jobflow.worker.inbox import Inbox

SOONEST = 0.002  # seconds; a due row that another worker has locked is not waited for in a spin
CHANGE_CHECK = 0.01  # seconds between two looks for changes, where the engine can tell cheaply


class Agenda:
    """The next look, and the next due time, of one worker process.

    Args:
        engine: The database.
        poll_interval: Longest pause between two looks.
    """

    def __init__(self, engine: Engine, poll_interval: timedelta) -> None:
        self.engine = engine
        self._polling = Polling(poll_interval, eager=not engine.tells_changes)
        self._due_timer = Timer(poll_interval)
        self._next_due_at = 0.0

    def look_is_due(self) -> bool:
        """Say whether it is time to look for AVAILABLE records."""
        return self._polling.is_due()

    def looked(self, found: int) -> None:
        """Take in what a look has found."""
        self._polling.found(found > 0)

    def activation_is_due(self) -> bool:
        """Say whether a record has become due, or it is time to learn of new ones."""
        return time.monotonic() >= self._next_due_at or self._due_timer.is_due()

    def activate(self) -> None:
        """Make due records AVAILABLE, and learn when the next one is due."""
        self.engine.activate_scheduled(self.engine.records, None)
        self.learn_next_due()

    def learn_next_due(self) -> None:
        """Ask when the next record is due."""
        seconds = self.engine.seconds_to_next_due()
        self._next_due_at = (
            float("inf") if seconds is None else time.monotonic() + max(seconds, SOONEST)
        )

    def expect(self, delay: timedelta) -> None:
        """Take in that a record of our own will be due after *delay*."""
        due_at = time.monotonic() + delay.total_seconds()
        self._next_due_at = min(self._next_due_at, due_at)

    def sleep(self, inbox: Inbox, until: float, *, looks: bool) -> None:
        """Sleep until the next event of this agenda, *until*, or a message.

        Args:
            until: Another event, by ``time.monotonic``.
            looks: Whether there is room for work, so that a look makes sense.
        """
        until = min(until, self._next_due_at, self._due_timer.due_at)
        if looks:
            until = min(until, self._polling.due_at)
        while (left := until - time.monotonic()) > 0 and not inbox:
            if not self.engine.tells_changes:
                inbox.sleep(left)
                return
            inbox.sleep(min(left, CHANGE_CHECK))
            if self.engine.has_changed():
                self._polling.hurry()
                return

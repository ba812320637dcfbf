"""When the coordinator looks at the table, and when it activates what is due."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

from django_jobflow.engines import Engine
from django_jobflow.engines.waking import Glance
from django_jobflow.worker.clockwork import Polling
from django_jobflow.worker.inbox import Inbox

SOONEST = 0.002  # seconds; a due row that another worker has locked is not waited for in a spin
SECOND_LOOK = 0.006  # seconds after news; more than the pause in which nobody repeats them
CHANGE_CHECKS = (0.0025, 0.02)  # seconds between two looks for changes: after work, later
CHANGE_SHARE = 0.005  # of the time since the last work; reaches the longer one after 4 seconds


class Agenda:
    """The next look, and the next due time, of one worker process.

    A look that is made without news is a glance first: it takes no lock, and tells at the same
    time when the next record is due.

    Args:
        engine: The database.
        poll_interval: Longest pause between two looks.
        queues: Those that count. None means any.
        drains: Whether each look has to be a real one, since the worker ends when it finds
            nothing.

    Attributes:
        news: Whether there is work, as far as is known.
        watches: Whether to look for changes while asleep.
    """

    def __init__(
        self,
        engine: Engine,
        poll_interval: timedelta,
        queues: Sequence[str] | None = None,
        *,
        drains: bool = False,
    ) -> None:
        self.engine = engine
        self.queues = queues
        self.drains = drains
        self.news = True
        self.watches = False
        self.glance = Glance(available=True, elsewhere=True, next_due=None, sweeps=True)
        self._polling = Polling(poll_interval)
        self._second_look_at = float("inf")
        self._glance_at = 0.0
        self._next_due_at = float("inf")

    def rely_on_polls(self, eager: bool) -> None:
        """Look often after work if *eager*, or else seldom, since there will be news."""
        self._polling.eager = eager

    # What comes in

    def announce(self) -> None:
        """Take in that somebody has work for us: look now, and once more a little later."""
        self.news = True
        self._second_look_at = time.monotonic() + SECOND_LOOK

    def look_again(self, seconds: float) -> None:
        """Look once more after *seconds*: the last look may have passed something over."""
        self._second_look_at = min(self._second_look_at, time.monotonic() + seconds)

    def expect(self, delay: timedelta) -> None:
        """Take in that a record will be due after *delay*."""
        due_at = time.monotonic() + delay.total_seconds()
        self._next_due_at = min(self._next_due_at, due_at)

    def start_anew(self) -> None:
        """Look at everything: what was said while nobody listened is lost."""
        self.news = True
        self._glance_at = 0.0

    # What is to be done

    def activate_due(self) -> int:
        """Make AVAILABLE what is due; return how many records that were."""
        if time.monotonic() < self._next_due_at:
            return 0
        self._next_due_at = float("inf")
        self._glance_at = 0.0  # to learn of the next, but the work goes first
        activated = self.engine.activate_scheduled(self.engine.records, None)
        self.news = self.news or activated > 0
        return activated

    def begin_look(self) -> None:
        """Take the news off the agenda; what comes from now on is new again."""
        self.news = False
        if time.monotonic() >= self._second_look_at:
            self._second_look_at = float("inf")

    def looked(self, found: int) -> None:
        """Take in what a look has found, and plan the next one."""
        self._polling.looked(found > 0)

    def glance_is_due(self, *, looks: bool) -> bool:
        """Say whether it is time to glance at the table.

        Args:
            looks: Whether there is room for work.
        """
        return time.monotonic() >= self._next_glance_at(looks)

    def look_around(self) -> None:
        """Glance at the table: is there work, and when will there be some?"""
        self.begin_look()
        # Before the glance: what is announced while it is under way may be later than it.
        self._next_due_at = float("inf")
        self.glance = self.engine.glance(self.queues)
        if self.glance.next_due is not None:
            self.expect(timedelta(seconds=max(self.glance.next_due, SOONEST)))
        self.news = self.news or self.glance.available or self.drains
        self._polling.looked(False)
        # Also without room for work, but then not sooner.
        self._glance_at = max(self._polling.due_at, time.monotonic() + self._polling.longest)

    def sleep(self, inbox: Inbox, until: float, *, looks: bool) -> None:
        """Sleep until the next event of this agenda, *until*, or a message.

        Args:
            until: Another event, by ``time.monotonic``.
            looks: Whether there is room for work, so that a look makes sense.
        """
        if self.news and looks:
            return
        until = min(until, self._next_due_at, self._next_glance_at(looks))
        while (left := until - time.monotonic()) > 0 and not inbox:
            if not (self.watches and looks):
                inbox.sleep(left)
                return
            inbox.sleep(min(left, self._change_check()))
            if self.engine.has_changed():
                self._polling.hurry()
                return

    def _next_glance_at(self, looks: bool) -> float:
        if not looks:
            return self._glance_at
        return min(self._glance_at, self._polling.due_at, self._second_look_at)

    def _change_check(self) -> float:
        shortest, longest = CHANGE_CHECKS
        return min(max(self._polling.idle * CHANGE_SHARE, shortest), longest)

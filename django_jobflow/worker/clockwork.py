"""When the coordinator's recurring duties are due."""

from __future__ import annotations

import random
import time
from datetime import timedelta


class Timer:
    """A duty that comes round.

    Args:
        interval: Pause between two rounds.
        jitter: Part by which a pause may be shorter or longer, so that the workers of a
            project do not all come at once.
    """

    def __init__(self, interval: timedelta, jitter: float = 0.0) -> None:
        self.interval = interval.total_seconds()
        self.jitter = jitter
        self.due_at = time.monotonic() + self._pause()

    def is_due(self) -> bool:
        """Say whether the duty is due, and if so wind it up again."""
        if time.monotonic() < self.due_at:
            return False
        self.rewind()
        return True

    def rewind(self) -> None:
        """Begin the pause anew: the duty has been done."""
        self.due_at = time.monotonic() + self._pause()

    def hold_off(self, duration: timedelta) -> None:
        """Do not let the duty be due within *duration*."""
        self.due_at = max(self.due_at, time.monotonic() + duration.total_seconds())

    def bring_forward(self) -> None:
        """Make the duty due at once."""
        self.due_at = 0.0

    def _pause(self) -> float:
        spread = random.uniform(1 - self.jitter, 1 + self.jitter)
        return self.interval * spread


class Polling:
    """When to look at the table although nothing has come.

    Args:
        longest: Pause that is exceeded by no more than the ``SPREAD``, so that the workers of
            a project do not all come at once.

    Attributes:
        eager: Whether to look often after work, and seldom later. Not where something else
            tells of new work.
    """

    SHORTEST = 0.005  # seconds
    SPREAD = 0.2  # of a pause
    SHARE = 0.1  # of the time since the last work: what an eager one adds to how long a job waits

    def __init__(self, longest: timedelta) -> None:
        self.longest = longest.total_seconds()
        self.eager = True
        self.worked_at = time.monotonic()
        self.due_at = 0.0

    @property
    def idle(self) -> float:
        """Seconds since the last work."""
        return time.monotonic() - self.worked_at

    def looked(self, found: bool) -> None:
        """Take in whether a look has found work, and plan the next one."""
        if found:
            self.worked_at = time.monotonic()
        self.due_at = time.monotonic() + self._pause()

    def hurry(self) -> None:
        """Look at once: something has changed."""
        self.due_at = 0.0

    def _pause(self) -> float:
        longest = self.longest * random.uniform(1, 1 + self.SPREAD)
        if not self.eager:
            return longest
        return min(max(self.idle * self.SHARE, self.SHORTEST), longest)

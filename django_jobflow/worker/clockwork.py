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
        self.due_at = time.monotonic() + self._pause()
        return True

    def bring_forward(self) -> None:
        """Make the duty due at once."""
        self.due_at = 0.0

    def _pause(self) -> float:
        spread = random.uniform(1 - self.jitter, 1 + self.jitter)
        return self.interval * spread


class Polling:
    """When to look at the table although nothing has come: soon after work, seldom later.

    Args:
        longest: Pause that is not exceeded.
        eager: Whether to look often after work; not where something else tells of changes.
    """

    SHORTEST = 0.005  # seconds

    def __init__(self, longest: timedelta, *, eager: bool) -> None:
        self.longest = longest.total_seconds()
        self.shortest = self.SHORTEST if eager else self.longest
        self._pause = self.shortest
        self.due_at = 0.0

    def found(self, any_work: bool) -> None:
        """Take in whether a look has found work, and plan the next one."""
        self._pause = self.shortest if any_work else min(self._pause * 2, self.longest)
        self.due_at = time.monotonic() + self._pause

    def hurry(self) -> None:
        """Look at once: something has changed."""
        self._pause = self.shortest
        self.due_at = 0.0

    def is_due(self) -> bool:
        """Say whether it is time to look."""
        return time.monotonic() >= self.due_at

"""Whether a worker process is to end, and by when."""

from __future__ import annotations

import time
from datetime import timedelta

NEVER = float("inf")


class Stop:
    """What has been asked of one process, and what it has decided itself.

    Args:
        patience: What running bodies are given after the first request.

    Attributes:
        is_requested: Whether somebody has asked.
        is_leaving: Whether the process has decided to make room for another.
        due_at: When what still runs is given up, by ``time.monotonic``.
    """

    def __init__(self, patience: timedelta) -> None:
        self.patience = patience.total_seconds()
        self.is_requested = False
        self.is_leaving = False
        self.due_at = NEVER

    def __bool__(self) -> bool:
        """Say whether no new work is to be taken."""
        return self.is_requested or self.is_leaving

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self.due_at

    def request(self, *, at_once: bool = False) -> None:
        """Take in that somebody asks; the second time it means at once."""
        patience = 0.0 if at_once or self.is_requested else self.patience
        self.is_requested = True
        self._by(patience)

    def leave(self, *, patiently: bool) -> None:
        """Decide to end.

        Args:
            patiently: Whether running bodies have all the time that they want.
        """
        self.is_leaving = True
        if not patiently:
            self._by(self.patience)

    def _by(self, seconds: float) -> None:
        self.due_at = min(self.due_at, time.monotonic() + seconds)

"""How many started jobs may wait for a slot: several short ones, no long one."""

from __future__ import annotations

SHORT = 0.005  # seconds; a job that takes longer is never handed over ahead
AHEAD = 0.02  # seconds of work that may wait for the slots
MOST = 500  # jobs that may wait for the slots


class Pace:
    """Follows how long bodies run: up at once, down slowly."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._seconds = SHORT  # nothing is known yet: one job a slot

    def note(self, seconds: float) -> None:
        """Take in that a body ran for *seconds*."""
        self._seconds = max(seconds, 0.9 * self._seconds + 0.1 * seconds)

    @property
    def ahead(self) -> int:
        """How many jobs may be started beyond the free slots."""
        if self._seconds >= SHORT:
            return 0
        return min(MOST, int(self.threads * AHEAD / max(self._seconds, 1e-6)))

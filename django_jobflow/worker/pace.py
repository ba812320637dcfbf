"""How many started jobs may wait for a slot: many short ones, few that are longer, no long one."""

from __future__ import annotations

SHORT = 0.005  # seconds; of jobs that take longer, only what a cycle bridges is handed over ahead
AHEAD = 0.02  # seconds of work that may wait for the slots
CYCLE = 0.004  # seconds until a cycle has settled what ended, and started more
WEIGHT = 0.2  # of the latest body
SHARE = 1 / 8  # of the bodies that run: so many slots may stand idle while ends come together
MOST = 500  # jobs that may wait for the slots


class Pace:
    """Follows how long bodies run.

    While a cycle settles what has ended, the slots go on with what was handed over ahead: of
    short jobs several each, of longer ones as many as slots become free in the meantime. Where
    that is less than one, nothing is handed over ahead.
    A long one ends the hand-overs at once. One that a busy machine has kept from running for a
    few milliseconds does not, among others that were short.

    Attributes:
        seconds: How long the next body is thought to run.
        abreast: How many bodies run at a time.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.abreast = threads
        self.seconds = SHORT
        self._has_noted = False

    def note(self, seconds: float, *, in_turn: bool = False) -> None:
        """Take in that a body ran for *seconds*.

        Args:
            in_turn: Whether only one of its kind runs at a time, whatever slots there are.
        """
        self._has_noted = True
        self.abreast = 1 if in_turn else self.threads
        self.seconds += WEIGHT * (seconds - self.seconds)

    @property
    def ahead(self) -> int:
        """How many jobs may be started beyond the free slots."""
        if not self._has_noted:
            return 0
        if self.seconds >= SHORT:
            return int(self.abreast * CYCLE / self.seconds)
        return min(MOST, int(self.abreast * AHEAD / max(self.seconds, 1e-6)))

    def until_share_ends(self, running: int, ended: int) -> float:
        """Return in how many seconds a ``SHARE`` of the bodies is likely to have ended.

        Args:
            running: How many run.
            ended: How many have ended and are not replaced yet.

        Returns:
            0.0 if that share is reached.
        """
        missing = int(running * SHARE) - ended
        return missing * self.seconds / running if missing > 0 else 0.0

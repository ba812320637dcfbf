"""How many started jobs may wait for a slot: several short ones, no long one."""

from __future__ import annotations

SHORT = 0.005  # seconds; a job that takes longer is never handed over ahead
AHEAD = 0.02  # seconds of work that may wait for the slots
WEIGHT = 0.2  # of the latest body
MOST = 500  # jobs that may wait for the slots


class Pace:
    """Follows how long bodies run.

    A long one ends the hand-overs at once. One that a busy machine has kept from running for a
    few milliseconds does not, among others that were short.

    Attributes:
        seconds: How long the next body is thought to run.
        abreast: How many bodies run at a time.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.abreast = threads
        self.seconds = SHORT  # nothing is known yet: one job a slot

    def note(self, seconds: float, *, in_turn: bool = False) -> None:
        """Take in that a body ran for *seconds*.

        Args:
            in_turn: Whether only one of its kind runs at a time, whatever slots there are.
        """
        self.abreast = 1 if in_turn else self.threads
        self.seconds += WEIGHT * (seconds - self.seconds)

    @property
    def ahead(self) -> int:
        """How many jobs may be started beyond the free slots."""
        if self.seconds >= SHORT:
            return 0
        return min(MOST, int(self.abreast * AHEAD / max(self.seconds, 1e-6)))

"""How many started jobs may wait for a slot: many short ones, few that are longer, no long one."""

from __future__ import annotations

SHORT = 0.005  # seconds; of jobs that take longer, less and less is handed over ahead
AHEAD = 0.04  # seconds of work that may wait for the slots
CYCLE = 0.004  # seconds that the first cycle is thought to take
LONGEST_CYCLE = 0.02  # seconds that one is thought to take at most
LONG = 0.02  # seconds; what the mean of many makes of a longer body, too
CALM = 0.05  # weight of the latest body in that mean
QUICK = 0.2  # weight of the latest body in the mean of few, and of the latest cycle
SHARE = 1 / 8  # of the bodies that run: so many slots may stand idle while ends come together
MOST = 500  # jobs that may wait for the slots


class Pace:
    """Follows how long bodies run, and cycles.

    While a cycle settles what has ended, the slots go on with what was handed over ahead: of
    short jobs several each, of longer ones as many as slots become free in the meantime. Where
    that is less than one, nothing is handed over ahead. In between it becomes less by degrees:
    bodies that are kept waiting by each other take longer than they would. So do cycles, and a
    body that takes no longer than one is short: else a busy machine would be given less ahead,
    so more cycles to do, which make it busier.
    A long one ends the hand-overs at once. One that a busy machine has kept from running for a
    few milliseconds does not, among others that were short.

    Attributes:
        seconds: How long the next body is thought to run.
        abreast: How many bodies run at a time.
        cycle: How many seconds the next cycle is thought to take.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.abreast = threads
        self.seconds = SHORT
        self.cycle = CYCLE
        self._calm = self._quick = SHORT
        self._noted = 0

    def note(self, seconds: float, *, in_turn: bool = False) -> None:
        """Take in that a body ran for *seconds*.

        Args:
            in_turn: Whether only one of its kind runs at a time, whatever slots there are.
        """
        self._noted += 1
        self.abreast = 1 if in_turn else self.threads
        # Bounded, or else a long one among many short would count for long.
        self._calm += max(CALM, 1 / self._noted) * (min(seconds, LONG) - self._calm)
        self._quick += QUICK * (seconds - self._quick)
        self.seconds = self._quick if self._quick > LONG else self._calm

    def note_cycle(self, seconds: float) -> None:
        """Take in that a cycle took *seconds* to settle what had ended, and to start more."""
        self.cycle += QUICK * (min(seconds, LONGEST_CYCLE) - self.cycle)

    @property
    def ahead(self) -> int:
        """How many jobs may be started beyond the free slots."""
        if not self._noted:
            return 0
        seconds = max(self.seconds, 1e-6)
        short = max(SHORT, self.cycle)
        waiting = AHEAD if seconds <= short else max(AHEAD * (short / seconds) ** 3, self.cycle)
        return min(MOST, int(self.abreast * waiting / seconds))

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

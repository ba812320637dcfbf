"""One of the worker processes that a supervisor keeps up."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from django_jobflow.worker.leash import Leash
from django_jobflow.worker.vitals import Pulse, Vitals

SOON = 10.0  # seconds after its start within which a death is a sign of more to come
FIRST_PAUSE = 1.0  # seconds; doubles with each such death
LONGEST_PAUSE = 60.0  # seconds


@dataclass(slots=True, eq=False)
class Child:
    """A worker process, as its supervisor knows it.

    Attributes:
        name: That of the worker.
        started_at: By ``time.monotonic``.
        killed: How it ended, if its supervisor has killed it.
        spares: Whether what it ran goes back at no cost: it was not to blame.
        beat: Whether its interpreter runs.
        contact: Whether its database answers.
    """

    pid: int
    name: str
    leash: Leash
    vitals: Vitals
    started_at: float = field(default_factory=time.monotonic)
    killed: str | None = None
    spares: bool = False
    beat: Pulse = field(init=False)
    contact: Pulse = field(init=False)

    def __post_init__(self) -> None:
        self.beat = Pulse(lambda: self.vitals.beats)
        self.contact = Pulse(lambda: self.vitals.contacts)

    def look(self) -> None:
        """See whether it still beats, and still reaches its database."""
        self.beat.look()
        self.contact.look()


class Place:
    """Room for one worker process, one after the other.

    Attributes:
        number: From 0, which place it is.
        child: The process that has it; None while it is empty.
        leaving: One that had it, takes no more work, and ends when what it runs has ended.
        is_done: Whether it stays empty.
        start_at: When the next process may start, by ``time.monotonic``.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.child: Child | None = None
        self.leaving: Child | None = None
        self.is_done = False
        self.start_at = 0.0
        self._pause = 0.0

    @property
    def children(self) -> list[Child]:
        return [child for child in (self.child, self.leaving) if child is not None]

    def make_room(self) -> None:
        """Let another process have the place of one that is leaving: but of one at a time."""
        if self.leaving is None and self.child is not None and self.child.vitals.is_leaving:
            self.leaving, self.child = self.child, None
            self.start_at = 0.0

    def ended(self, *, well: bool) -> float:
        """Note that its process has ended, or did not begin; return the pause before the next."""
        child, self.child = self.child, None
        now = time.monotonic()
        if well or (child is not None and now - child.started_at >= SOON):
            self._pause = 0.0
        else:
            self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
        self.start_at = now + self._pause
        return self._pause

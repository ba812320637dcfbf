"""What is read of another queue, and what becomes of it here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SHOWN = 1000  # rows that are left alone and named; all of them are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A row that waits in another queue.

    Attributes:
        id: Its number there.
        path: What it calls, as the other queue names it.
        options: What else it says, as ``Job.using`` takes it.
        attempts: Executions that have failed.
        origin: What is kept of it in ``meta``, beside the queue and the number.
        refusal: Why it cannot be moved, whatever job there is; "" if it can.
    """

    id: Any
    path: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    attempts: int = 0
    origin: Mapping[str, Any] = field(default_factory=dict)
    refusal: str = ""

    def __repr__(self) -> str:  # the arguments may hold what is not to be seen
        return f"<Waiting {self.id} {self.path}>"


@dataclass(frozen=True, slots=True)
class Left:
    """A row that is left where it is, and why."""

    id: str
    path: str
    why: str


@dataclass(slots=True)
class Report:
    """What was imported, or would be, and what not.

    Attributes:
        moved: How many rows, by what they call there and by the job here.
        left: The first of those that are left alone.
        left_count: How many they are in all.
        gone: How many the workers of the other queue had taken meanwhile.
    """

    moved: Counter[tuple[str, str]] = field(default_factory=Counter)
    left: list[Left] = field(default_factory=list)
    left_count: int = 0
    gone: int = 0

    @property
    def moved_count(self) -> int:
        return self.moved.total()

    def add(self, other: Report) -> None:
        """Add what *other* says to this."""
        self.moved += other.moved
        self.left += other.left[: SHOWN - len(self.left)]
        self.left_count += other.left_count
        self.gone += other.gone

    def leave(self, row: Waiting, why: str) -> None:
        """Note that *row* is left alone."""
        self.left_count += 1
        if len(self.left) < SHOWN:
            self.left.append(Left(str(row.id), row.path, why))

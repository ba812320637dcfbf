"""The cores that a worker process keeps to, where each is to have its own."""

from __future__ import annotations

import os
from collections.abc import Iterable

_before: frozenset[int] | None = None


def is_there() -> bool:
    """Say whether this system lets a process keep to some of its cores."""
    return hasattr(os, "sched_setaffinity")


def part(usable: Iterable[int], number: int, processes: int) -> list[int]:
    """Return which of the *usable* cores are for one of so many *processes*.

    Some have the same core where there are fewer of these.

    Args:
        number: From 0, which of them it is.
    """
    usable = sorted(usable)
    first, end = (each * len(usable) // processes for each in (number, number + 1))
    return usable[first : max(end, first + 1)]


def keep_to_part(number: int, processes: int) -> None:
    """Have this process run on its part alone, with all that it will start.

    Raises:
        OSError: The system does not let it.
    """
    global _before
    usable = frozenset(os.sched_getaffinity(0))
    os.sched_setaffinity(0, part(usable, number, processes))
    _before = usable


def before() -> frozenset[int] | None:
    """Return the cores that this process had before; None if it has kept them."""
    return _before

"""How long to wait before the next attempt: strategies are pure functions of the attempt."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django_jobflow.exceptions import InvalidJob, checked_delay

Duration = float | timedelta
Backoff = Callable[[int], Duration]

DAY = timedelta(days=1)
LONGEST = timedelta(days=365)  # what a callable may ask for; dates stay in range


def _number(strategy: str, field: str, value: Any, lowest: float, highest: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        ok = False
    else:
        ok = lowest <= value <= highest
    if not ok:
        raise InvalidJob(
            f"{strategy}: expected {field} to be a number from {lowest:g} to {highest:g}, "
            f"got {value!r}."
        )


@dataclass(frozen=True)
class Exponential:
    """``base`` x ``factor`` ^ (attempt - 1), never above ``cap``, spread by ``jitter``.

    Attributes:
        base: Seconds or timedelta after the first failed attempt. Defaults to 1 second.
        factor: From 1 to 100. Defaults to 2.
        cap: Seconds or timedelta that no delay exceeds. Defaults to a day.
        jitter: Part of the delay, from 0 to 1, by which it may be shorter or longer, so
            that jobs that failed together do not come back together. Defaults to 0.1.
    """

    base: Duration = timedelta(seconds=1)
    factor: float = 2
    cap: Duration = DAY
    jitter: float = 0.1

    def __post_init__(self) -> None:
        for field in ("base", "cap"):
            value = checked_delay("Exponential", getattr(self, field), field)
            object.__setattr__(self, field, value)
        _number("Exponential", "factor", self.factor, 1, 100)
        _number("Exponential", "jitter", self.jitter, 0, 1)

    def __call__(self, attempt: int) -> timedelta:
        base, cap = self.base, self.cap
        assert isinstance(base, timedelta)
        assert isinstance(cap, timedelta)
        if not base:
            return base
        try:
            seconds = base.total_seconds() * float(self.factor) ** (attempt - 1)
        except OverflowError:  # the cap has long won
            seconds = cap.total_seconds()
        spread = random.uniform(1 - self.jitter, 1 + self.jitter)
        return timedelta(seconds=min(seconds * spread, cap.total_seconds()))


@dataclass(frozen=True)
class Linear:
    """``base`` x attempt.

    Attributes:
        base: Seconds or timedelta. Defaults to 1 second.
    """

    base: Duration = timedelta(seconds=1)

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", checked_delay("Linear", self.base, "base"))

    def __call__(self, attempt: int) -> timedelta:
        assert isinstance(self.base, timedelta)
        try:
            return min(self.base * attempt, LONGEST)
        except OverflowError:
            return LONGEST


@dataclass(frozen=True)
class Levels:
    """The listed delays, one an attempt; the last one repeats.

    Attributes:
        levels: Seconds or timedeltas, at least one.
    """

    levels: Sequence[Duration]

    def __post_init__(self) -> None:
        levels: Any = self.levels
        if isinstance(levels, str) or not isinstance(levels, Sequence) or not levels:
            raise InvalidJob(f"Levels: expected a list of at least one delay, got {levels!r}.")
        checked = tuple(checked_delay("Levels", level, "each level") for level in levels)
        object.__setattr__(self, "levels", checked)

    def __call__(self, attempt: int) -> timedelta:
        level = self.levels[min(attempt, len(self.levels)) - 1]
        assert isinstance(level, timedelta)
        return level


@dataclass(frozen=True)
class Immediate:
    """No delay at all."""

    def __call__(self, attempt: int) -> timedelta:
        return timedelta(0)


def delay_after(backoff: Backoff, attempt: int, *, name: str) -> timedelta:
    """Return the delay after failed attempt *attempt* (from 1), at most a year.

    Raises:
        InvalidJob: A callable returned something else than a delay.
    """
    delay = backoff(attempt)
    if isinstance(delay, timedelta):
        delay = min(delay, LONGEST)
    elif isinstance(delay, int | float):  # 2**attempt may be too long for a timedelta
        delay = min(delay, LONGEST.total_seconds())
    return checked_delay(name, delay, f"backoff({attempt})")

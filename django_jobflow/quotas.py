"""How much of something may run: so many at a time, so many in a time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django_jobflow.exceptions import InvalidJob, checked_delay
from django_jobflow.sentences import Sentence
from django_jobflow.sentences import noop as _

PERIODS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
RATE = Sentence(
    _(
        "text like '100/m' or '10/30s' (s, m, h or d), or a pair of a whole number from 1 and "
        "a period"
    )
)
MOST = 2**31 - 1
MOST_PLACES = 1000  # records that may hold one execution key
SLACK = 1e-6  # of a token; what adding up parts of one may lack


@dataclass(frozen=True, slots=True)
class Quota:
    """What may run of one queue, job or key, over all hosts.

    Attributes:
        concurrency: Records that may be held at a time. None means any number.
        rate: Records that may start in each ``period``. None means any number.
        burst: Records that may start at once after a time without any. None means ``rate``.
    """

    concurrency: int | None = None
    rate: int | None = None
    period: timedelta | None = None
    burst: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is no limit at all."""
        return self.concurrency is None and self.rate is None

    def tokens(self, left: float | None, elapsed: timedelta | None) -> float:
        """Return how many may start, *elapsed* after *left* were; None means never before."""
        most = float(self.burst or self.rate or 0)
        if left is None or elapsed is None:
            return most
        return min(most, left + max(elapsed.total_seconds(), 0.0) / self.pause)

    @property
    def pause(self) -> float:
        """Seconds from one token to the next."""
        assert self.rate is not None
        assert self.period is not None
        return self.period.total_seconds() / self.rate


def read_rate(value: Any) -> tuple[int, timedelta] | None:
    """Return the number and the period of a rate; None for what is none."""
    if isinstance(value, str):
        found = re.fullmatch(r"(\d{1,9})/(\d{1,7}(?:\.\d{1,6})?)?([smhd])", value, re.ASCII)
        value = (int(found[1]), float(found[2] or 1) * PERIODS[found[3]]) if found else None
    if not isinstance(value, list | tuple) or len(value) != 2 or not is_count(value[0]):
        return None
    try:
        period = checked_delay("", value[1])
    except InvalidJob:
        return None
    return (value[0], period) if period else None


def rate_text(number: int, period: timedelta) -> str:
    """Return a rate as the text that ``read_rate`` reads."""
    for unit, span in PERIODS.items():
        if period == span:
            return f"{number}/{unit}"
    return f"{number}/{period / PERIODS['s']:.6f}".rstrip("0").rstrip(".") + "s"


def is_count(value: Any) -> bool:
    """Say whether *value* is a whole number from 1."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST

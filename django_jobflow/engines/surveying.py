"""How long jobs wait, and where: the first entries of index ranges, however many wait."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django_jobflow.engines.ranging import Ranging
from django_jobflow.engines.waking import Waking, moment_of

HEAD = 10
"""Rows that are looked at of those that have been due for the longest.

One that was rescued, given back or promoted has been due for longer than it waits. The first of
a range that is none of these is the one that waits for the longest.
"""

Waits = dict[tuple[str, str], float]
"""Seconds, by the names of a queue and of a partition in it."""


@dataclass(frozen=True, slots=True)
class Delays:
    """For how many seconds the workers have left something undone; None where nothing is.

    Attributes:
        overdue: Since the time of a SCHEDULED or RETRY row came.
        lapsed: Since the reservation or the lease of a row lapsed.
    """

    overdue: float | None
    lapsed: float | None


class Surveying(Ranging, Waking):
    """What is asked of the whole table; here one index range after the other."""

    def waits(self, queues: Sequence[str], now: datetime | None = None) -> Waits:
        """Return for how many seconds the oldest AVAILABLE row of each lane has waited.

        It waits since it is due, or since it was made AVAILABLE if that was later. A lane is
        one of *queues* and a partition in it; one without such a row is left out.

        Database:
            One statement on PostgreSQL and SQLite, elsewhere one for each queue, two for each
            partition in it, and one for each priority in that where more than ``HEAD`` rows
            wait.
        """
        found: Waits = {}
        for lane in self.waiting_lanes(queues):
            for wait in self._waits(*lane, now):
                found[lane] = max(wait, found.get(lane, 0.0))
        return found

    def _waits(self, queue: str, partition: str, now: datetime | None) -> Iterator[float]:
        """Yield how long rows of a lane have waited, among them the oldest."""
        clock, clock_values = self._clock_sql(now)
        first = (
            f"SELECT {clock}, available_at, updated_at, priority {self._from_available} "
            f"AND queue = %s AND {self._partition} = %s"
        )
        order = "ORDER BY priority DESC, available_at, id LIMIT %s"
        values = [*clock_values, queue, partition]
        rows = self._returned(f"{first} {order}", [*values, HEAD])
        while rows:
            yield from (waited(*moments) for *moments, _ in rows)
            if len(rows) < HEAD:
                break
            below = [*values, rows[0][-1], HEAD]
            rows = self._returned(f"{first} AND priority < %s {order}", below)

    def delays(self, now: datetime | None = None) -> Delays:
        """Say for how long what is due, and what has lapsed, was left as it is.

        Database:
            One statement: the first entry of four index ranges.
        """
        clock, clock_values = self._clock_sql(now)
        firsts = ", ".join(
            f"(SELECT MIN({column}) FROM {self._table} WHERE state = '{state}')"
            for column, state in (
                ("available_at", "SCHEDULED"),
                ("available_at", "RETRY"),
                ("expires", "RESERVED"),
                ("expires", "IN_PROGRESS"),
            )
        )
        [(moment, *found)] = self._returned(f"SELECT {clock}, {firsts}", clock_values)
        due, lapsed = found[:2], found[2:]
        return Delays(overdue=_longest(moment, due), lapsed=_longest(moment, lapsed))


def waited(moment: Any, *since: Any) -> float:
    """Return the seconds from the latest of *since* to *moment*, as the driver gives them."""
    began = max(map(moment_of, since))
    return max((moment_of(moment) - began).total_seconds(), 0.0)


def _longest(moment: Any, since: Sequence[Any]) -> float | None:
    past = [each for each in since if each is not None and moment_of(each) <= moment_of(moment)]
    return max((waited(moment, each) for each in past), default=None)

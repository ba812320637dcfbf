"""PostgreSQL: where the next fetch begins, so that it does not pass over what is gone already.

Each row that is taken leaves an entry behind in the fetch index, until a vacuum removes it.
While some session holds an old snapshot no vacuum may, and each fetch would walk along all
that was taken since: what costs microseconds at first takes most of the time after a while.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django_jobflow.attempts import Demand, Exchange

FULL_SHARE = 20  # a pass from the beginning may take a part of the time that is one in so many


class Position(NamedTuple):
    """A place in the order of a fetch."""

    priority: int
    available_at: datetime
    id: int

    @property
    def order(self) -> tuple[int, datetime, int]:
        return -self.priority, self.available_at, self.id


class Head:
    """Remembers for each range of a worker where its last fetch ended.

    What has a higher priority than that is looked for as well. What stands before it in other
    ways (a record that was given back, or was enqueued by a transaction that took long) is
    found by a pass from the beginning. There is one as often as it costs next to nothing, and
    seldom once it costs much.
    """

    def __init__(self) -> None:
        self._ends: dict[tuple[str, ...] | None, Position] = {}
        self._full_at: dict[tuple[str, ...] | None, float] = {}

    def start(self, demand: Demand, now: float) -> Position | None:
        """Return after which place to begin; None means from the beginning.

        Args:
            now: By ``time.monotonic``.
        """
        if demand.turns is not None or (demand.queues is not None and len(demand.queues) != 1):
            return None
        if now >= self._full_at.get(demand.queues, 0.0):
            return None
        return self._ends.get(demand.queues)

    def seconds_to_full(self, demand: Demand, now: float) -> float:
        """Return how long it is until a pass from the beginning may be made."""
        return max(self._full_at.get(demand.queues, 0.0) - now, 0.0)

    def note(
        self, demand: Demand, start: Position | None, taken: Exchange, began: float, ended: float
    ) -> None:
        """Take in what a fetch that began after *start* has found, and how long it took."""
        if demand.turns is not None:
            return
        if start is None:
            self._full_at[demand.queues] = ended + FULL_SHARE * (ended - began)
        places = [
            Position(each.priority, each.available_at, each.id)
            for each in (*taken.started[-1:], *taken.held)
        ]
        former = self._ends.get(demand.queues)
        if former is not None and former.priority in {place.priority for place in places}:
            places.append(former)
        if places:
            self._ends[demand.queues] = max(places, key=lambda place: place.order)

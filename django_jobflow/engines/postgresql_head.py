"""PostgreSQL: where the next fetch begins, so that it does not pass over what is gone already.

Each row that is taken leaves an entry behind in the fetch index, until a vacuum removes it.
While some session holds an old snapshot no vacuum may, and each fetch would walk along all
that was taken since: what costs microseconds at first takes most of the time after a while.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from django_jobflow.attempts import Demand, Exchange, Reservation
from django_jobflow.engines.postgresql_rounds import Piece, Rounds

LONGEST = 0.1  # seconds that a fetch may take longer if it looks at what it has passed
MOST = 3  # priorities of a range that are remembered; each adds two ranges to the statement


class Position(NamedTuple):
    """A place in the order of a fetch."""

    priority: int
    available_at: datetime
    id: int


Queues = tuple[str, ...] | None
Ends = Sequence[Position]
"""Where the fetches from one range have ended: one place a priority, the highest first."""


class Start(NamedTuple):
    """Where a fetch begins.

    Attributes:
        ends: After which places. None of them means from the beginning.
        piece: What it looks at of that which lies before these.
    """

    ends: Ends = ()
    piece: Piece | None = None


class Head:
    """Remembers for each range of a worker, and each priority in it, where its last fetch ended.

    What has another priority than these is looked for as well. What stands before a place in
    other ways (a record that was given back, or was enqueued by a transaction that took long) is
    found by passes from the beginning, or by rounds once these take long.
    """

    def __init__(self) -> None:
        self._ends: dict[str | None, dict[int, Position]] = {}
        self._rounds: defaultdict[Queues, Rounds] = defaultdict(partial(Rounds, LONGEST))

    def start(self, demand: Demand, now: float) -> Start:
        """Return where a fetch begins.

        Args:
            now: By ``time.monotonic``.
        """
        ends = () if demand.turns is not None else self.ends(demand.queues)
        if not ends:
            return Start()
        rounds = self._rounds[demand.queues]
        if not rounds.is_due(now):
            return Start(ends)
        piece = rounds.piece(max(place.available_at for place in ends))
        return Start() if piece is None else Start(ends, piece)

    def ends(self, queues: Sequence[str] | None) -> Ends:
        """Return the places that are remembered of *queues* (None: of any).

        There are none of several queues: what comes first in each is locked, and then not taken
        where another queue has something before it. Others pass that over meanwhile.
        """
        if queues is not None and len(queues) != 1:
            return ()
        places = self._ends.get(None if queues is None else queues[0], {})
        return sorted(places.values(), reverse=True)

    def seconds_left(self, queues: Sequence[str] | None, now: float) -> float:
        """Return how long it is until a fetch looks at some of what was passed."""
        return self._rounds[None if queues is None else tuple(queues)].seconds_left(now)

    def forget(self) -> None:
        """Begin the next fetch at the beginning."""
        self._ends.clear()

    def note(
        self,
        demand: Demand,
        limit: int,
        start: Start,
        taken: Exchange,
        began: float,
        ended: float,
    ) -> None:
        """Take in what a fetch of up to *limit* has found that began at *start*, and its time."""
        if demand.turns is not None:
            self.forget()  # others take what stands there, and from other places
            return
        rounds = self._rounds[demand.queues]
        if start.piece is not None and len(taken.started) + len(taken.held) >= limit:
            rounds.filled(ended)
        elif not start.ends or start.piece is not None:
            rounds.looked(start.piece, began, ended)
        else:
            rounds.looked_past(ended - began)
        if demand.queues is not None and len(demand.queues) != 1:
            return
        queue = None if demand.queues is None else demand.queues[0]
        for each in (*_lasts(taken.started), *taken.held):
            ends = self._ends.setdefault(queue, {})
            place = Position(each.priority, each.available_at.astimezone(UTC), each.id)
            ends[each.priority] = max(place, ends.pop(each.priority, place))
            if len(ends) > MOST:
                del ends[next(iter(ends))]  # the one that was not seen for the longest


def _lasts(started: Sequence[Reservation]) -> Sequence[Reservation]:
    """Return those of *started*, which are in order, among which the last of each priority are."""
    if started and started[0].priority == started[-1].priority:
        return started[-1:]
    return started


def behind(ends: Ends, values: dict[str, Any], piece: Piece | None = None) -> list[str]:
    """Return what a range is cut into by *ends*: conditions, in the order of a fetch.

    Args:
        values: Gets the parameters.
        piece: What to look at before the ends.
    """
    passed = ""
    if piece is not None:
        values |= {"passed_after": piece.after, "passed_until": piece.until}
        passed = "available_at > %(passed_after)s AND available_at <= %(passed_until)s"
    return [*_cuts(ends, values, passed)]


def _cuts(ends: Ends, values: dict[str, Any], passed: str) -> Iterator[str]:
    below = ""
    for number, place in enumerate(ends):
        priority, due, pk = (f"end{number}_{name}" for name in ("priority", "due", "id"))
        values |= {priority: place.priority, due: place.available_at, pk: place.id}
        end = f"(%({due})s, %({pk})s::bigint)"
        yield f"{below} AND priority > %({priority})s"
        if passed:
            yield f"AND priority = %({priority})s AND {passed} AND (available_at, id) <= {end}"
        yield f"AND priority = %({priority})s AND (available_at, id) > {end}"
        below = f"AND priority < %({priority})s"
    yield below

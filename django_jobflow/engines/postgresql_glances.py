"""PostgreSQL: where the next glance begins, so that it does not pass over what is gone already.

What the head of the fetch is to the AVAILABLE rows, a moment is to leases and due times: those
before it were looked at, and what has left them lies dead in the index until a vacuum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django_jobflow.engines.postgresql_head import Head, behind
from django_jobflow.engines.postgresql_rounds import Piece, Rounds
from django_jobflow.engines.waking import WHOLE, Glance, Look

LONGEST = 0.02  # seconds that a glance may take longer if it looks at what it has passed
LATE = timedelta(minutes=1)
"""For how long a due time may have been over when the transaction that set it is committed.

A lease is longer than a worker's transaction takes, but a delay may be of a millisecond.
"""


class Glances:
    """Remembers until when all was looked at, and makes rounds through that once it is much.

    Args:
        head: Where fetches have ended.
    """

    def __init__(self, head: Head) -> None:
        self._head = head
        self._rounds = Rounds(LONGEST)
        self._leases_until: datetime | None = None  # no lease that has ended by then has lapsed
        self._due_until: datetime | None = None  # nothing was due by then
        self._piece: Piece | None = None
        self._shows_overdue = False
        self._has_lapsed = False
        self._sweeps = False
        self._elsewhere = True

    def look(self, queues: Sequence[str] | None, now: float) -> Look:
        """Return what the next glance looks at.

        Args:
            now: By ``time.monotonic``.
        """
        self._piece = None
        if self._leases_until is None or self._due_until is None or not self._rounds.is_slow:
            return WHOLE
        if self._rounds.is_due(now):
            self._piece = self._rounds.piece(self._leases_until)
        values: dict[str, Any] = {"looked": self._leases_until, "due": self._due_until - LATE}
        leases, moments = ["AND {0} > %(looked)s"], ["AND {0} > %(due)s"]
        if self._piece is not None:
            values |= {"piece_after": self._piece.after, "piece_until": self._piece.until}
            passed = "AND {0} > %(piece_after)s AND {0} <= %(piece_until)s"
            leases.append(passed)
            moments.append(passed)
        return Look(
            cuts=behind(self._head.ends(queues), values),
            leases=leases,
            moments=moments,
            values=values,
            elsewhere=False,
        )

    def note(
        self,
        queues: Sequence[str] | None,
        look: Look,
        shown: Glance,
        moment: datetime,
        began: float,
        ended: float,
    ) -> Glance:
        """Take in what a *look* has shown, and how long it took; return it completed.

        What a piece has shown is shown until it is seen to, since the next look is at another.
        """
        if look is WHOLE or self._piece is not None:
            self._rounds.looked(self._piece, began, ended)
        else:
            self._rounds.looked_past(ended - began)
        moment = moment.astimezone(UTC)
        if not shown.lapsed:
            self._leases_until = moment
        due_in = timedelta(seconds=min(shown.next_due or 0.0, 0.0))
        self._due_until = max(moment + due_in, self._due_until or moment + due_in)
        self._shows_overdue = self._shows_overdue or due_in < -LATE
        self._has_lapsed = shown.lapsed or (self._has_lapsed and look is not WHOLE)
        self._sweeps = shown.sweeps or (self._sweeps and look is not WHOLE)
        if look is WHOLE:
            self._elsewhere = shown.elsewhere
            return shown
        # The rounds through what the head has passed are those of the fetch.
        is_due = len(look.cuts) > 1 and not self._head.seconds_left(queues, ended)
        available = shown.available or is_due
        return replace(
            shown,
            available=available,
            elsewhere=available or self._elsewhere,
            lapsed=self._has_lapsed,
            sweeps=self._sweeps,
        )

    @property
    def is_sure_of_leases(self) -> bool:
        """Whether a look for leases that have lapsed can be spared, since it would take long."""
        return self._rounds.is_slow and not self._has_lapsed

    def note_sweep(self) -> None:
        """Take in that what has lapsed was rescued."""
        self._has_lapsed = self._sweeps = False

    def distrust(self) -> None:
        """Have the next activation see to all that is due, whenever that was."""
        self._shows_overdue = True

    def due_after(self) -> datetime | None:
        """Return after which moment rows may be due; None means from the beginning.

        Where a look has shown what was due before, it is for the next call to see to that.
        """
        shows_overdue, self._shows_overdue = self._shows_overdue, False
        if self._due_until is None or not self._rounds.is_slow or shows_overdue:
            return None
        return self._due_until - LATE

"""PostgreSQL: where the next glance begins, so that it does not pass over what is gone already.

What the head of the fetch is to the AVAILABLE rows, a moment is to leases and due times: those
before it were looked at, and what has left them lies dead in the index until a vacuum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
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
        self._until: datetime | None = None
        self._piece: Piece | None = None
        self._elsewhere = True

    def look(self, queues: Sequence[str] | None, now: float) -> Look:
        """Return what the next glance looks at.

        Args:
            now: By ``time.monotonic``.
        """
        self._piece = None
        if self._until is None or not self._rounds.is_slow:
            return WHOLE
        if not self._rounds.seconds_left(now):
            self._piece = self._rounds.piece(self._until)
        values: dict[str, Any] = {"looked": self._until, "looked_late": self._until - LATE}
        leases, moments = ["AND {0} > %(looked)s"], ["AND {0} > %(looked_late)s"]
        if self._piece is not None:
            values |= {"piece_after": self._piece.after, "piece_until": self._piece.until}
            passed = "AND {0} > %(piece_after)s AND {0} <= %(piece_until)s"
            leases.append(passed)
            moments.append(passed)
        return Look(
            cuts=behind(self._head.ends(queues), values),
            asks=self._piece is not None,
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
        """Take in what a *look* has shown, and how long it took; return it completed."""
        if look is WHOLE or self._piece is not None:
            self._rounds.looked(self._piece, began, ended)
        else:
            self._rounds.looked_past(ended - began)
        if not shown.lapsed and (shown.next_due is None or shown.next_due > 0):
            self._until = moment
        if look.elsewhere:
            self._elsewhere = shown.elsewhere
            return shown
        # The rounds through what the head has passed are those of the fetch.
        is_due = bool(look.cuts) and not self._head.seconds_left(queues, ended)
        available = shown.available or is_due
        return replace(shown, available=available, elsewhere=available or self._elsewhere)

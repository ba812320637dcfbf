"""PostgreSQL: how often, and in what pieces, to look at what was passed over.

A look that begins where the last one ended misses what has come to stand before that. To find
it, looks from the beginning are made, as often as they cost next to nothing. Where they walk
along millions of dead entries, they would stop the worker for seconds: then what was passed is
looked at piece by piece. Every other piece is the newest, where most of it comes to stand; the
ones in between go from the end to the beginning, in rounds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

SHARE = 20  # what they cost may be a part of the time that is one in so many
PAUSE = 0.25  # seconds between two pieces at least
GROWTH = 8  # times that a piece is wider than one that was cheap
NARROWEST = timedelta(milliseconds=1)
STRIKES = 3  # looks one after the other that took too long, which is no accident any more
ACCIDENTS = 2  # pieces of a cheap round that may have taken long
FAR_TOO_LONG = 10  # times as long as a look may take: of these, one is enough
FIRST = timedelta(seconds=1)  # width of the newest piece, and of the first of a round
NEWEST = timedelta(minutes=1)  # what is older is for the round, if that was so long ago
BEGINNING = datetime(1, 1, 2, tzinfo=UTC)


class Piece(NamedTuple):
    """The moments after one, until another."""

    after: datetime
    until: datetime
    is_newest: bool = False

    @property
    def is_last(self) -> bool:
        """Whether nothing is before it."""
        return self.after == BEGINNING


class Rounds:
    """The rounds of one worker through one index.

    What a look costs is by how much it takes longer than one at nothing that was passed: a server
    that is far away, or a slow disk, is no reason to look at less. So in rounds one of these
    stands between two pieces.

    Args:
        longest: How many seconds more that may be, as far as it is known beforehand.
    """

    def __init__(self, longest: float) -> None:
        self.longest = longest
        self._due_at = 0.0
        self._usual = 0.0
        self._width: timedelta | None = None
        self._until: datetime | None = None
        self._newest_until: datetime | None = None
        self._dear = 0
        self._strikes = 0
        self._looks_past = False
        self._was_newest = False

    @property
    def is_slow(self) -> bool:
        """Whether a look from the beginning takes too long."""
        return self._width is not None

    def seconds_left(self, now: float) -> float:
        """Return how long it is, at *now* by ``time.monotonic``, until the next look is due."""
        return max(self._due_at - now, 0.0)

    def is_due(self, now: float) -> bool:
        """Say whether the next look is to be at what was passed."""
        return now >= self._due_at and not self._looks_past

    def piece(self, end: datetime) -> Piece | None:
        """Return what to look at, of all until *end*; None means from the beginning."""
        if self._width is None:
            return None
        if not self._was_newest:
            seen = end if self._newest_until is None else min(self._newest_until, end)
            seen = max(seen, end - NEWEST)
            return Piece(seen - FIRST, end, is_newest=True)
        until = end if self._until is None else min(self._until, end)
        is_last = until - BEGINNING <= self._width
        return Piece(BEGINNING if is_last else until - self._width, until)

    def looked(self, piece: Piece | None, began: float, ended: float) -> None:
        """Take in how long a look took: at *piece*, or from the beginning."""
        self._usual = min(self._usual, ended - began)  # one at nothing takes no longer than this
        seconds = ended - began - self._usual
        self._due_at = ended + SHARE * seconds
        if piece is None or self._width is None:
            self._begin(FIRST if self._takes_too_long(seconds) else None)
        else:
            self._was_newest = piece.is_newest
            if piece.is_newest:
                self._newest_until = piece.until
            else:
                self._go_on(piece, seconds)
        self._looks_past = self.is_slow
        if self.is_slow:
            self._due_at = max(self._due_at, ended + PAUSE)

    def filled(self, now: float) -> None:
        """Take in that the last piece had more in it than could be taken: it is due again."""
        self._due_at, self._looks_past = now, False

    def looked_past(self, seconds: float) -> None:
        """Take in how long a look took that was at nothing of this."""
        self._looks_past = False
        self._usual += (seconds - self._usual) / 4 if self._usual else seconds

    def _takes_too_long(self, seconds: float) -> bool:
        self._strikes = self._strikes + 1 if seconds > self.longest else 0
        return self._strikes >= STRIKES or seconds > self.longest * FAR_TOO_LONG

    def _go_on(self, piece: Piece, seconds: float) -> None:
        assert self._width is not None
        self._dear += seconds > self.longest / 2
        if piece.is_last:
            self._begin(None if self._dear <= ACCIDENTS else FIRST)
            return
        self._until = piece.after
        if seconds > self.longest:
            self._width = max(self._width / 2, NARROWEST)
        elif seconds <= self.longest / 2:
            self._width *= GROWTH

    def _begin(self, width: timedelta | None) -> None:
        self._width, self._until, self._dear = width, None, 0
        if width is None:
            self._newest_until = None

"""Who has asked to be told of ends: those who wait for one, and those who listen."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from django_jobflow.attempts import Ending
from django_jobflow.engines import Engine
from django_jobflow.notices import notice
from django_jobflow.states import ENDED

HOLDS = 5.0  # seconds for which somebody's wait is remembered; it is said again each second


class Attention:
    """What a worker tells after its commit, in one statement, if anybody has asked.

    Args:
        engine: The database whose clients are told.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._awaited: dict[int, float] = {}

    @property
    def is_asked(self) -> bool:
        """Whether somebody waits for an end, as far as it is known."""
        now = time.monotonic()
        return any(until > now for until in self._awaited.values())

    def hear(self, ids: Iterable[int]) -> None:
        """Take in that somebody waits for the records of these *ids*."""
        now = time.monotonic()
        self._awaited = {pk: until for pk, until in self._awaited.items() if until > now}
        self._awaited |= dict.fromkeys(ids, now + HOLDS)

    def tell(self, endings: Sequence[Ending], written: set[int]) -> None:
        """Tell of those of *endings* that are written and that somebody has asked for."""
        notices = [
            said
            for each in endings
            if each.reservation.meta and each.reservation.id in written
            if (said := notice(each.reservation, each.event))
        ]
        if notices:
            self.engine.tell(notices)
        self._tell_those_who_wait(endings, written)

    def _tell_those_who_wait(self, endings: Sequence[Ending], written: set[int]) -> None:
        if not self._awaited:
            return
        ended = (
            each.reservation.id for each in endings if each.state is None or each.state in ENDED
        )
        if ids := written & self._awaited.keys() & set(ended):
            for pk in ids:
                del self._awaited[pk]
            self.engine.tell_ends(ids)

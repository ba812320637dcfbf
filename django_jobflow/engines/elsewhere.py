"""What a worker and those who run its bodies elsewhere ask of the rows between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from django_jobflow.attempts import Reservation
from django_jobflow.engines.reserving import Reserving
from django_jobflow.states import JobState


class Standing(NamedTuple):
    """How it is with an attempt that still has its row."""

    has_begun: bool
    is_cancelled: bool


class Elsewhere(Reserving):
    """The verbs about bodies that an executor runs.

    ``progress`` says whether such a body has begun: it is NULL until then. An executor may give
    a call to a second process when the first is gone, or to one at all when nobody waits any
    more; of all who would begin, one is let.
    """

    def begin(self, reservation: Reservation) -> bool:
        """Note that the body begins; False if one has begun, or another has the row.

        Database:
            One UPDATE by key.
        """
        held = self._held([reservation], {JobState.IN_PROGRESS})
        return held.filter(progress__isnull=True).update(progress=0, progress_message="") == 1

    def reset_progress(self, reservations: Sequence[Reservation]) -> None:
        """Let the bodies begin whose rows have a progress of an earlier attempt.

        Database:
            One UPDATE by key.
        """
        held = self._held(reservations, {JobState.IN_PROGRESS})
        held.update(progress=None, progress_message="")

    def standing(self, reservations: Sequence[Reservation]) -> dict[int, Standing]:
        """Return by id how it is with those of *reservations* that still have their rows.

        Database:
            One SELECT by key.
        """
        if not reservations:
            return {}
        held = self._held(reservations, {JobState.IN_PROGRESS})
        rows = held.values_list("pk", "progress", "cancel_requested_at")
        return {
            pk: Standing(progress is not None, cancelled is not None)
            for pk, progress, cancelled in rows
        }

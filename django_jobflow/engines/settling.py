"""Writing how attempts ended, each behind its fence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django_jobflow import states
from django_jobflow.attempts import Ending
from django_jobflow.engines.activating import Activating
from django_jobflow.engines.ground import FREED
from django_jobflow.models import SucceededJob

_OWN = {"id", "result", "succeeded_at"}
KEPT = tuple(
    field.attname for field in SucceededJob._meta.concrete_fields if field.attname not in _OWN
)
"""The facts that a success takes along, beside its id."""


class Settling(Activating):
    """The verbs of the room *settle*."""

    def settle(self, endings: Sequence[Ending], now: datetime | None = None) -> set[int]:
        """Write the ends of attempts, each only if the attempt still holds its row.

        Returns:
            The ids that were written; the others have been lost to someone else.

        Database:
            One SELECT that locks the rows, three statements for all successes, one UPDATE
            for each other end, and one for the clock when there is an error. Where an
            execution key becomes free, one SELECT more for the next that waits.
        """
        with self.transaction():
            ours = self._fenced(endings)
            successes = [ending for ending in ours if ending.state is None]
            others = [ending for ending in ours if ending.state is not None]
            self._archive(successes, now)
            if others:
                moment = self.now(now) if any(ending.error for ending in others) else now
                for ending in others:
                    self._end(ending, moment, now)
            self.promote(
                (ending.reservation.partition, ending.reservation.execution_key)
                for ending in ours
                if ending.state not in states.KEYED
            )
        return {ending.reservation.id for ending in ours}

    def _fenced(self, endings: Sequence[Ending]) -> list[Ending]:
        """Lock the rows of *endings* and return those that their attempt still holds."""
        rows = self.records.filter(pk__in=[ending.reservation.id for ending in endings])
        held = {
            pk: rest
            for pk, *rest in self.locked(rows.order_by("pk"), skip=False).values_list(
                "pk", "state", "attempt", "reserved_by"
            )
        }
        return [
            ending
            for ending in endings
            if held.get(ending.reservation.id)
            == [ending.origin, ending.reservation.attempt, ending.reservation.worker]
        ]

    def _archive(self, successes: Sequence[Ending], now: datetime | None) -> None:
        if not successes:
            return
        if kept := [ending for ending in successes if ending.keep]:
            self._keep(kept, now)
        rows = self.records.filter(pk__in=[ending.reservation.id for ending in successes])
        rows._raw_delete(self.alias)  # nothing refers to a record: no need to look for it

    def _keep(self, successes: Sequence[Ending], now: datetime | None) -> None:
        """Write *successes* to their table; their rows are locked and still there."""
        results = {ending.reservation.id: ending.result for ending in successes}
        moment = self.clock(now)
        facts = self.records.filter(pk__in=results).values("id", *KEPT)
        self.succeeded.bulk_create(
            [SucceededJob(**row, result=results[row["id"]], succeeded_at=moment) for row in facts]
        )

    def _end(self, ending: Ending, at: datetime | None, now: datetime | None) -> None:
        reservation, moment = ending.reservation, self.clock(now)
        values: dict[str, Any] = {
            "state": ending.state,
            "attempt": ending.attempt,
            "updated_at": moment,
            **FREED,
        }
        if ending.state not in states.KEYED:
            values["held_execution_key"] = None
        if ending.state in states.ENDED:
            values |= {"finished_at": moment, "held_queue_key": None}
        if ending.delay is not None:
            values["available_at"] = self.clock(now, ending.delay)
        if ending.error is not None:
            assert at is not None
            values["errors"] = [*reservation.errors, ending.error | {"at": at.isoformat()}]
        if ending.meta is not None:
            values["meta"] = ending.meta
        self.records.filter(pk=reservation.id).update(**values)

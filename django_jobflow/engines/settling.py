"""Writing how attempts ended, each behind its fence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django_jobflow import states
from django_jobflow.attempts import FENCE, Ending
from django_jobflow.engines.batching import Batching
from django_jobflow.engines.ground import FREED
from django_jobflow.engines.transactions import Transactions
from django_jobflow.entries import with_entry
from django_jobflow.models import SucceededJob

_OWN = {"id", "result", "succeeded_at"}
KEPT = tuple(
    field.attname for field in SucceededJob._meta.concrete_fields if field.attname not in _OWN
)
"""The facts that a success takes along, beside its id."""

Holds = dict[int, tuple[Any, ...]]
"""By the ids of rows, their state and what their columns of ``FENCE`` say."""


class Settling(Batching):
    """The verbs of the room *settle*."""

    def settle(self, endings: Sequence[Ending], now: datetime | None = None) -> set[int]:
        """Write the ends of attempts, each only if the attempt still holds its row.

        Returns:
            The ids that were written; the others have been lost to someone else.

        Database:
            One SELECT that locks the rows, two statements for all successes and one for all
            other ends, and one for the clock when there is an error, but on SQLite. The
            common way takes three for successes and one for each other end, PostgreSQL one
            for all. Where an execution key becomes free, one SELECT more for the next that
            waits.
        """
        with self.transaction():
            return self._settle(endings, now)

    def transactions(self) -> Transactions:
        """Return the transactions of this thread that end with the end of a job."""
        return Transactions(self)

    def pipeline(self) -> Transactions:
        """Return those of which several may go to the server in one round trip."""
        return self.transactions()

    def _settle(self, endings: Sequence[Ending], now: datetime | None) -> set[int]:
        """Settle inside a transaction that is open."""
        ours = self._write_ends(endings, now)
        self._promote_next(ours)
        self._members_settled(ours)
        return {ending.reservation.id for ending in ours}

    def _write_ends(self, endings: Sequence[Ending], now: datetime | None) -> list[Ending]:
        """Write the rows of those *endings* whose attempts still hold them; return these."""
        ours = self._fenced(endings)
        self._archive([ending for ending in ours if ending.state is None], now)
        self._end([ending for ending in ours if ending.state is not None], now)
        return ours

    def _promote_next(self, endings: Iterable[Ending]) -> None:
        """Give the next its turn where *endings* have freed an execution key."""
        self.hand_on(
            [ending.reservation for ending in endings if ending.state not in states.KEYED]
        )

    def _members_settled(self, written: Iterable[Ending]) -> None:
        """Let batches finish whose last member one of these *written* ends may be."""
        self.members_ended(
            ending.reservation.batch_id
            for ending in written
            if ending.reservation.batch_id is not None
            and (ending.state is None or ending.state in states.ENDED)
        )

    def _fenced(self, endings: Sequence[Ending]) -> list[Ending]:
        """Lock the rows of *endings* and return those that their attempt still holds."""
        if not endings:
            return []
        holds = self._holds([ending.reservation.id for ending in endings])
        return [
            ending
            for ending in endings
            if holds.get(ending.reservation.id) == (ending.origin, *ending.reservation.fence)
        ]

    def _holds(self, ids: Sequence[int]) -> Holds:
        """Lock the rows with these *ids*; return who holds which of them, and how."""
        rows = self.locked(self.records.filter(pk__in=ids).order_by("pk"), skip=False)
        return {
            pk: (state, *fence) for pk, state, *fence in rows.values_list("pk", "state", *FENCE)
        }

    def _archive(self, successes: Sequence[Ending], now: datetime | None) -> None:
        if not successes:
            return
        if kept := [ending for ending in successes if ending.keep]:
            self._keep(kept, now)
        self._remove([ending.reservation.id for ending in successes])

    def _remove(self, ids: Sequence[int]) -> None:
        rows = self.records.filter(pk__in=ids)
        rows._raw_delete(self.alias)  # nothing refers to a record: no need to look for it

    def _keep(self, successes: Sequence[Ending], now: datetime | None) -> None:
        """Write *successes* to their table; their rows are locked and still there."""
        results = {ending.reservation.id: ending.result for ending in successes}
        moment = self.clock(now)
        facts = self.records.filter(pk__in=results).values("id", *KEPT)
        self.succeeded.bulk_create(
            [SucceededJob(**row, result=results[row["id"]], succeeded_at=moment) for row in facts]
        )

    def _end(self, endings: Sequence[Ending], now: datetime | None) -> None:
        """Write the ends that are no success; their rows are locked and still there."""
        at = self.now(now) if any(ending.error for ending in endings) else now
        for ending in endings:
            self._end_one(ending, at, now)

    def _end_one(self, ending: Ending, at: datetime | None, now: datetime | None) -> None:
        reservation, moment = ending.reservation, self.clock(now)
        values: dict[str, Any] = {
            "state": ending.state,
            "attempt": ending.attempt,
            "fingerprint": ending.failed_as,
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
            values["errors"] = with_entry(
                reservation.errors, ending.error | {"at": at.isoformat()}
            )
        if ending.meta is not None:
            values["meta"] = ending.meta
        self.records.filter(pk=reservation.id).update(**values)

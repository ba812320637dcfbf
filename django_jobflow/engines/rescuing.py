"""Dealing with what dead workers held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

from django.db import models
from django.db.models import F, Q

from django_jobflow import states
from django_jobflow.attempts import FENCE, Reservation
from django_jobflow.endings import LAPSED, lost_error, lost_fingerprint
from django_jobflow.engines.batching import Batching
from django_jobflow.engines.ground import FREED, SWEEP_BATCH, before
from django_jobflow.entries import with_entry
from django_jobflow.models import JobRecord
from django_jobflow.states import JobState


class Rescuing(Batching):
    """The verbs of a sweep."""

    def rescue(self, rows: models.QuerySet[JobRecord], now: datetime | None) -> list[JobRecord]:
        """Make lapsed rows with attempts left AVAILABLE; return them as they were."""
        lapsed = Q(state=JobState.RESERVED) | Q(
            state=JobState.IN_PROGRESS, attempt__lt=F("max_attempts")
        )
        return self._rescue(rows.filter(lapsed), now)

    def give_back(
        self, worker: str, now: datetime | None = None, *, cause: str = LAPSED
    ) -> list[JobRecord]:
        """Do with all that *worker* holds what ``rescue`` does with what has lapsed.

        Rows that another transaction has locked are passed over: they are being settled.

        Args:
            cause: What the errors of lost attempts say of the worker.
        """
        held = self.records.filter(reserved_by=worker, state__in=sorted(states.HELD))
        return self._take_over(held, now, cause)

    def release_unknown(self, worker: str, known: Iterable[Reservation]) -> int:
        """Release at no cost what *worker* holds in the table and does not know of."""
        held = self.records.filter(reserved_by=worker, state__in=sorted(states.HELD))
        fences = {(each.id, *each.fence) for each in known}
        with self.transaction():
            rows = [
                row
                for row in self.locked(held.order_by("pk"), skip=True)
                if (row.pk, *(getattr(row, name) for name in FENCE)) not in fences
            ]
            for row in rows:
                started = row.state == JobState.IN_PROGRESS
                self.records.filter(pk=row.pk).update(
                    state=JobState.AVAILABLE,
                    attempt=row.attempt - 1 if started else row.attempt,
                    updated_at=self.clock(None),
                    **FREED,
                )
        return len(rows)

    def _rescue(self, rows: models.QuerySet[JobRecord], now: datetime | None) -> list[JobRecord]:
        return self._take_over(
            rows.filter(state__in=before("rescue"), expires__lte=self.clock(now)), now
        )

    def fail_lost(self, rows: models.QuerySet[JobRecord], now: datetime | None) -> list[JobRecord]:
        """Make lapsed IN_PROGRESS rows without an attempt left FAILED; return them."""
        spent = rows.filter(state__in=before("lose"), attempt__gte=F("max_attempts"))
        return self._take_over(spent.filter(expires__lte=self.clock(now)), now)

    def _take_over(
        self, rows: models.QuerySet[JobRecord], now: datetime | None, cause: str = LAPSED
    ) -> list[JobRecord]:
        taken: list[JobRecord] = []
        while batch := self._take_batch(rows, now, cause):
            taken += batch
            if len(batch) < SWEEP_BATCH:
                break
        return taken

    def _take_batch(
        self, rows: models.QuerySet[JobRecord], now: datetime | None, cause: str
    ) -> list[JobRecord]:
        with self.transaction():
            # Ordered here: with a limit, a database may walk along all ids to have the order.
            found = self.locked(rows.order_by(), skip=True)[:SWEEP_BATCH]
            batch = sorted(found, key=attrgetter("pk"))
            if batch:
                self._free(batch, now, cause)
        return batch

    def _free(self, batch: Sequence[JobRecord], now: datetime | None, cause: str) -> None:
        """Free rows that this transaction has locked from a worker that is gone."""
        reserved = [row.pk for row in batch if row.state == JobState.RESERVED]
        if reserved:
            self.named(reserved, state=JobState.RESERVED).update(
                state=JobState.AVAILABLE, updated_at=self.clock(now), **FREED
            )
        running = [row for row in batch if row.state == JobState.IN_PROGRESS]
        at = self.now(now).isoformat() if running else ""
        for row in running:
            error = lost_error(row.attempt, row.reserved_by, cause) | {"at": at}
            errors = with_entry(row.errors, error)
            values: dict[str, Any] = {"state": JobState.AVAILABLE}
            if row.attempt >= row.max_attempts:
                values = {
                    "state": JobState.FAILED,
                    "finished_at": self.clock(now),
                    "held_queue_key": None,
                    "held_execution_key": None,
                    "fingerprint": lost_fingerprint(cause).digest,
                }
            self.named(
                [row.pk],
                state=JobState.IN_PROGRESS,
                attempt=row.attempt,
                reserved_by=row.reserved_by,
            ).update(errors=errors, updated_at=self.clock(now), **FREED, **values)
        spent = [row for row in running if row.attempt >= row.max_attempts]
        self.promote((row.partition, row.execution_key) for row in spent)
        self.members_ended(row.batch_id for row in spent)

"""Ending what waits until it has become pointless, whether or not a worker would come to it."""

from __future__ import annotations

from datetime import datetime
from operator import attrgetter

from django.db import models

from django_jobflow.attempts import Ending, reservation_of
from django_jobflow.endings import expired
from django_jobflow.engines.batching import Batching
from django_jobflow.engines.ground import SWEEP_BATCH, before
from django_jobflow.entries import with_entry
from django_jobflow.models import JobRecord
from django_jobflow.states import JobState


class Expiring(Batching):
    """The verb of a sweep that looks for what has outlived its use."""

    def expire(self, rows: models.QuerySet[JobRecord], now: datetime | None) -> list[Ending]:
        """Make waiting *rows* FAILED that were not started by ``expires_at``; return their ends.

        What is reserved is left to its worker, which does not start it any more.

        Database:
            One SELECT when there are none; for each 1,000 two UPDATEs, the clock, and what
            gives the next of a freed execution key its turn.
        """
        # Not by their states: with those, a planner takes an index of all that waits.
        waiting = rows.filter(
            finished_at__isnull=True, reserved_by__isnull=True, expires_at__lte=self.clock(now)
        )
        endings: list[Ending] = []
        while batch := self._expire_batch(waiting, now):
            endings += batch
            if len(batch) < SWEEP_BATCH:
                break
        return endings

    def _expire_batch(
        self, waiting: models.QuerySet[JobRecord], now: datetime | None
    ) -> list[Ending]:
        with self.transaction():
            # Ordered here: with a limit, a database may walk along all ids to have the order.
            found = self.locked(waiting.order_by(), skip=True)[:SWEEP_BATCH]
            rows = sorted(found, key=attrgetter("pk"))
            if not rows:
                return []
            endings = [expired(reservation_of(row)) for row in rows]
            at = self.now(now).isoformat()
            for row, ending in zip(rows, endings, strict=True):
                assert ending.error is not None
                row.errors = with_entry(row.errors, ending.error | {"at": at})
            self.records.bulk_update(rows, ["errors"])
            ids = [row.pk for row in rows]
            self.named(ids, state__in=before("expire")).update(
                state=JobState.FAILED,
                finished_at=self.clock(now),
                updated_at=self.clock(now),
                held_queue_key=None,
                held_execution_key=None,
                parked_for=None,
                fingerprint=endings[0].failed_as,  # they are all of one kind
            )
            self._pass_on(
                (row.partition, row.execution_key) for row in rows if row.held_execution_key
            )
            self.members_ended(row.batch_id for row in rows)
        return endings

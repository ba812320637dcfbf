"""Making records AVAILABLE that are due."""

from __future__ import annotations

from datetime import datetime

from django.db import models

from django_jobflow.engines.ground import AVAILABLE_OR_WAITING, SWEEP_BATCH, before
from django_jobflow.engines.promoting import Promoting
from django_jobflow.models import JobRecord


class Activating(Promoting):
    """The verbs that make records AVAILABLE."""

    def activate_scheduled(self, rows: models.QuerySet[JobRecord], now: datetime | None) -> int:
        """Make due SCHEDULED and RETRY rows AVAILABLE, or WAITING when they have a key."""
        total = 0
        while batch := self._activate_batch(rows, now):
            total += batch
            if batch < SWEEP_BATCH:
                break
        return total

    def _activate_batch(self, rows: models.QuerySet[JobRecord], now: datetime | None) -> int:
        with self.transaction():
            due = rows.filter(state__in=before("activate"), available_at__lte=self.clock(now))
            locked = self.locked(due, skip=True)
            found = list(locked.values_list("pk", "partition", "execution_key")[:SWEEP_BATCH])
            if not found:
                return 0
            named = self.named([pk for pk, _, _ in found], state__in=before("activate"))
            changed = named.update(state=AVAILABLE_OR_WAITING, updated_at=self.clock(now))
            self.promote((partition, key) for _, partition, key in found if key)
        return changed

    def run_now(self, rows: models.QuerySet[JobRecord], now: datetime | None) -> int:
        """Make SCHEDULED and RETRY *rows* due at once; return how many they were."""
        with self.transaction():
            found = list(
                self.locked(rows.filter(state__in=before("run_now")), skip=False).values_list(
                    "pk", "partition", "execution_key"
                )
            )
            moment = self.clock(now)
            named = self.named([pk for pk, _, _ in found], state__in=before("run_now"))
            changed = named.update(
                state=AVAILABLE_OR_WAITING, available_at=moment, updated_at=moment
            )
            self.promote((partition, key) for _, partition, key in found if key)
            if changed:
                self.wake()
        return changed

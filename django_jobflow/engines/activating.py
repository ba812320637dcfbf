"""Making records AVAILABLE: those that are due, and those whose key became free."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import IntegrityError, models, transaction
from django.db.models import DurationField, ExpressionWrapper, F

from django_jobflow import states
from django_jobflow.attempts import key_digest
from django_jobflow.engines.ground import AVAILABLE_OR_WAITING, SWEEP_BATCH, Ground, before
from django_jobflow.models import JobRecord
from django_jobflow.models.querysets import RESERVE_ORDER
from django_jobflow.states import JobState


class Activating(Ground):
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
            found = list(
                self.locked(due, skip=True).values_list("pk", "partition", "execution_key")[
                    :SWEEP_BATCH
                ]
            )
            if not found:
                return 0
            changed = self.records.filter(
                pk__in=[pk for pk, _, _ in found], state__in=before("activate")
            ).update(state=AVAILABLE_OR_WAITING, updated_at=self.clock(now))
            self.promote((partition, key) for _, partition, key in found if key)
        return changed

    def seconds_to_next_due(self, now: datetime | None = None) -> float | None:
        """Return the seconds until the earliest SCHEDULED or RETRY row is due, or None."""
        waits = []
        for state in sorted(states.PENDING):
            wait = ExpressionWrapper(F("available_at") - self.clock(now), DurationField())
            rows = self.records.filter(state=state).order_by("available_at")
            waits += [delta.total_seconds() for delta in rows.values_list(wait, flat=True)[:1]]
        return min(waits, default=None)

    def run_now(self, rows: models.QuerySet[JobRecord], now: datetime | None) -> int:
        """Make SCHEDULED and RETRY *rows* due at once; return how many they were."""
        with self.transaction():
            found = list(
                self.locked(rows.filter(state__in=before("run_now")), skip=False).values_list(
                    "pk", "partition", "execution_key"
                )
            )
            moment = self.clock(now)
            changed = self.records.filter(
                pk__in=[pk for pk, _, _ in found], state__in=before("run_now")
            ).update(state=AVAILABLE_OR_WAITING, available_at=moment, updated_at=moment)
            self.promote((partition, key) for _, partition, key in found if key)
        return changed

    def promote(self, keys: Iterable[tuple[str, str | None]]) -> None:
        """Make the next WAITING row of each free execution key AVAILABLE.

        Two workers may arrive here together; the unique index lets one through. And one may
        see a holder that another is about to end, while that other does not see the row that
        the one is about to make WAITING. So keys that gave nobody a turn are looked at again
        after the commit.
        """
        idle = self._promote_each(sorted({(partition, key) for partition, key in keys if key}))
        # Where rows cannot be locked, nobody else writes until the commit.
        if idle and self.connection.in_atomic_block and self.locks_rows:
            transaction.on_commit(lambda: self._promote_each(idle), using=self.alias, robust=True)

    def _promote_each(self, keys: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Give the next row of each of *keys* its turn; return those that had nobody to give."""
        return [(partition, key) for partition, key in keys if not self._promote(partition, key)]

    def _promote(self, partition: str, key: str) -> bool:
        """Give the next row of one key its turn; say whether somebody has got it."""
        digest = key_digest(partition, key)
        waiting = self.records.filter(
            state=JobState.WAITING, partition=partition, execution_key=key
        )
        next_id = waiting.order_by(*RESERVE_ORDER).values_list("pk", flat=True).first()
        if next_id is None or self.records.filter(held_execution_key=digest).exists():
            return False
        try:
            with transaction.atomic(using=self.alias):
                changed = waiting.filter(pk=next_id).update(
                    state=JobState.AVAILABLE,
                    held_execution_key=digest,
                    updated_at=self.clock(None),
                )
        except IntegrityError:
            return True
        return changed == 1

    def promote_waiting(self) -> None:
        """Promote for every key that has WAITING rows and no holder; heals after crashes."""
        waiting = self.records.filter(state=JobState.WAITING)
        self.promote(waiting.order_by().values_list("partition", "execution_key").distinct())

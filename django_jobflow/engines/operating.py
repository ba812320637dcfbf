"""What an operator asks of records: to run again, to stop, to be forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, models, transaction

from django_jobflow import states
from django_jobflow.attempts import key_digest
from django_jobflow.engines.activating import Activating
from django_jobflow.engines.ground import AVAILABLE_OR_WAITING, FREED, before
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.states import JobState

PRUNE_BATCH = 1000  # rows that one statement of a prune deletes


class Operating(Activating):
    """The verbs of the room *operate*."""

    def retry(self, rows: models.QuerySet[JobRecord], now: datetime | None = None) -> list[int]:
        """Let FAILED and CANCELLED *rows* run again; return the ids of those that will.

        One whose queue key is held by another is passed over.

        Database:
            One SELECT that locks the rows, one UPDATE for all without a queue key, one for
            each with one.
        """
        with self.transaction():
            ended = self.locked(rows.filter(state__in=before("retry")).order_by("pk"), skip=False)
            found = list(ended.values_list("pk", "partition", "queue_key", "execution_key"))
            done = [pk for pk, _, queue_key, _ in found if queue_key is None]
            self._retry(done, None, now)
            for pk, partition, queue_key, _ in found:
                if queue_key is not None and self._retry_holding(pk, partition, queue_key, now):
                    done.append(pk)
            self.promote((partition, key) for _, partition, _, key in found if key)
        return done

    def _retry_holding(
        self, pk: int, partition: str, queue_key: str, now: datetime | None
    ) -> bool:
        try:
            with transaction.atomic(using=self.alias):
                self._retry([pk], key_digest(partition, queue_key), now)
        except IntegrityError:
            return False
        return True

    def _retry(self, ids: Sequence[int], held_key: str | None, now: datetime | None) -> None:
        if not ids:
            return
        moment = self.clock(now)
        self.records.filter(pk__in=ids, state__in=before("retry")).update(
            state=AVAILABLE_OR_WAITING,
            attempt=0,
            available_at=moment,
            updated_at=moment,
            started_at=None,
            finished_at=None,
            cancel_requested_at=None,
            progress=None,
            progress_message="",
            held_queue_key=held_key,
        )

    def cancel(
        self, rows: models.QuerySet[JobRecord], now: datetime | None = None
    ) -> tuple[list[int], list[int]]:
        """Cancel waiting *rows*, and ask for those that run.

        Returns:
            The ids that are CANCELLED now, and the ids that run and were asked to stop.

        Database:
            One SELECT that locks the rows, and at most two UPDATEs.
        """
        with self.transaction():
            unfinished = rows.filter(state__in=before("cancel")).order_by("pk")
            found = list(
                self.locked(unfinished, skip=False).values_list(
                    "pk", "state", "partition", "execution_key"
                )
            )
            running = [pk for pk, state, _, _ in found if state == JobState.IN_PROGRESS]
            waiting = [pk for pk, state, _, _ in found if state != JobState.IN_PROGRESS]
            self._cancel(waiting, running, now)
            self.promote(
                (partition, key) for _, state, partition, key in found if state in states.KEYED
            )
        return waiting, running

    def _cancel(
        self, waiting: Sequence[int], running: Sequence[int], now: datetime | None
    ) -> None:
        moment = self.clock(now)
        if waiting:
            values: dict[str, Any] = {
                "state": JobState.CANCELLED,
                "finished_at": moment,
                "updated_at": moment,
                "held_queue_key": None,
                "held_execution_key": None,
                **FREED,
            }
            self.records.filter(pk__in=waiting).exclude(state=JobState.IN_PROGRESS).update(
                **values
            )
        if running:
            self.records.filter(pk__in=running, state=JobState.IN_PROGRESS).update(
                cancel_requested_at=moment, updated_at=moment
            )

    def delete(self, rows: models.QuerySet[JobRecord]) -> int:
        """Delete *rows* but for those that a worker runs; return how many.

        Database:
            One SELECT that locks the rows, and one DELETE by key.
        """
        with self.transaction():
            idle = rows.exclude(state=JobState.IN_PROGRESS).order_by("pk")
            found = list(
                self.locked(idle, skip=False).values_list(
                    "pk", "state", "partition", "execution_key"
                )
            )
            deleted = self.records.filter(pk__in=[pk for pk, *_ in found])._raw_delete(self.alias)
            self.promote(
                (partition, key) for _, state, partition, key in found if state in states.KEYED
            )
        return int(deleted or 0)

    def delete_succeeded(self, ids: Sequence[int]) -> int:
        """Delete the successes of these *ids*; return how many there were."""
        return int(self.succeeded.filter(pk__in=ids)._raw_delete(self.alias) or 0)

    def prune_ended(self, older_than: datetime) -> int:
        """Delete FAILED and CANCELLED rows that ended at *older_than* or before."""
        rows = self.records.filter(state__in=before("retry"), finished_at__lte=older_than)
        return self._prune(rows)

    def prune_succeeded(
        self, older_than: datetime, *, names: Sequence[str] = (), but: Sequence[str] = ()
    ) -> int:
        """Delete successes of *older_than* or before: of *names*, or of all *but* some."""
        rows = self.succeeded.filter(succeeded_at__lte=older_than)
        if names:
            rows = rows.filter(name__in=names)
        elif but:
            rows = rows.exclude(name__in=but)
        return self._prune(rows)

    def _prune(self, rows: models.QuerySet[JobRecord] | models.QuerySet[SucceededJob]) -> int:
        total = 0
        while ids := list(rows.values_list("pk", flat=True)[:PRUNE_BATCH]):
            deleted = rows.filter(pk__in=ids)._raw_delete(self.alias)
            total += int(deleted or 0)
            if len(ids) < PRUNE_BATCH:
                break
        return total

"""What an operator asks of records: to run again, to stop, to be forgotten."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.db import IntegrityError, models, transaction
from django.db.models import Exists, OuterRef, Q

from django_jobflow.attempts import key_digest
from django_jobflow.engines.batching import Batching
from django_jobflow.engines.ground import AVAILABLE_OR_WAITING, FREED, before
from django_jobflow.engines.holding import Holding
from django_jobflow.engines.logs import KeepingLogs
from django_jobflow.models import JobFacts, JobRecord, SucceededJob
from django_jobflow.states import JobState

PRUNE_BATCH = 1000  # rows that one statement of a prune deletes


class Operating(Batching, Holding, KeepingLogs):
    """The verbs of the room *operate*."""

    def retry(
        self,
        rows: models.QuerySet[JobRecord],
        now: datetime | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Let FAILED and CANCELLED *rows* run again; return the ids of those that will.

        One whose queue key is held by another is passed over.

        Args:
            values: What else is written, by column.

        Database:
            One SELECT that locks the rows, one UPDATE for all without a queue key, one for
            each with one.
        """
        with self.transaction():
            ended = self.locked(rows.filter(state__in=before("retry")).order_by("pk"), skip=False)
            values = values or {}
            found = [
                {**row, **values}
                for row in ended.values("pk", "partition", "queue_key", "execution_key")
            ]
            done = [row["pk"] for row in found if row["queue_key"] is None]
            self._retry(done, None, now, values)
            for row in found:
                if row["queue_key"] is not None and self._retry_holding(row, now, values):
                    done.append(row["pk"])
            self.promote((row["partition"], row["execution_key"]) for row in found)
            if done:
                self.wake()
        return done

    def _retry_holding(
        self, row: Mapping[str, Any], now: datetime | None, values: Mapping[str, Any]
    ) -> bool:
        held_key = key_digest(row["partition"], row["queue_key"])
        try:
            with transaction.atomic(using=self.alias):
                self._retry([row["pk"]], held_key, now, values)
        except IntegrityError:
            return False
        return True

    def _retry(
        self,
        ids: Sequence[int],
        held_key: str | None,
        now: datetime | None,
        values: Mapping[str, Any],
    ) -> None:
        if not ids:
            return
        moment = self.clock(now)
        state: Any = AVAILABLE_OR_WAITING
        if "execution_key" in values:  # an expression sees that of before, or not, by database
            state = JobState.WAITING if values["execution_key"] else JobState.AVAILABLE
        self.records.filter(pk__in=ids, state__in=before("retry")).update(
            **values,
            state=state,
            attempt=0,
            available_at=moment,
            updated_at=moment,
            started_at=None,
            finished_at=None,
            cancel_requested_at=None,
            progress=None,
            progress_message="",
            held_queue_key=held_key,
            fingerprint=None,
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
                    "pk", "state", "batch_id", "held_execution_key", "partition", "execution_key"
                )
            )
            running = [pk for pk, state, *_ in found if state == JobState.IN_PROGRESS]
            waiting = [pk for pk, state, *_ in found if state != JobState.IN_PROGRESS]
            self._cancel(waiting, running, now)
            self._pass_on(tuple(key) for _, _, _, held, *key in found if held)
            self.members_ended(batch_id for _, _, batch_id, *_ in found)
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
                "parked_for": None,
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
            One SELECT that locks the rows, one DELETE by key, and one of what they have logged.
        """
        with self.transaction():
            idle = rows.exclude(state=JobState.IN_PROGRESS).order_by("pk")
            found = list(
                self.locked(idle, skip=False).values_list(
                    "pk",
                    "held_execution_key",
                    "batch_id",
                    "queue_key",
                    "partition",
                    "execution_key",
                )
            )
            deleted = self.records.filter(pk__in=[pk for pk, *_ in found])._raw_delete(self.alias)
            self._pass_on(tuple(keys) for _, held, _, _, *keys in found if held)
            self.note_deleted([pk for _, _, pk, *_ in found if pk is not None])
            keyed = [(pk, key_digest(part, key)) for pk, _, _, key, part, _ in found if key]
            self.free_holds([digest for _, digest in keyed], [pk for pk, _ in keyed])
            self.delete_logs([pk for pk, *_ in found])
        return int(deleted or 0)

    def delete_succeeded(self, ids: Sequence[int]) -> int:
        """Delete the successes of these *ids*; return how many there were."""
        with self.transaction():
            deleted = self.succeeded.filter(pk__in=ids)._raw_delete(self.alias)
            self.delete_logs(ids)
        return int(deleted or 0)

    def old_ended(self, older_than: datetime) -> models.QuerySet[JobRecord]:
        """Return FAILED and CANCELLED rows that ended at *older_than* or before.

        The members of a batch stay until it has finished: it counts them then.
        """
        runs = self.batches.filter(pk=OuterRef("batch_id"), finished_at__isnull=True)
        rows = self.records.filter(state__in=before("retry"), finished_at__lte=older_than)
        return rows.filter(Q(batch_id__isnull=True) | ~Exists(runs))

    def old_succeeded(
        self, older_than: datetime, *, names: Sequence[str] = (), but: Sequence[str] = ()
    ) -> models.QuerySet[SucceededJob]:
        """Return successes of *older_than* or before: of *names*, or of all *but* some."""
        rows = self.succeeded.filter(succeeded_at__lte=older_than)
        if names:
            return rows.filter(name__in=names)
        return rows.exclude(name__in=but) if but else rows

    def prune(
        self,
        rows: models.QuerySet[Any],
        noted: Callable[[Callable[[], int]], int] | None = None,
    ) -> int:
        """Delete *rows* that are old, some at a time; return how many.

        Args:
            noted: Calls what deletes some of them, and returns what that does.

        Database:
            For each 1,000 a SELECT and a DELETE, and for those of jobs one DELETE of what they
            have logged.
        """
        total = 0
        while ids := list(rows.values_list("pk", flat=True)[:PRUNE_BATCH]):
            step = partial(self._prune_batch, rows, ids)
            total += step() if noted is None else noted(step)
            if len(ids) < PRUNE_BATCH:
                break
        return total

    def _prune_batch(self, rows: models.QuerySet[Any], ids: Sequence[int]) -> int:
        with self.transaction():
            deleted = rows.filter(pk__in=ids)._raw_delete(self.alias)
            # One that somebody has retried meanwhile keeps its lines; a sweep finds the others'.
            if issubclass(rows.model, JobFacts) and deleted == len(ids):
                self.delete_logs(ids)
        return int(deleted or 0)

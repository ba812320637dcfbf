"""The verbs of a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from django.db import models
from django.db.models import Exists, OuterRef
from django.db.models.expressions import Combinable

from django_jobflow import signals
from django_jobflow.calls import Prepared
from django_jobflow.declare import registry
from django_jobflow.engines.ground import batched
from django_jobflow.engines.operating import Operating
from django_jobflow.exceptions import InvalidJob
from django_jobflow.models import Batch, BatchProgress, JobRecord

BATCH = 1000  # members that one transaction of a cancel takes


class BatchVerbs(Operating):
    """What ``Batch`` and its manager pass on."""

    def open_batch(self, description: str, calls: Mapping[str, Any]) -> Batch:
        said = {name: self._read_call(name, call) for name, call in calls.items()}
        keys = [call.call.held_queue_key for call in calls.values() if call is not None]
        if len(keys) == 2 and keys[0] is not None and keys[0] == keys[1]:
            raise InvalidJob(
                "Batch: expected on_success and on_finish to have different queue keys, since "
                "the first would hold it when the second comes, got the same."
            )
        batch = Batch(description=description, created_at=self.clock(None), **said)
        batch.save(force_insert=True, using=self.alias)
        written: object = batch.created_at
        if isinstance(written, Combinable):  # MySQL does not return what it wrote
            batch.refresh_from_db(using=self.alias)
        return batch

    def _read_call(self, name: str, call: Any) -> dict[str, Any] | None:
        if call is None:
            return None
        if not isinstance(call, Prepared):
            raise InvalidJob(
                f"Batch: expected {name} to be a call from Job.prepared(...), or None, "
                f"got {call!r}."
            )
        if call.database != self.alias:
            raise InvalidJob(
                f"Batch: expected {name} to be a call for the database {self.alias!r} of the "
                f"batch, got one for {call.database!r}."
            )
        if call.insists:
            raise InvalidJob(
                f"Batch: expected {name} to return the holder of its queue key, since nobody is "
                f"there to be told of one, got a call of {call.terms.name} with {call.insists}."
            )
        return call.written()

    def delete_plainly(self, rows: models.QuerySet[JobRecord]) -> tuple[int, dict[str, int]]:
        """Delete *rows* by Django's own means, and count the members of batches among them."""
        total: Counter[str] = Counter()
        with self.transaction():
            members = self.locked_members(rows)
            # By their ids: others may come to match the query in the meantime.
            manager = rows.model._base_manager.using(self.alias)
            pieces = [manager.filter(pk__in=ids) for ids in batched([*members], BATCH)]
            for each in (*pieces, rows.filter(batch_id__isnull=True)):
                total.update(models.QuerySet.delete(each)[1])
            self.note_deleted([*members.values()])
        return total.total(), dict(total)

    def locked_members(self, rows: models.QuerySet[JobRecord]) -> dict[int, int]:
        """Lock those of *rows* that are members of batches; return their batches by their ids."""
        if not self.locks_rows and self.connection.in_atomic_block:
            # One that has read and then writes is not let wait for others.
            self.records.filter(pk=-1).update(priority=0)
        found = rows.filter(batch_id__isnull=False).order_by().values("pk")
        locked = self.locked(self.records.filter(pk__in=found).order_by("pk"), skip=False)
        return dict(locked.values_list("pk", "batch_id"))

    def close_batch(self, batch: Batch, now: datetime | None) -> None:
        rows = self.batches.filter(pk=batch.pk)
        if rows.filter(closed_at__isnull=True).update(closed_at=self.clock(now)):
            self.members_ended([batch.pk])
        self._refresh(batch)

    def _refresh(self, batch: Batch) -> None:
        """Read *batch* again; say which one it is that is not there."""
        try:
            batch.refresh_from_db(using=self.alias)
        except Batch.DoesNotExist:
            raise Batch.DoesNotExist(
                f"Batch {batch.pk} does not exist in the database {self.alias!r}."
            ) from None

    def cancel_batch(self, batch: Batch, now: datetime | None) -> int:
        self.close_batch(batch, now)
        members = self._unfinished(batch.pk).order_by("pk").values_list("pk", flat=True)
        done, last = 0, 0
        while ids := list(members.filter(pk__gt=last)[:BATCH]):
            cancelled, _ = self.cancel(self.records.filter(pk__in=ids), now)
            self._announce_cancelled(cancelled)
            done, last = done + len(cancelled), ids[-1]
        self._refresh(batch)
        return done

    def _announce_cancelled(self, ids: list[int]) -> None:
        if ids and signals.job_cancelled.receivers:
            for record in self.records.filter(pk__in=ids):
                sender = registry.find(record.name)
                signals.announce(signals.job_cancelled, sender, partial(_itself, record))

    def batch_progress(self, batch: Batch) -> BatchProgress:
        self._refresh(batch)
        if batch.finished_at is None:
            return self._count(batch.pk)
        total, failed = batch.total or 0, batch.failed or 0
        cancelled, deleted = batch.cancelled or 0, batch.deleted or 0
        return BatchProgress(
            total=total,
            succeeded=total - failed - cancelled - deleted,
            failed=failed,
            cancelled=cancelled,
            deleted=deleted,
        )

    def old_batches(self, older_than: datetime) -> models.QuerySet[Batch]:
        """Return batches that finished at *older_than* or before and have no member left."""
        members = self.records.filter(batch_id=OuterRef("pk"))
        return self.batches.filter(~Exists(members), finished_at__lte=older_than)


def _itself(record: JobRecord) -> JobRecord:
    return record

"""Inserting records, and finding who holds a key."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.db.models.expressions import Combinable

from django_jobflow.engines.ground import Ground, before
from django_jobflow.models import JobRecord


class Storing(Ground):
    """The verbs of the room *store*."""

    def insert(self, record: JobRecord) -> None:
        """Insert *record*; it has its id and its moments afterwards. One statement.

        Raises:
            IntegrityError: Its queue key is held; the caller's transaction is not broken.
        """
        if record.held_queue_key is None:
            record.save(force_insert=True, using=self.alias)
        else:
            with transaction.atomic(using=self.alias):
                record.save(force_insert=True, using=self.alias)
        written: object = record.created_at
        if isinstance(written, Combinable):  # MySQL does not return what it wrote
            record.refresh_from_db(using=self.alias)

    def insert_many(self, records: Sequence[JobRecord], *, batch: int) -> None:
        """Insert *records*, one statement for each *batch*; they have their ids afterwards."""
        if self.connection.features.can_return_rows_from_bulk_insert:
            self.records.bulk_create(records, batch_size=batch)
            return
        for record in records:  # MySQL tells the ids of one at a time only
            self.insert(record)

    def holder_of(self, digest: str) -> JobRecord | None:
        """Return the unfinished record that holds a queue key."""
        return self.records.filter(held_queue_key=digest).first()

    def replace_waiting(self, holder: JobRecord, record: JobRecord) -> bool:
        """Give a waiting *holder* the arguments and time of *record*; say whether it was one."""
        values = {
            field: getattr(record, field)
            for field in (
                "args",
                "kwargs",
                "priority",
                "execution_key",
                "available_at",
                "expires_at",
                "updated_at",
            )
        }
        with self.transaction():
            changed = self.records.filter(pk=holder.pk, state__in=before("replace")).update(
                state=record.state, held_execution_key=None, **values
            )
            if changed:
                holder.refresh_from_db(using=self.alias)
                holder.duplicate = True
        return changed == 1

"""Inserting records, and finding who holds a key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateTimeField, Value
from django.db.models.base import ModelState
from django.db.models.expressions import Combinable
from django.db.models.functions import Least

from django_jobflow.calls import Call, Terms
from django_jobflow.engines.ground import Ground, before
from django_jobflow.engines.statements import read_json
from django_jobflow.models import JobRecord

BLANK = dict.fromkeys(field.attname for field in JobRecord._meta.concrete_fields)

REPLACED = (
    "args",
    "kwargs",
    "priority",
    "state",
    "execution_key",
    "available_at",
    "expires_at",
    "updated_at",
)
"""What a waiting holder takes over from the call that replaces it."""


class Storing(Ground):
    """The verbs of the room *enqueue*."""

    def store_at_once(
        self, connection: BaseDatabaseWrapper, terms: Terms, call: Call
    ) -> JobRecord | None:
        """Do what ``store`` does, in the quickest way; None where that is not to be gone.

        Nothing was written then.

        Args:
            connection: That of this thread, which is not quick to look up.
        """
        return None

    def store(self, terms: Terms, call: Call) -> JobRecord | None:
        """Insert *call* and return its record; None when its queue key is held.

        The caller's transaction is whole in either case.

        Database:
            One INSERT, with a queue key inside a savepoint; and one SELECT where the
            database does not return what it wrote.
        """
        record = self._unsaved(terms, call)
        try:
            self._save(record)
        except IntegrityError:
            if call.held_queue_key is None:
                raise
            return None
        written: object = record.created_at
        if isinstance(written, Combinable):  # MySQL does not return what it wrote
            record.refresh_from_db(using=self.alias)
        return record

    def store_many(self, terms: Terms, calls: Sequence[Call]) -> list[int | None]:
        """Insert *calls*, of which no two have one queue key; return their ids in order.

        The id of a call is None when its queue key is held, by a record that was there
        before.

        Database:
            One INSERT; and before it, where there are queue keys, one SELECT for those that
            are held. A database that returns no ids takes one INSERT each.
        """
        if not self.connection.features.can_return_rows_from_bulk_insert:
            return self._store_each(terms, calls)
        if not any(call.held_queue_key for call in calls):
            return [*self._insert_rows(terms, calls)]
        held = self.holders_of(call.held_queue_key for call in calls)
        free = [call for call in calls if call.held_queue_key not in held]
        try:
            with self.transaction():
                ids = iter(self._insert_rows(terms, free) if free else ())
        except IntegrityError:  # another was faster; one by one they tell which
            return self._store_each(terms, calls)
        return [None if call.held_queue_key in held else next(ids) for call in calls]

    def _store_each(self, terms: Terms, calls: Sequence[Call]) -> list[int | None]:
        records = [self.store(terms, call) for call in calls]
        return [None if record is None else record.pk for record in records]

    def _insert_rows(self, terms: Terms, calls: Sequence[Call]) -> list[int]:
        records = [self._unsaved(terms, call) for call in calls]
        return [record.pk for record in self.records.bulk_create(records)]

    def _save(self, record: JobRecord) -> None:
        if record.held_queue_key is None:
            record.save(force_insert=True, using=self.alias)
        else:
            with transaction.atomic(using=self.alias):
                record.save(force_insert=True, using=self.alias)

    def _unsaved(self, terms: Terms, call: Call) -> JobRecord:
        """Return the record of *call*, its moments as expressions of the database's clock."""
        moment = self.clock(None)
        due = terms.run_at or (self.clock(None, terms.delay) if terms.delay else moment)
        return JobRecord(
            **_facts(terms, call), created_at=moment, available_at=due, updated_at=moment
        )

    def _as_stored(
        self,
        terms: Terms,
        call: Call,
        pk: int,
        created_at: datetime,
        available_at: datetime | None = None,
    ) -> JobRecord:
        """Return the record of a *call* as it has been inserted."""
        record = self._as_given(terms, call)
        note_stored(record, pk, created_at, available_at)
        return record

    def _as_given(self, terms: Terms, call: Call) -> JobRecord:
        """Return the record of a *call* without what the database adds as it is inserted."""
        # Past Model.__init__, which takes longer than all else here.
        record = JobRecord.__new__(JobRecord)
        record._state = ModelState()
        record._state.db, record._state.adding = self.alias, False
        values = record.__dict__
        values.update(BLANK)
        values.update(_facts(terms, call))
        values.update(attempt=0, reserved_count=0, errors=[], progress_message="")
        return record

    def read(self, ids: Sequence[int]) -> list[JobRecord]:
        """Return the records with these ids, in order: one SELECT."""
        found = self.records.in_bulk(ids)
        return [found[pk] for pk in ids]

    def holder_of(self, digest: str) -> JobRecord | None:
        """Return the unfinished record that holds a queue key."""
        return self.records.filter(held_queue_key=digest).first()

    def holders_of(self, digests: Iterable[str | None]) -> dict[str | None, int]:
        """Return the ids of the unfinished records that hold these queue keys, by digest."""
        keys = [digest for digest in digests if digest is not None]
        if not keys:
            return {}
        holders = self.records.filter(held_queue_key__in=keys)
        return dict(holders.values_list("held_queue_key", "pk"))

    def replace_waiting(
        self, holder: JobRecord, terms: Terms, call: Call, latest: datetime | None = None
    ) -> bool:
        """Give a waiting *holder* the arguments and time of *call*; say whether it was one.

        Args:
            latest: The moment up to which its time may be put off. None means any.
        """
        record = self._unsaved(terms, call)
        values = {field: getattr(record, field) for field in REPLACED}
        if latest is not None:
            bound = Value(latest, output_field=DateTimeField())
            values["available_at"] = Least(values["available_at"], bound)
        with self.transaction():
            changed = self.records.filter(pk=holder.pk, state__in=before("replace")).update(
                held_execution_key=None, parked_for=None, **values
            )
            if changed:
                holder.refresh_from_db(using=self.alias)
                holder.duplicate = True
        return changed == 1


def note_stored(
    record: JobRecord, pk: int, created_at: datetime, available_at: datetime | None = None
) -> None:
    """Take in what the database has added to *record*."""
    record.__dict__.update(
        id=pk,
        created_at=created_at,
        available_at=available_at or created_at,
        updated_at=created_at,
    )


def _facts(terms: Terms, call: Call) -> dict[str, Any]:
    """Return what a new record holds beside its id and its moments."""
    return {
        "name": terms.name,
        "queue": terms.queue,
        "partition": terms.partition,
        "state": terms.state_of(call.execution_key),
        "priority": terms.priority,
        "args": read_json(call.args),
        "kwargs": read_json(call.kwargs),
        "max_attempts": terms.max_attempts,
        "timeout": terms.timeout,
        "queue_key": call.queue_key,
        "execution_key": call.execution_key,
        "held_queue_key": call.held_queue_key,
        "expires_at": terms.expires_at,
        "tags": read_json(terms.tags),
        "meta": read_json(terms.meta),
        "batch_id": terms.batch_id,
    }

"""Holding queue keys for a time after the enqueue, even when the record is gone by then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from django.db import IntegrityError, models
from django.db.models import Case, Value, When

from django_jobflow.calls import Call, Terms
from django_jobflow.engines.storing import Storing
from django_jobflow.models import JobFacts, JobRecord, KeyHold, SucceededJob
from django_jobflow.states import JobState

HOLD_BATCH = 1000  # holds that one statement of a sweep deletes

FACTS = tuple(field.attname for field in JobFacts._meta.get_fields())  # type: ignore[union-attr]

GONE = JobState.IN_PROGRESS
"""The state of a record that is not in the table any more, as signals have it, too."""


class _Taken(Exception):
    """Another was faster to hold a key."""


class Holding(Storing):
    """What enqueueing with ``unique_for`` asks beside the key of the record."""

    @property
    def holds(self) -> models.QuerySet[KeyHold]:
        return KeyHold._base_manager.using(self.alias)

    def store_unique(self, terms: Terms, call: Call, span: timedelta) -> JobRecord | None:
        """Insert *call* and hold its queue key for *span*; None when it is held by another.

        Database:
            One SELECT and what ``store`` costs, and one INSERT; one DELETE more where the key
            was held before.
        """
        assert call.held_queue_key is not None
        try:
            with self.transaction():
                if self._holders_among([call.held_queue_key]):
                    return None
                record = self.store(terms, call)
                if record is not None:
                    self._hold({call.held_queue_key: record.pk}, span)
                return record
        except _Taken:
            return None

    def store_many_unique(
        self, terms: Terms, calls: Sequence[Call], span: timedelta
    ) -> list[int | None]:
        """Insert *calls* like ``store_many``, and hold the queue keys of those that have one.

        Database:
            One SELECT and what ``store_many`` costs, and one INSERT; one DELETE more where
            keys were held before. Calls of which another has been faster are stored one by
            one.
        """
        keys = [call.held_queue_key for call in calls if call.held_queue_key is not None]
        try:
            with self.transaction():
                held = self._holders_among(keys)
                free = [call for call in calls if call.held_queue_key not in held]
                found = iter(self.store_many(terms, free) if free else ())
                ids = [None if call.held_queue_key in held else next(found) for call in calls]
                pairs = zip(calls, ids, strict=True)
                own = {call.held_queue_key: pk for call, pk in pairs if pk is not None}
                self._hold({key: pk for key, pk in own.items() if key is not None}, span)
                return ids
        except _Taken:
            return [self._store_any(terms, call, span) for call in calls]

    def _store_any(self, terms: Terms, call: Call, span: timedelta) -> int | None:
        if call.held_queue_key is None:
            record = self.store(terms, call)
        else:
            record = self.store_unique(terms, call, span)
        return None if record is None else record.pk

    def _holders_among(self, digests: Iterable[str]) -> dict[str, int]:
        """Return who holds which of these keys, and forget the holds that have lapsed."""
        lapsed = Case(When(until__lte=self.clock(None), then=Value(1)), default=Value(0))
        rows = list(
            self.holds.filter(pk__in=list(digests))
            .annotate(lapsed=lapsed)
            .values_list("digest", "job_id", "lapsed")
        )
        # Only what is there: where it is not, InnoDB would lock the gap for all others.
        if old := [digest for digest, _, is_lapsed in rows if is_lapsed]:
            self.holds.filter(pk__in=old, until__lte=self.clock(None))._raw_delete(self.alias)
        return {digest: pk for digest, pk, is_lapsed in rows if not is_lapsed}

    def _hold(self, jobs: dict[str, int], span: timedelta) -> None:
        """Hold the key of each of *jobs*; all in one order, so that two never wait in a ring."""
        until = self.clock(None, span)
        rows = [KeyHold(digest=key, job_id=jobs[key], until=until) for key in sorted(jobs)]
        try:
            with self.transaction():
                self.holds.bulk_create(rows)
        except IntegrityError:
            raise _Taken from None

    def time_holders_of(self, digests: Iterable[str | None]) -> dict[str | None, int]:
        """Return the ids of the jobs that hold these keys for a time, by digest."""
        keys = [digest for digest in digests if digest is not None]
        held = self.holds.filter(pk__in=keys, until__gt=self.clock(None))
        return dict(held.values_list("digest", "job_id"))

    def time_holder_of(self, digest: str) -> JobRecord | None:
        """Return the record that holds a key for a time, as far as anything is left of it.

        One that has succeeded is returned as it was when its body ran.
        """
        pk = self.time_holders_of([digest]).get(digest)
        if pk is None:
            return None
        if record := self.records.filter(pk=pk).first():
            return record
        success = self.succeeded.filter(pk=pk).first()
        return _record_of(success) if success else JobRecord(pk=pk, state=GONE)

    def free_holds(self, digests: Sequence[str], ids: Sequence[int]) -> None:
        """Forget the holds on these keys of the jobs with these *ids*: they are deleted."""
        if digests:
            self.holds.filter(pk__in=digests, job_id__in=ids)._raw_delete(self.alias)

    def prune_holds(self) -> int:
        """Delete holds that have lapsed; return how many."""
        lapsed = self.holds.filter(until__lte=self.clock(None))
        total = 0
        while keys := list(lapsed.values_list("pk", flat=True)[:HOLD_BATCH]):
            total += int(lapsed.filter(pk__in=keys)._raw_delete(self.alias) or 0)
            if len(keys) < HOLD_BATCH:
                break
        return total


def _record_of(success: SucceededJob) -> JobRecord:
    facts = {name: getattr(success, name) for name in FACTS}
    return JobRecord(id=success.pk, state=GONE, **facts)

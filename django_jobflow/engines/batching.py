"""Finishing batches: whoever ends members asks whether they were the last."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any

from django.db import InterfaceError, OperationalError, models, transaction
from django.db.models import Count, OuterRef, Subquery, Sum

from django_jobflow import conf, events, signals, states
from django_jobflow.calls import Prepared
from django_jobflow.declare import registry
from django_jobflow.engines.activating import Activating
from django_jobflow.engines.ground import SWEEP_BATCH, batched
from django_jobflow.engines.storing import Storing
from django_jobflow.exceptions import BatchClosed
from django_jobflow.models import Batch, BatchChange, BatchProgress, JobRecord
from django_jobflow.states import JobState

logger = logging.getLogger("django_jobflow.batches")

OUTCOMES = ("total", "failed", "cancelled", "deleted")
"""The columns of a batch that are written when it finishes."""


class Batching(Activating, Storing):
    """What the verbs that add and end members share.

    Attributes:
        shared: What locks a row so that others may lock it likewise, where there is such a
            clause. Elsewhere those who add to one batch wait for each other.
    """

    shared = ""

    @cached_property
    def _unfinished_told(self) -> set[int]:
        return set()

    @property
    def batches(self) -> models.QuerySet[Batch]:
        return Batch._base_manager.using(self.alias)

    @property
    def batch_changes(self) -> models.QuerySet[BatchChange]:
        return BatchChange._base_manager.using(self.alias)

    def adding(self, batch_id: int | None) -> AbstractContextManager[None]:
        """Open a transaction in which members may be added to a batch, if there is one.

        It keeps the batch from being closed before they are there for all to see.

        Raises:
            BatchClosed: It is closed, or not there; nothing was written.
        """
        return nullcontext() if batch_id is None else self._adding(batch_id)

    @contextmanager
    def _adding(self, batch_id: int) -> Iterator[None]:
        lock = self.shared or ("FOR UPDATE" if self.locks_rows else "")
        table = self.connection.ops.quote_name(Batch._meta.db_table)
        with self.transaction():
            rows = self._returned(
                f"SELECT closed_at IS NULL FROM {table} WHERE id = %s {lock}", [batch_id]
            )
            if not rows or not rows[0][0]:
                fact = "is closed" if rows else "does not exist"
                raise BatchClosed(f"Batch {batch_id} {fact}, so that nothing can be added to it.")
            yield

    def note_added(self, batch_id: int | None, count: int) -> None:
        """Count members that the caller's transaction has added."""
        if batch_id is not None and count:
            self.batch_changes.create(batch_id=batch_id, added=count)

    def note_deleted(self, batch_ids: Sequence[int]) -> None:
        """Count members that were deleted, each by the id of its batch."""
        counts = Counter(batch_ids)
        for some in batched(sorted(counts), SWEEP_BATCH):
            unfinished = self.batches.filter(pk__in=some, finished_at__isnull=True).order_by("pk")
            ids = list(unfinished.values_list("pk", flat=True))
            self.batch_changes.bulk_create(
                BatchChange(batch_id=pk, deleted=counts[pk]) for pk in ids
            )
            self.members_ended(ids)

    def members_ended(self, batch_ids: Iterable[int | None]) -> None:
        """Finish those of these batches that have no unfinished member left, after the commit.

        Two transactions may each end one of the last two members, and neither sees the end
        of the other. Both ask after their commit, so that the later one sees both. What a
        crash in between leaves, a sweep finishes.
        """
        ids = sorted({pk for pk in batch_ids if pk is not None})
        if ids:
            # What inline mode is to raise has to reach the caller.
            robust = conf.current().INLINE != "raise"
            self.after_commit(lambda: self.finish_batches(ids), robust=robust)

    def finish_batches(self, ids: Sequence[int] | None = None) -> list[int]:
        """Finish the closed batches that have no unfinished member; return their ids.

        Args:
            ids: Only of these. None means of all.

        Database:
            One SELECT when there is none: a look into the index of the members for each
            batch that was asked for, or for each closed one. For each that finishes, up to
            eight.
        """
        closed = self.batches.filter(finished_at__isnull=True, closed_at__isnull=False)
        if ids is not None:
            closed = closed.filter(pk__in=ids)
        # The last of them: the first ones have ended, and an index may still have them all.
        last = self._unfinished(OuterRef("pk")).order_by("-finished_at", "-pk")
        over = closed.annotate(last=Subquery(last.values("pk")[:1])).filter(last__isnull=True)
        if len(self._unfinished_told) > SWEEP_BATCH // 2:  # they leave no room for the others
            over = over.exclude(pk__in=self._unfinished_told)
        found = list(over.order_by().values_list("pk", flat=True)[:SWEEP_BATCH])
        finished, followed = self._finish_each(sorted(found))
        if followed and conf.current().INLINE:
            from django_jobflow.testing.at_once import execute_at_once

            engine: Any = self
            execute_at_once(engine, followed)
        return finished

    def _finish_each(self, ids: Iterable[int]) -> tuple[list[int], list[int]]:
        """Finish these batches; return those that were ours to finish, and what follows.

        One that cannot be finished keeps no other from it.
        """
        finished: list[int] = []
        followed: list[int] = []
        trouble: OperationalError | None = None
        for pk in ids:
            try:
                records = self._finish(pk)
            except InterfaceError:
                raise
            except OperationalError as error:
                if not self.connection.is_usable():
                    raise
                trouble = error
            except Exception as error:
                self._tell_of_unfinished(pk, error)
            else:
                if records is not None:
                    finished.append(pk)
                    followed += records
        if trouble is not None:
            raise trouble
        return finished, followed

    def _tell_of_unfinished(self, pk: int, error: Exception) -> None:
        level = logging.DEBUG if pk in self._unfinished_told else logging.ERROR
        self._unfinished_told.add(pk)
        events.log(logger, level, "batch_unfinished", batch=pk, error=repr(error))

    def _unfinished(self, batch_id: Any) -> models.QuerySet[JobRecord]:
        return self.records.filter(batch_id=batch_id, finished_at__isnull=True)

    def _finish(self, pk: int) -> list[int] | None:
        """Finish one batch and enqueue what is to follow, and return the ids of that.

        None means that it was not ours to finish.
        """
        with self.transaction():
            rows = self.batches.filter(pk=pk, finished_at__isnull=True, closed_at__isnull=False)
            # Two may come here together. The second waits, and finds the batch finished.
            batch = (rows.select_for_update() if self.locks_rows else rows).first()
            if batch is None or self._unfinished(pk).exists():
                return None
            found = self._count(pk)
            counts = {name: getattr(found, name) for name in OUTCOMES}
            rows.update(finished_at=self.clock(None), **counts)
            self.batch_changes.filter(batch_id=pk)._raw_delete(self.alias)
            follow = [batch.on_finish]
            if not any((found.failed, found.cancelled, found.deleted)):
                follow.insert(0, batch.on_success)
            stored = [
                self._store_prepared(pk, Prepared.read(call))
                for call in follow
                if call is not None
            ]
        return [record.pk for record in stored if record is not None]

    def _count(self, pk: int) -> BatchProgress:
        # What was added first: a member is counted as succeeded when it is seen nowhere else.
        sums = self.batch_changes.filter(batch_id=pk).aggregate(Sum("added"), Sum("deleted"))
        total, deleted = sums["added__sum"] or 0, sums["deleted__sum"] or 0
        rows = self.records.filter(batch_id=pk).order_by().values_list("state")
        live = dict(rows.annotate(Count("pk")))
        ended = {state: live.get(state, 0) for state in (JobState.FAILED, JobState.CANCELLED)}
        running = sum(live.get(state, 0) for state in states.HELD)
        total = max(total, sum(live.values()) + deleted)
        return BatchProgress(
            total=total,
            waiting=sum(live.values()) - running - sum(ended.values()),
            running=running,
            succeeded=total - deleted - sum(live.values()),
            failed=ended[JobState.FAILED],
            cancelled=ended[JobState.CANCELLED],
            deleted=deleted,
        )

    def _store_prepared(self, batch: int, prepared: Prepared) -> JobRecord | None:
        terms, call = prepared.terms, prepared.call
        record = self.store(terms, call)
        if record is None and not self.records.filter(held_queue_key=call.held_queue_key).exists():
            record = self.store(terms, call)  # the holder has ended just now
        if record is None:  # its queue key is held: the holder stands for it, as in an enqueue
            events.log(
                logger, logging.WARNING, "batch_call_held", batch=batch, job_name=terms.name
            )
            return None
        if call.execution_key is not None:
            self.promote([(terms.partition, call.execution_key)])
        self.wake([terms.queue], delay=terms.delay if terms.is_later else None)
        sender = registry.find(terms.name)
        if signals.job_enqueued.has_listeners(sender):
            transaction.on_commit(
                lambda: signals.announce(signals.job_enqueued, sender, lambda: record),
                using=self.alias,
                robust=True,
            )
        return record

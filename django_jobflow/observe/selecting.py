"""Which jobs somebody means."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from django_jobflow import states
from django_jobflow.attempts import key_digest
from django_jobflow.engines import engine_for
from django_jobflow.engines.promoting import most_places
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.models.querysets import OF_ANY_QUEUE
from django_jobflow.models.records import JobFacts
from django_jobflow.observe.counting import SUCCEEDED
from django_jobflow.observe.held import HELD
from django_jobflow.observe.lists import LIST_ORDERS, Rows
from django_jobflow.states import JobState

MOST_OF_A_KEY = 10_000  # records that wait for one execution key and are found by it
NEWEST_FIRST = ("-id",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What jobs have to be like; None and () say nothing.

    Attributes:
        ids: One of these.
        state: A state, or ``SUCCEEDED``.
        queue: On this queue.
        name: Of the job of this name.
        partition: Of this partition; "" is the common one.
        key: With this as their queue key or execution key. Without a state: those that hold it
            or wait for it, of the common partition if no other is named.
        tag: With this among their tags.
        batch: Members of the batch of this number.
        worker: Held by this worker; of those that have succeeded, executed by it.
        older_than: Enqueued at least so long ago; of what has ended, ended.
        newer_than: Enqueued at most so long ago; of what has ended, ended.
    """

    ids: tuple[int, ...] = ()
    state: str | None = None
    queue: str | None = None
    name: str | None = None
    partition: str | None = None
    key: str | None = None
    tag: str | None = None
    batch: int | None = None
    worker: str | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it means all live records."""
        return all(getattr(self, field.name) in (None, ()) for field in fields(self))

    @property
    def is_of_succeeded(self) -> bool:
        """Whether it means rows of ``SucceededJob``."""
        return self.state == SUCCEEDED


def select(selection: Selection, alias: str | None = None, now: datetime | None = None) -> Rows:
    """Return the query of what *selection* means, in the order of an index over it.

    Of one state, what runs next comes first, and of what has ended, the latest; of all, the
    newest. An age needs the database's clock, and a key without a state what holds it: one
    statement each, before the query.

    Database:
        The query reads an index of the state, or else the primary key, until as many rows are
        found as are wanted. In a large table choose a state, a key or a worker, or what is
        looked for may be the last row that is read.
    """
    engine = engine_for(alias)
    model: Any = SucceededJob if selection.is_of_succeeded else JobRecord
    rows: Rows = model._base_manager.using(engine.alias).filter(_columns(selection))
    if selection.tag is not None:
        rows = engine.tagged(rows, selection.tag)
    if selection.older_than is not None or selection.newer_than is not None:
        rows = rows.filter(_ages(selection, engine.now(now)))
    if selection.key is not None:
        rows = rows.filter(_of_key(selection, engine.alias))
    return rows.order_by(*order_of(selection))


def order_of(selection: Selection) -> tuple[str, ...]:
    """Return the order of the list of *selection*."""
    if selection.is_of_succeeded:
        return ("-succeeded_at", "-id")
    if selection.state == JobState.AVAILABLE and selection.queue is not None:
        # As its index has them: by their turn within each partition.
        return ("partition", *LIST_ORDERS[selection.state])
    if selection.state is not None:
        return LIST_ORDERS[selection.state]
    return ("state", "expires", "id") if selection.worker is not None else NEWEST_FIRST


def _columns(selection: Selection) -> Q:
    wanted = Q()
    if selection.ids:
        wanted &= Q(pk__in=selection.ids)
    if selection.state is not None and not selection.is_of_succeeded:
        wanted &= Q(state=selection.state)
    if selection.state == JobState.AVAILABLE and selection.queue is None:
        wanted &= OF_ANY_QUEUE  # the index over all queues has to be asked for
    for column in ("queue", "name", "partition"):
        if (value := getattr(selection, column)) is not None:
            wanted &= Q(**{column: value})
    if selection.batch is not None:
        wanted &= Q(batch_id=selection.batch)
    if selection.worker is not None:
        wanted &= Q(reserved_by=selection.worker)
        if selection.state is None:
            wanted &= Q(state__in=HELD)
    return wanted


def _ages(selection: Selection, now: datetime) -> Q:
    wanted = Q()
    if selection.older_than is not None:
        wanted &= _since("lte", now - selection.older_than, selection)
    if selection.newer_than is not None:
        wanted &= _since("gte", now - selection.newer_than, selection)
    return wanted


def _since(comparison: str, moment: datetime, selection: Selection) -> Q:
    if selection.is_of_succeeded:
        return Q(**{f"succeeded_at__{comparison}": moment})
    ended, enqueued = {f"finished_at__{comparison}": moment}, {f"created_at__{comparison}": moment}
    if selection.state is None:
        return Q(**ended) | Q(finished_at__isnull=True, **enqueued)
    return Q(**ended) if selection.state in states.ENDED else Q(**enqueued)


def _of_key(selection: Selection, alias: str) -> Q:
    key = selection.key or ""
    if selection.state is not None:
        return Q(queue_key=key) | Q(execution_key=key)
    return Q(pk__in=ids_of_key(key, selection.partition or "", alias))


def ids_of_key(key: str, partition: str, alias: str) -> list[int]:
    """Return the ids of what holds *key* or waits for it.

    Database:
        Three statements, each along the index of one kind of hold: a planner would not find
        all three in one.
    """
    places = [key_digest(partition, key, place) for place in range(most_places())]
    found: list[int] = []
    for wanted in (
        Q(held_queue_key=places[0]),
        Q(held_execution_key__in=places),
        Q(state=JobState.WAITING, partition=partition, execution_key=key),
    ):
        rows = JobRecord._base_manager.using(alias).filter(wanted)
        found += rows.values_list("pk", flat=True)[:MOST_OF_A_KEY]
    return found


def find(pk: int, alias: str | None = None) -> JobFacts | None:
    """Return the job of the number *pk*, live or succeeded.

    Database:
        One statement by key, two if it is not live.
    """
    alias = engine_for(alias).alias
    for model in (JobRecord, SucceededJob):
        job: JobFacts | None = model._base_manager.using(alias).filter(pk=pk).first()
        if job is not None:
            return job
    return None

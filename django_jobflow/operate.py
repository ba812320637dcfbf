"""What an operator does to many records at once: one verb for the admin and for code.

Each works through its records by the thousand, a short transaction for each: an operator may
ask for all of a million. What it has done stays done if it is interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import models

from django_jobflow import hooks, signals
from django_jobflow.declare import edits, registry
from django_jobflow.engines import Engine, engine_for
from django_jobflow.models import JobRecord, SucceededJob

Records = models.QuerySet[JobRecord]

BATCH = 1000  # records that one transaction changes


@dataclass(frozen=True, slots=True)
class Done:
    """How a verb went.

    Attributes:
        done: Records that were changed.
        asked: Running records that were asked to stop.
        skipped: Records that the verb does not apply to.
    """

    done: int
    asked: int = 0
    skipped: int = 0


def retry_many(records: Records, *, now: datetime | None = None) -> Done:
    """Let the FAILED and CANCELLED ones of *records* run again, from attempt 0.

    One whose queue key is held by another job is skipped.
    """
    done = total = 0
    engine = engine_for(records.db)
    for ids in _batches(records):
        done += len(engine.retry(engine.records.filter(pk__in=ids), now))
        total += len(ids)
    return Done(done=done, skipped=total - done)


def cancel_many(records: Records, *, now: datetime | None = None) -> Done:
    """Cancel the waiting ones of *records* and ask the running ones to stop."""
    done = asked = total = 0
    engine = engine_for(records.db)
    for ids in _batches(records):
        cancelled, running = engine.cancel(engine.records.filter(pk__in=ids), now)
        _announce_cancelled(engine, cancelled)
        done += len(cancelled)
        asked += len(running)
        total += len(ids)
    return Done(done, asked, total - done - asked)


def run_now_many(records: Records, *, now: datetime | None = None) -> Done:
    """Make the SCHEDULED and RETRY ones of *records* due at once."""
    done = total = 0
    engine = engine_for(records.db)
    for ids in _batches(records):
        done += engine.run_now(engine.records.filter(pk__in=ids), now)
        total += len(ids)
    return Done(done=done, skipped=total - done)


def reschedule_many(
    records: Records,
    *,
    run_at: datetime | None = None,
    delay: float | timedelta | None = None,
    now: datetime | None = None,
) -> Done:
    """Make the waiting ones of *records* due at *run_at*, or *delay* from now."""
    due = edits.read_due("reschedule_many", run_at, delay)
    done = total = 0
    engine = engine_for(records.db)
    for ids in _batches(records):
        done += engine.reschedule(engine.records.filter(pk__in=ids), **due, now=now)
        total += len(ids)
    return Done(done=done, skipped=total - done)


def update_many(records: Records, *, now: datetime | None = None, **changes: Any) -> Done:
    """Change how the waiting ones of *records* are to run.

    One whose attempts so far leave none of a new ``max_attempts`` is skipped.

    Args:
        changes: ``queue``, ``priority``, ``max_attempts``, ``timeout``, ``tags``, ``meta``,
            ``expires_at``, as ``JobRecord.update`` takes them.
    """
    values = edits.read_options("update_many", changes)
    done = total = 0
    engine = engine_for(records.db)
    for ids in _batches(records):
        done += engine.edit(engine.records.filter(pk__in=ids), values, now)
        total += len(ids)
    return Done(done=done, skipped=total - done)


def delete_many(records: Records) -> Done:
    """Delete *records* but for the running ones, which are skipped: cancel those first."""
    done = total = 0
    engine = engine_for(records.db)
    for ids in _batches(records):
        done += engine.delete(engine.records.filter(pk__in=ids))
        total += len(ids)
    return Done(done=done, skipped=total - done)


def delete_succeeded_many(jobs: models.QuerySet[SucceededJob]) -> Done:
    """Delete *jobs* from the history."""
    done = total = 0
    engine = engine_for(jobs.db)
    for ids in _batches(jobs):
        done += engine.delete_succeeded(ids)
        total += len(ids)
    return Done(done=done, skipped=total - done)


def _batches(
    rows: models.QuerySet[JobRecord] | models.QuerySet[SucceededJob],
) -> Iterator[list[int]]:
    """Yield the ids of *rows*, by the thousand and in order.

    Each batch begins behind the one before: rows that a verb has changed may not match the
    query any more, or match it again.
    """
    if rows.query.is_sliced:
        chosen = list(rows.values_list("pk", flat=True))
        rows = rows.model._base_manager.using(rows.db).filter(pk__in=chosen)
    ids = rows.order_by("pk").values_list("pk", flat=True)
    batch = list(ids[:BATCH])
    while batch:
        yield batch
        batch = list(ids.filter(pk__gt=batch[-1])[:BATCH]) if len(batch) == BATCH else []


def _announce_cancelled(engine: Engine, cancelled: list[int]) -> None:
    if not cancelled or not (signals.job_cancelled.receivers or hooks.any_has("on_cancel")):
        return
    for record in engine.records.filter(pk__in=cancelled):
        _announce(record)
        if due := hooks.due_after_cancel(record):
            hooks.run_after_commit(due, engine.alias)


def _announce(record: JobRecord) -> None:
    signals.announce(signals.job_cancelled, registry.find(record.name), lambda: record)

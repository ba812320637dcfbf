"""What an operator does to records, one or very many: one verb for the admin and for code.

Each works through its records by the thousand, a short transaction for each: an operator may
ask for all of a million. What it has done stays done if it is interrupted. Each is written to
the audit, in the same transactions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import models, transaction
from django.views.decorators.debug import sensitive_variables

from django_jobflow import hooks, signals
from django_jobflow.audit import By, Trail, subject_of_jobs
from django_jobflow.declare import edits, registry
from django_jobflow.engines import Engine, engine_for
from django_jobflow.models import AuditAction, Batch, JobRecord, SucceededJob

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

    def __add__(self, other: Done) -> Done:
        return Done(self.done + other.done, self.asked + other.asked, self.skipped + other.skipped)


def retry_many(
    records: Records, *, now: datetime | None = None, by: By = "", subject: str = ""
) -> Done:
    """Let the FAILED and CANCELLED ones of *records* run again, from attempt 0.

    One whose queue key is held by another job is skipped.

    Args:
        by: Who does it, for the audit.
        subject: What *records* are, for the audit: a search for them.
    """
    engine = engine_for(records.db)
    return _each(
        records,
        lambda rows: len(engine.retry(rows, now)),
        Trail(engine, AuditAction.RETRY, by=by, subject=subject),
    )


def cancel_many(
    records: Records, *, now: datetime | None = None, by: By = "", subject: str = ""
) -> Done:
    """Cancel the waiting ones of *records* and ask the running ones to stop."""
    engine = engine_for(records.db)
    trail = Trail(engine, AuditAction.CANCEL, by=by, subject=subject)
    return _cancel(records, trail, now)


def cancel_batch(batch: Batch, *, now: datetime | None = None, by: By = "") -> Done:
    """Close *batch*, cancel its waiting members and ask the running ones to stop."""
    if not isinstance(batch, Batch):
        raise TypeError(f"cancel_batch: expected a batch, got {batch!r}.")
    engine = engine_for(batch._state.db)
    trail = Trail(engine, AuditAction.CANCEL_BATCH, by=by, subject=f"batch:{batch.pk}")
    trail.do(lambda: batch.close(now), lambda _: {})
    done = _cancel(batch.records.filter(finished_at__isnull=True), trail, now)
    batch.refresh_from_db(using=engine.alias)
    return done


def run_now_many(
    records: Records, *, now: datetime | None = None, by: By = "", subject: str = ""
) -> Done:
    """Make the SCHEDULED and RETRY ones of *records* due at once."""
    engine = engine_for(records.db)
    return _each(
        records,
        lambda rows: engine.run_now(rows, now),
        Trail(engine, AuditAction.RUN_NOW, by=by, subject=subject),
    )


def reschedule_many(
    records: Records,
    *,
    run_at: datetime | None = None,
    delay: float | timedelta | None = None,
    now: datetime | None = None,
    by: By = "",
    subject: str = "",
) -> Done:
    """Make the waiting ones of *records* due at *run_at*, or *delay* from now."""
    due = edits.read_due("reschedule_many", run_at, delay)
    engine = engine_for(records.db)
    return _each(
        records,
        lambda rows: engine.reschedule(rows, **due, now=now),
        Trail(engine, AuditAction.RESCHEDULE, by=by, subject=subject, detail=_told_of(due)),
    )


def update_many(
    records: Records,
    *,
    now: datetime | None = None,
    by: By = "",
    subject: str = "",
    **changes: Any,
) -> Done:
    """Change how the waiting ones of *records* are to run.

    One whose attempts so far leave none of a new ``max_attempts`` is skipped.

    Args:
        by: Who does it, for the audit.
        subject: What *records* are, for the audit.
        changes: ``queue``, ``priority``, ``max_attempts``, ``timeout``, ``tags``, ``meta``,
            ``expires_at``, as ``JobRecord.update`` takes them.
    """
    values = edits.read_options("update_many", changes)
    engine = engine_for(records.db)
    return _each(
        records,
        lambda rows: engine.edit(rows, values, now),
        Trail(engine, AuditAction.UPDATE, by=by, subject=subject, detail=_told_of(changes)),
    )


def delete_many(records: Records, *, by: By = "", subject: str = "") -> Done:
    """Delete *records* but for the running ones, which are skipped: cancel those first."""
    engine = engine_for(records.db)
    trail = Trail(engine, AuditAction.DELETE, by=by, subject=subject)
    return _each(records, engine.delete, trail)


def delete_succeeded_many(
    jobs: models.QuerySet[SucceededJob], *, by: By = "", subject: str = ""
) -> Done:
    """Delete *jobs* from the history."""
    engine = engine_for(jobs.db)
    trail = Trail(engine, AuditAction.DELETE_SUCCEEDED, by=by, subject=subject)
    total = Done(0)
    for ids in _batches(jobs):
        total += trail.do(partial(_deleted_of_history, engine, ids), _numbers, ids)
    trail.end()
    return total


def _deleted_of_history(engine: Engine, ids: list[int]) -> Done:
    return _done(ids, engine.delete_succeeded(ids))


# One record: what its own verbs do, written to the audit.


@sensitive_variables()
def retry(record: JobRecord, *, by: By = "", **changes: Any) -> None:
    """Do what ``record.retry()`` does."""
    trail = _trail_of(record, AuditAction.RETRY, by, _told_of(changes))
    trail.do(lambda: record.retry(**changes), _one)


def cancel(record: JobRecord, *, by: By = "") -> bool:
    """Do what ``record.cancel()`` does."""
    trail = _trail_of(record, AuditAction.CANCEL, by)
    return trail.do(record.cancel, lambda cancelled: {"count" if cancelled else "asked": 1})


def run_now(record: JobRecord, *, by: By = "") -> bool:
    """Do what ``record.run_now()`` does."""
    return _trail_of(record, AuditAction.RUN_NOW, by).do(record.run_now, _one_if)


def reschedule(
    record: JobRecord,
    *,
    run_at: datetime | None = None,
    delay: float | timedelta | None = None,
    by: By = "",
) -> None:
    """Do what ``record.reschedule()`` does."""
    due = {"run_at": run_at, "delay": delay}
    trail = _trail_of(record, AuditAction.RESCHEDULE, by, _told_of(due))
    trail.do(lambda: record.reschedule(run_at=run_at, delay=delay), _one)


@sensitive_variables()
def update(record: JobRecord, *, by: By = "", **changes: Any) -> None:
    """Do what ``record.update()`` does."""
    trail = _trail_of(record, AuditAction.UPDATE, by, _told_of(changes))
    trail.do(lambda: record.update(**changes), _one)


def _trail_of(
    record: JobRecord, action: AuditAction, by: By, detail: Mapping[str, Any] | None = None
) -> Trail:
    engine, subject = engine_for(record._state.db), subject_of_jobs([record.pk])
    return Trail(engine, action, by=by, subject=subject, detail=detail)


def _one(_: object) -> dict[str, int]:
    return {"count": 1}


def _one_if(changed: bool) -> dict[str, int]:
    return {"count": int(changed)}


SHOWN = frozenset({"queue", "priority", "max_attempts", "timeout", "run_at", "delay"})
"""What the audit says of a change beside its name: others may be sensitive."""


def _told_of(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the audit says of *changes*."""
    told = {
        name: value if isinstance(value, int | float | str) else str(value)
        for name, value in changes.items()
        if name in SHOWN and value is not None
    }
    hidden = sorted(changes.keys() - SHOWN)
    return {"set": told} | ({"changed": hidden} if hidden else {}) if told or hidden else {}


def do_part(action: AuditAction, rows: models.QuerySet[Any]) -> Done:
    """Do *action* to *rows*, few enough for the transaction that is open.

    It is not written to the audit: that is for who does all the parts.
    """
    engine = engine_for(rows.db)
    total = rows.order_by().count()
    if not total:
        return Done(0)
    if action == AuditAction.CANCEL:
        cancelled, running = engine.cancel(rows)
        announce = partial(_announce_cancelled, engine, cancelled)
        transaction.on_commit(announce, using=engine.alias)
        done, asked = len(cancelled), len(running)
        return Done(done, asked, max(total - done - asked, 0))
    if action == AuditAction.RETRY:
        done = len(engine.retry(rows))
    elif action == AuditAction.RUN_NOW:
        done = engine.run_now(rows, None)
    elif issubclass(rows.model, SucceededJob):
        done = engine.delete_succeeded(list(rows.order_by().values_list("pk", flat=True)))
    else:
        done = engine.delete(rows)
    return Done(done=done, skipped=max(total - done, 0))


# Many


def _each(records: Records, step: Callable[[Records], int], trail: Trail) -> Done:
    """Do *step* to *records* by the thousand, and write it down."""
    total = Done(0)
    for ids in _batches(records):
        total += trail.do(partial(_stepped, trail.engine, step, ids), _numbers, ids)
    trail.end()
    return total


def _stepped(engine: Engine, step: Callable[[Records], int], ids: list[int]) -> Done:
    return _done(ids, step(engine.records.filter(pk__in=ids)))


def _cancel(records: Records, trail: Trail, now: datetime | None) -> Done:
    engine, total = trail.engine, Done(0)
    for ids in _batches(records):
        cancel = partial(engine.cancel, engine.records.filter(pk__in=ids), now)
        cancelled, running = trail.do(cancel, partial(_numbers_of_cancel, ids), ids)
        _announce_cancelled(engine, cancelled)
        total += _cancelled(ids, cancelled, running)
    trail.end()
    return total


def _numbers_of_cancel(ids: list[int], found: tuple[list[int], list[int]]) -> dict[str, int]:
    return _numbers(_cancelled(ids, *found))


def _cancelled(ids: list[int], cancelled: list[int], running: list[int]) -> Done:
    done, asked = len(cancelled), len(running)
    return Done(done, asked, len(ids) - done - asked)


def _done(ids: list[int], done: int) -> Done:
    return Done(done=done, skipped=len(ids) - done)


def _numbers(done: Done) -> dict[str, int]:
    return {"count": done.done, "asked": done.asked, "skipped": done.skipped}


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

"""Bulk operations: a verb for everything that a search finds, a part at a time.

An operation is a row. Whichever worker comes first takes the next part of it, changes its jobs and
notes how far it has come, all in one transaction: two workers never do the same part, and a part
that a dead worker had begun has not happened.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import InterfaceError, OperationalError, models
from django.db.models import Max, Min

from django_jobflow import audit, events, observe, operate, states
from django_jobflow.audit import Actor, By, actor_of
from django_jobflow.engines import Engine, engine_for
from django_jobflow.engines.repeating import again
from django_jobflow.exceptions import InvalidJob
from django_jobflow.history import EVERY_QUEUE, RUN, Numbers, mean
from django_jobflow.models import (
    AuditAction,
    BulkOperation,
    BulkState,
    JobRecord,
    SucceededJob,
)
from django_jobflow.models.bulk import RATE, SEARCH_LENGTH
from django_jobflow.models.querysets import OF_ANY_QUEUE
from django_jobflow.observe.searching import Plan, chosen_states, wants_succeeded
from django_jobflow.operate import Done
from django_jobflow.search import Search, Term, parse
from django_jobflow.sentences import Sentence
from django_jobflow.sentences import noop as _
from django_jobflow.states import JobState

logger = logging.getLogger("django_jobflow.bulk")

CHUNK = 1000  # rows that one transaction looks at
PART_TIME = 1.0  # seconds of its rate that one transaction changes at most
MOST_RATE = 100_000  # jobs a second
MOST_COUNTED = 100_000  # rows that a preview counts
SAMPLE = 10_000  # rows from which it tells how many match, where no index does
RATE_SAMPLE = 10_000  # successes from which the present rate is told
RATE_SPAN = timedelta(minutes=5)

ACTIONS = (
    AuditAction.RETRY,
    AuditAction.CANCEL,
    AuditAction.RUN_NOW,
    AuditAction.DELETE,
)


@dataclass(frozen=True, slots=True)
class Preview:
    """What an operation would do, before it is started.

    Attributes:
        search: What it would be about: with the states that the action is for.
        count: How many jobs it would change.
        is_more: Whether there are more.
        is_estimate: Whether the number is worked out from a part of them.
        seconds: How long the operation takes at its rate.
        run_seconds: How long the jobs then take at the present rate of all workers; None where
            they do not run, or nothing runs at present.
    """

    search: Search
    count: int
    is_more: bool
    is_estimate: bool
    seconds: float
    run_seconds: float | None


def completed(action: str, search: Search) -> Search:
    """Return *search* with the states that *action* is for, if it names none.

    Raises:
        InvalidJob: The action is none of a bulk operation, or not for these states.
    """
    if action not in ACTIONS:
        known = ", ".join(map(str, ACTIONS))
        raise InvalidJob(f"Bulk operation: expected action to be one of {known}, got {action!r}.")
    if not search:
        raise InvalidJob(Sentence(_("Bulk operation: expected a search, got an empty one.")))
    if wants_succeeded(search) and action != AuditAction.DELETE:
        text = _(
            "Bulk operation: expected state:succeeded to stand with delete: what has succeeded "
            "has ended."
        )
        raise InvalidJob(Sentence(text))
    if chosen_states(search) is not None:
        return search
    if action == AuditAction.DELETE:
        fitting = [state for state in JobState.values if state != JobState.IN_PROGRESS]
    else:
        fitting = [state for state in JobState.values if state in states.origins(action)]
    return Search((Term("state", tuple(fitting)),)) + search


def preview(
    action: str, search: Search, *, rate: int = RATE, database: str | None = None
) -> Preview:
    """Say what an operation would do; nothing is changed.

    Database:
        For each state that is asked for one statement that counts along its index, and where an
        index does not answer all, one that looks through 10,000 rows of it. And up to six
        for the present rate.
    """
    search = completed(action, search)
    engine = engine_for(database)
    plan = Plan(search, _table(search, engine))
    count, is_more, is_estimate = _count(plan)
    runs = action in {AuditAction.RETRY, AuditAction.RUN_NOW}
    speed = _present_rate(engine) if runs else None
    return Preview(
        search=search,
        count=count,
        is_more=is_more,
        is_estimate=is_estimate,
        seconds=count / rate,
        run_seconds=count / speed if speed else None,
    )


def _count(plan: Plan) -> tuple[int, bool, bool]:
    """Return how many rows *plan* finds, whether there are more, and whether it is a guess."""
    sizes = [
        observe.count_up_to(well.rows.order_by(*well.order), MOST_COUNTED + 1)
        for well in plan.wells
    ]
    size, is_more = sum(sizes), any(each > MOST_COUNTED for each in sizes)
    if plan.is_answered:
        return size - is_more, is_more, False
    found = plan.found(SAMPLE)
    matching = found.rows.order_by().count()
    if not found.is_cut:
        return matching, False, False
    looked_at = sum(min(each, found.window or each) for each in sizes)
    return round(matching * size / max(looked_at, 1)), is_more, True


def _present_rate(engine: Engine) -> float | None:
    """Return how many jobs a second the workers execute at present, or could.

    As many as succeed, while jobs wait for them. While none do, the workers have less to do than
    they could: then it is what their slots come to, at the time that bodies took of late.

    Database:
        One statement that reads the index of the latest successes, and up to four for what
        waits, the workers, the past and the clock, none of which reads more than some minutes.
    """
    now = engine.now()
    succeed = _rate_of_successes(engine, now)
    waiting = engine.records.filter(OF_ANY_QUEUE, state=JobState.AVAILABLE)
    if list(waiting.order_by("-priority", "available_at").values_list("pk")[:1]):
        return succeed
    return max(filter(None, (succeed, _capacity(engine, now))), default=None)


def _capacity(engine: Engine, now: datetime) -> float | None:
    """Return how many jobs a second all slots can execute, if these are as those of late."""
    slots = sum(each.slots for each in observe.workers(engine.alias, now) if each.is_alive)
    numbers = Numbers()
    for period in observe.recent(observe.MEASURED, engine.alias, now)[EVERY_QUEUE]:
        numbers.update(period.numbers)
    seconds = mean(numbers, RUN)
    return slots / seconds if seconds else None


def _rate_of_successes(engine: Engine, now: datetime) -> float | None:
    recent = engine.succeeded.filter(succeeded_at__gt=now - RATE_SPAN)
    latest = list(
        recent.order_by("-succeeded_at").values_list("succeeded_at", flat=True)[:RATE_SAMPLE]
    )
    if not latest:
        return None
    span = (now - latest[-1]) if len(latest) == RATE_SAMPLE else RATE_SPAN
    return len(latest) / max(span.total_seconds(), 1)


def start(
    action: str,
    search: Search,
    *,
    by: By = "",
    rate: int = RATE,
    database: str | None = None,
) -> BulkOperation:
    """Start an operation: workers carry it out. It is about jobs that there are now.

    Args:
        action: ``"retry"``, ``"cancel"``, ``"run_now"`` or ``"delete"``.
        search: What it is about.
        by: Who does it, for the audit.
        rate: How many jobs are changed in a second, at most.

    Raises:
        InvalidJob: An argument is none that is expected; nothing was written.

    Database:
        A count up to 100,000 along an index, and two INSERTs.
    """
    search = completed(action, search)
    if isinstance(rate, bool) or not isinstance(rate, int) or not 1 <= rate <= MOST_RATE:
        raise InvalidJob(
            f"Bulk operation: expected rate to be a whole number from 1 to {MOST_RATE:,}, "
            f"got {rate!r}."
        )
    text = str(search)
    if len(text) > SEARCH_LENGTH:
        told = {"most": f"{SEARCH_LENGTH:,}", "got": f"{len(text):,}"}
        why = _("Bulk operation: expected a search of at most %(most)s characters, got %(got)s.")
        raise InvalidJob(Sentence(why, **told))
    engine, actor = engine_for(database), actor_of(by)
    rows = _table(search, engine)
    plan = Plan(search, rows)
    expected = sum(
        observe.count_up_to(well.rows.order_by(*well.order), MOST_COUNTED + 1)
        for well in plan.wells
    )
    with engine.transaction():
        operation = BulkOperation(
            action=action,
            search=text,
            by=actor.name,
            via=actor.via,
            origin=actor.origin,
            rate=rate,
            last_id=rows.aggregate(last=Max("pk"))["last"] or 0,
            expected=None if expected > MOST_COUNTED else expected,
        )
        operation.save(force_insert=True, using=engine.alias)
        _note(engine, AuditAction.START_BULK, operation, actor)
    operation.refresh_from_db(using=engine.alias)
    return operation


def stop(operation: BulkOperation, *, by: By = "") -> bool:
    """Stop *operation* after the part that is being done; say whether it was running."""
    engine = engine_for(operation._state.db)
    with engine.transaction():
        rows = operations(engine).filter(pk=operation.pk, state=BulkState.RUNNING)
        stopped = rows.update(state=BulkState.STOPPED, finished_at=engine.current())
        operation.refresh_from_db(using=engine.alias)
        if stopped:
            _note(engine, AuditAction.STOP_BULK, operation, actor_of(by))
    return bool(stopped)


def resume(operation: BulkOperation, *, by: By = "") -> bool:
    """Go on where *operation* was stopped; say whether it was."""
    engine = engine_for(operation._state.db)
    resumable = (BulkState.STOPPED, BulkState.BROKEN)
    with engine.transaction():
        rows = operations(engine).filter(pk=operation.pk, state__in=resumable)
        resumed = rows.update(
            state=BulkState.RUNNING, finished_at=None, error="", next_at=engine.current()
        )
        operation.refresh_from_db(using=engine.alias)
        if resumed:
            _note(engine, AuditAction.RESUME_BULK, operation, actor_of(by))
    return bool(resumed)


def operations(engine: Engine) -> models.QuerySet[BulkOperation]:
    """Return all operations of the database of *engine*."""
    return BulkOperation._base_manager.using(engine.alias)


# Carrying it out


def work(engine: Engine, seconds: float) -> float | None:
    """Do parts that are due, for about so long.

    Returns:
        In how many seconds the next part is due. None if this has done no part, as another may
        have, or if there is no next one.

    Database:
        One statement when nothing is due, along ``jobflow_bulk_next``.
    """
    until = time.monotonic() + seconds
    has_worked = False
    while turn(engine):
        has_worked = True
        if time.monotonic() >= until:
            return 0.0
    return _next_in(engine) if has_worked else None


def _next_in(engine: Engine) -> float | None:
    running = operations(engine).filter(state=BulkState.RUNNING)
    next_at = running.aggregate(next_at=Min("next_at"))["next_at"]
    return None if next_at is None else max((next_at - engine.now()).total_seconds(), 0.0)


def turn(engine: Engine, only: int | None = None) -> bool:
    """Do the next part of an operation that is due; say whether there was one.

    Args:
        only: The number of the operation. None means of any.
    """
    if not _due(engine, only).exists():  # without a transaction: that is so nearly always
        return False
    try:
        return again(engine, partial(_turn, engine, only))
    except _Broken as broken:
        _break_off(engine, broken)
        return True


class _Broken(Exception):
    """A part of an operation has raised an error that is not the database's trouble."""

    def __init__(self, operation: BulkOperation) -> None:
        self.operation = operation


def _due(engine: Engine, only: int | None) -> models.QuerySet[BulkOperation]:
    due = operations(engine).filter(state=BulkState.RUNNING, next_at__lte=engine.clock(None))
    return due if only is None else due.filter(pk=only)


def _turn(engine: Engine, only: int | None) -> bool:
    with engine.transaction():
        due: Any = _due(engine, only).order_by("next_at", "id")
        operation = engine.locked(due, skip=True).first()
        if operation is None:
            return False
        # Where rows cannot be locked, this takes the lock that lets one through.
        same = operations(engine).filter(
            pk=operation.pk, state=BulkState.RUNNING, cursor=operation.cursor
        )
        if not same.update(next_at=engine.current()):
            return False
        try:
            ids, done, has_ended = _do_part(engine, operation)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            raise _Broken(operation) from error
        _write_progress(engine, operation, ids, done, has_ended=has_ended)
    return True


def _do_part(engine: Engine, operation: BulkOperation) -> tuple[list[int], Done, bool]:
    search = parse(operation.search)
    plan = Plan(search, _table(search, engine), operation.created_at)
    ahead = plan.seek.filter(pk__gt=operation.cursor, pk__lte=operation.last_id)
    ids = list(ahead.order_by("pk").values_list("pk", flat=True)[:CHUNK])
    has_ended = len(ids) < CHUNK
    # What has moved on since is passed over: the verb locks the rows and looks again.
    rows = plan.sift(plan.seek.filter(pk__in=ids)) if ids else plan.base.none()
    most = max(round(operation.rate * PART_TIME), 1)
    if most < len(ids):
        matching = list(rows.order_by("pk").values_list("pk", flat=True)[: most + 1])
        if len(matching) > most:
            ids, has_ended = [each for each in ids if each < matching[most]], False
            rows = plan.sift(plan.seek.filter(pk__in=ids))
    done = operate.do_part(AuditAction(operation.action), rows)
    return ids, done, has_ended


def _write_progress(
    engine: Engine, operation: BulkOperation, ids: list[int], done: Done, *, has_ended: bool
) -> None:
    touched = done.done + done.asked
    pause = timedelta(seconds=touched / operation.rate)
    values: dict[str, Any] = {
        "cursor": ids[-1] if ids else operation.cursor,
        "looked": models.F("looked") + len(ids),
        "done": models.F("done") + done.done,
        "asked": models.F("asked") + done.asked,
        "skipped": models.F("skipped") + done.skipped,
        "next_at": engine.clock(None, pause),
    }
    if has_ended:
        values |= {"state": BulkState.DONE, "finished_at": engine.current()}
    operations(engine).filter(pk=operation.pk).update(**values)
    if has_ended:
        operation.refresh_from_db(using=engine.alias)
        _note_end(engine, operation)


def _break_off(engine: Engine, broken: _Broken) -> None:
    operation, error = broken.operation, broken.__cause__
    text = f"{type(error).__name__}: {error}"[:500].replace("\0", "\ufffd")
    with engine.transaction():
        rows = operations(engine).filter(pk=operation.pk, state=BulkState.RUNNING)
        rows.update(state=BulkState.BROKEN, finished_at=engine.current(), error=text)
        operation.refresh_from_db(using=engine.alias)
        _note_end(engine, operation)
    events.log(logger, logging.ERROR, "bulk_broken", operation=operation.pk, exc_info=error)


def _note_end(engine: Engine, operation: BulkOperation) -> None:
    who = Actor(operation.by, operation.via, operation.origin)
    _note(engine, AuditAction.END_BULK, operation, who)
    events.log(
        logger,
        logging.INFO,
        "bulk_ended",
        operation=operation.pk,
        action=operation.action,
        state=operation.state,
        done=operation.done,
        asked=operation.asked,
        skipped=operation.skipped,
    )


def _note(engine: Engine, action: AuditAction, operation: BulkOperation, who: Actor) -> None:
    numbers = {name: getattr(operation, name) for name in ("asked", "skipped")}
    audit.record(
        action,
        by=who,
        subject=operation.search,
        count=operation.done,
        detail={"operation": operation.pk, "action": str(operation.action), **numbers},
        database=engine.alias,
    )


def _table(search: Search, engine: Engine) -> Any:
    model: Any = SucceededJob if wants_succeeded(search) else JobRecord
    return model._base_manager.using(engine.alias)


def seconds_left(operation: BulkOperation, now: datetime) -> float | None:
    """Return how long *operation* goes on, as well as that is known."""
    if operation.state != BulkState.RUNNING or not operation.looked or not operation.expected:
        return None
    took = max((now - operation.created_at).total_seconds(), 0)
    return took * max(operation.expected - operation.looked, 0) / operation.looked

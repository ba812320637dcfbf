"""Telling how attempts started and ended, to the log and to those who listen."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django_jobflow import events, hooks, signals
from django_jobflow.attempts import Ending, Reservation
from django_jobflow.declare import registry
from django_jobflow.declare.secrecy import secrecy_of
from django_jobflow.entries import entry, with_entry
from django_jobflow.models import JobRecord
from django_jobflow.outcomes import ErrorInfo
from django_jobflow.states import ENDED, JobState

logger = logging.getLogger("django_jobflow.settle")

Meter = Callable[[Sequence[Ending], set[int], dict[int, float]], object]
"""Takes in ends: which of them were written, and how long the bodies of the ids ran."""

meters: list[Meter] = []
"""Told of all ends of a worker's cycle at once, at no cost for each record."""

_LEVELS = {
    "job_succeeded": logging.INFO,
    "job_retried": logging.WARNING,
    "job_failed": logging.ERROR,
}


def report_starts(started: Sequence[Reservation]) -> None:
    """Log each start and send its signal, where anybody wants to know."""
    if not signals.job_started.receivers and not logger.isEnabledFor(logging.DEBUG):
        return
    for reservation in started:
        events.log(
            logger,
            logging.DEBUG,
            "job_started",
            job_id=reservation.id,
            job_name=reservation.name,
            queue=reservation.queue,
            attempt=reservation.attempt,
        )
        signals.announce(
            signals.job_started,
            registry.find(reservation.name),
            partial(record_of, reservation, JobState.IN_PROGRESS),
        )


def report(
    endings: Sequence[Ending],
    written: set[int],
    seconds: dict[int, float],
    run_hook: hooks.Run = hooks.run,
    note: Callable[[Ending], object] | None = None,
) -> None:
    """Log each end, send its signal and call its hook; what was not written is logged as lost.

    Args:
        written: Ids that settling wrote.
        seconds: How long the body of each id ran, as far as known.
        run_hook: Calls the hooks.
        note: Takes in each that was written and is no success.
    """
    for meter in meters:
        meter(endings, written, seconds)
    for ending in endings:
        if ending.reservation.id in written:
            _report(ending, seconds.get(ending.reservation.id, 0.0))
            if note is not None and ending.error is not None:
                note(ending)
            if due := hooks.due_after(ending):
                run_hook(due)
        else:
            lost(ending.reservation, ending.event)


def lost(reservation: Reservation, event: str) -> None:
    """Log that another has the record: nothing was written."""
    events.log(
        logger,
        logging.WARNING,
        "reservation_lost",
        job_id=reservation.id,
        job_name=reservation.name,
        attempt=reservation.attempt,
        worker=reservation.worker,
        unwritten=event,
    )


def commit_hook_failed(reservation: Reservation, error: Exception) -> None:
    """Log that a hook which a transactional body had left for after its commit raised."""
    said: dict[str, Any] = {"exc_info": error}
    if secrecy_of(reservation.name).hides_anything:
        kept = entry(ErrorInfo.of(error), reservation)
        said = {"message": kept["message"], "exc_text": kept["traceback"]}
    events.log(
        logger,
        logging.ERROR,
        "on_commit_failed",
        job_id=reservation.id,
        job_name=reservation.name,
        **said,
    )


def _report(ending: Ending, seconds: float) -> None:
    level = _LEVELS.get(ending.event, logging.INFO)
    if logger.isEnabledFor(level):
        _log(level, ending, seconds)
    signal = signals.BY_EVENT.get(ending.event)
    if signal is not None and signal.receivers:
        sender = registry.find(ending.reservation.name)
        values = {"result": ending.result} if ending.state is None else {}
        signals.announce(signal, sender, lambda: record_after(ending), **values)


def _log(level: int, ending: Ending, seconds: float) -> None:
    reservation = ending.reservation
    fields: dict[str, Any] = {}
    if ending.error is not None:
        fields |= {"exception": ending.error["exception"], "message": ending.error["message"]}
    if ending.delay is not None:
        fields["again_in"] = ending.delay.total_seconds()
    events.log(
        logger,
        level,
        ending.event,
        job_id=reservation.id,
        job_name=reservation.name,
        queue=reservation.queue,
        attempt=reservation.attempt,
        max_attempts=reservation.max_attempts,
        seconds=seconds,
        **fields,
    )


def record_after(ending: Ending) -> JobRecord:
    """Return the record as *ending* left it, without asking the database."""
    record = record_of(ending.reservation, ending.state or JobState.IN_PROGRESS)
    record.attempt = ending.attempt
    if ending.error is not None:
        record.errors = with_entry(record.errors, ending.error)
    if ending.state is not None:
        record.reserved_by = None
    if ending.state in ENDED:
        record.held_queue_key = None
    return record


def record_of(reservation: Reservation, state: JobState) -> JobRecord:
    """Return *reservation* as a record, for a signal."""
    return JobRecord(
        id=reservation.id,
        name=reservation.name,
        queue=reservation.queue,
        partition=reservation.partition,
        state=state,
        priority=reservation.priority,
        args=reservation.args,
        kwargs=reservation.kwargs,
        attempt=reservation.attempt,
        max_attempts=reservation.max_attempts,
        timeout=reservation.timeout,
        queue_key=reservation.queue_key,
        execution_key=reservation.execution_key,
        available_at=reservation.available_at,
        created_at=reservation.created_at,
        errors=reservation.errors,
        tags=reservation.tags,
        meta=reservation.meta,
        batch_id=reservation.batch_id,
        reserved_by=reservation.worker,
        reserved_count=reservation.reserved_count,
    )

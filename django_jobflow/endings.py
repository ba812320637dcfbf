"""What an outcome means for the row: pure decisions, nothing is written here."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from django_jobflow import conf, events
from django_jobflow.attempts import Ending, Reservation
from django_jobflow.backoff import delay_after
from django_jobflow.declare import registry
from django_jobflow.declare.options import Definition
from django_jobflow.entries import entry, own_entry
from django_jobflow.exceptions import UnknownJob
from django_jobflow.fingerprints import Fingerprint, fingerprint
from django_jobflow.outcomes import (
    Cancelled,
    Discarded,
    ErrorInfo,
    Failed,
    Outcome,
    Released,
    Snoozed,
    Succeeded,
)
from django_jobflow.states import JobState

logger = logging.getLogger("django_jobflow.settle")

NEVER_KEPT = timedelta(0)  # as RETAIN_SUCCEEDED: a success leaves nothing
UNKNOWN_PAUSE = timedelta(minutes=1)  # a record whose code is unknown is put back for so long
UNKNOWN_LIMIT = timedelta(minutes=10)  # and fails after so long: a rolling deploy is over then
UNKNOWN_SINCE = "jobflow.unknown_since"  # the key in meta that remembers the first time


DISCARD = "django_jobflow.exceptions.Discard"
POINTLESS = fingerprint(DISCARD, "", "Not started before it became pointless.")


def decide(reservation: Reservation, outcome: Outcome) -> Ending:
    """Return what settling *reservation* with *outcome* is to write."""
    match outcome:
        case Succeeded():
            return _succeeded(reservation, outcome.result)
        case Failed():
            return _failed_once(reservation, outcome)
        case Discarded():
            return _discarded(reservation, outcome)
        case Cancelled():
            error = entry(outcome.error, reservation)
            return _ended(reservation, JobState.CANCELLED, error, "job_cancelled", outcome.meta)
        case Snoozed():
            state = JobState.SCHEDULED
            return _uncounted(reservation, state, outcome.delay, event="job_snoozed")
        case Released():
            state = JobState.AVAILABLE if outcome.delay is None else JobState.SCHEDULED
            return _uncounted(reservation, state, outcome.delay, event="job_released")
    raise TypeError(f"{reservation.name}: expected an outcome, got {outcome!r}.")


def refusal(reservation: Reservation, now: datetime) -> Ending:
    """Return what becomes of a RESERVED record that was not to be started."""
    if registry.find(reservation.name) is None:
        known = registry.seek(reservation.name) is not None
        return _found(reservation) if known else unknown_job(reservation, now)
    return expired(reservation)


def _found(reservation: Reservation) -> Ending:
    """Return what becomes of a RESERVED record whose job has just been found: it is due."""
    return Ending(
        reservation=reservation,
        origin=JobState.RESERVED,
        state=JobState.AVAILABLE,
        attempt=reservation.attempt,
        delay=timedelta(0),
        event="job_released",
    )


def unknown_job(reservation: Reservation, now: datetime) -> Ending:
    """Return what becomes of a RESERVED record whose job is not registered here.

    A newer worker may know it: it is put back for a minute, for ten minutes at most.
    """
    first = _first_time(reservation, now)
    if reservation.available_at > first + UNKNOWN_LIMIT + 2 * UNKNOWN_PAUSE:
        first = now  # made due anew long after that: somebody retried it, or it was snoozed
    if now - first >= UNKNOWN_LIMIT:
        return _refused(reservation)
    return Ending(
        reservation=reservation,
        origin=JobState.RESERVED,
        state=JobState.SCHEDULED,
        attempt=reservation.attempt,
        delay=UNKNOWN_PAUSE,
        meta={**_meta(reservation), UNKNOWN_SINCE: first.isoformat()},
        event="job_postponed",
    )


def _meta(reservation: Reservation) -> dict[str, Any]:
    return reservation.meta if isinstance(reservation.meta, dict) else {}


def _first_time(reservation: Reservation, now: datetime) -> datetime:
    """Return when the job was unknown first: *now* if its meta does not say a moment before."""
    try:
        first = datetime.fromisoformat(_meta(reservation)[UNKNOWN_SINCE])
        return min(first, now)
    except (KeyError, TypeError, ValueError):  # a caller may have said anything in its meta
        return now


def expired(reservation: Reservation) -> Ending:
    """Return the end of a record that its ``expires_at`` has made pointless, mostly RESERVED."""
    message = f"Not started by {reservation.expires_at}, when it became pointless."
    ending = _refusal(reservation, ErrorInfo(DISCARD, message))
    ending.fingerprint = POINTLESS
    return ending


LAPSED = "stopped renewing its lease"
WORKER_LOST = "django_jobflow.exceptions.WorkerLost"


def lost_error(number: int, worker: str | None, cause: str = LAPSED) -> dict[str, Any]:
    """Return the entry of an attempt whose worker died; *cause* is what is known of that."""
    message = f"Worker {worker} {cause}."
    return own_entry(ErrorInfo(WORKER_LOST, message), number, worker)


def lost_fingerprint(cause: str = LAPSED) -> Fingerprint:
    """Return the kind of what ``lost_error`` tells: the same for all workers."""
    return fingerprint(WORKER_LOST, "", f"Its worker {cause}.")


def _succeeded(reservation: Reservation, result: Any) -> Ending:
    definition = _definition(reservation)
    retain = conf.current().RETAIN_SUCCEEDED if definition is None else definition.retain_succeeded
    return Ending(
        reservation=reservation,
        state=None,
        attempt=reservation.attempt,
        result=result,
        keep=retain != NEVER_KEPT,
        event="job_succeeded",
    )


def _failed_once(reservation: Reservation, outcome: Failed) -> Ending:
    error = entry(outcome.error, reservation)
    if reservation.attempt >= reservation.max_attempts:
        return _failed(reservation, error, outcome.error, outcome.meta)
    return Ending(
        reservation=reservation,
        state=JobState.RETRY,
        attempt=reservation.attempt,
        delay=outcome.delay if outcome.delay is not None else _delay(reservation),
        error=error,
        meta=outcome.meta,
        event="job_retried",
        fingerprint=_kind(error, outcome.error),
    )


def _discarded(reservation: Reservation, outcome: Discarded) -> Ending:
    error = entry(outcome.error, reservation)
    ending = _failed(reservation, error, outcome.error, outcome.meta)
    ending.discarded = True
    return ending


def _uncounted(
    reservation: Reservation, state: JobState, delay: timedelta | None, *, event: str
) -> Ending:
    """Return the end of an attempt that counts as none."""
    return Ending(
        reservation=reservation,
        state=state,
        attempt=reservation.attempt - 1,
        delay=delay,
        event=event,
    )


def _ended(
    reservation: Reservation,
    state: JobState,
    error: dict[str, Any],
    event: str,
    meta: dict[str, Any] | None = None,
) -> Ending:
    return Ending(
        reservation=reservation,
        state=state,
        attempt=reservation.attempt,
        error=error,
        event=event,
        meta=meta,
    )


def _failed(
    reservation: Reservation,
    error: dict[str, Any],
    info: ErrorInfo,
    meta: dict[str, Any] | None = None,
) -> Ending:
    ending = _ended(reservation, JobState.FAILED, error, "job_failed", meta)
    ending.fingerprint = _kind(error, info)
    return ending


def _kind(error: dict[str, Any], info: ErrorInfo) -> Fingerprint:
    """Return the kind of a failure, from what is kept of it: without what is hidden."""
    return fingerprint(error["exception"], info.place, error["message"])


def _refusal(reservation: Reservation, error: ErrorInfo) -> Ending:
    kept = own_entry(error, reservation.attempt, reservation.worker or None)
    ending = _failed(reservation, kept, error)
    ending.origin = JobState.RESERVED
    ending.discarded = True
    return ending


def _refused(reservation: Reservation) -> Ending:
    error = UnknownJob(
        f"No job is registered under {reservation.name!r} in any worker that tried it "
        f"for {UNKNOWN_LIMIT}."
    )
    return _refusal(reservation, ErrorInfo.of(error))


def _definition(reservation: Reservation) -> Definition | None:
    job = registry.find(reservation.name)
    return job.definition() if job else None


def _delay(reservation: Reservation) -> timedelta:
    definition = _definition(reservation)
    if definition is None:
        return timedelta(seconds=1)
    try:
        return delay_after(definition.backoff, reservation.attempt, name=reservation.name)
    except Exception:
        # A wrong callable must not keep the failure itself from being recorded.
        events.log(
            logger, logging.ERROR, "backoff_failed", job_name=reservation.name, exc_info=True
        )
        return definition.base_delay

"""Calling the body of a job: says how it ended, and writes nothing.

Needs neither models nor a database, so a job can be run in a test without one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django_jobflow import conf
from django_jobflow.arguments import decode, encode_result
from django_jobflow.attempts import Reservation
from django_jobflow.declare.context import JobContext, set_current
from django_jobflow.declare.job import Job
from django_jobflow.exceptions import (
    Cancel,
    CancelInterrupt,
    Discard,
    JobTimeout,
    Retry,
    Snooze,
    TimeoutInterrupt,
)
from django_jobflow.outcomes import (
    Cancelled,
    Discarded,
    ErrorInfo,
    Failed,
    Outcome,
    Snoozed,
    Succeeded,
)


def execute(job: type[Job], reservation: Reservation, context: JobContext) -> Outcome:
    """Run a plain body to its end.

    A ``JobInterrupt`` and ``KeyboardInterrupt`` are let through: they belong to the worker.
    """
    try:
        set_current(context)
        args, kwargs = decode(reservation.args, reservation.kwargs, name=reservation.name)
        return succeeded(reservation, job.run(context, *args, **kwargs))
    except (Exception, SystemExit) as error:
        return outcome_of(error)


async def aexecute(
    job: type[Job],
    reservation: Reservation,
    context: JobContext,
    decoding: Callable[..., Any],
) -> Outcome:
    """Run an async body to its end.

    Args:
        decoding: Awaitable form of ``decode``, since a model instance is read from the
            database.
    """
    try:
        set_current(context)
        args, kwargs = await decoding(reservation.args, reservation.kwargs, name=reservation.name)
        return succeeded(reservation, await job.run(context, *args, **kwargs))
    except (Exception, SystemExit) as error:
        return outcome_of(error)


def succeeded(reservation: Reservation, result: Any) -> Succeeded:
    """Return the outcome of a body that returned *result*.

    Raises:
        InvalidResult: It is not JSON.
    """
    size = conf.current().MAX_RESULT_SIZE
    return Succeeded(encode_result(reservation.name, result, max_size=size))


def outcome_of(error: BaseException) -> Outcome:
    """Return the outcome of a body that raised *error*."""
    info = ErrorInfo.of(error)
    match error:
        case Retry():
            return Failed(info, error.delay)
        case Snooze():
            return Snoozed(error.delay, info.message)
        case Discard():
            return Discarded(info)
        case Cancel() | CancelInterrupt():
            return Cancelled(info)
        case _:
            return Failed(info)


def timed_out(reservation: Reservation, error: BaseException | None = None) -> Failed:
    """Return the outcome of a body that ran into its time limit.

    Args:
        error: What stopped it, for the traceback.
    """
    limit = reservation.timeout.total_seconds() if reservation.timeout else 0
    info = ErrorInfo.of(JobTimeout(f"{reservation.name} ran longer than {limit:g} s."))
    trace = ErrorInfo.of(error).traceback if error is not None else info.traceback
    return Failed(ErrorInfo(info.exception, info.message, trace))


def interrupted(reservation: Reservation, error: BaseException) -> Outcome:
    """Return the outcome of a body that was stopped by the worker, or by a Ctrl-C of its own."""
    if isinstance(error, TimeoutInterrupt):
        return timed_out(reservation, error)
    return outcome_of(error)

"""Calling the body of a job: says how it ended, and writes nothing.

Needs neither models nor a database, so a job can be run in a test without one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django_jobflow import conf, hooks, middleware
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
    SoftTimeout,
    TimeoutInterrupt,
)
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

Decoding = Callable[..., Any]
"""What reads the arguments: ``decode``, or its like."""

Attend = Callable[[Job], object]
"""Takes in the instance that is about to perform."""

Note = Callable[[BaseException], object]
"""Takes in what a body has raised."""


def nothing(instance: Job) -> None:
    """Take in nothing."""


NOTHING = Succeeded()
"""The outcome of a body that has nothing to say; one for all."""


class Unready(Exception):
    """The arguments cannot be read now, through no fault of the job.

    Args:
        outcome: How the attempt ends.
    """

    def __init__(self, outcome: Released) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


def execute(
    job: type[Job],
    reservation: Reservation,
    context: JobContext,
    decoding: Decoding = decode,
    attend: Attend = nothing,
    savepoint: str | None = None,
    note: Note | None = None,
) -> Outcome:
    """Run a plain body to its end.

    Args:
        attend: Told of the instance that performs, before it does.
        savepoint: Alias of the database whose transaction is open.
        note: Told of what it has raised.

    A ``JobInterrupt`` and ``KeyboardInterrupt`` are let through: they belong to the worker.
    """
    instance: Job | None = None
    try:
        set_current(context)
        args, kwargs = decoding(
            reservation.args,
            reservation.kwargs,
            name=reservation.name,
            hides=job._secrecy().hides,
        )
        instance = job._at(context, args, kwargs)
        instance._savepoint = savepoint
        attend(instance)
        run = middleware.current().around(_perform)
        return _succeeded_in_time(job, reservation, run(instance))
    except (Exception, SystemExit) as error:
        if note is not None:
            note(error)
        return outcome_of(error, instance)


async def aexecute(
    job: type[Job],
    reservation: Reservation,
    context: JobContext,
    decoding: Decoding,
    attend: Attend = nothing,
    note: Note | None = None,
) -> Outcome:
    """Run an async body to its end.

    Args:
        decoding: Awaitable form of ``decode``, since a model instance is read from the
            database.
        attend: As for ``execute``, and *note* too.
    """
    instance: Job | None = None
    try:
        set_current(context)
        args, kwargs = await decoding(
            reservation.args,
            reservation.kwargs,
            name=reservation.name,
            hides=job._secrecy().hides,
        )
        instance = job._at(context, args, kwargs)
        attend(instance)
        run = middleware.current().around(_aperform)
        return succeeded(job, reservation, await run(instance))
    except (Exception, SystemExit) as error:
        if note is not None:
            note(error)
        return outcome_of(error, instance)


def _perform(instance: Job) -> Any:
    """Call the body inside of all middleware."""
    if instance._hooks:
        hooks.call(instance, "before_run", savepoint=instance._savepoint)
    args, kwargs = instance._bound
    return instance.perform(*args, **kwargs)


async def _aperform(instance: Job) -> Any:
    """Call an async body inside of all middleware."""
    if instance._hooks:
        await hooks.acall(instance, "before_run")
    args, kwargs = instance._bound
    return await instance.perform(*args, **kwargs)


def _succeeded_in_time(job: type[Job], reservation: Reservation, result: Any) -> Succeeded:
    try:
        return succeeded(job, reservation, result)
    except SoftTimeout:  # it came when the body had ended, so it changes nothing
        return succeeded(job, reservation, result)


def succeeded(job: type[Job], reservation: Reservation, result: Any) -> Succeeded:
    """Return the outcome of a body that returned *result*.

    Raises:
        InvalidResult: It is not JSON.
    """
    if result is None:
        return NOTHING
    size, hidden = conf.current().MAX_RESULT_SIZE, job._secrecy().hides_result
    return Succeeded(encode_result(reservation.name, result, max_size=size, hidden=hidden))


def outcome_of(error: BaseException, instance: Job | None = None) -> Outcome:
    """Return the outcome of a body that raised *error*.

    Args:
        instance: What performed, as far as it came to that.
    """
    info, meta = ErrorInfo.of(error), None if instance is None else instance._meta_after
    match error:
        case Unready():
            return error.outcome
        case Retry():
            return Failed(info, error.delay, meta)
        case Snooze():
            return Snoozed(error.delay, info.message)
        case Discard():
            return Discarded(info, meta)
        case Cancel() | CancelInterrupt():
            return Cancelled(info, meta)
        case _:
            return Failed(info, meta=meta)


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

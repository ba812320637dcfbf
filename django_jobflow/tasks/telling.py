"""Telling Django's signals how tasks went.

``task_started`` is sent in the slot, before the body. ``task_finished`` is sent once the end is
committed, by the hooks of the job: so what a receiver reads is what it is told of, there is none
for an attempt that is to be retried, and one for ends that no body has seen (cancelled while it
waited, its worker lost).
"""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.dispatch import Signal
from django.utils import timezone

from django_jobflow import events, exceptions
from django_jobflow.declare.context import JobContext
from django_jobflow.outcomes import ErrorInfo
from django_jobflow.tasks.compat import (
    InvalidTaskBackend,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_backends,
    task_finished,
    task_started,
)
from django_jobflow.tasks.notes import Notes
from django_jobflow.tasks.results import JobflowTaskResult, error_of

logger = logging.getLogger("django_jobflow.tasks")

STOPPED = (exceptions.JobInterrupt, CancelledError)  # by the worker, which says why
MOST = 10_000  # attempts whose end has still to be told; more than that were lost to others


@dataclass(slots=True)
class Run:
    """One attempt in this process, until its end is told.

    Attributes:
        error: What the body raised, if that is not to be hidden.
    """

    result: JobflowTaskResult
    error: BaseException | None = None


_runs: OrderedDict[tuple[int, int], Run] = OrderedDict()
"""By the record and the number of the attempt: the next may begin before the last is told."""


def remember(context: JobContext, result: JobflowTaskResult) -> None:
    """Keep the result of an attempt that begins, for those who are told of its end."""
    _runs[_key(context)] = Run(result)
    while len(_runs) > MOST:
        _runs.popitem(last=False)


def note_error(context: JobContext, error: BaseException) -> None:
    """Keep what the body of an attempt has raised."""
    attempt = _runs.get(_key(context))
    if attempt is not None and not isinstance(error, STOPPED):
        attempt.error = error


def tell_start(result: JobflowTaskResult) -> None:
    """Send ``task_started``; a receiver that raises costs nothing."""
    _send(task_started, result)


async def atell_start(result: JobflowTaskResult) -> None:
    """Do what ``tell_start`` does, from async code."""
    answers: Sequence[tuple[Any, Any]]
    try:
        answers = await task_started.asend_robust(_sender(result), task_result=result)
    except Exception as error:
        answers = [(None, error)]
    _log_failures(answers)


def forget(context: JobContext) -> None:
    """Forget an attempt whose end is not to be told."""
    _runs.pop(_key(context), None)


def _key(context: JobContext) -> tuple[int, int]:
    return context.job_id, context.attempt


def tell_success(context: JobContext, value: Any) -> None:
    """Send ``task_finished`` for a record that has succeeded."""
    attempt = _runs.pop(_key(context), None)
    result = attempt.result if attempt is not None else _read(context)
    if result is None:
        return
    if attempt is not None:
        object.__setattr__(result, "finished_at", timezone.now())
        object.__setattr__(result, "status", TaskResultStatus.SUCCESSFUL)
        object.__setattr__(result, "_return_value", value)
    _send(task_finished, result)


def tell_failure(context: JobContext, info: ErrorInfo | None = None) -> None:
    """Send ``task_finished`` for a record that has ended otherwise, inside of an except block.

    Who hears it reads the exception that is being handled, as the log of Django does.

    Args:
        info: Its last error. None means that only the record knows.
    """
    attempt = _runs.pop(_key(context), None)
    result = _read(context)
    if result is None and attempt is not None:  # it was deleted since
        result = attempt.result
        object.__setattr__(result, "status", TaskResultStatus.FAILED)
        object.__setattr__(result, "finished_at", timezone.now())
        if info is not None:
            result.errors.append(error_of(info))
    if result is None:
        return
    try:
        raise (attempt and attempt.error) or _stand_in(result)
    except BaseException:
        _send(task_finished, result)


def _read(context: JobContext) -> JobflowTaskResult | None:
    """Return what the database says now; None if it says nothing any more."""
    try:
        backend: Any = task_backends[Notes.read(context.meta).backend]
        read: JobflowTaskResult = backend.get_result(str(context.job_id))
    except (InvalidTaskBackend, NotImplementedError, TaskResultDoesNotExist):
        return None
    return read


def _stand_in(result: JobflowTaskResult) -> BaseException:
    """Return an exception for one that is not in this process, or is not to be seen."""
    if not result.errors:
        return exceptions.JobflowError("The job has failed.")
    last = result.errors[-1]
    message = getattr(last, "message", "")
    module, _, name = last.exception_class_path.rpartition(".")
    known = getattr(exceptions, name, None) if module == exceptions.__name__ else None
    if known is None or not issubclass(known, exceptions.JobflowError):
        error: BaseException = exceptions.JobflowError(f"{last.exception_class_path}: {message}")
    else:
        error = known(message)
    error.add_note(last.traceback)
    return error


def _send(signal: Signal, result: JobflowTaskResult) -> None:
    answers: Sequence[tuple[Any, Any]]
    try:
        answers = signal.send_robust(_sender(result), task_result=result)
    except Exception as error:
        # Django 5.2 to 6.1 cannot log the failure of a receiver that has no __qualname__.
        answers = [(None, error)]
    _log_failures(answers)


def _sender(result: JobflowTaskResult) -> type[Any]:
    """Return the class of the backend that a result belongs to."""
    from django_jobflow.tasks.backend import JobflowBackend

    try:
        return type(task_backends[result.backend])
    except InvalidTaskBackend:
        return JobflowBackend


def _log_failures(answers: Sequence[tuple[Any, Any]]) -> None:
    for receiver, answer in answers:
        if isinstance(answer, Exception):
            events.log(
                logger,
                logging.ERROR,
                "receiver_failed",
                receiver=getattr(receiver, "__qualname__", "unnamed"),
                error=repr(answer),
                exc_info=answer,
            )

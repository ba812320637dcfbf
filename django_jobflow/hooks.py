"""Calling the hooks of a job, each apart from what it is told of."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction

from django_jobflow import events
from django_jobflow.arguments import decode
from django_jobflow.attempts import Ending
from django_jobflow.declare import registry
from django_jobflow.declare.context import JobContext, current_context, set_current
from django_jobflow.declare.job import Job
from django_jobflow.exceptions import ArgumentError
from django_jobflow.outcomes import ErrorInfo

logger = logging.getLogger("django_jobflow.hooks")


class Facts(Protocol):
    """What a reservation and a record both say of a call."""

    id: Any
    name: Any
    queue: Any
    attempt: Any
    max_attempts: Any
    args: Any
    kwargs: Any
    meta: Any


@dataclass(frozen=True, slots=True)
class Due:
    """A hook that is to be called, after an end that is written.

    Attributes:
        values: What it is called with.
    """

    job: type[Job]
    facts: Facts
    hook: str
    values: tuple[Any, ...]

    def __call__(self) -> None:
        """Call it in this thread; what it raises is logged."""
        before = current_context()
        facts = self.facts
        context = JobContext(
            job_id=facts.id,
            name=facts.name,
            queue=facts.queue,
            attempt=facts.attempt,
            max_attempts=facts.max_attempts,
            meta=facts.meta,
        )
        set_current(context)
        try:
            instance = self.job._at(context, (), {})
            instance._call = self._arguments
            method = getattr(instance, self.hook)
            if inspect.iscoroutinefunction(method):
                with suppress(ArgumentError):  # read now: a coroutine cannot ask the database
                    instance._call = self._arguments()
                method = async_to_sync(method)
            method(*self.values)
        except (Exception, SystemExit) as error:
            _log(self.job, context, self.hook, error)
        finally:
            set_current(before)

    def _arguments(self) -> tuple[Any, Any]:
        return decode(
            self.facts.args,
            self.facts.kwargs,
            name=self.facts.name,
            hides=self.job._secrecy().hides,
        )


Run = Callable[[Due], None]
"""Calls a hook that is due, now and here or later and elsewhere."""


def run(due: Due) -> None:
    """Call it now and here."""
    due()


def run_after_commit(due: Due, database: str) -> None:
    """Call it once the transaction that is open on *database* is committed."""
    # A function of a name: before 6.1 Django cannot report the error of another.
    transaction.on_commit(lambda: due(), using=database, robust=True)


def any_has(hook: str) -> bool:
    """Say whether any declared job has overridden *hook*."""
    return any(hook in job._hooks for job in registry.all_jobs())


def due_after(ending: Ending) -> Due | None:
    """Return the hook that is to be called once *ending* is written, if the job has it."""
    job = registry.find(ending.reservation.name)
    if job is None or not job._hooks:
        return None
    if ending.state is None:
        return _due(job, ending.reservation, "on_success", ending.result)
    if ending.error is None:
        return None
    if ending.discarded:
        return _due(job, ending.reservation, "on_discard", ending.error["message"])
    if ending.event == "job_cancelled":
        return _due(job, ending.reservation, "on_cancel", ending.error["message"])
    return _failure(job, ending.reservation, ending.error, ending.event == "job_retried")


def due_after_success(record: Facts, result: Any) -> Due | None:
    """Return what is to be called since somebody has ended *record* as a success."""
    job = registry.find(record.name)
    return None if job is None else _due(job, record, "on_success", result)


def due_after_cancel(record: Facts) -> Due | None:
    """Return what is to be called since somebody has cancelled *record* before it ran."""
    job = registry.find(record.name)
    return None if job is None else _due(job, record, "on_cancel", "")


def due_after_failure(record: Facts, error: dict[str, Any], *, will_retry: bool) -> Due | None:
    """Return what is to be called since an attempt of *record* has failed without its slot."""
    job = registry.find(record.name)
    return None if job is None else _failure(job, record, error, will_retry)


def _failure(job: type[Job], facts: Facts, error: dict[str, Any], will_retry: bool) -> Due | None:
    info = ErrorInfo(error["exception"], error["message"], error["traceback"])
    return _due(job, facts, "on_failure", info, will_retry)


def _due(job: type[Job], facts: Facts, hook: str, *values: Any) -> Due | None:
    return Due(job, facts, hook, values) if hook in job._hooks else None


# In the slot


def call(instance: Job, hook: str, *values: Any, savepoint: str | None = None) -> None:
    """Call a hook of the *instance* that performs; what it raises is logged.

    Args:
        savepoint: Alias of the database whose transaction is open. What a hook that raises has
            done there is undone.
    """
    if hook not in instance._hooks:
        return
    apart: AbstractContextManager[Any] = nullcontext()
    if savepoint is not None:
        apart = transaction.atomic(using=savepoint)
    try:
        with apart:
            method = getattr(instance, hook)
            if inspect.iscoroutinefunction(method):
                method = async_to_sync(method)
            method(*values)
    except (Exception, SystemExit) as error:
        _log(type(instance), instance.context, hook, error)


async def acall(instance: Job, hook: str, *values: Any) -> None:
    """Do what ``call`` does, from the event loop."""
    if hook not in instance._hooks:
        return
    method = getattr(instance, hook)
    if not inspect.iscoroutinefunction(method):
        method = sync_to_async(method)
    try:
        await method(*values)
    except (Exception, SystemExit) as error:
        _log(type(instance), instance.context, hook, error)


def _log(job: type[Job], context: JobContext, hook: str, error: BaseException) -> None:
    said: dict[str, Any] = {"error": repr(error), "exc_info": error}
    if job._secrecy().hides_anything:  # it may quote what is not to be seen
        said = {"error": type(error).__qualname__}
    events.log(
        logger,
        logging.ERROR,
        "hook_failed",
        job_id=context.job_id,
        job_name=context.name,
        hook=hook,
        **said,
    )

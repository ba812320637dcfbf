"""Running the body of a task: its context, its signal, its result as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from django_jobflow.tasks.compat import Task, TaskResultStatus
from django_jobflow.tasks.context import JobflowTaskContext
from django_jobflow.tasks.notes import Notes, merged
from django_jobflow.tasks.results import (
    JobflowTaskResult,
    errors_of,
    plain_json,
    worker_ids,
)
from django_jobflow.tasks.stored import stored_task
from django_jobflow.tasks.telling import atell_start, note_error, remember, tell_start

if TYPE_CHECKING:
    from django_jobflow.tasks.jobs import TaskJob

DIRECT = "direct"  # who executes a body that no worker executes


def run(job: TaskJob, task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call the function of *task*, and return what it returned as JSON."""
    context = _begin(job, task, args, kwargs)
    tell_start(context.task_result)
    try:
        value = task.func(*_given(task, context, args), **kwargs)
        value = plain_json(value)
        context.flush()
    except BaseException as error:
        _note_error(job, context, error)
        raise
    return value


async def arun(
    job: TaskJob, task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Do what ``run`` does for an async function."""
    context = _begin(job, task, args, kwargs)
    await atell_start(context.task_result)
    try:
        value = await task.func(*_given(task, context, args), **kwargs)
        value = plain_json(value)
        await context.aflush()
    except BaseException as error:
        _note_error(job, context, error)
        raise
    return value


def _given(
    task: Task[..., Any], context: JobflowTaskContext, args: Sequence[Any]
) -> Sequence[Any]:
    return (context, *args) if task.takes_context else args


def _begin(
    job: TaskJob, task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> JobflowTaskContext:
    told = job.context
    notes = Notes.read(told.meta)
    held = told.reservation
    errors = held.errors if held is not None else []
    now = timezone.now()
    alias = notes.backend or task.backend
    result = JobflowTaskResult(
        task=task if held is None else stored_task(held, notes, alias),
        id=str(told.job_id),
        status=TaskResultStatus.RUNNING,
        enqueued_at=held.created_at if held is not None else now,
        started_at=notes.started_at or now,
        last_attempted_at=now,
        finished_at=None,
        args=list(args),
        kwargs=dict(kwargs),
        backend=alias,
        errors=errors_of(errors),
        worker_ids=worker_ids(errors, told.attempt, told.worker or DIRECT),
        raw_metadata=notes.metadata,
    )
    if held is not None:
        remember(told, result)
    return JobflowTaskContext(task_result=result, job=told)


def _note_error(job: TaskJob, context: JobflowTaskContext, error: BaseException) -> None:
    """Keep what *error* is for those who are told of it, and what the record is to keep."""
    if not type(job)._secrecy().hides_anything:
        note_error(job.context, error)
    notes = Notes.read(job.context.meta)
    metadata = merged(notes.metadata, context.plain_metadata())
    is_first = notes.started_at is None and job.context.attempt < job.context.max_attempts
    if metadata != notes.metadata or is_first:
        began = context.task_result.started_at
        job._meta_after = notes.but(metadata=metadata, started_at=began).written()

"""From a row to what Django calls the result of a task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from django_jobflow import conf
from django_jobflow.arguments import decode
from django_jobflow.exceptions import ArgumentError
from django_jobflow.outcomes import ErrorInfo
from django_jobflow.states import JobState
from django_jobflow.tasks.compat import (
    TASK_REFRESH_ATTRS,
    InvalidTaskBackend,
    Task,
    TaskError,
    TaskResult,
    TaskResultStatus,
    normalize_json,
    task_backends,
)
from django_jobflow.tasks.notes import Notes, visible
from django_jobflow.tasks.stored import stored_task

if TYPE_CHECKING:
    from django_jobflow.models import JobRecord, SucceededJob

STATUS_OF = {
    None: TaskResultStatus.SUCCESSFUL,
    JobState.IN_PROGRESS: TaskResultStatus.RUNNING,
    JobState.FAILED: TaskResultStatus.FAILED,
    JobState.CANCELLED: TaskResultStatus.FAILED,
}
"""What Django calls a state; READY is all that is not in here. None is a success."""

UNKNOWN_WORKER = "unknown"
CANCELLED = ErrorInfo("django_jobflow.exceptions.JobCancelled", "Cancelled before it ran.")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobflowTaskError(TaskError):  # type: ignore[misc]  # the stubs have it thawed
    """The error of one attempt, with what a record keeps of it beside the class.

    Attributes:
        attempt: Number of the attempt; 0 for one that was never started.
        at: When it ended. None means not written yet.
        worker_id: Who executed it; empty if nobody did.
        message: The text of the exception.
    """

    attempt: int = 0
    at: datetime | None = None
    worker_id: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobflowTaskResult(TaskResult):  # type: ignore[type-arg, misc]
    """The result of a task, with what a record says beside it.

    Attributes:
        state: The state of the record. None means that it has succeeded.
        duplicate: Whether ``enqueue`` stored nothing and returned the holder of the queue key.
        progress: From 0 to 100. None means that the task has not told any.
        progress_message: What it said last.
        raw_metadata: The metadata, keys that begin with an underscore included.
    """

    state: JobState | None = field(default=None, compare=False)
    duplicate: bool = field(default=False, compare=False)
    progress: int | None = field(default=None, compare=False)
    progress_message: str = field(default="", compare=False)
    raw_metadata: dict[str, Any] = field(default_factory=dict, compare=False)

    def __hash__(self) -> int:
        """By the id, so that it stays the same when the result is refreshed."""
        return hash(self.id)

    @property
    def metadata(self) -> dict[str, Any]:
        """Metadata without the keys that begin with an underscore, which are reserved."""
        return visible(self.raw_metadata)

    def refresh(self) -> None:
        """Read again what the database says of it.

        Database:
            What ``get_result`` takes.
        """
        take_over(self, self.task.get_backend().get_result(self.id))

    async def arefresh(self) -> None:
        """Do what ``refresh`` does, from async code."""
        take_over(self, await self.task.get_backend().aget_result(self.id))


REFRESHED = TASK_REFRESH_ATTRS | {"state", "progress", "progress_message", "raw_metadata"}


def take_over(result: Any, fresh: Any) -> None:
    """Give *result* what may have changed of it since it was read."""
    for name in REFRESHED:
        if hasattr(fresh, name):
            object.__setattr__(result, name, getattr(fresh, name))


def result_of(
    row: JobRecord | SucceededJob,
    alias: str,
    *,
    task: Task[..., Any] | None = None,
    call: tuple[Any, Any] | None = None,
) -> JobflowTaskResult:
    """Return what *row* says, as the result of a task.

    Args:
        alias: The backend that is asked; a result knows by itself which one it came through.
        task: The task, if it is known.
        call: Its arguments, if they are known.
    """
    notes = Notes.read(row.meta)
    is_success = not hasattr(row, "state")
    state = None if is_success else JobState(cast("JobRecord", row).state)
    if task is None:
        task = stored_task(row, notes, _known_alias(notes.backend, alias))
    args, kwargs = _arguments(row) if call is None else call
    result = JobflowTaskResult(
        task=task,
        id=str(row.pk),
        status=STATUS_OF.get(state, TaskResultStatus.READY),
        enqueued_at=row.created_at,
        started_at=_started_at(row, notes),
        last_attempted_at=row.started_at if row.attempt else None,
        finished_at=_finished_at(row),
        args=args,
        kwargs=kwargs,
        backend=task.backend,
        errors=errors_of(row.errors, state),
        worker_ids=worker_ids(row.errors, row.attempt, _worker(row, state)),
        state=state,
        duplicate=getattr(row, "duplicate", False),
        progress=row.progress,
        progress_message=row.progress_message,
        raw_metadata=notes.metadata,
    )
    if is_success:
        object.__setattr__(result, "_return_value", cast("SucceededJob", row).result)
    return result


def plain_json(value: Any) -> Any:
    """Return what a task has returned as JSON has it: keys that are no texts become such.

    Raises:
        TypeError: There is no such form of it, or two keys would be the same text.
        ValueError: It has bytes that are no UTF-8.
    """
    return _with_texts_as_keys(normalize_json(value))


def _with_texts_as_keys(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_texts_as_keys(each) for each in value]
    if not isinstance(value, dict):
        return value
    made = {_key(key): _with_texts_as_keys(each) for key, each in value.items()}
    if len(made) < len(value):
        raise TypeError(f"expected keys that are different texts in JSON, got {[*value]!r}.")
    return made


def _key(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(key)


def errors_of(entries: Any, state: JobState | None = None) -> list[TaskError]:
    """Return the entries of ``errors`` as Django has them; a cancelled record has at least one."""
    found = [entry for entry in entries if isinstance(entry, dict)] if _is_list(entries) else []
    errors: list[TaskError] = [_error(entry) for entry in found]
    if state == JobState.CANCELLED and not any(_is_cancel(entry) for entry in found):
        errors.append(error_of(CANCELLED))
    return errors


def error_of(info: ErrorInfo, **more: Any) -> JobflowTaskError:
    """Return what is kept of an exception as Django has it."""
    return JobflowTaskError(
        exception_class_path=info.exception,
        traceback=info.traceback or f"{info.exception}: {info.message}\n",
        message=info.message,
        **more,
    )


def _error(entry: Mapping[str, Any]) -> JobflowTaskError:
    texts = [str(entry.get(name, "")) for name in ("exception", "message", "traceback")]
    at = entry.get("at")
    return error_of(
        ErrorInfo(*texts),
        attempt=_number(entry),
        at=_moment(at) if isinstance(at, str) else None,
        worker_id=str(entry.get("worker") or ""),
    )


def _is_cancel(entry: Mapping[str, Any]) -> bool:
    return str(entry.get("exception", "")).startswith("django_jobflow.exceptions.Cancel")


def worker_ids(entries: Any, attempts: int, current: str | None) -> list[str]:
    """Return who executed each attempt.

    Args:
        entries: Those of ``errors``: each attempt that failed has one.
        attempts: How many there were, and so the length of what is returned.
        current: Who executes the last of them, or did without an error.
    """
    found = [entry for entry in entries if isinstance(entry, dict)] if _is_list(entries) else []
    by_number = {_number(entry): entry.get("worker") for entry in found}
    if current:
        by_number[attempts] = current
    return [str(by_number.get(n) or UNKNOWN_WORKER) for n in range(1, attempts + 1)]


def _is_list(entries: Any) -> bool:
    return isinstance(entries, list)


def _number(entry: Mapping[str, Any]) -> int:
    number = entry.get("number")
    return number if isinstance(number, int) else 0


def _worker(row: Any, state: JobState | None) -> str | None:
    holds = state is None or state == JobState.IN_PROGRESS
    worker: str | None = row.reserved_by if holds and row.attempt else None
    return worker


def _started_at(row: Any, notes: Notes) -> datetime | None:
    """Return when the first attempt began; of one that was lost, at the latest when it ended."""
    if not row.attempt:
        return None
    moments = [notes.started_at, row.started_at]
    if row.attempt > 1 and notes.started_at is None:
        moments += [getattr(error, "at", None) for error in errors_of(row.errors)]
    return min((moment for moment in moments if moment is not None), default=None)


def _finished_at(row: Any) -> datetime | None:
    is_success = hasattr(row, "succeeded_at")
    moment: datetime | None = row.succeeded_at if is_success else row.finished_at
    return moment


def _moment(text: str) -> datetime | None:
    try:
        at = parse_datetime(text)
    except ValueError:
        return None
    if at is None:
        return None
    if conf.has_time_zones():
        return at if timezone.is_aware(at) else timezone.make_aware(at)
    return timezone.make_naive(at) if timezone.is_aware(at) else at


def _arguments(row: Any) -> tuple[Any, Any]:
    """Return the arguments of a call; as they are stored, if nothing else can be made of them."""
    try:
        args, kwargs = decode(row.args, row.kwargs, name=row.name)
        return normalize_json(args), normalize_json(kwargs)
    except (ArgumentError, TypeError, ValueError):
        return (row.args if _is_list(row.args) else []), dict(row.kwargs or {})


def _known_alias(stored: str, alias: str) -> str:
    """Return the alias of the backend that a call came through, if there is one of that name."""
    try:
        if stored and task_backends[stored]:
            return stored
    except InvalidTaskBackend:
        pass
    return alias

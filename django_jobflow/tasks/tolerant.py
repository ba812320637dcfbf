"""Backends for tests and for a project's first days: they take every option, and store nothing.

Django's own refuse what they do not know when a module with a task is imported. With these in
the settings of the tests, tasks may have the options of a job and be on any queue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import fields
from typing import Any

from asgiref.sync import sync_to_async
from django.utils import timezone
from django.utils.crypto import get_random_string

from django_jobflow import conf
from django_jobflow.arguments import encode_result
from django_jobflow.exceptions import InvalidJob
from django_jobflow.outcomes import ErrorInfo
from django_jobflow.tasks import compat
from django_jobflow.tasks.backend import spanless
from django_jobflow.tasks.compat import (
    BaseTaskBackend,
    InvalidTask,
    Task,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_enqueued,
    task_finished,
    task_started,
)
from django_jobflow.tasks.context import JobflowTaskContext
from django_jobflow.tasks.declaring import JobflowTask
from django_jobflow.tasks.notes import merged
from django_jobflow.tasks.options import check_options, options_of, read_metadata
from django_jobflow.tasks.results import JobflowTaskResult, error_of, plain_json


class Tolerant(BaseTaskBackend):
    """What the backends have in common that take every option.

    Without ``QUEUES`` in their settings they take any queue.
    """

    task_class = JobflowTask
    supports_metadata = True
    takes_spans = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, {"QUEUES": [], **params})

    def validate_task(self, task: Task[..., Any]) -> None:
        """Refuse what the worker would refuse, too."""
        super().validate_task(spanless(task))
        check_options(task.module_path, options_of(task))

    def save_metadata(self, task_result: Any, metadata: Mapping[str, Any]) -> None:
        """Keep other *metadata* with a result."""
        object.__setattr__(task_result, "raw_metadata", dict(metadata))

    async def asave_metadata(self, task_result: Any, metadata: Mapping[str, Any]) -> None:
        """Do what ``save_metadata`` does."""
        self.save_metadata(task_result, metadata)

    def keep_metadata(self, task_result: Any, metadata: Mapping[str, Any], *, force: bool) -> bool:
        """Keep other *metadata* with a result; there is no row that could be locked."""
        self.save_metadata(task_result, deepcopy(metadata))
        return True

    def _ready(
        self, task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> JobflowTaskResult:
        """Return the result of a call that has just been made."""
        self.validate_task(task)
        try:
            metadata = read_metadata(task.module_path, options_of(task).get("metadata", {}))
        except InvalidJob as error:
            raise InvalidTask(str(error)) from error
        return JobflowTaskResult(
            task=task,
            id=get_random_string(32),
            status=TaskResultStatus.READY,
            enqueued_at=timezone.now(),
            started_at=None,
            last_attempted_at=None,
            finished_at=None,
            args=list(args),
            kwargs=dict(kwargs),
            backend=self.alias,
            errors=[],
            worker_ids=[],
            raw_metadata=metadata,
        )


class DummyBackend(Tolerant, compat.DummyBackend):
    """Django's, but for every option: keeps the results of this thread, and runs nothing."""

    def enqueue(
        self, task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> JobflowTaskResult:
        """Keep a result in ``results``, READY, and return a copy of it."""
        result = self._ready(task, args, kwargs)
        self.results.append(result)
        task_enqueued.send(type(self), task_result=result)
        return _copied(result)

    def keep_metadata(self, task_result: Any, metadata: Mapping[str, Any], *, force: bool) -> bool:
        """Keep other *metadata* with the result that is in ``results``."""
        return super().keep_metadata(self.get_result(task_result.id), metadata, force=force)


class ImmediateBackend(Tolerant, compat.ImmediateBackend):
    """Django's, but for every option: runs each task inside of ``enqueue``, once."""

    def enqueue(
        self, task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> JobflowTaskResult:
        """Run the task, and return its result, SUCCESSFUL or FAILED."""
        result = self._ready(task, args, kwargs)
        task_enqueued.send(type(self), task_result=result)
        self._execute(result)
        return result

    def _execute(self, result: JobflowTaskResult) -> None:
        now = timezone.now()
        _set(result, status=TaskResultStatus.RUNNING, started_at=now, last_attempted_at=now)
        result.worker_ids.append(self.worker_id)
        task_started.send(type(self), task_result=result)
        context = JobflowTaskContext(task_result=result)
        given = [context, *result.args] if result.task.takes_context else result.args
        try:
            value = self._storable(result, result.task.call(*given, **result.kwargs))
            context.flush()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._fail(result, context, error)
        else:
            _set(result, finished_at=timezone.now(), status=TaskResultStatus.SUCCESSFUL)
            _set(result, _return_value=value)
            task_finished.send(type(self), task_result=result)

    def _storable(self, result: JobflowTaskResult, value: Any) -> Any:
        """Return what a task has returned as a worker would store it, or refuse it as one."""
        name, size = result.task.module_path, conf.current().MAX_RESULT_SIZE
        return encode_result(name, plain_json(value), max_size=size)

    def _fail(
        self, result: JobflowTaskResult, context: JobflowTaskContext, error: BaseException
    ) -> None:
        """Note how a task has failed, while *error* is being handled."""
        _set(result, raw_metadata=merged(result.raw_metadata, context.plain_metadata()))
        now = timezone.now()
        kept = error_of(ErrorInfo.of(error), attempt=1, at=now, worker_id=self.worker_id)
        result.errors.append(kept)
        _set(result, finished_at=now, status=TaskResultStatus.FAILED)
        task_finished.send(type(self), task_result=result)


class InlineBackend(ImmediateBackend):
    """Runs each task inside of ``enqueue``, at once, and raises there what the task raises.

    A ``run_after`` is taken and not waited for. The results of this thread can be read.
    """

    supports_defer = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self.results: list[JobflowTaskResult] = []

    def enqueue(
        self, task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> JobflowTaskResult:
        """Run the task, and return its result.

        Raises:
            BaseException: What the task has raised, after ``task_finished``.
        """
        return super().enqueue(task, args, kwargs)

    def _execute(self, result: JobflowTaskResult) -> None:
        self.results.append(result)
        super()._execute(result)

    def _fail(
        self, result: JobflowTaskResult, context: JobflowTaskContext, error: BaseException
    ) -> None:
        super()._fail(result, context, error)
        raise error

    def get_result(self, result_id: Any) -> JobflowTaskResult:
        """Return a result of this thread."""
        for result in self.results:
            if result.id == result_id:
                return result
        raise TaskResultDoesNotExist(result_id)

    async def aget_result(self, result_id: Any) -> JobflowTaskResult:
        """Do what ``get_result`` does, from async code."""
        return await sync_to_async(self.get_result)(result_id)

    def clear(self) -> None:
        """Forget the results."""
        self.results.clear()


def _copied(result: JobflowTaskResult) -> JobflowTaskResult:
    """Return a copy that shares nothing but the task, which cannot be changed."""
    made = object.__new__(type(result))
    for name in (each.name for each in fields(result)):
        value = getattr(result, name)
        object.__setattr__(made, name, value if name == "task" else deepcopy(value))
    return made


def _set(result: JobflowTaskResult, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(result, name, value)

"""The backend: tasks of Django are jobs here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.core.checks import CheckMessage
from django.db import connections

from django_jobflow import conf
from django_jobflow.declare.options import read_option
from django_jobflow.exceptions import DuplicateJob, InvalidJob, checked_delay
from django_jobflow.states import JobState
from django_jobflow.tasks.compat import (
    BaseTaskBackend,
    InvalidTask,
    Task,
    TaskResultDoesNotExist,
    normalize_json,
    task_enqueued,
)
from django_jobflow.tasks.declaring import JobflowTask
from django_jobflow.tasks.jobs import TaskJob, job_of
from django_jobflow.tasks.notes import Notes
from django_jobflow.tasks.options import called, check_options, options_of, read_metadata
from django_jobflow.tasks.resolving import check_path
from django_jobflow.tasks.results import JobflowTaskResult, result_of
from django_jobflow.tasks.stored import copied

if TYPE_CHECKING:
    from django_jobflow.enqueue import Enqueuer
    from django_jobflow.models import JobRecord

LARGEST_ID = 2**63 - 1


class DuplicateTask(InvalidTask, DuplicateJob):
    """An unfinished record holds this queue key already, and ``on_duplicate`` is "raise"."""


class JobflowBackend(BaseTaskBackend):
    """Stores the tasks of Django as jobs, in the caller's transaction.

    ``OPTIONS`` may have ``database`` (an alias; without it JOBFLOW["DATABASE"]) and ``modules``
    (packages, beside those of the installed apps, from which a worker may import tasks).
    """

    task_class = JobflowTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True
    supports_metadata = True
    takes_spans = True

    @property
    def database(self) -> str:
        """Alias of the database that the tasks are in."""
        return str(self.options.get("database") or conf.current().DATABASE)

    @property
    def modules(self) -> tuple[str, ...]:
        """Packages from which a worker may import tasks, beside those of the installed apps."""
        named = self.options.get("modules", ())
        return tuple(named) if isinstance(named, list | tuple) else ()

    def validate_task(self, task: Task[..., Any]) -> None:
        """Refuse a task that cannot be a job.

        Raises:
            InvalidTask: The message says what was expected and what came.
        """
        super().validate_task(spanless(task))
        check_options(task.module_path, options_of(task))
        self._check_queue(task)
        job_of(task)

    def _check_queue(self, task: Task[..., Any]) -> None:
        try:
            read_option(task.module_path, "queue", task.queue_name)
        except InvalidJob as error:
            raise InvalidTask(str(error)) from error

    def enqueue(
        self, task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> JobflowTaskResult:
        """Store a call of *task* in the caller's transaction.

        Raises:
            InvalidTask: The backend does not take the task, or a worker would not find it.
            TypeError, ValueError: The function does not take these arguments, or they cannot be
                stored.

        Database:
            What ``Job.enqueue`` takes: one INSERT.
        """
        store, result = self._prepare(task, args, kwargs)
        found = result(store())
        if not found.duplicate:
            task_enqueued.send(type(self), task_result=found)
        return found

    async def aenqueue(
        self, task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> JobflowTaskResult:
        """Do what ``enqueue`` does, from async code; async receivers are awaited."""
        store, result = self._prepare(task, args, kwargs)
        found = result(await sync_to_async(store)())
        if not found.duplicate:
            await task_enqueued.asend(type(self), task_result=found)
        return found

    def get_result(self, result_id: Any) -> JobflowTaskResult:
        """Return what is known of a call.

        Raises:
            TaskResultDoesNotExist: There is none of this id, or none any more.

        Database:
            One SELECT by key, or two, on the database that is written to.
        """
        from django_jobflow.engines import engine_for

        pk, engine = _key(result_id), engine_for(self.database)
        row = engine.records.filter(pk=pk).first() or engine.succeeded.filter(pk=pk).first()
        if row is None or not _is_task(row):
            raise TaskResultDoesNotExist(result_id)
        return result_of(row, self.alias)

    async def aget_result(self, result_id: Any) -> JobflowTaskResult:
        """Do what ``get_result`` does, from async code."""
        return await sync_to_async(self.get_result)(result_id)

    def save_metadata(self, task_result: Any, metadata: Mapping[str, Any]) -> None:
        """Keep other *metadata* with a task that runs."""
        self.keep_metadata(task_result, metadata, force=True)

    async def asave_metadata(self, task_result: Any, metadata: Mapping[str, Any]) -> None:
        """Do what ``save_metadata`` does, from async code."""
        await sync_to_async(self.save_metadata)(task_result, metadata)

    def keep_metadata(self, task_result: Any, metadata: Mapping[str, Any], *, force: bool) -> bool:
        """Write *metadata* unless a transaction is open here, or if *force*; say whether it was.

        Database:
            One SELECT and one UPDATE by key.
        """
        from django_jobflow.engines import engine_for

        if not force and connections[self.database].in_atomic_block:
            return False
        plain = read_metadata(task_result.task.module_path, metadata)
        rows = engine_for(self.database).records.filter(
            pk=_key(task_result.id), state=JobState.IN_PROGRESS
        )
        for meta in rows.values_list("meta", flat=True):
            rows.update(meta=Notes.read(meta).but(metadata=plain).written())
        return True

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Say what is wrong with the settings of this backend; asks no database."""
        from django_jobflow.tasks.checking import check_backend

        return [*super().check(**kwargs), *check_backend(self)]

    # Storing

    def check_call(
        self, task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        """Refuse what ``enqueue`` would refuse; stores nothing and asks no database."""
        check_path(task)
        self._enqueuer(task).check(*args, **kwargs)

    def _prepare(
        self, task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Callable[[], JobRecord], Callable[[JobRecord], JobflowTaskResult]]:
        """Return what stores a call, and what makes a result of what is stored."""
        self.validate_task(task)
        check_path(task)
        call: tuple[Any, Any] = normalize_json(args), normalize_json(kwargs)
        store = partial(_stored, self._enqueuer(task), *call)
        return store, partial(self._enqueued, task, call)

    def _enqueuer(self, task: Task[..., Any]) -> Enqueuer[...]:
        try:
            return job_of(task).using(**self._call_options(task))
        except InvalidJob as error:
            raise InvalidTask(str(error)) from error

    def _call_options(self, task: Task[..., Any]) -> dict[str, Any]:
        said = called(options_of(task))
        metadata = read_metadata(task.module_path, said.pop("metadata", {}))
        notes = Notes(
            backend=self.alias,
            takes_context=task.takes_context,
            after=task.run_after,
            metadata=metadata,
        )
        after: Any = task.run_after
        when = "delay" if isinstance(after, timedelta) else "run_at"
        return {
            **said,
            "queue": task.queue_name,
            "priority": int(task.priority),
            "meta": notes.written(),
            "database": self.database,
        } | ({} if after is None else {when: after})

    def _enqueued(
        self, task: Task[..., Any], call: tuple[Any, Any], record: JobRecord
    ) -> JobflowTaskResult:
        if record.duplicate:
            return result_of(record, self.alias)
        after: Any = task.run_after
        if isinstance(after, timedelta):
            task = copied(task, run_after=record.available_at)
        return result_of(record, self.alias, task=task, call=call)


def _stored(enqueuer: Enqueuer[...], args: Sequence[Any], kwargs: Mapping[str, Any]) -> JobRecord:
    try:
        return enqueuer.enqueue(*args, **kwargs)
    except DuplicateJob as error:
        raise DuplicateTask(str(error), error.record) from error
    except InvalidJob as error:
        raise InvalidTask(str(error)) from error


def spanless(task: Task[..., Any]) -> Any:
    """Return what Django can validate: a span is not asked whether it has a time zone.

    Raises:
        InvalidTask: It is no moment, nor a span from now on.
    """
    after: Any = task.run_after
    if after is None or isinstance(after, datetime):
        return task
    try:
        if not isinstance(after, timedelta):
            raise InvalidJob(
                f"{task.module_path}: expected run_after to be an aware datetime or a timedelta, "
                f"got {after!r}."
            )
        checked_delay(task.module_path, after, "run_after")
    except InvalidJob as error:
        raise InvalidTask(str(error)) from error
    return SimpleNamespace(
        func=task.func,
        priority=task.priority,
        backend=task.backend,
        queue_name=task.queue_name,
        run_after=None,
        takes_context=task.takes_context,
    )


def _key(result_id: Any) -> int:
    """Return the key of a row; an id is its digits, and nothing else is one.

    Raises:
        TaskResultDoesNotExist: It is no such id.
    """
    if isinstance(result_id, str) and result_id.isascii() and result_id.isdigit():
        pk = int(result_id) if len(result_id) < 20 else 0
        if 0 < pk <= LARGEST_ID and str(pk) == result_id:
            return pk
    raise TaskResultDoesNotExist(result_id)


def _is_task(row: Any) -> bool:
    from django_jobflow.declare import registry

    if Notes.read(row.meta).is_task:
        return True
    job = registry.find(row.name)
    return job is not None and issubclass(job, TaskJob)

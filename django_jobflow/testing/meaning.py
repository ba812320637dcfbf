"""What a test means by what it names: a job by a task, a record by the result of one."""

from __future__ import annotations

from typing import Any

from django_jobflow.declare import registry
from django_jobflow.declare.job import Job
from django_jobflow.exceptions import InvalidJob
from django_jobflow.models import JobRecord, SucceededJob


def job_of(job: Any) -> type[Job]:
    """Return the class of a job: of itself, its function, its name, ``using()`` or a task.

    Raises:
        UnknownJob: Nothing is registered under the name.
        InvalidJob: It is none of these, or a task of another backend.
    """
    if isinstance(job, str):
        return registry.get(job)
    if is_task(job):
        found: Any = registry.seek(job.module_path)
        database_of(job)
    else:
        found = getattr(job, "job", job)  # of a @job function, and of what using() returns
    if not (isinstance(found, type) and issubclass(found, Job)):
        raise InvalidJob(f"Expected a job, a task or the name of one, got {job!r}.")
    return found


def is_task(job: Any) -> bool:
    """Say whether it is a task of Django's; its framework need not be installed."""
    return hasattr(job, "func") and hasattr(job, "module_path")


def is_result(record: Any) -> bool:
    """Say whether it is the result of a task."""
    return is_task(getattr(record, "task", None))


def database_of(task: Any) -> str:
    """Return the alias of the database that the calls of *task* are in.

    Raises:
        InvalidJob: Its backend is not one of ours.
    """
    database = getattr(task.get_backend(), "database", None)
    if not isinstance(database, str):
        raise InvalidJob(
            f"{task.module_path}: expected a task on JobflowBackend, got one on "
            f"{type(task.get_backend()).__qualname__}, which stores no records."
        )
    return database


def place_of(record: Any) -> tuple[str, int]:
    """Return the alias of the database and the key of a record, or of a task's result.

    Raises:
        InvalidJob: It is neither, or the result of another backend.
    """
    if isinstance(record, JobRecord | SucceededJob):
        return str(record._state.db), record.pk
    if is_result(record):
        return database_of(record.task), int(record.id)
    raise InvalidJob(f"Expected a record or the result of a task, got {record!r}.")

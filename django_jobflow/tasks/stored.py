"""Tasks as rows have them: made without asking a backend whether it takes them today.

What is stored may be on a queue that is no longer served, or its function may be gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Protocol

from django_jobflow.declare import registry
from django_jobflow.tasks.compat import Task
from django_jobflow.tasks.declaring import JobflowTask
from django_jobflow.tasks.notes import Notes


class Facts(Protocol):
    """What a reservation and a record both say of a call."""

    name: Any
    queue: Any
    priority: Any
    created_at: Any


def stored_task(row: Facts, notes: Notes, alias: str) -> Task[..., Any]:
    """Return the task that *row* is a call of."""
    job = registry.seek(row.name)
    known: Task[..., Any] | None = getattr(job, "_task", None)
    if known is None:
        known = missing_task(row.name, takes_context=notes.takes_context)
    return copied(
        known,
        queue_name=row.queue,
        priority=row.priority,
        run_after=notes.run_after(row.created_at),
        backend=alias,
        metadata=notes.metadata,
    )


def copied(task: Task[..., Any], **changes: Any) -> Task[..., Any]:
    """Return *task* with other values, without the validation that ``replace`` brings along."""
    made = object.__new__(type(task))
    for each in fields(task):
        object.__setattr__(made, each.name, changes.get(each.name, getattr(task, each.name)))
    return made


def missing_task(path: str, *, takes_context: bool = False) -> Task[..., Any]:
    """Return a stand-in for a task whose function is gone: it has the path, and cannot run."""
    module, _, name = path.rpartition(".")
    function = _missing(path)
    function.__module__, function.__name__, function.__qualname__ = module, name, name
    made = object.__new__(JobflowTask)
    for each in fields(JobflowTask):
        default = each.default_factory() if callable(each.default_factory) else each.default
        object.__setattr__(made, each.name, default)
    return copied(made, func=function, takes_context=takes_context)


def _missing(path: str) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        raise LookupError(f"No task is found under {path!r}: its function is gone or renamed.")

    return function

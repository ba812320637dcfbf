"""Declaring tasks with the options of a job: our class of tasks, and our decorator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, fields, make_dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar, overload

from django.db import DEFAULT_DB_ALIAS, transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from django_jobflow.declare.job import KEYS
from django_jobflow.tasks.compat import (
    DEFAULT_TASK_BACKEND_ALIAS,
    DEFAULT_TASK_PRIORITY,
    DEFAULT_TASK_QUEUE_NAME,
    InvalidTask,
    Task,
    normalize_json,
    task_backends,
)
from django_jobflow.tasks.options import (
    CALLED,
    DECLARED,
    OPTIONS,
    UNSET,
    check_options,
    declaration_of,
    keep_beside,
)
from django_jobflow.tasks.resolving import found_under

P = ParamSpec("P")
R = TypeVar("R")

NO_TASK = "Expected {!r} to point to a Task instance."  # as Django has it


def using(
    self: Any,
    *,
    priority: int | None = None,
    queue_name: str | None = None,
    run_after: Any = None,
    backend: str | None = None,
    **options: Any,
) -> Any:
    """Return this task with other values.

    Args:
        run_after: An aware datetime, or a timedelta from the enqueue on, by the clock of the
            database.
        options: Those of ``Job.using``: they belong to what is enqueued through what is
            returned, and change nothing else. None stands for what the declaration says, but
            ``timeout=None`` for no limit.

    Raises:
        InvalidTask: An option is unknown, belongs to the declaration or has a wrong value.
    """
    known = {n: value for n, value in options.items() if value is not None or n not in OPTIONS}
    check_options(self.module_path, known)
    for name, value in options.items():
        if name not in CALLED or (name in KEYS and callable(value)):
            raise InvalidTask(
                f"{self.module_path}: expected {name} to be said in the declaration, got it in "
                f"using(). What using() takes is {', '.join(CALLED)}."
            )
    core = {
        "priority": priority,
        "queue_name": queue_name,
        "run_after": run_after,
        "backend": backend,
    }
    origin = declaration_of(self)
    changes = {name: value for name, value in core.items() if value is not None}
    for name, value in options.items():
        is_said = value is not None or name == "timeout"
        changes[name] = value if is_said else getattr(origin, name)
    after = changes.get("run_after", self.run_after)
    if isinstance(after, timedelta) and not _takes_spans(changes.get("backend", self.backend)):
        changes["run_after"] = timezone.now() + after
    return replace(self, **changes, declaration=origin)


def enqueue_on_commit(self: Any, /, *args: Any, **kwargs: Any) -> None:
    """Enqueue a call when the transaction of the caller commits; at once where there is none.

    A backend that stores tasks in the caller's database needs nothing of the kind: there
    ``enqueue`` is part of the transaction. This is for code that has to run on others, too.
    The transaction is that of the database the backend stores in, of others the default one.

    Raises:
        InvalidTask: The backend does not take the task.
        TypeError, ValueError: The arguments are not JSON, or the backend is ours and the
            function does not take them.
    """
    backend = self.get_backend()
    backend.validate_task(self)
    call = normalize_json(args), normalize_json(kwargs)
    if check_call := getattr(backend, "check_call", None):
        check_call(self, *call)
    database = getattr(backend, "database", DEFAULT_DB_ALIAS)
    transaction.on_commit(partial(backend.enqueue, self, *call), using=database)


def _takes_spans(alias: str) -> bool:
    return bool(getattr(task_backends[alias], "takes_spans", False))


def reduced(self: Any) -> Any:
    """Have pickle keep the path, and what is not as the task has it that is found there.

    So what only the declaration says, such as a callable, need not be something to pickle.
    """
    found = found_under(self)
    changes = {name: getattr(self, name) for name in _FIELDS}
    if type(found) is type(self):
        changes = {n: value for n, value in changes.items() if value != getattr(found, n)}
    return rebuilt, (type(self), self.module_path, changes)


def rebuilt(cls: type[Any], path: str, changes: Mapping[str, Any]) -> Any:
    """Return what was pickled.

    Raises:
        ValueError: There is no task under its path any more.
    """
    try:
        found = import_string(path)
    except ImportError as error:
        raise ValueError(NO_TASK.format(path)) from error
    if not isinstance(found, Task):
        raise ValueError(NO_TASK.format(path))
    if type(found) is cls:
        changes = {**changes, "declaration": declaration_of(found)}
        return found if len(changes) == 1 else replace(found, **changes)
    core = {each.name: getattr(found, each.name) for each in fields(Task)}
    return cls(**{**core, **changes})


def _field(name: str) -> tuple[str, Any, Any]:
    # Out of the hash, since some have values without one.
    if name == "metadata":
        return name, Any, field(default_factory=dict, hash=False, repr=False)
    if name == "declaration":
        return name, Any, field(default=None, compare=False, repr=False)
    return name, Any, field(default=UNSET, hash=False, repr=False)


if TYPE_CHECKING:

    class JobflowTask(Task[P, R]):
        """A task with the options of a job as fields."""

        metadata: dict[str, Any]
        declaration: Task[P, R] | None

        def using(
            self,
            *,
            priority: int | None = None,
            queue_name: str | None = None,
            run_after: Any = None,
            backend: str | None = None,
            **options: Any,
        ) -> JobflowTask[P, R]: ...

        def enqueue_on_commit(self, *args: P.args, **kwargs: P.kwargs) -> None: ...

else:
    JobflowTask = make_dataclass(
        "JobflowTask",
        [_field(name) for name in (*OPTIONS, "declaration")],
        bases=(Task,),
        namespace={
            "__doc__": "A task with the options of a job; UNSET is what nobody has said.\n\n"
            "``declaration`` is what was decorated, of a task that ``using`` has made.",
            "__module__": __name__,
            "using": using,
            "enqueue_on_commit": enqueue_on_commit,
            "__reduce__": reduced,
        },
        frozen=True,
        kw_only=True,
        slots=True,
    )


_FIELDS = tuple(each.name for each in fields(Task) if each.name != "func") + OPTIONS


@overload
def task(function: Callable[P, R], /) -> JobflowTask[P, R]: ...
@overload
def task(
    *,
    priority: int = ...,
    queue_name: str = ...,
    backend: str = ...,
    takes_context: Literal[False] = ...,
    **options: Any,
) -> Callable[[Callable[P, R]], JobflowTask[P, R]]: ...
@overload
def task(
    *,
    priority: int = ...,
    queue_name: str = ...,
    backend: str = ...,
    takes_context: Literal[True],
    **options: Any,
) -> Callable[[Callable[Concatenate[Any, P], R]], JobflowTask[P, R]]: ...
def task(
    function: Any = None,
    /,
    *,
    priority: int = DEFAULT_TASK_PRIORITY,
    queue_name: str = DEFAULT_TASK_QUEUE_NAME,
    backend: str = DEFAULT_TASK_BACKEND_ALIAS,
    takes_context: bool = False,
    **options: Any,
) -> Any:
    """Declare a function as a task, with the options of a job beside those of Django.

    Works with each backend: one whose tasks have no field for an option does without it.

    Args:
        options: Those of a ``Job`` class but ``queue``, ``priority`` and ``name``, and further
            fields of the backend's own class of tasks.

    Raises:
        InvalidTask: An option has a wrong value, or the backend does not take the task.
        TypeError: Neither a job nor the backend knows an option.
    """
    if "declaration" in options:
        raise TypeError("task() got an unexpected keyword argument 'declaration'")
    if "run_after" in options:
        raise TypeError(
            "run_after cannot be defined statically with the @task decorator. "
            "Use .using(run_after=...) to set it dynamically."
        )
    core = {
        "priority": priority,
        "queue_name": queue_name,
        "backend": backend,
        "takes_context": takes_context,
        "run_after": None,  # Django 6.0 has no default for it
    }

    def declare(decorated: Callable[..., Any]) -> Any:
        kind: Any = task_backends[backend].task_class
        known = {each.name for each in fields(kind)}
        own = {name: value for name, value in options.items() if name in DECLARED}
        check_options(f"{decorated.__module__}.{decorated.__qualname__}", own)
        inside = {n: v for n, v in options.items() if n in known or n not in own}
        keep_beside(decorated, {n: v for n, v in own.items() if n not in known})
        return kind(func=decorated, **core, **inside)

    return declare if function is None else declare(function)

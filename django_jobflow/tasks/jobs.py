"""The jobs behind tasks: each function that is a task is a job, named by its path."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, ClassVar

from django_jobflow.declare import registry
from django_jobflow.declare.job import KEYS, Job, refuse_generator
from django_jobflow.exceptions import InvalidJob
from django_jobflow.outcomes import ErrorInfo
from django_jobflow.tasks import running, telling
from django_jobflow.tasks.compat import InvalidTask, Task
from django_jobflow.tasks.options import UNSET, declaration_of, declared, options_of
from django_jobflow.tasks.resolving import find_task, found_under

LONGEST = timedelta(hours=1)  # for which a task may run that says nothing of a timeout


class TaskJob(Job):
    """What the jobs of tasks have in common."""

    abstract = True

    _fallbacks = {"timeout": LONGEST}
    _task: ClassVar[Task[..., Any]]
    _facts: ClassVar[dict[str, Any]]  # of its declaration, as they were

    @classmethod
    def _is_found(cls) -> bool:
        """Say whether the path leads to the task; that of a lambda leads nowhere."""
        found = found_under(cls._task)
        return found is not None and found.func is cls._task.func

    def on_success(self, result: Any) -> None:
        """Send ``task_finished``."""
        telling.tell_success(self.context, result)

    def on_failure(self, error: ErrorInfo, will_retry: bool) -> None:
        """Send ``task_finished``, unless there is another attempt to come."""
        if will_retry:
            telling.forget(self.context)
        else:
            telling.tell_failure(self.context, error)

    def on_cancel(self, reason: str) -> None:
        """Send ``task_finished``: to Django, what is cancelled has failed."""
        telling.tell_failure(self.context)

    def on_discard(self, reason: str) -> None:
        """Send ``task_finished``."""
        telling.tell_failure(self.context)


def job_of(task: Task[..., Any]) -> type[TaskJob]:
    """Return the job that the calls of *task* are stored as, made when it is met first.

    It is that of the declaration: what ``using`` says is said of some calls, and none of the
    job's business.

    Raises:
        InvalidTask: An option has a wrong value, another job has the name, or the function is
            declared with other options already.
    """
    origin = declaration_of(task)
    job, facts = registry.find(origin.module_path), facts_of(origin)
    if (
        job is not None
        and issubclass(job, TaskJob)
        and job._task.func is origin.func
        and job._facts == facts
    ):
        return job
    _refuse_another(origin, facts)
    try:
        return _declare(origin, facts)
    except InvalidJob as error:
        raise InvalidTask(str(error)) from error


def facts_of(task: Task[..., Any]) -> dict[str, Any]:
    """Return what a declaration says of its job."""
    return {**declared(options_of(task)), "takes_context": task.takes_context}


def _refuse_another(origin: Task[..., Any], facts: Mapping[str, Any]) -> None:
    """Refuse to declare a function otherwise than workers find it declared."""
    found = found_under(origin)
    if found is None or found.func is not origin.func:
        return
    known = facts_of(declaration_of(found))
    if known != facts:
        either = {**known, **facts}
        names = sorted(n for n in either if known.get(n, UNSET) != facts.get(n, UNSET))
        raise InvalidTask(
            f"{origin.module_path}: expected one declaration of this function, got another "
            f"with other {', '.join(names)}. Say options of a call with using(), and decorate "
            "another function where they cannot be said there."
        )


def _declare(task: Task[..., Any], facts: Mapping[str, Any]) -> type[TaskJob]:
    function, said = task.func, declared(facts)
    refuse_generator(task.module_path, function)
    body: dict[str, Any] = {
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "__doc__": function.__doc__,
        "_task": task,
        "_facts": dict(facts),
        "queue": task.queue_name,
        "priority": int(task.priority),
        "name": task.module_path,
        "perform": _body(task),
    }
    body |= {name: _as_method(value) if name in KEYS else value for name, value in said.items()}
    return type(function.__name__, (TaskJob,), body)


def _body(task: Task[..., Any]) -> Callable[..., Any]:
    """Return the method that is the body, with the signature of the task's function."""
    body: Callable[..., Any]
    if inspect.iscoroutinefunction(task.func):

        async def body(self: TaskJob, /, *args: Any, **kwargs: Any) -> Any:
            return await running.arun(self, task, args, kwargs)

    else:

        def body(self: TaskJob, /, *args: Any, **kwargs: Any) -> Any:
            return running.run(self, task, args, kwargs)

    own = inspect.Parameter("_job", inspect.Parameter.POSITIONAL_ONLY)
    parameters = list(inspect.signature(task.func).parameters.values())
    if task.takes_context:
        del parameters[0]
    made: Any = body
    made.__signature__ = inspect.Signature([own, *parameters])
    return body


def _as_method(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Job, /, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return method


def seek(name: str) -> None:
    """Declare the job of this name if it is the path of a task."""
    if (found := find_task(name)) is not None:
        job_of(found)


registry.add_seeker(seek)

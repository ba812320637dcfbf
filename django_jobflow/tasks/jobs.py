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
from django_jobflow.tasks.options import declared, options_of
from django_jobflow.tasks.resolving import find_task

LONGEST = timedelta(hours=1)  # for which a task may run that says nothing of a timeout


class TaskJob(Job):
    """What the jobs of tasks have in common."""

    abstract = True

    _fallbacks = {"timeout": LONGEST}
    _task: ClassVar[Task[..., Any]]
    _said: ClassVar[dict[str, Any]]

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

    What the task says about one call (its queue, its priority) is none of the job's business:
    ``using`` makes tasks that are alike but for these.

    Raises:
        InvalidTask: An option has a wrong value, or another job has the name.
    """
    said = declared(options_of(task))
    job = registry.find(task.module_path)
    if (
        job is not None
        and issubclass(job, TaskJob)
        and job._task.func is task.func
        and job._said == said
    ):
        return job
    try:
        return _declare(task, said)
    except InvalidJob as error:
        raise InvalidTask(str(error)) from error


def _declare(task: Task[..., Any], said: Mapping[str, Any]) -> type[TaskJob]:
    function = task.func
    refuse_generator(task.module_path, function)
    body: dict[str, Any] = {
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "__doc__": function.__doc__,
        "_task": task,
        "_said": dict(said),
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

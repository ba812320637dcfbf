"""The ``@job`` decorator."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from django_jobflow.declare.job import KEYS, Job, refuse_generator, refuse_unusable_key
from django_jobflow.declare.options import NAMES, refuse_unknown
from django_jobflow.exceptions import InvalidJob

if TYPE_CHECKING:
    from django_jobflow.declare.context import JobContext
    from django_jobflow.enqueue import Enqueuer
    from django_jobflow.models import JobRecord

P = ParamSpec("P")
R = TypeVar("R")


class DeclaredFunction(Generic[P, R]):
    """What ``@job`` makes of a function: still callable, and a job.

    Attributes:
        job: The ``Job`` class behind it.
    """

    if TYPE_CHECKING:
        enqueue: Callable[P, JobRecord]
        aenqueue: Callable[P, Coroutine[Any, Any, JobRecord]]
        using: Callable[..., Enqueuer[P]]
        run: Callable[Concatenate[JobContext, P], R]

    def __init__(self, function: Callable[P, R], options: Mapping[str, Any]) -> None:
        self.function = function
        self.job = _class_for(function, options)
        self.__name__ = function.__name__
        self.__qualname__ = function.__qualname__
        self.__module__ = function.__module__
        self.__doc__ = function.__doc__
        self.__wrapped__ = function
        self.enqueue = self.job.enqueue
        self.aenqueue = self.job.aenqueue
        self.enqueue_many = self.job.enqueue_many
        self.prepared = self.job.prepared
        self.using = self.job.using  # type: ignore[assignment]
        self.run = self.job.run
        self.definition = self.job.definition

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<job {self.job._name}>"


@overload
def job(function: Callable[P, R], /) -> DeclaredFunction[P, R]: ...
@overload
def job(**options: Any) -> Callable[[Callable[P, R]], DeclaredFunction[P, R]]: ...
def job(function: Any = None, /, **options: Any) -> Any:
    """Declare a function as a job: ``@job`` or ``@job(queue="reports", ...)``.

    Takes the options of a ``Job`` class, and ``queue_key`` and ``execution_key`` as
    callables of the arguments. The body finds its context through ``current_context()``.

    Raises:
        InvalidJob: An option is unknown or has a wrong value.
    """
    if function is None:
        return lambda decorated: DeclaredFunction(decorated, options)
    return DeclaredFunction(function, options)


def _class_for(function: Callable[..., Any], options: Mapping[str, Any]) -> type[Job]:
    if not inspect.isfunction(function):
        raise InvalidJob(f"@job: expected a function, got {function!r}.")
    place = f"{function.__module__}.{function.__qualname__}"
    refuse_generator(place, function)
    refuse_unknown(place, options, (*(name for name in NAMES if name != "abstract"), *KEYS))
    body: dict[str, Any] = {
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "__doc__": function.__doc__,
        "perform": _as_method(function),
    }
    own = inspect.Parameter("_job", inspect.Parameter.POSITIONAL_ONLY)
    parameters = inspect.signature(function).parameters.values()
    body["perform"].__signature__ = inspect.Signature([own, *parameters])
    for key in KEYS:
        if options.get(key) is not None:
            refuse_unusable_key(place, key, options[key])
            body[key] = _as_method(options[key])
    body |= {option: value for option, value in options.items() if option not in KEYS}
    return type(function.__name__, (Job,), body)


def _as_method(function: Callable[..., Any]) -> Callable[..., Any]:
    method: Callable[..., Any]
    if inspect.iscoroutinefunction(function):

        async def method(self: Job, /, *args: Any, **kwargs: Any) -> Any:
            return await function(*args, **kwargs)

    else:

        def method(self: Job, /, *args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

    return method

"""Declaring jobs: the ``Job`` class and the ``@job`` decorator."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, Protocol, TypeVar

from django.views.decorators.debug import sensitive_variables

from django_jobflow import conf
from django_jobflow.arguments import HIDDEN, Shape
from django_jobflow.declare import registry
from django_jobflow.declare.call_options import read_key
from django_jobflow.declare.context import JobContext
from django_jobflow.declare.hooked import Hooked, find_hooks
from django_jobflow.declare.options import (
    NAMES,
    OWN_ONLY,
    SHARED_NAMES,
    Definition,
    define,
    read_defaults,
    read_option,
    read_options,
    refuse_unknown,
)
from django_jobflow.declare.secrecy import Secrecy, check_names
from django_jobflow.exceptions import InvalidJob

if TYPE_CHECKING:
    from django_jobflow.calls import Prepared
    from django_jobflow.enqueue import Enqueuer
    from django_jobflow.models import JobRecord

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class Performs(Protocol[P, R_co]):
    """What has a body: from its signature follows what an enqueue takes, and ``run`` returns."""

    def perform(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


KEYS = ("queue_key", "execution_key")
"""The methods that give a record its keys."""


class Job(Hooked):
    """A declared job: subclass it in an app's ``jobs.py`` and write ``perform``.

    Options are class attributes; ``Definition`` says what each means. They are checked when
    the class is created. ``abstract = True`` makes a base whose options are inherited and
    that is not registered itself.
    """

    abstract: ClassVar[bool] = True

    _name: ClassVar[str]
    _shape: ClassVar[Shape]
    _own: ClassVar[dict[str, Any]] = {}
    _fallbacks: ClassVar[dict[str, Any]] = {}  # in place of the built-in values
    _is_async: ClassVar[bool] = False
    _defined: ClassVar[tuple[conf.Settings, Definition] | None] = None
    _plain: ClassVar[tuple[conf.Settings, Enqueuer[Any]] | None] = None
    _secret: ClassVar[tuple[Definition, Secrecy] | None] = None

    if TYPE_CHECKING:
        # The body. Left out at run time so that a class without one is noticed.
        def perform(self, *args: Any, **kwargs: Any) -> Any: ...

    def queue_key(self, *args: Any, **kwargs: Any) -> str | None:
        """Return a key that at most one unfinished record may hold; None for no key.

        Called with the arguments of the job when it is enqueued.
        """
        return None

    def execution_key(self, *args: Any, **kwargs: Any) -> str | None:
        """Return a key that at most ``concurrency`` running records hold; None for no key.

        Called with the arguments of the job when it is enqueued. Where a job has no such method
        and sets ``concurrency``, all its records share a key: its name.
        """
        return None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        place = f"{cls.__module__}.{cls.__qualname__}"
        _refuse_near_misses(cls, place)
        for key in KEYS:
            refuse_unusable_key(place, key, inspect.getattr_static(cls, key))
        own = {name: vars(cls)[name] for name in NAMES if name in vars(cls)}
        cls._own = _inherited(cls) | read_options(place, own)
        cls._defined = cls._plain = cls._secret = None
        if cls._own.get("abstract", False):
            return
        cls._name = cls._own.get("name") or read_option(place, "name", place)
        cls._signature, cls._is_async = _inspect_perform(cls, place)
        cls._shape = Shape.of(cls._signature)
        _refuse_async_transaction(cls, place)
        _refuse_lone_burst(cls, place)
        cls._hooks = find_hooks(cls, place)
        check_names(place, cls._signature, cls._own.get("sensitive", False))
        registry.register(cls, cls._name, cls._own.get("aliases", ()))

    @classmethod
    def _is_found(cls) -> bool:
        """Say whether a worker finds this job by its name."""
        return True

    @classmethod
    def definition(cls) -> Definition:
        """Return the job's options, those of ``JOBFLOW["DEFAULTS"]`` and the built-in ones.

        Raises:
            InvalidJob: The class is abstract, or ``JOBFLOW["DEFAULTS"]`` is wrong.
        """
        settings = conf.current()
        if cls._defined is None or cls._defined[0] is not settings:
            if cls._own.get("abstract", cls is Job):
                raise InvalidJob(f"{cls.__qualname__} is abstract, so it has no definition.")
            defaults = cls._fallbacks | read_defaults(settings.DEFAULTS)
            definition = define(cls._name, cls._own, defaults, settings.RETAIN_SUCCEEDED)
            cls._defined = settings, definition
        return cls._defined[1]

    @classmethod
    def _computed_key(
        cls, kind: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> str | None:
        """Return what the job's method *kind*, one of ``KEYS``, says of a call."""
        if not cls._computes(kind):
            return None
        key = getattr(cls(), kind)(*args, **kwargs)
        try:
            return read_key(cls._name, kind, key)
        except InvalidJob:
            if not cls._secrecy().hides_anything:
                raise
        return read_key(cls._name, kind, HIDDEN)  # refused too, and not shown

    @classmethod
    def _computes(cls, kind: str) -> bool:
        """Say whether the job has a method *kind* of its own."""
        return getattr(cls, kind) is not getattr(Job, kind)

    @classmethod
    def run(
        cls: type[Performs[P, R_co]], context: JobContext, /, *args: P.args, **kwargs: P.kwargs
    ) -> R_co:
        """Call the body with *context*; needs no database. A coroutine is returned as such."""
        job: Any = cls
        return job._at(context, args, kwargs).perform(*args, **kwargs)  # type: ignore[no-any-return]

    @classmethod
    def _at(cls, context: JobContext, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Job:
        """Return an instance for one call."""
        job = cls()
        job.context = context
        job._call = args, kwargs
        return job

    @classmethod
    @sensitive_variables()
    def enqueue(cls: type[Performs[P, R_co]], *args: P.args, **kwargs: P.kwargs) -> JobRecord:
        """Store a call of this job in the caller's transaction, and return its record.

        Raises:
            TypeError: ``perform`` does not take these arguments.
            ArgumentError: An argument cannot be stored.
            DuplicateJob: The queue key is held and ``on_duplicate`` is "raise".

        Database:
            One INSERT; on MySQL, which does not return what it wrote, and one SELECT. A held
            queue key costs one SELECT more, ``unique_for`` a SELECT and an INSERT, a batch
            the same.
        """
        job: Any = cls
        return job._enqueuer().enqueue(*args, **kwargs)  # type: ignore[no-any-return]

    @classmethod
    @sensitive_variables()
    async def aenqueue(
        cls: type[Performs[P, R_co]], *args: P.args, **kwargs: P.kwargs
    ) -> JobRecord:
        """Do what ``enqueue`` does, from async code."""
        job: Any = cls
        return await job._enqueuer().aenqueue(*args, **kwargs)  # type: ignore[no-any-return]

    @classmethod
    @sensitive_variables()
    def enqueue_many(cls, calls: Iterable[Mapping[str, Any]]) -> list[int]:
        """Store many calls, each a mapping of keyword arguments; return the records' ids.

        All of them are stored or none. They are read as they are needed, so that a generator
        may be of any length; with queue keys and outside a transaction it is kept, since the
        database may undo two calls that meet over the same keys, and one is then made again.
        For a call whose queue key is held, by a record or by an earlier call, the id is that
        of the holder.

        Raises:
            OperationalError: The database has undone the caller's transaction for another's.

        Database:
            One INSERT for each 1,000 calls, or fewer that have 1 MiB of arguments, in one
            transaction. One SELECT more where queue keys are held, on MariaDB where there are
            any. One where a receiver of ``job_enqueued`` wants the records. Held keys that
            are not to be returned cost some statements each, and so do calls on MySQL.
        """
        return cls._enqueuer().enqueue_many(calls)

    @classmethod
    @sensitive_variables()
    def prepared(cls, *args: Any, **kwargs: Any) -> Prepared:
        """Bind and check a call like ``enqueue``, and store nothing: for ``Batch``."""
        return cls._enqueuer().prepared(*args, **kwargs)

    @classmethod
    def using(cls: type[Performs[P, R_co]], **options: Any) -> Enqueuer[P]:
        """Return this job with other options for the enqueues made through it.

        Args:
            options: ``delay`` (seconds or timedelta) or ``run_at`` (aware datetime), and
                ``queue``, ``priority``, ``max_attempts``, ``timeout``, ``queue_key``,
                ``execution_key``, ``partition``, ``tags``, ``meta``, ``notify``, ``keep_logs``,
                ``expires_at`` or ``expires_in`` (seconds or timedelta from when it is due),
                ``batch``, ``database``.

        Raises:
            InvalidJob: An option is unknown or has a wrong value.
        """
        from django_jobflow.enqueue import Enqueuer

        job: Any = cls
        return Enqueuer(job, options)

    @classmethod
    def _enqueuer(cls) -> Enqueuer[...]:
        """Return the enqueuer without options, made once for the settings in force."""
        settings = conf.current()
        if cls._plain is None or cls._plain[0] is not settings:
            cls._plain = settings, cls.using()
        return cls._plain[1]

    @classmethod
    def _secrecy(cls) -> Secrecy:
        """Return what of a call is not to be seen, made once for the settings in force."""
        definition = cls.definition()
        if cls._secret is None or cls._secret[0] is not definition:
            cls._secret = definition, Secrecy(cls._signature, definition.sensitive)
        return cls._secret[1]


def _inherited(cls: type[Job]) -> dict[str, Any]:
    """Return the options that *cls* takes over from its bases, mixins included."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__[1:]):
        if issubclass(base, Job):
            options = {k: v for k, v in base._own.items() if k in vars(base)}
        else:
            place = f"{base.__module__}.{base.__qualname__}"
            shared = {k: v for k, v in vars(base).items() if k in SHARED_NAMES}
            options = read_options(place, shared)
        found |= {k: v for k, v in options.items() if k not in OWN_ONLY}
    return found


def _refuse_near_misses(cls: type, place: str) -> None:
    """Refuse a plain attribute whose name looks like a mistyped option."""
    for name, value in vars(cls).items():
        if name.startswith("_") or name in {*NAMES, *KEYS, "context", "perform"}:
            continue
        if isinstance(value, type) or hasattr(value, "__get__"):
            continue  # methods and the like; a back-off strategy is none of these
        if conf.nearest(name, NAMES, cutoff=0.75):
            refuse_unknown(place, [name])


def _inspect_perform(cls: type[Job], place: str) -> tuple[inspect.Signature, bool]:
    perform = inspect.getattr_static(cls, "perform", None)
    if not inspect.isfunction(perform):
        raise InvalidJob(
            f"{place}: expected a method perform(self, ...), got {perform!r}. "
            "Write one, or set abstract = True on a base."
        )
    refuse_generator(place, perform)
    signature = inspect.signature(perform)
    parameters = list(signature.parameters.values())
    if not parameters or parameters[0].kind not in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    ):
        raise InvalidJob(f"{place}: expected perform(self, ...), got perform{signature}.")
    return signature.replace(parameters=parameters[1:]), inspect.iscoroutinefunction(perform)


def refuse_generator(place: str, body: Callable[..., Any]) -> None:
    if inspect.isgeneratorfunction(body) or inspect.isasyncgenfunction(body):
        raise InvalidJob(f"{place}: expected {body.__name__} to return, got a generator function.")


def refuse_unusable_key(place: str, option: str, value: Any) -> None:
    """Refuse what cannot compute a key: the key itself, or a coroutine function."""
    function = inspect.unwrap(getattr(value, "__func__", value))
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise InvalidJob(
            f"{place}: expected {option} to be a plain callable of the job's arguments, "
            f"got {value!r}."
        )


def _refuse_lone_burst(cls: type[Job], place: str) -> None:
    if (burst := cls._own.get("burst")) is not None and not cls._own.get("rate"):
        raise InvalidJob(f"{place}: expected a rate with burst, got burst={burst!r} alone.")


def _refuse_async_transaction(cls: type[Job], place: str) -> None:
    if cls._is_async and cls._own.get("transactional"):
        raise InvalidJob(
            f"{place}: expected transactional to be False for an async perform, "
            f"got {cls._own['transactional']!r}. A transaction needs a plain def."
        )

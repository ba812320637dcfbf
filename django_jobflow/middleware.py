"""The chain of JOBFLOW["MIDDLEWARE"] around each execution, and its word at each enqueue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import ImproperlyConfigured, MiddlewareNotUsed
from django.utils.module_loading import import_string

from django_jobflow import conf
from django_jobflow.declare.call_options import READERS
from django_jobflow.declare.job import Job

Performing = Callable[[Job], Any]
"""Executes the call of an instance: the body, or a middleware around it."""

SUBJECT = "JOBFLOW['MIDDLEWARE']"


class Chain:
    """What the settings name, built.

    Args:
        paths: Those of the factories, the outermost first.

    Attributes:
        at_enqueue: The ``process_enqueue`` methods, in order.

    Raises:
        ImproperlyConfigured: One of them cannot be imported or built.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths
        self._factories = [(path, _import(path)) for path in paths]
        self._built: dict[Performing, Performing] = {}
        self.at_enqueue: list[Callable[[type[Job], dict[str, Any]], object]] = []
        for path, factory in self._factories:
            built = _call(path, factory, _nothing if _fits(factory, False) else _anothing)
            if process := getattr(built, "process_enqueue", None):
                self.at_enqueue.append(process)

    def around(self, perform: Performing) -> Performing:
        """Return what executes *perform* inside of the chain; built once for each of them.

        Raises:
            ImproperlyConfigured: A middleware is not made for a body of this kind.
        """
        if not self.paths:
            return perform
        if perform not in self._built:
            self._built[perform] = self._build(perform)
        return self._built[perform]

    def unfit(self, *, is_async: bool) -> list[str]:
        """Return the paths of those that are not made for bodies of this kind."""
        return [path for path, factory in self._factories if not _fits(factory, is_async)]

    def _build(self, perform: Performing) -> Performing:
        is_async = iscoroutinefunction(perform)
        if unfit := self.unfit(is_async=is_async):
            kind = "async" if is_async else "plain"
            raise ImproperlyConfigured(
                f"{SUBJECT}: {unfit[0]!r} is not made for a body that is {kind}."
            )
        for path, factory in reversed(self._factories):
            perform = _call(path, factory, perform) or perform
        return perform


def current() -> Chain:
    """Return the chain of the settings in force; built once.

    Raises:
        ImproperlyConfigured: A path names nothing that can be built.
    """
    global _chain
    paths = conf.current().MIDDLEWARE
    if paths is not _chain.paths:
        _chain = Chain(paths)
    return _chain


def meta_for(job: type[Job], meta: dict[str, Any]) -> dict[str, Any]:
    """Return *meta* with what the chain adds to it at an enqueue of *job*.

    Raises:
        InvalidJob: It is no plain JSON any more.
    """
    meta = dict(meta)
    for process in current().at_enqueue:
        process(job, meta)
    checked: dict[str, Any] = READERS["meta"](job._name, "meta", meta)
    return checked


def _import(path: str) -> Any:
    try:
        factory = import_string(path)
    except Exception as error:
        raise ImproperlyConfigured(f"{SUBJECT}: {path!r} cannot be imported: {error}") from error
    if not callable(factory):
        raise ImproperlyConfigured(
            f"{SUBJECT}: expected {path!r} to be a callable that takes call_next, got {factory!r}."
        )
    return factory


def _call(path: str, factory: Any, call_next: Performing) -> Performing | None:
    """Return what *factory* makes; None if it is not used, as it says."""
    try:
        built = factory(call_next)
    except MiddlewareNotUsed:
        return None
    except Exception as error:
        raise ImproperlyConfigured(f"{SUBJECT}: {path!r} raised {error!r}.") from error
    if not callable(built):
        raise ImproperlyConfigured(
            f"{SUBJECT}: expected {path!r} to return a callable, got {built!r}."
        )
    if iscoroutinefunction(call_next):
        with suppress(AttributeError, TypeError):  # it takes no attribute
            markcoroutinefunction(built)  # for the one around it, if it is an instance
    made: Performing = built
    return made


def _fits(factory: Any, is_async: bool) -> bool:
    """Say whether *factory* is made for bodies of this kind; it tells as one of Django's does."""
    if is_async:
        return bool(getattr(factory, "async_capable", False))
    return bool(getattr(factory, "sync_capable", True))


def _nothing(job: Job) -> None:
    """Stand for a plain body."""


async def _anothing(job: Job) -> None:
    """Stand for an async one."""


_chain = Chain(())

"""Hooks of a job: methods that are called around its runs and after its ends."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from django_jobflow.declare.context import DETACHED, JobContext
from django_jobflow.exceptions import InvalidJob
from django_jobflow.outcomes import ErrorInfo, Outcome

Call = tuple[Sequence[Any], Mapping[str, Any]]
"""The arguments of a call, by position and by name."""


class Hooked:
    """The hooks of a job, each of which does nothing unless it is overridden.

    One that raises is logged as ``hook_failed`` and costs nothing else. Each may be
    ``async def``.
    """

    context: JobContext = DETACHED

    _hooks: ClassVar[frozenset[str]] = frozenset()
    _signature: ClassVar[inspect.Signature]
    _savepoint: str | None = None
    _call: Call | Callable[[], Call] = ((), {})
    _meta_after: dict[str, Any] | None = None  # replaces that of the record if the body raises

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the call by the names of the parameters, defaults included.

        After an end they are read when they are asked for, with a statement for each model
        instance; one that is gone is an ``ArgumentError``.
        """
        args, kwargs = self._bound
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    @property
    def _bound(self) -> Call:
        return self._call() if callable(self._call) else self._call

    def before_run(self) -> Any:
        """Called in the worker's slot right before ``perform``, on the same instance.

        Inside the transaction of a ``transactional`` job, in a savepoint of its own.
        """

    def after_run(self, outcome: Outcome) -> Any:
        """Called in the worker's slot once the body has ended, on the same instance.

        After the commit or the rollback of a ``transactional`` job, and before the end of
        any other is written. Not called where no body has begun, and after one that was given
        up.

        Args:
            outcome: One of ``Succeeded``, ``Failed``, ``Discarded``, ``Snoozed``,
                ``Cancelled``, ``Released`` of ``django_jobflow.outcomes``.
        """

    def on_success(self, result: Any) -> Any:
        """Called after the commit that says that the record has succeeded.

        Args:
            result: What is kept of what the body returned: plain JSON.
        """

    def on_failure(self, error: ErrorInfo, will_retry: bool) -> Any:
        """Called after the commit that says that an attempt has failed.

        Args:
            error: Its ``exception`` (a dotted path), ``message`` and ``traceback``.
            will_retry: Whether there is another attempt to come; False means FAILED.
        """

    def on_cancel(self, reason: str) -> Any:
        """Called after the commit that says that the record is CANCELLED.

        Args:
            reason: What ``Cancel`` was raised with. Where somebody else has cancelled it, it is
                empty, or says that it was running.
        """

    def on_discard(self, reason: str) -> Any:
        """Called after the commit that says that the record is FAILED, whatever was left.

        Args:
            reason: What ``Discard`` was raised with, or that ``expires_at`` has passed.
        """


HOOKS = ("before_run", "after_run", "on_success", "on_failure", "on_cancel", "on_discard")
AROUND = frozenset({"before_run", "after_run"})
"""Those that are called in the slot, on the instance that performs."""


def find_hooks(cls: type[Hooked], place: str) -> frozenset[str]:
    """Return the names of the hooks that *cls* has overridden.

    Raises:
        InvalidJob: One of them is no method that takes what it is called with.
    """
    found = frozenset(
        name for name in HOOKS if getattr(cls, name) is not inspect.getattr_static(Hooked, name)
    )
    for name in sorted(found):
        _refuse_wrong(place, name, inspect.getattr_static(cls, name))
    return found


def _refuse_wrong(place: str, name: str, value: Any) -> None:
    own = inspect.signature(getattr(Hooked, name))
    expected = f"{name}({', '.join(own.parameters)})"
    if not inspect.isfunction(value):
        raise InvalidJob(f"{place}: expected a method {expected}, got {value!r}.")
    signature = inspect.signature(value)
    try:
        signature.bind(*own.parameters)
    except TypeError:
        raise InvalidJob(f"{place}: expected {expected}, got {name}{signature}.") from None

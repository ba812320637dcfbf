"""How an attempt ended: small values between running a job and recording its end."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django_jobflow.tracebacks import place_of

MESSAGE_LIMIT = 10_000  # characters of an error's message that are kept
TRACEBACK_LIMIT = 50_000  # characters of a traceback that are kept, its end first
CHAIN_LIMIT = 20  # exceptions that led to one another and are in one traceback, the last first
CLASS_LIMIT = 300  # characters of the dotted path of an exception's class


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """What is kept of an exception: no objects, no local variables.

    Attributes:
        exception: Dotted path of the exception's class.
        message: Its text.
        traceback: The formatted traceback; empty when there is none.
        place: Module and function of the project's code that it comes from; empty when unknown.
    """

    exception: str
    message: str
    traceback: str = ""
    place: str = field(default="", compare=False)

    @classmethod
    def of(cls, error: BaseException) -> ErrorInfo:
        """Describe *error*; one whose text or traceback cannot be made is described too."""
        kind = type(error)
        return cls(
            exception=storable(f"{kind.__module__}.{kind.__qualname__}"[:CLASS_LIMIT]),
            message=storable(_text(error)[:MESSAGE_LIMIT]),
            traceback=storable(_trace(error)[-TRACEBACK_LIMIT:]),
            place=storable(place_of(error)),
        )


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The body returned; ``result`` is plain JSON already."""

    result: Any = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The body raised: RETRY while attempts remain, else FAILED.

    Attributes:
        delay: Until the next attempt. None asks the job's back-off.
        meta: Replaces the record's ``meta`` unless None.
    """

    error: ErrorInfo
    delay: timedelta | None = None
    meta: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Discarded:
    """FAILED at once; ``meta`` is as for ``Failed``."""

    error: ErrorInfo
    meta: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Snoozed:
    """To run again after ``delay``; the attempt is given back."""

    delay: timedelta
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """CANCELLED, by the job itself or by somebody's request; ``meta`` is as for ``Failed``."""

    error: ErrorInfo
    meta: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """Not finished, through no fault of the job: the attempt is given back.

    Attributes:
        delay: After which it is AVAILABLE again. None means at once.
    """

    reason: str = ""
    delay: timedelta | None = None


Outcome = Succeeded | Failed | Discarded | Snoozed | Cancelled | Released


def storable(text: str) -> str:
    """Return *text* with what no database can hold (NUL, lone surrogates) replaced."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return f"<{type(error).__qualname__} without a printable message>"


def _trace(error: BaseException) -> str:
    try:
        with _shortened(error):
            return "".join(traceback.format_exception(error))
    except Exception:
        return ""


@contextmanager
def _shortened(error: BaseException) -> Iterator[None]:
    """Cut off what led to *error* behind the last few, while it is formatted.

    All of a chain is formatted or none, and a loop that raises from its last error makes one
    of any length.
    """
    last = error
    for _ in range(CHAIN_LIMIT - 1):
        before = last.__context__ if last.__cause__ is None else last.__cause__
        if before is None or (last.__cause__ is None and last.__suppress_context__):
            break
        last = before
    links = last.__cause__, last.__context__, last.__suppress_context__
    last.__cause__ = last.__context__ = None
    try:
        yield
    finally:
        last.__cause__, last.__context__, last.__suppress_context__ = links

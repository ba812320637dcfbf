"""How an attempt ended: small values between running a job and recording its end."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

MESSAGE_LIMIT = 10_000  # characters of an error's message that are kept
TRACEBACK_LIMIT = 50_000  # characters of a traceback that are kept, its end first


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """What is kept of an exception: no objects, no local variables.

    Attributes:
        exception: Dotted path of the exception's class.
        message: Its text.
        traceback: The formatted traceback; empty when there is none.
    """

    exception: str
    message: str
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException) -> ErrorInfo:
        """Describe *error*; one whose text or traceback cannot be made is described too."""
        kind = type(error)
        return cls(
            exception=f"{kind.__module__}.{kind.__qualname__}",
            message=storable(_text(error))[:MESSAGE_LIMIT],
            traceback=storable(_trace(error))[-TRACEBACK_LIMIT:],
        )


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The body returned; ``result`` is plain JSON already."""

    result: Any = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The body raised: RETRY while attempts remain, else FAILED."""

    error: ErrorInfo
    delay: timedelta | None = None  # None asks the job's back-off


@dataclass(frozen=True, slots=True)
class Discarded:
    """FAILED at once."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class Snoozed:
    """To run again after ``delay``; the attempt is given back."""

    delay: timedelta
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """CANCELLED, by the job itself or by somebody's request."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class Released:
    """Not finished, through no fault of the job: AVAILABLE again, the attempt given back."""

    reason: str = ""


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
        return "".join(traceback.format_exception(error))
    except Exception:
        return ""

"""Every error that django_jobflow raises, and the ends a job can ask for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django_jobflow.sentences import Sentence, translated
from django_jobflow.sentences import noop as _

LONGEST_DELAY = timedelta(days=36_525)  # a hundred years: a date so far away is still a date


class JobflowError(Exception):
    """The base of every error that django_jobflow raises.

    Its text is in English, for logs and programs.
    """

    def translated(self) -> str:
        """Return it in the language that is active, for a page; some are told to code only."""
        return str(translated(self.args[0])) if self.args else str(self)


class InvalidJob(JobflowError):
    """A declared job, or an option of an enqueue, is not what it has to be.

    Nothing was registered or stored. The message names the job, the option, what was
    expected and what came.
    """


class UnknownJob(JobflowError, LookupError):
    """No job is registered under this name."""


class ArgumentError(JobflowError, TypeError):
    """An argument cannot be stored, or what was stored cannot be read back."""


class InvalidResult(JobflowError, TypeError):
    """What a job returned is not JSON, so the attempt counts as failed."""


class DuplicateJob(JobflowError):
    """An unfinished record holds this queue key already.

    Attributes:
        record: The record that holds the key.
    """

    def __init__(self, message: str, record: Any = None) -> None:
        super().__init__(message)
        self.record = record


class ReservationLost(JobflowError):
    """The record is no longer held by this attempt; nothing was written.

    This follows from a reservation or a lease that lapsed before it was extended;
    lengthen JOBFLOW["LEASE"] if it happens often.
    """


class NotRetryable(JobflowError):
    """The record cannot run again: only FAILED and CANCELLED ones can."""


class NotEditable(JobflowError):
    """The record cannot be changed: it does not wait any more, or another holds its new key."""


class NotCancellable(JobflowError):
    """The record cannot be cancelled: it has ended already."""


class NoResult(JobflowError):
    """The record has no result to give, or cannot be waited for.

    Attributes:
        record: The record.
    """

    def __init__(self, message: str, record: Any = None) -> None:
        super().__init__(message)
        self.record = record


class JobFailed(NoResult):
    """The record is FAILED; the message has its last error."""


class JobCancelled(NoResult):
    """The record is CANCELLED."""


class JobTimeout(JobflowError, TimeoutError):
    """The attempt ran longer than the job's ``timeout``."""


class SoftTimeout(JobTimeout):
    """Raised once in a body that has run for its ``soft_timeout``, so that it can finish.

    A body that lets it go on has failed with it.
    """

    def __init__(self, message: str = "The job has run for its soft_timeout.") -> None:
        super().__init__(message)


class WorkerLost(JobflowError):
    """The worker that executed the attempt died or lost its lease."""


class BatchClosed(JobflowError):
    """Nothing can be added to the batch any more: nothing was stored."""


class JobEnd(JobflowError):
    """The base of what a job raises to choose its own end."""


class Retry(JobEnd):
    """Raised by a job: end this attempt as failed and run again.

    Args:
        reason: Text kept with the attempt.
        delay: Seconds or timedelta until the next attempt. None asks the back-off.

    The attempt counts: with none left, the job is FAILED.
    """

    def __init__(self, reason: str = "", *, delay: float | timedelta | None = None) -> None:
        super().__init__(reason)
        self.delay = checked_delay("Retry", delay) if delay is not None else None


class Snooze(JobEnd):
    """Raised by a job: run again after *delay*, and give the attempt back.

    Args:
        delay: Seconds or timedelta.
    """

    def __init__(self, delay: float | timedelta, reason: str = "") -> None:
        super().__init__(reason)
        self.delay = checked_delay("Snooze", delay)


class Discard(JobEnd):
    """Raised by a job: FAILED at once, whatever attempts are left."""


class Cancel(JobEnd):
    """Raised by a job: CANCELLED, since it is not needed any more."""


class JobInterrupt(BaseException):
    """Raised inside a running body to stop it; not an Exception, so that it gets through.

    A body may catch it to clean up, and should let it go on.
    """


class TimeoutInterrupt(JobInterrupt):
    """The time limit has passed; the attempt is recorded as ``JobTimeout``."""


class CancelInterrupt(JobInterrupt):
    """Somebody cancelled the running record."""


def unexpected(subject: str, option: str, expected: str, value: Any) -> InvalidJob:
    """Return the error that *value* is not what *option* of *subject* takes."""
    text = _("%(subject)s: expected %(option)s to be %(expected)s, got %(value)s.")
    told = {"subject": subject, "option": option, "expected": expected, "value": repr(value)}
    return InvalidJob(Sentence(text, **told))


def checked_delay(subject: str, delay: float | timedelta, field: str = "delay") -> timedelta:
    """Return *delay* as a timedelta, or say what *field* of *subject* should have been."""
    asked = delay
    if isinstance(delay, int | float) and not isinstance(delay, bool):
        try:
            asked = timedelta(seconds=delay)
        except (OverflowError, ValueError):  # too long, or NaN
            asked = timedelta.max
    if isinstance(asked, timedelta) and timedelta(0) <= asked <= LONGEST_DELAY:
        return asked
    raise InvalidJob(
        f"{subject}: expected {field} to be seconds or a timedelta, from 0 to 100 years, "
        f"got {delay!r}."
    )

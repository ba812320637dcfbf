"""The options of a job: what each may be, and the frozen value they become."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from django_jobflow.backoff import Backoff, Exponential
from django_jobflow.conf import nearest
from django_jobflow.exceptions import InvalidJob, JobflowError, checked_delay, unexpected
from django_jobflow.logs import LEVELS
from django_jobflow.notices import PAYLOAD_LENGTH
from django_jobflow.outcomes import storable
from django_jobflow.quotas import MOST, MOST_PLACES, RATE, Quota, read_rate
from django_jobflow.sentences import Sentence
from django_jobflow.sentences import noop as _

NAME_LENGTH = 200  # characters of a job's name
QUEUE_LENGTH = 100  # characters of a queue's name
LONGEST_DURATION = timedelta(days=365)

_SLUG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*")
_MISSING: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a job is, once its options and the defaults are put together.

    Attributes:
        name: Stable name, stored on the row.
        queue: Named lane that its records wait in.
        step: Slug of the one step that a job has as a flow.
        steps: The slugs of all steps; for a job, that one.
        max_attempts: Executions in all. 1 means no retry.
        base_delay: First retry delay.
        backoff: Gives the delay after failed attempt n, from 1.
        timeout: Time limit of one attempt. None means no limit.
        soft_timeout: After what time ``SoftTimeout`` is raised in the body, which may catch it
            and finish. None means never.
        priority: -100 to 100, larger runs sooner.
        transactional: Whether body and end share one transaction; "pipelined" allows several
            such transactions in one round trip, "grouped" several such jobs in one commit.
        on_duplicate: What an enqueue does when the queue key is held: "return" the holder,
            "raise", or "replace" the arguments and time of a waiting holder.
        unique_for: How long the queue key is held from the enqueue on, even when the record has
            ended. None means until it has ended.
        debounce: How long after the latest enqueue of a queue key its record is due; each one
            replaces the arguments of a waiting holder. None means at once.
        debounce_max: The longest that enqueues may put it off, from the first of them. None
            means for ever.
        retain_succeeded: How long a success is kept. None means for ever, 0 not at all.
        notify: What is said on PostgreSQL channels when a record succeeds, fails or is to be
            retried. None says nothing.
        keep_logs: Whether what the body logs is kept with the attempt; a level keeps what is of
            that level or above.
        sensitive: Names of the parameters whose values are shown as dots, beside those whose
            name says it; "return" is the result. True means all, False none.
        concurrency: How many records may run at a time over all workers, of each execution key,
            or of the job as a whole where it has no method ``execution_key``. None means one of
            each key, and no limit without one.
        rate: How many records may start in a time over all workers: a number and a period. None
            means any number.
        burst: How many may start at once after a time without any. None means ``rate``.
        aliases: Former names, still executed.
        kind: "job", beside flows.
    """

    name: str
    queue: str
    step: str
    steps: tuple[str, ...]
    max_attempts: int
    base_delay: timedelta
    backoff: Backoff
    timeout: timedelta | None
    soft_timeout: timedelta | None
    priority: int
    transactional: bool | Literal["pipelined", "grouped"]
    on_duplicate: Literal["return", "raise", "replace"]
    retain_succeeded: timedelta | None
    notify: str | None = None
    unique_for: timedelta | None = None
    debounce: timedelta | None = None
    debounce_max: timedelta | None = None
    keep_logs: bool | str = False
    sensitive: bool | frozenset[str] = frozenset()
    concurrency: int | None = None
    rate: tuple[int, timedelta] | None = None
    burst: int | None = None
    aliases: tuple[str, ...] = ()
    kind: Literal["job"] = "job"

    @property
    def quota(self) -> Quota:
        """What may start of all its records, whatever their keys."""
        number, period = self.rate or (None, None)
        return Quota(rate=number, period=period, burst=self.burst if self.rate else None)


class _Expected(Exception):
    """What a value should have been."""


def _whole(lowest: int, highest: int, *, none: bool = False) -> Callable[[Any], int | None]:
    expected = f"a whole number from {lowest} to {highest}" + (", or None" if none else "")

    def read(value: Any) -> int | None:
        if value is None and none:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise _Expected(expected)
        if not lowest <= value <= highest:
            raise _Expected(expected)
        return value

    return read


def _duration(*, zero: bool, none: bool) -> Callable[[Any], timedelta | None]:
    bound = "from 0" if zero else "above 0"
    expected = f"seconds or a timedelta, {bound} to 365 days" + (", or None" if none else "")

    def read(value: Any) -> timedelta | None:
        if value is None and none:
            return None
        try:
            duration = checked_delay("", value)
        except JobflowError:
            raise _Expected(expected) from None
        if duration > LONGEST_DURATION or not (zero or duration):
            raise _Expected(expected)
        return duration

    return read


def _one_of(*allowed: Any) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        for choice in allowed:
            if type(value) is type(choice) and value == choice:
                return choice
        raise _Expected(" or ".join(repr(choice) for choice in allowed))

    return read


def slug(value: Any) -> str:
    if isinstance(value, str) and len(value) <= QUEUE_LENGTH and _SLUG.fullmatch(value):
        return value
    expected = _(
        "1 to %(most)s letters, digits, '_', '-', '.' or ':' that start with a letter, a digit "
        "or '_'"
    )
    raise _Expected(Sentence(expected, most=QUEUE_LENGTH))


def _name(value: Any) -> str:
    if isinstance(value, str) and 0 < len(value) <= NAME_LENGTH and value.isprintable():
        return value
    raise _Expected(Sentence(_("1 to %(most)s printable characters"), most=NAME_LENGTH))


def _aliases(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise _Expected("a list of former names")
    return tuple(_name(alias) for alias in value)


def _notify(value: Any) -> str | None:
    is_text = isinstance(value, str) and 0 < len(value) <= PAYLOAD_LENGTH
    if value is None or (is_text and storable(value) == value):
        return value  # type: ignore[no-any-return]
    raise _Expected(f"text of 1 to {PAYLOAD_LENGTH} characters, or None")


def _sensitive(value: Any) -> bool | frozenset[str]:
    if isinstance(value, bool):
        return value
    if isinstance(value, Iterable) and not isinstance(value, str | Mapping):
        names = list(value)
        if all(isinstance(name, str) and name.isidentifier() for name in names):
            return frozenset(names)
    raise _Expected("a set of names of parameters, True for all or False for none")


def _backoff(value: Any) -> Backoff | None:
    if value is None or (not isinstance(value, type) and _takes_one(value)):
        return value
    raise _Expected(
        "Exponential(...), Linear(...), Levels([...]), Immediate() or a callable of the attempt"
    )


def _rate(value: Any) -> tuple[int, timedelta] | None:
    found = None if value is None else read_rate(value)
    if value is not None and found is None:
        raise _Expected(f"{RATE}, or None")
    return found


def _takes_one(value: Any) -> bool:
    """Say whether *value* can be called with one argument; a method has ``self`` too many."""
    try:
        inspect.signature(value).bind(1)
    except TypeError:  # neither is what cannot be called at all
        return False
    except ValueError:  # written in C, without a signature
        return True
    return True


_READERS: dict[str, Callable[[Any], Any]] = {
    "queue": slug,
    "step": slug,
    "max_attempts": _whole(1, 10_000),
    "base_delay": _duration(zero=True, none=False),
    "backoff": _backoff,
    "timeout": _duration(zero=False, none=True),
    "soft_timeout": _duration(zero=False, none=True),
    "priority": _whole(-100, 100),
    "transactional": _one_of(False, True, "pipelined", "grouped"),
    "on_duplicate": _one_of("return", "raise", "replace"),
    "unique_for": _duration(zero=False, none=True),
    "debounce": _duration(zero=False, none=True),
    "debounce_max": _duration(zero=False, none=True),
    "retain_succeeded": _duration(zero=True, none=True),
    "notify": _notify,
    "keep_logs": _one_of(False, True, *LEVELS),
    "sensitive": _sensitive,
    "concurrency": _whole(1, MOST_PLACES, none=True),
    "rate": _rate,
    "burst": _whole(1, MOST, none=True),
    "name": _name,
    "aliases": _aliases,
    "abstract": _one_of(False, True),
}

OWN_ONLY = frozenset({"name", "aliases", "abstract", "step"})
"""Options that belong to one class: neither inherited nor found in JOBFLOW["DEFAULTS"]."""

NAMES = tuple(_READERS)
SHARED_NAMES = tuple(name for name in NAMES if name not in OWN_ONLY)

_BUILT_IN: dict[str, Any] = {
    "queue": "default",
    "max_attempts": 1,
    "base_delay": timedelta(seconds=1),
    "backoff": None,
    "timeout": timedelta(seconds=30),
    "soft_timeout": None,
    "priority": 0,
    "transactional": False,
    "on_duplicate": "return",
    "notify": None,
    "unique_for": None,
    "debounce": None,
    "debounce_max": None,
    "keep_logs": False,
    "sensitive": frozenset(),
    "concurrency": None,
    "rate": None,
    "burst": None,
}


def read_option(subject: str, option: str, value: Any) -> Any:
    """Return *value* in the form in which *option* is kept.

    Raises:
        InvalidJob: It is not what the option takes; the message starts with *subject*.
    """
    try:
        return _READERS[option](value)
    except _Expected as expected:
        raise unexpected(subject, option, expected.args[0], value) from None


def refuse_unknown(subject: str, given: Iterable[str], known: Iterable[str] = NAMES) -> None:
    """Raise InvalidJob for the first of *given* that is not an option."""
    known = tuple(known)
    for option in given:
        if option not in known:
            raise InvalidJob(
                f"{subject}: {option!r} is not an option.{nearest(option, known)} "
                f"The options are {', '.join(known)}."
            )


def read_options(subject: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return *options* checked, each in the form in which it is kept."""
    return {option: read_option(subject, option, value) for option, value in options.items()}


def read_defaults(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``JOBFLOW["DEFAULTS"]`` checked.

    Raises:
        InvalidJob: An option is unknown or has a wrong value.
    """
    subject = "JOBFLOW['DEFAULTS']"
    refuse_unknown(subject, raw, SHARED_NAMES)
    return read_options(subject, raw)


def define(
    name: str,
    own: Mapping[str, Any],
    defaults: Mapping[str, Any],
    retain_succeeded: timedelta | None,
) -> Definition:
    """Put a job's *own* options, the project's *defaults* and the built-in ones together.

    Args:
        retain_succeeded: What JOBFLOW["RETAIN_SUCCEEDED"] says.
    """
    values = _BUILT_IN | {"retain_succeeded": retain_succeeded} | dict(defaults) | dict(own)
    if "base_delay" in own and "backoff" not in own:
        values["backoff"] = None  # the job's own base_delay beats a shared strategy
    values.pop("abstract", None)
    values.setdefault("step", values["queue"])
    values["backoff"] = values["backoff"] or Exponential(values["base_delay"])
    return Definition(**values | {"name": name, "steps": (values["step"],)})

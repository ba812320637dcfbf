"""The settings of the project's ``JOBFLOW`` dict, as one frozen value.

Nothing else in the package reads Django's settings for its own options. Precedence: argument
of the call, then the job's class, then ``JOBFLOW``, then the default written here.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from functools import cache
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from django_jobflow.exceptions import JobflowError, checked_delay
from django_jobflow.outcomes import storable
from django_jobflow.quotas import RATE, Quota, is_count, read_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """What ``JOBFLOW["QUEUES"]`` says about one queue.

    Attributes:
        concurrency: Jobs of this queue that one worker process executes at a time. None
            means as many as it has slots.
        quota: What may run of this queue over all hosts.
    """

    concurrency: int | None = None
    quota: Quota = field(default_factory=Quota)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``JOBFLOW``, checked and with its defaults. Durations are given as timedelta or seconds.

    Attributes:
        DATABASE: Alias of the database that holds the jobs.
        QUEUES: Queue name to its settings. When it names any, a job on another queue is
            warned about. Empty means that any name will do.
        DEFAULTS: Options for every job that does not set them itself.
        MIDDLEWARE: Dotted paths of what is called around each execution and told of each
            enqueue, the outermost first.
        EXECUTOR: Dotted path of a function that makes a ``concurrent.futures.Executor``, which
            runs the bodies of all queues; or queue to such a path, for the bodies of these
            queues. Empty means that workers run all bodies themselves.
        LEASE: A running job whose worker has not renewed it for so long is rescued.
        HEARTBEAT: Pause between two renewals. None means LEASE / 4.
        RESERVATION_TIMEOUT: A reserved job that was not started for so long is available
            again.
        POLL_INTERVAL: Longest pause between two looks at the table when nothing wakes the
            worker.
        WAKE_UP: How a worker that sleeps learns of new work. "auto" takes the quickest way that
            the database has; "poll" only ever looks at the table, so that neither a worker nor
            an enqueue needs anything but plain transactions.
        SWEEP_INTERVAL: Pause between two searches for rows whose lease has lapsed.
        SHUTDOWN_TIMEOUT: What running jobs get to end after SIGTERM, before they are given
            back.
        TIMEOUT_GRACE: What a body that does not react to its time limit gets before it is
            given up.
        RETAIN_SUCCEEDED: How long succeeded jobs are kept. None keeps them for ever, 0 keeps
            none.
        RETAIN_FAILED: How long failed and cancelled jobs are kept. None keeps them for ever.
        RETAIN_AUDIT: How long it is kept what operators have done. None keeps it for ever.
        RETAIN_FAILURES: How long a group of failures is kept after it was last seen. None keeps
            them for ever.
        RELEASE: What the project's code is called that this process runs. Empty means what
            the environment variable ``JOBFLOW_RELEASE`` says.
        RETAIN_HISTORY: How long the numbers behind the charts are kept: days for so long, and
            minutes and hours for less. None keeps the days for ever, 0 counts nothing.
        MAX_ARGUMENTS_SIZE: Bytes of JSON that the arguments of one job may take.
        MAX_RESULT_SIZE: Bytes of JSON that one result may take.
        INLINE: Whether ``enqueue`` executes what is due at once, in its own thread and
            transaction, for tests and for development without a worker. "raise" raises what
            a body has raised, too.
    """

    DATABASE: str = "default"
    QUEUES: Mapping[str, QueueSettings] = field(default_factory=dict)
    DEFAULTS: Mapping[str, Any] = field(default_factory=dict)
    MIDDLEWARE: Sequence[str] = ()
    EXECUTOR: str | Mapping[str, str] = field(default_factory=dict)
    LEASE: timedelta = timedelta(seconds=60)
    HEARTBEAT: timedelta | None = None
    RESERVATION_TIMEOUT: timedelta = timedelta(seconds=60)
    POLL_INTERVAL: timedelta = timedelta(seconds=1)
    WAKE_UP: str = "auto"
    SWEEP_INTERVAL: timedelta = timedelta(seconds=4)
    SHUTDOWN_TIMEOUT: timedelta = timedelta(seconds=25)
    TIMEOUT_GRACE: timedelta = timedelta(seconds=5)
    RETAIN_SUCCEEDED: timedelta | None = timedelta(days=7)
    RETAIN_FAILED: timedelta | None = None
    RETAIN_AUDIT: timedelta | None = timedelta(days=365)
    RETAIN_FAILURES: timedelta | None = timedelta(days=30)
    RELEASE: str = ""
    RETAIN_HISTORY: timedelta | None = timedelta(days=730)
    MAX_ARGUMENTS_SIZE: int = 1024 * 1024
    MAX_RESULT_SIZE: int = 1024 * 1024
    INLINE: bool | str = False

    @property
    def heartbeat(self) -> timedelta:
        """The pause between two renewals, with its default applied."""
        return self.LEASE / 4 if self.HEARTBEAT is None else self.HEARTBEAT

    def executor_of(self, queue: str) -> str | None:
        """Return the path of what makes the executor of a queue; None if workers run it."""
        if isinstance(self.EXECUTOR, str):
            return self.EXECUTOR
        return self.EXECUTOR.get(queue)

    @property
    def executors(self) -> frozenset[str]:
        """The paths that ``EXECUTOR`` names."""
        if isinstance(self.EXECUTOR, str):
            return frozenset({self.EXECUTOR})
        return frozenset(self.EXECUTOR.values())

    @property
    def release(self) -> str:
        """The release of the project that this process runs; empty when nobody has said."""
        return self.RELEASE or storable(os.environ.get("JOBFLOW_RELEASE", ""))[:RELEASE_LIMIT]


RELEASE_LIMIT = 100  # characters
QUEUE_SETTINGS = frozenset({"concurrency", "limit", "rate", "burst"})


class _Mistake(Exception):
    """What a value should have been."""


def _duration(*, zero: bool, none: bool = False) -> Callable[[Any], timedelta | None]:
    expected = f"a timedelta or seconds, {'from' if zero else 'above'} 0 to 100 years"

    def read(value: Any) -> timedelta | None:
        if value is None and none:
            return None
        try:
            duration = checked_delay("", value)
        except JobflowError:
            duration = None
        if duration is None or not (zero or duration):
            raise _Mistake(f"{expected}{', or None' if none else ''}")
        return duration

    return read


def _size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _Mistake("a whole number of bytes, at least 1")
    return value


def _release(value: Any) -> str:
    if not isinstance(value, str) or len(value) > RELEASE_LIMIT or "\0" in value:
        raise _Mistake(f"text of at most {RELEASE_LIMIT} characters")
    return value


def _way(value: Any) -> str:
    if value not in ("auto", "poll"):
        raise _Mistake("'auto' or 'poll'")
    return value  # type: ignore[no-any-return]


def _inline(value: Any) -> bool | str:
    if value not in (False, True, "raise"):
        raise _Mistake("False, True or 'raise'")
    return value  # type: ignore[no-any-return]


def _alias(value: Any) -> str:
    if value not in database_aliases():
        raise _Mistake(f"one of the aliases in DATABASES {database_aliases()}")
    return value  # type: ignore[no-any-return]


def _paths(value: Any) -> Sequence[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(path, str) for path in value):
        raise _Mistake("a list of dotted paths")
    return tuple(value)


def _executor(value: Any) -> str | Mapping[str, str]:
    if isinstance(value, str) and value:
        return value
    if not isinstance(value, Mapping) or not all(
        isinstance(each, str) and each for item in value.items() for each in item
    ):
        raise _Mistake("a dotted path, or a dict of queue names, each with one")
    return dict(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise _Mistake("a dict of job options")
    return dict(value)


def _queues(value: Any) -> Mapping[str, QueueSettings]:
    if not isinstance(value, Mapping):
        raise _Mistake("a dict of queue names, each with a dict of its settings")
    return {name: _queue(name, options) for name, options in value.items()}


def _queue(name: Any, options: Any) -> QueueSettings:
    if not isinstance(name, str) or not isinstance(options, Mapping):
        raise _Mistake("a dict of queue names, each with a dict of its settings")
    if set(options) - QUEUE_SETTINGS:
        *others, last = sorted(map(repr, QUEUE_SETTINGS))
        raise _Mistake(f"queue {name!r} to have no setting but {', '.join(others)} and {last}")
    concurrency, limit, burst = (
        _count(name, option, options.get(option)) for option in ("concurrency", "limit", "burst")
    )
    rate = options.get("rate")
    number, period = (None, None) if rate is None else read_rate(rate) or (None, None)
    if rate is not None and number is None:
        raise _Mistake(f"the rate of queue {name!r} to be {RATE}, or None")
    if burst is not None and number is None:
        raise _Mistake(f"queue {name!r} to have a rate, since it has a burst")
    return QueueSettings(concurrency=concurrency, quota=Quota(limit, number, period, burst))


def _count(name: str, option: str, value: Any) -> int | None:
    if value is not None and not is_count(value):
        raise _Mistake(f"the {option} of queue {name!r} to be a whole number from 1, or None")
    return value  # type: ignore[no-any-return]


_READERS: dict[str, Callable[[Any], Any]] = {
    "DATABASE": _alias,
    "QUEUES": _queues,
    "DEFAULTS": _mapping,
    "MIDDLEWARE": _paths,
    "EXECUTOR": _executor,
    "LEASE": _duration(zero=False),
    "HEARTBEAT": _duration(zero=False, none=True),
    "RESERVATION_TIMEOUT": _duration(zero=False),
    "POLL_INTERVAL": _duration(zero=False),
    "WAKE_UP": _way,
    "SWEEP_INTERVAL": _duration(zero=False),
    "SHUTDOWN_TIMEOUT": _duration(zero=True),
    "TIMEOUT_GRACE": _duration(zero=True),
    "RETAIN_SUCCEEDED": _duration(zero=True, none=True),
    "RETAIN_FAILED": _duration(zero=True, none=True),
    "RETAIN_AUDIT": _duration(zero=True, none=True),
    "RETAIN_FAILURES": _duration(zero=True, none=True),
    "RELEASE": _release,
    "RETAIN_HISTORY": _duration(zero=True, none=True),
    "MAX_ARGUMENTS_SIZE": _size,
    "MAX_RESULT_SIZE": _size,
    "INLINE": _inline,
}

NAMES = tuple(each.name for each in fields(Settings))


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in ``JOBFLOW``: its kind, and a sentence for the person who made it."""

    kind: str  # "unknown", "value" or "lease"
    message: str
    hint: str


def problems(raw: Any) -> list[Problem]:
    """Return every mistake in *raw*, the value of the ``JOBFLOW`` setting."""
    if not isinstance(raw, Mapping):
        return [_not_a_dict(raw)]
    found = [_unknown(key) for key in raw if key not in _READERS]
    values: dict[str, Any] = {}
    for key in raw.keys() & _READERS.keys():
        try:
            values[key] = _READERS[key](raw[key])
        except _Mistake as mistake:
            found.append(_wrong(key, str(mistake), raw[key]))
    settings = Settings(**values)
    if settings.heartbeat > settings.LEASE / 2:
        found.append(_short_lease(settings))
    return sorted(found, key=lambda problem: problem.message)


def nearest(word: Any, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return `` Did you mean 'x'?`` for the *known* word nearest to *word*, or nothing."""
    close = nearest_of(word, known, cutoff=cutoff)
    return "" if close is None else f" Did you mean {close!r}?"


def nearest_of(word: Any, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the *known* word nearest to *word*, if one is near."""
    return next(iter(difflib.get_close_matches(str(word), list(known), n=1, cutoff=cutoff)), None)


def _not_a_dict(raw: Any) -> Problem:
    return Problem(
        "value", f"JOBFLOW: expected a dict, got {raw!r}.", "Set JOBFLOW = {} or remove it."
    )


def _unknown(key: Any) -> Problem:
    return Problem(
        "unknown",
        f"JOBFLOW[{key!r}] is not a setting.{nearest(key, NAMES)}",
        f"The settings are {', '.join(NAMES)}.",
    )


def _wrong(key: str, expected: str, value: Any) -> Problem:
    return Problem(
        "value",
        f"JOBFLOW[{key!r}]: expected {expected}, got {value!r}.",
        f"Correct JOBFLOW[{key!r}] or remove it to have the default.",
    )


def _short_lease(settings: Settings) -> Problem:
    return Problem(
        "lease",
        f"JOBFLOW['LEASE']: expected at least twice JOBFLOW['HEARTBEAT'] "
        f"({settings.heartbeat}), got {settings.LEASE}.",
        "Lengthen LEASE, or leave HEARTBEAT out: it is LEASE / 4 then.",
    )


def raw_settings() -> Any:
    """Return the project's ``JOBFLOW`` as it stands."""
    return getattr(django_settings, "JOBFLOW", {})


@cache
def current() -> Settings:
    """Return the settings in force.

    Raises:
        ImproperlyConfigured: ``JOBFLOW`` has mistakes; the message lists them all.
    """
    raw = raw_settings()
    if found := problems(raw):
        raise ImproperlyConfigured(" ".join(problem.message for problem in found))
    return Settings(**{key: _READERS[key](value) for key, value in raw.items()})


def database_aliases() -> list[str]:
    """Return the aliases in the project's ``DATABASES``, in order."""
    return sorted(django_settings.DATABASES)


STOCK_TASKS = ("django.tasks.", "django_tasks.")


def project_packages() -> list[str]:
    """Return the packages of the modules that the project's settings are, and its URLs."""
    named = [getattr(django_settings, name, None) for name in ("SETTINGS_MODULE", "ROOT_URLCONF")]
    return sorted({name.partition(".")[0] for name in named if isinstance(name, str) and name})


def foreign_task_backends() -> list[str]:
    """Return the aliases in the project's ``TASKS`` whose backends are not Django's own."""
    tasks = getattr(django_settings, "TASKS", None)
    if not isinstance(tasks, Mapping):
        return []
    paths = {alias: params["BACKEND"] for alias, params in tasks.items() if "BACKEND" in params}
    return [alias for alias, path in paths.items() if not str(path).startswith(STOCK_TASKS)]


def has_time_zones() -> bool:
    """Say whether the project's moments are aware."""
    return bool(django_settings.USE_TZ)


def _forget(*, setting: str, **_: Any) -> None:
    if setting in {"JOBFLOW", "DATABASES"}:
        current.cache_clear()


setting_changed.connect(_forget, dispatch_uid="django_jobflow.conf")

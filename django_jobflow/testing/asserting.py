"""Assertions about what is enqueued."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from asgiref.sync import sync_to_async

from django_jobflow.arguments import HIDDEN
from django_jobflow.declare.secrecy import secrecy_of
from django_jobflow.engines import engine_for
from django_jobflow.models import JobRecord
from django_jobflow.observe.readable import pretty
from django_jobflow.states import ENDED, PENDING
from django_jobflow.testing.matching import Found, Wanted, read_wanted

SHOWN = 20  # records in one message


def enqueued(
    job: Any = None,
    arguments: Mapping[str, Any] | None = None,
    /,
    *,
    queue: str | None = None,
    partition: str | None = None,
    priority: int | None = None,
    queue_key: str | None = None,
    execution_key: str | None = None,
    run_at: datetime | tuple[datetime, datetime] | None = None,
    delay: float | timedelta | None = None,
    tags: Iterable[str] = (),
    meta: Mapping[str, Any] | None = None,
    ended: bool = False,
    database: str | None = None,
) -> list[Any]:
    """Return the records that wait or run and are like this, in the order of their ids.

    What is not said may be anything.

    Args:
        job: A ``Job`` class, a ``@job`` function, a task, or the name of one. None means any.
        arguments: Some or all of the call's, by the names of the parameters; however they were
            given, and defaults too. A value may be anything that is equal to the right one, as
            ``mock.ANY`` is.
        run_at: When it is due, or a pair of the first and the last such moment.
        delay: Seconds or timedelta by which it is due after it was enqueued.
        tags: All of these are among its tags.
        meta: Its meta says this, and may say more.
        ended: Look among those that have succeeded, failed or were cancelled, too.
        database: Alias of the database. None means JOBFLOW["DATABASE"].

    Raises:
        UnknownJob: Nothing is registered under this name.
        ArgumentError: The job has no such parameter.

    Database:
        One SELECT, or two.
    """
    wanted = read_wanted(
        job,
        arguments,
        queue=queue,
        partition=partition,
        priority=priority,
        queue_key=queue_key,
        execution_key=execution_key,
        run_at=run_at,
        delay=delay,
        tags=tags,
        meta=meta,
    )
    return _Search(wanted, ended=ended, database=database).found


def assert_enqueued(
    job: Any = None,
    arguments: Mapping[str, Any] | None = None,
    /,
    *,
    count: int | None = None,
    ended: bool = False,
    database: str | None = None,
    **options: Any,
) -> Any:
    """Fail unless a record waits or runs that is like this, and return the first.

    Args:
        job: As for ``enqueued``, like all else.
        count: How many there are to be. None means at least one.
        options: ``queue``, ``partition``, ``priority``, ``queue_key``, ``execution_key``,
            ``run_at``, ``delay``, ``tags``, ``meta``.

    Returns:
        The first record; None where *count* is 0.

    Raises:
        AssertionError: There are others or none; the message lists what is enqueued.
    """
    search = _search(job, arguments, options, ended=ended, database=database)
    right = bool(search.found) if count is None else count == len(search.found)
    if not right:
        number = "a job" if count in (None, 1) else f"{count} jobs"
        raise AssertionError(search.message(number))
    return search.found[0] if search.found else None


def refute_enqueued(
    job: Any = None,
    arguments: Mapping[str, Any] | None = None,
    /,
    *,
    ended: bool = False,
    database: str | None = None,
    **options: Any,
) -> None:
    """Fail if a record waits or runs that is like this; without arguments, if any does.

    Args:
        job: As for ``enqueued``, like all else.
        options: As for ``assert_enqueued``.

    Raises:
        AssertionError: There is one; the message lists what is enqueued.
    """
    search = _search(job, arguments, options, ended=ended, database=database)
    if search.found:
        raise AssertionError(search.message("no job"))


aenqueued = sync_to_async(enqueued)
"""Do what ``enqueued`` does, from async code."""

aassert_enqueued = sync_to_async(assert_enqueued)
"""Do what ``assert_enqueued`` does, from async code."""

arefute_enqueued = sync_to_async(refute_enqueued)
"""Do what ``refute_enqueued`` does, from async code."""


def _search(
    job: Any,
    arguments: Mapping[str, Any] | None,
    options: dict[str, Any],
    *,
    ended: bool,
    database: str | None,
) -> _Search:
    unsaid: dict[str, Any] = {"run_at": None, "delay": None, "tags": (), "meta": None}
    if strange := options.keys() - unsaid.keys() - COLUMNS:
        raise TypeError(f"Expected options out of {OPTIONS}, got {sorted(strange)}.")
    wanted = read_wanted(job, arguments, **unsaid | options)
    return _Search(wanted, ended=ended, database=database)


COLUMNS = {"queue", "partition", "priority", "queue_key", "execution_key"}
OPTIONS = sorted(COLUMNS | {"run_at", "delay", "tags", "meta"})


class _Search:
    """What there is, and what of it is wanted."""

    def __init__(self, wanted: Wanted, *, ended: bool, database: str | None) -> None:
        engine = engine_for(database)
        live: list[Found] = [*engine.records.order_by("pk")]
        over = [each for each in live if _state(each) in ENDED]
        self.wanted = wanted
        self.records = live if ended else [each for each in live if each not in over]
        if ended:
            self.records = sorted([*live, *engine.succeeded.all()], key=lambda each: each.pk)
        self.left_out = 0 if ended else len(over) + engine.succeeded.count()
        self.found = [each for each in self.records if wanted.matches(each)]

    def message(self, number: str) -> str:
        """Return what was expected and what there is instead."""
        what = " ".join(filter(None, [number, self.wanted.described()]))
        got = f"{len(self.found) or 'none'} of {len(self.records)}"
        lines = [f"Expected {what} to be enqueued, got {got}:", *self._lines()]
        if not self.records:
            lines = [f"Expected {what} to be enqueued, got none: nothing is enqueued."]
        if self.left_out:
            lines.append(f"Jobs that have ended: {self.left_out}. ended=True looks there, too.")
        return "\n".join(lines)

    def _lines(self) -> Iterable[str]:
        for record in self.records[:SHOWN]:
            yield f"{'*' if record in self.found else ' '} {line_of(record)}"
        if len(self.records) > SHOWN:
            yield f"  and {len(self.records) - SHOWN} more"


def line_of(record: Found) -> str:
    """Return *record* in one line, without what is not to be seen of its arguments."""
    args, kwargs = secrecy_of(record.name).masked(record.args, record.kwargs)
    state = _state(record)
    facts = [f"{record.name}({', '.join(_call(args, kwargs))}) on {record.queue!r}", state]
    if state in PENDING:
        facts.append(f"due at {record.available_at}")
    for name in ("partition", "priority", "queue_key", "execution_key", "tags"):
        if value := getattr(record, name):
            facts.append(f"{name} {value!r}")
    return f"{record.pk} {', '.join(facts)}"


def _call(args: Any, kwargs: Any) -> Sequence[str]:
    if args is HIDDEN or kwargs is HIDDEN:
        return [_short(HIDDEN)]
    named = [f"{name}={_short(value)}" for name, value in kwargs.items()]
    return [*map(_short, args), *named]


def _short(value: Any) -> str:
    return " ".join(line.strip() for line in pretty(value).splitlines())


def _state(record: Found) -> str:
    return str(record.state) if isinstance(record, JobRecord) else "SUCCEEDED"

"""What an operator does with queues and workers: pauses, limits, empties, stops.

Pauses, limits and requests to stop are in rows, which every worker reads within a second.
Each verb is written to the audit, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import models, transaction

from django_jobflow.audit import By, Trail, actor_of
from django_jobflow.declare.call_options import (
    read_call_options,
    read_key,
    read_moment,
    read_text,
)
from django_jobflow.declare.options import read_option
from django_jobflow.engines import Engine, engine_for
from django_jobflow.engines.purging import PURGED
from django_jobflow.exceptions import InvalidJob, checked_delay, unexpected
from django_jobflow.models import AuditAction, JobRecord, LimitKind, Pause, PauseKind, StopKind
from django_jobflow.quotas import MOST_PLACES, RATE, Quota, is_count, rate_text, read_rate
from django_jobflow.sentences import Sentence
from django_jobflow.sentences import noop as _
from django_jobflow.states import ENDED, JobState

__all__ = [
    "clear_limit",
    "mute_failures",
    "pause",
    "paused",
    "purge",
    "resume",
    "set_limit",
    "stop_worker",
    "unmute_failures",
]

COUNT = Sentence(_("a whole number from 1, or None"))
TEXT = 200  # letters of a reason, and of a name of who did it

WAIT = frozenset(PURGED) - ENDED
"""States of what waits in a queue: not begun, or to be repeated."""


def pause(
    *,
    queue: str | None = None,
    job: str | None = None,
    partition: str | None = None,
    until: datetime | None = None,
    for_: float | timedelta | None = None,
    reason: str = "",
    by: By = "",
    database: str | None = None,
) -> None:
    """Let no worker start records of a queue, a job or a partition; what runs goes on.

    To pause anew what is paused replaces its end and reason. An end that has passed pauses
    nothing, and ends a pause that there is.

    Args:
        queue: Name of a queue, or
        job: name of a job, or
        partition: name of a partition; empty for the default one.
        until: The moment at which the pause ends by itself, or
        for_: seconds or a timedelta until then. Neither means until ``resume``.
        reason: For others to read.
        by: Who says so: a name, or an ``audit.Actor``.
        database: Alias of the database of the jobs. None means JOBFLOW["DATABASE"].

    Raises:
        InvalidJob: Not just one thing is named, or a value is none that is expected.
    """
    kind, value = _named("pause", PauseKind, queue=queue, job=job, partition=partition)
    said: dict[str, Any] = {
        "until": _end("pause", until, for_),
        "reason": _text("pause", "reason", reason),
        "by": _text("pause", "by", actor_of(by).name),
    }
    detail = {name: str(said[name]) for name in ("until", "reason") if said[name]}
    trail = _trail(database, AuditAction.PAUSE, kind, value, by, detail)
    trail.do(lambda: trail.engine.pause(kind, value, **said), _one_if)


def resume(
    *,
    queue: str | None = None,
    job: str | None = None,
    partition: str | None = None,
    by: By = "",
    database: str | None = None,
) -> bool:
    """End a pause; say whether there was one."""
    kind, value = _named("resume", PauseKind, queue=queue, job=job, partition=partition)
    trail = _trail(database, AuditAction.RESUME, kind, value, by)
    return trail.do(lambda: trail.engine.resume(kind, value), _one_if)


def mute_failures(
    fingerprint: str,
    *,
    until: datetime | None = None,
    for_: float | timedelta | None = None,
    by: By = "",
    database: str | None = None,
) -> bool:
    """Leave a group of failures out of what asks for attention; it is counted on.

    Args:
        fingerprint: That of the group.
        until: The moment from which on it is shown again, or
        for_: seconds or a timedelta until then. Neither means until ``unmute_failures``.
        by: Who says so: a name, or an ``audit.Actor``.
        database: Alias of the database of the jobs. None means JOBFLOW["DATABASE"].

    Returns:
        Whether there is such a group.

    Raises:
        InvalidJob: A value is none that is expected.

    Database:
        One UPDATE and one or two SELECTs by key, and one INSERT.
    """
    digest = _text("mute_failures", "fingerprint", fingerprint)
    end = _end("mute_failures", until, for_)
    who = _text("mute_failures", "by", actor_of(by).name)
    detail = {} if end is None else {"until": str(end)}
    trail = _trail(database, AuditAction.MUTE, "fingerprint", digest, by, detail)
    engine = trail.engine

    def mute() -> tuple[bool, bool]:
        was_muted = engine.is_muted(digest)
        is_known = engine.mute_failures(digest, until=end, by=who)
        return is_known, was_muted or engine.is_muted(digest)

    return trail.do(mute, lambda found: _one_if(found[1]))[0]


def unmute_failures(fingerprint: str, *, by: By = "", database: str | None = None) -> bool:
    """Show a group of failures again; say whether it was muted."""
    digest = _text("unmute_failures", "fingerprint", fingerprint)
    trail = _trail(database, AuditAction.UNMUTE, "fingerprint", digest, by)
    return trail.do(lambda: trail.engine.unmute_failures(digest), _one_if)


def paused(*, database: str | None = None) -> list[Pause]:
    """Return the pauses that last, in the order of their kinds and names."""
    return engine_for(database).paused()


def set_limit(
    *,
    queue: str | None = None,
    job: str | None = None,
    key: str | None = None,
    concurrency: int | None = None,
    rate: Any = None,
    burst: int | None = None,
    by: By = "",
    database: str | None = None,
) -> None:
    """Limit a queue, a job or an execution key over all hosts, whatever the settings say.

    Without ``concurrency`` and ``rate`` there is no limit at all, also none of the settings.

    Args:
        queue: Name of a queue, or
        job: name of a job, or
        key: an execution key, in any partition.
        concurrency: Records that may run at a time. None means any number.
        rate: Records that may start in a time: ``"100/m"`` (s, m, h or d), or
            ``(100, timedelta(minutes=1))``. None means any number.
        burst: Records that may start at once after a time without any. None means as many as
            the rate says.
        by: Who says so: a name, or an ``audit.Actor``.
        database: Alias of the database of the jobs. None means JOBFLOW["DATABASE"].

    Raises:
        InvalidJob: Not just one thing is named, or a value is none that is expected.
    """
    kind, value = _named("set_limit", LimitKind, queue=queue, job=job, key=key)
    quota = read_quota("set_limit", concurrency, rate, burst, kind=kind)
    who = _text("set_limit", "by", actor_of(by).name)
    trail = _trail(database, AuditAction.SET_LIMIT, kind, value, by, _detail_of(quota))
    engine = trail.engine
    trail.do(lambda: engine.set_limit(kind, value, quota, who), lambda _done: {"count": 1})
    if key is not None:
        transaction.on_commit(lambda: engine.promote_key(value), using=engine.alias)


def clear_limit(
    *,
    queue: str | None = None,
    job: str | None = None,
    key: str | None = None,
    by: By = "",
    database: str | None = None,
) -> bool:
    """Let the settings and the code decide again; say whether ``set_limit`` had been used."""
    kind, value = _named("clear_limit", LimitKind, queue=queue, job=job, key=key)
    trail = _trail(database, AuditAction.CLEAR_LIMIT, kind, value, by)
    engine = trail.engine
    cleared = trail.do(lambda: engine.clear_limit(kind, value), _one_if)
    if cleared and key is not None:
        transaction.on_commit(engine.promote_waiting, using=engine.alias)
    return cleared


def purge(
    *,
    queue: str,
    job: str | None = None,
    partition: str | None = None,
    states: Iterable[str] | None = None,
    most: int | None = None,
    dry_run: bool = False,
    by: By = "",
    database: str | None = None,
) -> int:
    """Delete for good what waits in a queue; return how many records that were.

    What runs goes on, and what is enqueued meanwhile stays. Keys of what was deleted are free:
    others of the same key have their turn, and batches count it as deleted.

    Args:
        queue: Name of the queue.
        job: Only records of the job of this name.
        partition: Only those of this partition; empty for the default one.
        states: Only those in these states, of which FAILED and CANCELLED are gone only if they
            are named. None means all that wait.
        most: Delete no more than so many; to call it again goes on. None means all.
        dry_run: Whether to delete nothing, and only count.
        by: Who says so: a name, or an ``audit.Actor``.
        database: Alias of the database of the jobs. None means JOBFLOW["DATABASE"].

    Raises:
        InvalidJob: A value is none that is expected; nothing was deleted.

    Database:
        A short transaction for each 1,000 records, unless the caller has opened one.
    """
    given = {"queue": queue, "job": job, "partition": partition}
    read = {
        "name" if kind == "job" else kind: read_name("purge", kind, name)
        for kind, name in given.items()
        if name is not None or kind == "queue"
    }
    wanted = WAIT if states is None else _read_states(states)
    if most is not None and not is_count(most):
        raise unexpected("purge", "most", COUNT, most)
    engine = engine_for(database)
    rows = engine.records.filter(**read)
    if dry_run:
        return engine.purgeable(rows, wanted)
    detail = {"states": sorted(wanted)}
    subject = " ".join(f"{name}:{value}" for name, value in read.items())
    trail = Trail(engine, AuditAction.PURGE, by=by, subject=subject, detail=detail)
    purged = engine.purge(rows, wanted, partial(_delete, trail), most)
    trail.end()
    return purged


def _delete(trail: Trail, rows: models.QuerySet[JobRecord]) -> int:
    return trail.do(lambda: trail.engine.delete(rows), lambda deleted: {"count": deleted})


def stop_worker(
    name: str, *, recycle: bool = False, by: By = "", database: str | None = None
) -> list[str]:
    """Ask a worker to stop, as SIGTERM does: it takes no new work, and what runs may end.

    It notices within a second or two. What still runs after JOBFLOW["SHUTDOWN_TIMEOUT"] is
    given back with its attempt. The request cannot be taken back.

    Args:
        name: That of its row.
        recycle: Whether only this process is to end; its supervisor starts another. Otherwise
            all processes of its ``runjobs`` end and the command itself, which then is started
            anew by whatever keeps it up.
        by: Who says so: a name, or an ``audit.Actor``.
        database: Alias of the database of the jobs. None means JOBFLOW["DATABASE"].

    Returns:
        The names of the workers that were asked; none where there is no such worker.

    Raises:
        InvalidJob: A value is none that is expected.

    Database:
        One SELECT by key, for a whole command one more, one UPDATE and one INSERT.
    """
    kind = StopKind.PROCESS if recycle else StopKind.COMMAND
    read, who = _text("stop_worker", "name", name), _text("stop_worker", "by", actor_of(by).name)
    trail = _trail(database, AuditAction.STOP_WORKER, "worker", read, by, {"stops": kind.value})
    engine = trail.engine
    return trail.do(
        lambda: engine.request_stop(read, kind, who), lambda asked: {"count": len(asked)}
    )


def read_name(subject: str, kind: str, name: Any) -> str:
    """Return the name of a queue, a job, a partition or an execution key, checked."""
    read: str = _READERS[kind](subject, name)
    return read


def read_quota(
    subject: str, concurrency: Any, rate: Any, burst: Any, *, kind: str = LimitKind.QUEUE
) -> Quota:
    """Return what a limit of this *kind* says, checked."""
    for name, number in (("concurrency", concurrency), ("burst", burst)):
        if number is not None and not is_count(number):
            raise unexpected(subject, name, COUNT, number)
    if kind == LimitKind.KEY and (concurrency or 0) > MOST_PLACES:
        text = _(
            "%(subject)s: expected concurrency of a key to be at most %(most)s, got %(value)s."
        )
        told = {"subject": subject, "most": MOST_PLACES, "value": concurrency}
        raise InvalidJob(Sentence(text, **told))
    found = None if rate is None else read_rate(rate)
    if rate is not None and found is None:
        raise unexpected(subject, "rate", Sentence(_("%(what)s, or None"), what=RATE), rate)
    if burst is not None and found is None:
        text = _("%(subject)s: expected a rate with burst, got burst=%(value)s alone.")
        raise InvalidJob(Sentence(text, subject=subject, value=repr(burst)))
    number, period = found or (None, None)
    return Quota(concurrency, number, period, burst)


def _trail(
    database: str | None,
    action: AuditAction,
    kind: str,
    value: str,
    by: By,
    detail: Mapping[str, Any] | None = None,
) -> Trail:
    engine: Engine = engine_for(database)
    word = "name" if kind == "job" else kind  # as the search calls it
    return Trail(engine, action, by=by, subject=f"{word}:{value}", detail=detail)


def _one_if(changed: bool) -> dict[str, int]:
    return {"count": int(changed)}


def _detail_of(quota: Quota) -> dict[str, Any]:
    rate = None
    if quota.rate is not None and quota.period is not None:
        rate = rate_text(quota.rate, quota.period)
    return {"concurrency": quota.concurrency, "rate": rate, "burst": quota.burst}


def _named(subject: str, kinds: Any, **names: str | None) -> tuple[str, str]:
    """Return the kind and the name of the one thing that is named."""
    given = {kind: name for kind, name in names.items() if name is not None}
    if len(given) != 1:
        *others, last = names
        got = ", ".join(f"{kind}={name!r}" for kind, name in given.items()) or "none"
        raise InvalidJob(f"{subject}: expected one of {', '.join(others)} and {last}, got {got}.")
    [(kind, name)] = given.items()
    return kinds(kind).value, read_name(subject, kind, name)


def _read_states(states: Any) -> frozenset[JobState]:
    known = {state.value for state in PURGED}
    given = list(states) if isinstance(states, Iterable) and not isinstance(states, str) else []
    if given and all(isinstance(state, str) and state in known for state in given):
        return frozenset(map(JobState, given))
    raise InvalidJob(
        f"purge: expected states to be some of {', '.join(map(str, PURGED))}, got {states!r}."
    )


def _text(subject: str, option: str, value: Any) -> str:
    return read_text(subject, option, value, TEXT)


def _call_option(option: str, subject: str, value: Any) -> str:
    read: str = read_call_options(subject, {option: value})[option]
    return read


_READERS: dict[str, Any] = {
    "queue": lambda subject, value: read_option(subject, "queue", value),
    "job": lambda subject, value: read_option(subject, "name", value),
    "partition": lambda subject, value: _call_option("partition", subject, value),
    "key": lambda subject, value: read_key(subject, "key", value),
}


def _end(
    verb: str, until: datetime | None, for_: float | timedelta | None
) -> datetime | timedelta | None:
    """Return when something ends, checked: a moment, a span from now, or None for never."""
    moment = None if until is None else read_moment(verb, "until", until)
    if for_ is None:
        return moment
    if moment is not None:
        raise InvalidJob(f"{verb}: expected until or for_, got both: {until!r} and {for_!r}.")
    return checked_delay(verb, for_, "for_")

"""Why a job does not run, in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.utils.translation import gettext as _

from django_jobflow.engines import engine_for
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.models.records import JobFacts
from django_jobflow.observe import blocking
from django_jobflow.observe.allowing import LimitFacts
from django_jobflow.observe.blocking import Scene
from django_jobflow.sentences import moment
from django_jobflow.states import JobState

HOLDERS_NAMED = 5  # of a key that many hold


class Cause(StrEnum):
    """Why a job does not run, as programs are told it."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    GONE = "gone"
    RUNNING = "running"
    STOPPING = "stopping"
    STARTING = "starting"
    LAPSED = "lapsed"
    NOT_DUE = "not_due"
    OVERDUE = "overdue"
    PAUSED = "paused"
    LIMITED = "limited"
    PARKED = "parked"
    KEY_HELD = "key_held"
    KEY_FREE = "key_free"
    POINTLESS = "pointless"
    NO_WORKER = "no_worker"
    UNKNOWN_JOB = "unknown_job"
    NO_FREE_SLOT = "no_free_slot"


@dataclass(frozen=True, slots=True)
class Reason:
    """The answer.

    Attributes:
        cause: The answer in a word.
        sentence: The answer for a person.
        facts: What the sentence tells, by name; moments are moments.
    """

    cause: Cause
    sentence: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.sentence


def why(job: JobFacts, now: datetime | None = None) -> Reason:
    """Say why *job* does not run, or that it does; as the database has it now.

    Database:
        One statement by key and one for the clock, but on SQLite. For one that is due, up to six
        more: the pauses, the workers, the limits that hold for it and what runs of those, who
        holds its key, and what is before it, which is counted up to 10,000.
    """
    alias = engine_for(job._state.db).alias
    fresh = JobRecord._base_manager.using(alias).filter(pk=job.pk).first()
    if fresh is None:
        return _of_no_record(job.pk, alias)
    scene = Scene(fresh, alias, engine_for(alias).now(now))
    return next(_OF_STATE[JobState(fresh.state)](scene))


def _of_no_record(pk: Any, alias: str) -> Reason:
    succeeded = SucceededJob._base_manager.using(alias).filter(pk=pk).first()
    if succeeded is None:
        return Reason(Cause.GONE, _("There is no such job any more."))
    at = succeeded.succeeded_at
    text = _("It has succeeded, at %(at)s.") % {"at": moment(at)}
    return Reason(Cause.SUCCEEDED, text, {"at": at})


def _of_failed(scene: Scene) -> Iterator[Reason]:
    record = scene.record
    text = _("It has failed at %(at)s, after attempt %(attempt)d of %(most)d: %(error)s")
    values = {"attempt": record.attempt, "most": record.max_attempts}
    error = record.exception if isinstance(record.errors, list) else ""
    yield Reason(
        Cause.FAILED,
        text % {"at": moment(record.finished_at), "error": _one_line(error), **values},
        {"at": record.finished_at, **values},
    )


def _of_cancelled(scene: Scene) -> Iterator[Reason]:
    at = scene.record.finished_at
    text = _("It was cancelled, at %(at)s.") % {"at": moment(at)}
    yield Reason(Cause.CANCELLED, text, {"at": at})


def _of_running(scene: Scene) -> Iterator[Reason]:
    record = scene.record
    yield from _if_lapsed(scene)
    facts = {"worker": record.reserved_by, "since": record.started_at}
    shown = {"worker": record.reserved_by, "since": moment(record.started_at)}
    if record.cancel_requested_at is not None:
        text = _("It runs on %(worker)s since %(since)s, and was asked to stop at %(asked)s.")
        facts["asked"] = record.cancel_requested_at
        shown["asked"] = moment(record.cancel_requested_at)
        yield Reason(Cause.STOPPING, text % shown, facts)
    yield Reason(Cause.RUNNING, _("It runs on %(worker)s since %(since)s.") % shown, facts)


def _of_reserved(scene: Scene) -> Iterator[Reason]:
    record = scene.record
    yield from _if_lapsed(scene)
    facts = {"worker": record.reserved_by, "since": record.reserved_at}
    text = _("%(worker)s has reserved it at %(since)s, and is about to start it.")
    yield Reason(Cause.STARTING, text % (facts | {"since": moment(record.reserved_at)}), facts)


def _if_lapsed(scene: Scene) -> Iterator[Reason]:
    record = scene.record
    if record.expires is None or record.expires > scene.now:
        return
    facts = {"worker": record.reserved_by, "since": record.expires}
    shown = facts | {"since": moment(record.expires)}
    text = _(
        "%(worker)s holds it, but its lease has lapsed at %(since)s; it is about to be freed."
    )
    if not scene.living:
        text = _("%(worker)s holds it, but its lease has lapsed at %(since)s; no worker is alive.")
    yield Reason(Cause.LAPSED, text % shown, facts)


def _of_pending(scene: Scene) -> Iterator[Reason]:
    record = scene.record
    at, shown = record.available_at, {"at": moment(record.available_at)}
    if at > scene.now:
        text = _("It is due at %(at)s.")
        if scene.is_of_unknown_code:
            text = _("A worker that did not know its code has put it back; it is due at %(at)s.")
        elif record.state == JobState.RETRY:
            text = _("Attempt %(attempt)d of %(most)d has failed; the next is due at %(at)s.")
        shown |= {"attempt": record.attempt, "most": record.max_attempts}  # type: ignore[dict-item]
        yield Reason(Cause.NOT_DUE, text % shown, {"at": at})
    yield from _if_blocked(scene)
    text = _("It is due since %(at)s, and the next sweep of a worker makes it available.")
    yield Reason(Cause.OVERDUE, text % shown, {"at": at})


def _of_waiting(scene: Scene) -> Iterator[Reason]:
    if scene.record.parked_for is not None:
        yield from _of_parked(scene)
    key = scene.record.execution_key
    holders = scene.key_holders()
    if len(holders) >= scene.places:
        named = ", ".join(f"{each.pk} ({each.state})" for each in holders[:HOLDERS_NAMED])
        text = _("It waits behind execution key %(key)r, which job %(holders)s holds.")
        if len(holders) > 1:
            text = _(
                "It waits behind execution key %(key)r, which %(count)d jobs hold: %(holders)s."
            )
        yield Reason(
            Cause.KEY_HELD,
            text % {"key": key, "holders": named, "count": len(holders)},
            {"key": key, "holders": {each.pk: each.state for each in holders}},
        )
    yield from _if_blocked(scene)
    if scene.key_limit is not None:
        yield from _of_limits([scene.key_limit])
    text = _("Its execution key %(key)r is free, and it is made available with the next sweep.")
    yield Reason(Cause.KEY_FREE, text % {"key": key}, {"key": key})


def _of_parked(scene: Scene) -> Iterator[Reason]:
    yield from _if_blocked(scene)
    yield from _of_limits(scene.limits())
    facts = {"name": scene.record.parked_for}
    text = _("It waits until its job %(name)r may start the next, and a worker is free.")
    yield Reason(Cause.PARKED, text % facts, facts)


def _of_available(scene: Scene) -> Iterator[Reason]:
    record = scene.record
    if record.expires_at is not None and record.expires_at <= scene.now:
        text = _("It is pointless since %(at)s, and about to be discarded.")
        shown = {"at": moment(record.expires_at)}
        yield Reason(Cause.POINTLESS, text % shown, {"at": record.expires_at})
    yield from _if_blocked(scene)
    yield from _of_limits(scene.limits())
    ahead = scene.ahead()
    facts = {"ahead": ahead.number, "more": ahead.is_more, "queue": record.queue}
    text = _("It waits for a free slot: %(ahead)s jobs of queue %(queue)r are before it.")
    if not ahead.number:
        text = _("It waits for a free slot, as the next of queue %(queue)r.")
    yield Reason(Cause.NO_FREE_SLOT, text % (facts | {"ahead": str(ahead)}), facts)


def _if_blocked(scene: Scene) -> Iterator[Reason]:
    """Yield what keeps all workers from it, if something does."""
    for pause in scene.pauses():
        facts: dict[str, Any] = {"kind": pause.kind, "name": pause.value}
        facts |= {"by": pause.by, "until": pause.until, "reason": pause.reason}
        yield Reason(Cause.PAUSED, blocking.paused(pause, moment), facts)
    place = {"queue": scene.record.queue, "partition": scene.record.partition}
    if not scene.serving:
        text = _("No living worker serves queue %(queue)r.")
        if scene.serving_queue:
            text = _("No living worker of queue %(queue)r serves partition %(partition)r.")
        yield Reason(Cause.NO_WORKER, text % place, place)
    elif not scene.knowing:
        facts = {"name": scene.record.name, "queue": scene.record.queue}
        text = _("No living worker of queue %(queue)r knows a job of the name %(name)r.")
        yield Reason(Cause.UNKNOWN_JOB, text % facts, facts)


def _of_limits(limits: Iterable[LimitFacts]) -> Iterator[Reason]:
    """Yield those of *limits* that keep all workers from the next one for now."""
    for limit in limits:
        quota = limit.quota
        facts: dict[str, Any] = {"kind": limit.kind, "name": limit.name}
        if limit.is_full:
            facts |= {"concurrency": quota.concurrency, "running": limit.running}
        elif limit.next_at is not None:
            facts |= {"rate": quota.rate, "period": quota.period, "next_at": limit.next_at}
        else:
            continue
        yield Reason(Cause.LIMITED, blocking.limited(limit, moment), facts)


_OF_STATE: dict[JobState, Callable[[Scene], Iterator[Reason]]] = {
    JobState.SCHEDULED: _of_pending,
    JobState.RETRY: _of_pending,
    JobState.AVAILABLE: _of_available,
    JobState.RESERVED: _of_reserved,
    JobState.IN_PROGRESS: _of_running,
    JobState.WAITING: _of_waiting,
    JobState.FAILED: _of_failed,
    JobState.CANCELLED: _of_cancelled,
}


def _one_line(text: str, most: int = 200) -> str:
    shown = " ".join(text[:1000].split())
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"

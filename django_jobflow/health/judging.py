"""What follows from what the tables say; asks nobody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta

from django.utils.translation import gettext as _

from django_jobflow.engines.surveying import Delays
from django_jobflow.engines.workers import Beat
from django_jobflow.health.limits import Limits
from django_jobflow.health.values import Fact, Finding, Seen

NAMES_SHOWN = 5  # queues that one line names


def see(beats: Iterable[Beat], waits: Mapping[str, float], delays: Delays, limits: Limits) -> Seen:
    """Return what *beats*, *waits* and *delays* come to under *limits*."""
    relevant = [beat for beat in beats if _serves_any(beat, limits.queues)]
    alive = [beat for beat in relevant if beat.age < limits.silence.total_seconds()]
    return Seen(
        alive=len(alive),
        silent=len(relevant) - len(alive),
        youngest_beat=min((beat.age for beat in relevant), default=None),
        oldest_beat=max((beat.age for beat in alive), default=None),
        waits=waits,
        unserved=tuple(
            queue for queue in waits if not any(_serves_any(beat, [queue]) for beat in alive)
        ),
        overdue=delays.overdue,
        lapsed=delays.lapsed,
    )


def _serves_any(beat: Beat, queues: Iterable[str] | None) -> bool:
    return not beat.queues or queues is None or not set(queues).isdisjoint(beat.queues)


def judge(seen: Seen, limits: Limits) -> tuple[Fact, ...]:
    """Return what is so, and what of it passes *limits*."""
    return (
        _workers(seen, limits),
        _unserved(seen),
        _waiting(seen, limits.max_wait),
        _overdue(seen, limits.max_wait),
        _lapsed(seen, limits.max_wait),
    )


def _workers(seen: Seen, limits: Limits) -> Fact:
    return Fact(
        "workers",
        ", ".join(_of_workers(seen, limits)),
        Finding.TOO_FEW_WORKERS if seen.alive < limits.min_workers else None,
    )


def _of_workers(seen: Seen, limits: Limits) -> Iterator[str]:
    yield _("%(count)d alive") % {"count": seen.alive}
    if seen.alive < limits.min_workers:
        yield _("expected at least %(count)d") % {"count": limits.min_workers}
    if seen.silent:
        yield _("%(count)d silent") % {"count": seen.silent}
    if seen.youngest_beat is not None:
        yield _("last heartbeat %(age)s ago") % {"age": shown(seen.youngest_beat)}


def _unserved(seen: Seen) -> Fact:
    if not seen.unserved:
        return Fact("queues", _("each one with jobs is served"))
    names = ", ".join(map(repr, seen.unserved[:NAMES_SHOWN]))
    if len(seen.unserved) > NAMES_SHOWN:
        names = _("%(names)s and %(count)d more") % {
            "names": names,
            "count": len(seen.unserved) - NAMES_SHOWN,
        }
    text = _("jobs wait, and no living worker serves %(names)s") % {"names": names}
    return Fact("queues", text, Finding.QUEUE_UNSERVED)


def _waiting(seen: Seen, limit: timedelta) -> Fact:
    if not seen.waits:
        return Fact("waiting", _("no job"))
    queue, wait = max(seen.waits.items(), key=lambda item: item[1])
    text = _("the oldest job for %(age)s, on %(queue)r") % {"age": shown(wait), "queue": queue}
    return _limited("waiting", text, wait, limit, Finding.JOB_WAITS)


def _overdue(seen: Seen, limit: timedelta) -> Fact:
    if seen.overdue is None:
        return Fact("overdue", _("no job"))
    text = _("a job is due for %(age)s and not available") % {"age": shown(seen.overdue)}
    return _limited("overdue", text, seen.overdue, limit, Finding.JOB_OVERDUE)


def _lapsed(seen: Seen, limit: timedelta) -> Fact:
    if seen.lapsed is None:
        return Fact("lapsed", _("no job"))
    text = _("a job is without its worker for %(age)s and not rescued") % {
        "age": shown(seen.lapsed)
    }
    return _limited("lapsed", text, seen.lapsed, limit, Finding.JOB_LAPSED)


def _limited(subject: str, text: str, age: float, limit: timedelta, finding: Finding) -> Fact:
    most = limit.total_seconds()
    if age <= most:
        return Fact(subject, text)
    return Fact(
        subject, _("%(text)s, limit %(age)s") % {"text": text, "age": shown(most)}, finding
    )


def shown(seconds: float) -> str:
    """Return a duration as text."""
    return f"{seconds:.0f} s" if seconds >= 10 or seconds == round(seconds) else f"{seconds:.1f} s"

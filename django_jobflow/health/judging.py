"""What follows from what the tables say; asks nobody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import timedelta

from django.utils.translation import gettext as _

from django_jobflow.engines.surveying import Delays, Waits
from django_jobflow.engines.workers import Beat
from django_jobflow.health.limits import Limits
from django_jobflow.health.values import Fact, Finding, Seen
from django_jobflow.service import Service

Lane = tuple[str, str]
"""Names of a queue and of a partition in it."""

NAMES_SHOWN = 5  # queues that one line names


def see(
    beats: Iterable[Beat],
    waits: Waits,
    paused: Collection[tuple[str, str]],
    delays: Delays,
    limits: Limits,
) -> Seen:
    """Return what *beats*, *waits* and *delays* come to under *limits*.

    Args:
        paused: The kinds and the names of what is paused.
    """
    relevant = [beat for beat in beats if _serves_any(beat, limits.queues)]
    alive = [beat for beat in relevant if beat.age < limits.silence.total_seconds()]
    held = {lane for lane in waits if _is_paused(*lane, paused)}
    open_ = waits.keys() - held
    services = {beat.service for beat in alive}
    return Seen(
        alive=len(alive),
        silent=len(relevant) - len(alive),
        youngest_beat=min((beat.age for beat in relevant), default=None),
        oldest_beat=max((beat.age for beat in alive), default=None),
        waits=_by_queue(waits, open_),
        paused=_by_queue(waits, held),
        unserved=_unserved_lanes(open_, services),
        overdue=delays.overdue,
        lapsed=delays.lapsed,
    )


def _serves_any(beat: Beat, queues: Iterable[str] | None) -> bool:
    return queues is None or any(map(beat.service.serves, queues))


def _is_paused(queue: str, partition: str, paused: Collection[tuple[str, str]]) -> bool:
    return ("queue", queue) in paused or ("partition", partition) in paused


def _by_queue(waits: Waits, lanes: Collection[Lane]) -> dict[str, float]:
    """Return the longest of the waits in *lanes* of each queue."""
    found: dict[str, float] = {}
    for queue, partition in sorted(lanes):
        found[queue] = max(waits[queue, partition], found.get(queue, 0.0))
    return found


def _unserved_lanes(
    lanes: Collection[Lane], services: Collection[Service]
) -> dict[str, tuple[str, ...] | None]:
    """Return the queues of *lanes* that none of *services* is for, or the partitions of one."""
    missed: dict[str, list[str]] = defaultdict(list)
    for queue, partition in sorted(lanes):
        if not any(service.serves(queue, partition) for service in services):
            missed[queue].append(partition)
    return {
        queue: tuple(partitions) if any(each.serves(queue) for each in services) else None
        for queue, partitions in missed.items()
    }


def judge(seen: Seen, limits: Limits) -> tuple[Fact, ...]:
    """Return what is so, and what of it passes *limits*."""
    return (
        _workers(seen, limits),
        _unserved(seen),
        _waiting(seen, limits.max_wait),
        *_paused(seen),
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
    unserved = list(_names(seen.unserved))
    names = ", ".join(unserved[:NAMES_SHOWN])
    if len(unserved) > NAMES_SHOWN:
        names = _("%(names)s and %(count)d more") % {
            "names": names,
            "count": len(unserved) - NAMES_SHOWN,
        }
    text = _("jobs wait, and no living worker serves %(names)s") % {"names": names}
    return Fact("queues", text, Finding.QUEUE_UNSERVED)


def _names(unserved: Mapping[str, tuple[str, ...] | None]) -> Iterator[str]:
    for queue, partitions in unserved.items():
        if partitions is None:
            yield repr(queue)
            continue
        for partition in partitions:
            place = {"partition": partition, "queue": queue}
            yield _("partition %(partition)r of %(queue)r") % place


def _waiting(seen: Seen, limit: timedelta) -> Fact:
    if not seen.waits:
        return Fact("waiting", _("no job"))
    queue, wait = max(seen.waits.items(), key=lambda item: item[1])
    text = _("the oldest job for %(age)s, on %(queue)r") % {"age": shown(wait), "queue": queue}
    return _limited("waiting", text, wait, limit, Finding.JOB_WAITS)


def _paused(seen: Seen) -> Iterator[Fact]:
    if seen.paused:
        queue, wait = max(seen.paused.items(), key=lambda item: item[1])
        text = _("the oldest job for %(age)s, on %(queue)r")
        yield Fact("paused", text % {"age": shown(wait), "queue": queue})


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

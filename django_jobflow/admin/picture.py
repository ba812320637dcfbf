"""The timeline of a job as a picture: what it waited for, when it ran, how that ended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from operator import attrgetter

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobflow.admin.timeline import GIVEN_BACK, Event
from django_jobflow.observe import spans

WIDTH = 1000  # units
MOST = 40  # events that are drawn, the latest
ROOM = 65  # units that the length of a part takes as text
LEAST = timedelta(milliseconds=1)

KINDS: dict[str, str | Promise] = {
    "scheduled": gettext_lazy("until it is due"),
    "waiting": gettext_lazy("waiting for a worker"),
    GIVEN_BACK: gettext_lazy("waiting, or with a worker that gave it back"),
    "running": gettext_lazy("running"),
    "pause": gettext_lazy("pause before the next attempt"),
    "ended": gettext_lazy("failed, until somebody retried it"),
    "ahead": gettext_lazy("ahead"),
}
WAITS = {"attempt-failed": "pause", "failed": "ended"}  # for what is due, after what
MARKS = {"attempt-failed": "failed", "failed": "failed", "succeeded": "succeeded"}
ENDS = frozenset({"attempt-failed", "succeeded", "failed", "cancelled", "asked", "expires", "now"})
STARTS = frozenset({"reserved", "started"})


@dataclass(frozen=True, slots=True)
class Part:
    """The time between two events, in units of the picture."""

    kind: str
    x: str
    width: str
    middle: str
    label: str
    length: str


@dataclass(frozen=True, slots=True)
class Mark:
    """An event, in units of the picture."""

    kind: str
    x: str
    label: str


@dataclass(frozen=True, slots=True)
class Picture:
    """What the template draws; longer parts are wider, though not in proportion."""

    parts: list[Part]
    marks: list[Mark]
    legend: list[tuple[str, str | Promise]]


def picture(events: Sequence[Event], now: datetime | None = None) -> Picture | None:
    """Return what is drawn of *events*, the earliest first; None where that is nothing.

    Args:
        now: Until when it has come. None means to its end, or not yet out of its rest.
    """
    if now is not None:
        events = sorted([*events, Event(now, "now", _("Now"))], key=attrgetter("at"))
    pairs = [pair for pair in pairwise(events[-MOST:]) if pair[1].at - pair[0].at >= LEAST]
    if not pairs:
        return None
    weights = [_weight(after.at - before.at) for before, after in pairs]
    unit = WIDTH / sum(weights)
    parts, marks, x = [], [Mark(_mark(pairs[0][0]), "0", _told(pairs[0][0]))], 0.0
    for (before, after), weight in zip(pairs, weights, strict=True):
        width = weight * unit
        parts.append(_part(before, after, x, width))
        x += width
        marks.append(Mark(_mark(after), f"{x:.1f}", _told(after)))
    used = {part.kind for part in parts}
    return Picture(parts, marks, [(kind, label) for kind, label in KINDS.items() if kind in used])


def _part(before: Event, after: Event, x: float, width: float) -> Part:
    kind, length = _kind(before, after), spans.length(after.at - before.at)
    return Part(
        kind=kind,
        x=f"{x:.1f}",
        width=f"{width:.1f}",
        middle=f"{x + width / 2:.1f}",
        label=f"{KINDS[kind]}: {length}",
        length=length if width >= ROOM else "",
    )


def _kind(before: Event, after: Event) -> str:
    if after.kind == "ahead":
        return "ahead"
    if before.kind == "started" and after.kind in ENDS:
        return "running"
    if after.kind == "due":
        return WAITS.get(before.kind, "scheduled")
    if before.kind == "failed":
        return "ended"
    if after.kind == GIVEN_BACK and before.kind != "attempt-failed":
        return GIVEN_BACK
    if before.kind == "attempt-failed":
        return "waiting" if after.kind == "now" else "pause"
    return "waiting"


def _mark(event: Event) -> str:
    return "ahead" if event.kind == "ahead" else MARKS.get(event.kind, "plain")


def _told(event: Event) -> str:
    return f"{event.label} {event.detail}".rstrip()


def _weight(span: timedelta) -> float:
    """Return how wide a part is beside others: a day some times a second, and not all of it."""
    return 1 + math.log10(1 + span / LEAST)

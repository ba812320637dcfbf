"""Spans of time in words."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import formats, timezone
from django.utils.translation import gettext as _

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


def distance(at: datetime) -> str:
    """Return how long ago *at* was, or how far ahead it is."""
    passed = timezone.now() - at
    if abs(passed) < timedelta(seconds=1):
        return _("now")
    if passed < timedelta(0):
        return _("in %(length)s") % {"length": _units(-passed)[0]}
    return _("%(length)s ago") % {"length": _units(passed)[0]}


def age(at: datetime) -> str:
    """Return the time since *at* in one unit."""
    return _units(timezone.now() - at)[0]


def length(span: timedelta) -> str:
    """Return a span in its two largest units: ``2 h 5 min``, ``1.3 s``, ``12 ms``."""
    seconds = max(span.total_seconds(), 0)
    if seconds < 0.9995:
        text = _("%(count)d ms") % {"count": round(seconds * 1000)}
    elif seconds < 9.95:
        text = _("%(count)s s") % {"count": formats.number_format(round(seconds, 1), 1)}
    else:
        text = " ".join(_units(span)[:2])
    return text.replace(" ", NO_BREAK_SPACE)


def _units(span: timedelta) -> list[str]:
    """Return a span in whole seconds and larger units, the largest first, none of them zero."""
    minutes, seconds = divmod(max(round(span.total_seconds()), 0), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [
        (days, _("%(count)d d")),
        (hours, _("%(count)d h")),
        (minutes, _("%(count)d min")),
        (seconds, _("%(count)d s")),
    ]
    shown = [text % {"count": count} for count, text in units if count]
    return shown or [_("%(count)d s") % {"count": 0}]


def between(start: datetime | None, end: datetime | None) -> str | None:
    """Return the span from *start* to *end* in words, or None when one is missing."""
    return None if start is None or end is None else length(end - start)

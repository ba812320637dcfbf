"""What stands in one cell or beside one label: small pieces of HTML, each from its template."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.template.loader import render_to_string
from django.utils import formats, timezone
from django.utils.safestring import SafeString
from django.utils.text import Truncator, capfirst
from django.utils.translation import gettext as _

from django_jobflow.models import JobRecord
from django_jobflow.models.records import JobFacts
from django_jobflow.states import PENDING, JobState

MESSAGE_SHOWN = 80  # characters of an error's message in a list
MESSAGE_TITLE = 500  # and in its title
RESULT_SHOWN = 60  # characters of a result in a list
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


def badge(state: str) -> SafeString:
    """Return the state as a word in a coloured frame."""
    if state not in JobState.values:
        return badge_of("", state)
    return badge_of(state.lower(), str(capfirst(JobState(state).label)))


def badge_of(kind: str, label: str) -> SafeString:
    """Return *label* in the colour of *kind*."""
    return _rendered("_state_badge.html", kind=kind, label=label)


def name(job: JobFacts) -> SafeString:
    """Return the name, which may break into lines behind its dots."""
    *parents, last = job.name.split(".")
    return _rendered("_name.html", parents=parents, last=last)


def moment(at: datetime | None, text: str | None = None) -> SafeString | None:
    """Return a moment as *text*, or as its distance from now, with the full value in the title."""
    if at is None:
        return None
    return _rendered("_moment.html", at=at, text=distance(at) if text is None else text)


def full(at: datetime | None) -> SafeString | None:
    """Return a moment in full, with its distance from now behind it."""
    return None if at is None else _rendered("_full_moment.html", at=at, text=distance(at))


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


def attempts(job: JobFacts) -> str:
    """Return ``1 of 5``."""
    return _("%(made)d of %(most)d") % {"made": job.attempt, "most": job.max_attempts}


def next_run(record: JobRecord) -> SafeString | str | None:
    """Return when a worker may take the record; None when it waits for no time."""
    if record.state == JobState.AVAILABLE:
        return _("now")
    return moment(record.available_at) if record.state in PENDING else None


def last_error(job: JobFacts) -> SafeString | None:
    """Return the class and the beginning of the message of the last error."""
    if not job.errors:
        return None
    kind, message = error_of(job.errors[-1])
    return _rendered(
        "_error.html",
        kind=short_kind(kind),
        message=Truncator(" ".join(message.split())).chars(MESSAGE_SHOWN),
        title=Truncator(f"{kind}: {message}").chars(MESSAGE_TITLE),
    )


def result(text: str) -> SafeString:
    """Return the beginning of a result."""
    return _rendered("_result.html", text=Truncator(text).chars(RESULT_SHOWN))


def error_of(entry: Any) -> tuple[str, str]:
    """Return class and message of an entry of ``errors``, whatever somebody has put there."""
    if not isinstance(entry, dict):
        return "", str(entry)
    return str(entry.get("exception") or ""), str(entry.get("message") or "")


def short_kind(kind: str) -> str:
    """Return the name of an exception's class without its module."""
    return kind.rpartition(".")[2]


def _rendered(template: str, **context: Any) -> SafeString:
    return render_to_string(f"jobflow/{template}", context)

"""What stands in one cell or beside one label: small pieces of HTML, each from its template."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.template.loader import render_to_string
from django.utils import formats
from django.utils.safestring import SafeString
from django.utils.text import Truncator, capfirst
from django.utils.translation import gettext as _

from django_jobflow.models import JobRecord
from django_jobflow.models.records import JobFacts
from django_jobflow.observe import Count, spans
from django_jobflow.observe.readable import TEXT_SHOWN, pretty
from django_jobflow.states import PENDING, JobState

MESSAGE_SHOWN = 80  # characters of an error's message in a list
MESSAGE_TITLE = 500  # and in its title
MESSAGE_READ = 2000  # from which they are made
RESULT_SHOWN = 60  # characters of a result in a list
TEXTS_SHOWN = 1000  # of a list of tags or queues
ENTRIES_SHOWN = 100  # failed attempts on a page, the latest


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
    return _rendered("_moment.html", at=at, text=spans.distance(at) if text is None else text)


def full(at: datetime | None) -> SafeString | None:
    """Return a moment in full, with its distance from now behind it."""
    return None if at is None else _rendered("_full_moment.html", at=at, text=spans.distance(at))


def number(count: Count | int) -> str:
    """Return a number as the language writes it; a plus says that there may be more."""
    if isinstance(count, int):
        return str(formats.number_format(count, force_grouping=True))
    return f"{number(count.number)}{'+' if count.is_more else ''}"


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
    errors = listed(job.errors)
    if not errors:
        return None
    kind, message = (said[:MESSAGE_READ] for said in error_of(errors[-1]))
    return _rendered(
        "_error.html",
        kind=short_kind(kind),
        message=Truncator(" ".join(message.split())).chars(MESSAGE_SHOWN),
        title=Truncator(f"{kind}: {message}").chars(MESSAGE_TITLE),
    )


def last_kind(job: JobFacts) -> str:
    """Return the name of the class of the last error."""
    errors = listed(job.errors)
    return short_kind(error_of(errors[-1])[0]) if errors else ""


def result(text: str) -> SafeString:
    """Return the beginning of a result."""
    return _rendered("_result.html", text=Truncator(text).chars(RESULT_SHOWN))


def with_link(text: str, url: str, label: str) -> SafeString:
    """Return *text* with a link behind it."""
    return _rendered("_with_link.html", text=text, url=url, label=label)


def error_of(entry: Any) -> tuple[str, str]:
    """Return class and message of an entry of ``errors``, whatever somebody has put there."""
    if not isinstance(entry, dict):
        return "", as_text(entry)
    return as_text(entry.get("exception") or ""), as_text(entry.get("message") or "")


def as_text(stored: Any) -> str:
    """Return what a row holds as a text, whatever somebody has put in its place; not all of it."""
    return stored[:TEXT_SHOWN] if isinstance(stored, str) else pretty(stored)


def listed(stored: Any) -> list[Any]:
    """Return a list that a row holds, whatever somebody has put in its place."""
    if isinstance(stored, list):
        return stored
    return [stored] if stored else []


def joined(stored: Any) -> str:
    """Return the texts of a list that a row holds, one behind the other; not all of them."""
    return ", ".join(map(as_text, listed(stored)[:TEXTS_SHOWN]))[:TEXT_SHOWN]


def short_kind(kind: str) -> str:
    """Return the name of an exception's class without its module."""
    return kind.rpartition(".")[2]


def _rendered(template: str, **context: Any) -> SafeString:
    return render_to_string(f"jobflow/{template}", context)

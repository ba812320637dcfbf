"""What happened to a job and when, with the waits and the lengths in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_jobflow.admin import cells
from django_jobflow.attempts import waiting_since
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.models.records import JobFacts
from django_jobflow.observe import spans
from django_jobflow.states import EDITABLE, HELD, UNFINISHED, JobState

LONGEST = 10 * 365 * 86_400  # seconds that an attempt can have run
GIVEN_BACK = "given-back"  # a reservation before which others have come to nothing
DUE_APART = timedelta(seconds=1)  # due so soon after the enqueue is due at once


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened or is to happen.

    Attributes:
        kind: A word for the style sheet.
        label: What happened.
        detail: Who or what else; may be empty.
        gap: How long it is to the next one, and what for; empty when that is at once.
    """

    at: datetime
    kind: str
    label: str
    detail: str = ""
    gap: str = ""


def timeline(job: JobFacts) -> list[Event]:
    """Return the events of *job*, the earliest first."""
    events = sorted(_events(job), key=lambda event: event.at)
    gaps = [*(_gap(before, after) for before, after in pairwise(events)), ""]
    now = timezone.now()
    return [
        replace(event, gap=gap, kind="ahead" if event.at > now else event.kind)
        for event, gap in zip(events, gaps, strict=True)
    ]


def waited(job: JobFacts) -> timedelta | None:
    """Return how long the job, once due, waited for its last attempt to start."""
    if job.started_at is None:
        return None
    return job.started_at - waiting_since(job)


def _events(job: JobFacts) -> Iterator[Event]:
    yield Event(job.created_at, "enqueued", _("Enqueued"))
    entries = cells.listed(job.errors)[-cells.ENTRIES_SHOWN :]
    for entry, was_last in zip(entries, _were_last(job, entries), strict=True):
        yield from _failure(entry, was_last)
    # The row knows when its last attempt has started.
    for entry in entries[:-1] if job.started_at and not _has_begun_anew(job) else entries:
        yield from _start(entry)
    if job.available_at - job.created_at >= DUE_APART:
        yield Event(job.available_at, "due", _("Due"))
    if job.reserved_at:
        kind, detail = "reserved", job.reserved_by or ""
        if times := _times_given_back(job):
            kind, detail = GIVEN_BACK, f"{detail} ({_given_back(times)})".lstrip()
        yield Event(job.reserved_at, kind, _("Reserved"), detail)
    if job.started_at:
        yield Event(job.started_at, "started", _("Started"))
    if isinstance(job, SucceededJob):
        yield Event(job.succeeded_at, "succeeded", _("Succeeded"))
    elif isinstance(job, JobRecord):
        yield from _of_record(job)


def _of_record(record: JobRecord) -> Iterator[Event]:
    if record.cancel_requested_at:
        yield Event(record.cancel_requested_at, "asked", _("Asked to stop"))
    if record.finished_at and _is_failed(record):
        yield Event(record.finished_at, "failed", _("Failed for good"))
    elif record.finished_at:
        yield Event(record.finished_at, "cancelled", _("Cancelled"))
    if record.state in HELD and record.expires:
        yield Event(record.expires, "expires", _("Lease ends"), _("unless it is renewed"))
    if record.expires_at and record.state in UNFINISHED:
        yield Event(record.expires_at, "pointless", _("Pointless to start after this"))


def _were_last(job: JobFacts, entries: list[Any]) -> list[bool]:
    """Say of each failure whether none was to follow: who retries a job counts from 1 again."""
    numbers = [entry.get("number") if isinstance(entry, dict) else None for entry in entries]
    latest = job.attempt + (0 if _has_begun_anew(job) else 1)
    following = [*numbers[1:], None if _is_failed(job) else latest]
    return [
        isinstance(number, int) and isinstance(after, int) and after <= number
        for number, after in zip(numbers, following, strict=False)
    ]


def _times_given_back(job: JobFacts) -> int:
    """Return how often a worker has held the job of which no attempt tells.

    It has stopped and given the job back, or the body has snoozed. A success does not know.
    """
    if not isinstance(job, JobRecord):
        return 0
    is_told = job.state not in {*EDITABLE, JobState.FAILED}  # of the last one, not by its error
    return max(job.reserved_count - len(cells.listed(job.errors)) - is_told, 0)


def _given_back(times: int) -> str:
    return ngettext(
        "after a worker gave it back %(count)d time",
        "after workers gave it back %(count)d times",
        times,
    ) % {"count": times}


def _is_failed(job: JobFacts) -> bool:
    return isinstance(job, JobRecord) and job.state == JobState.FAILED


def _failure(entry: Any, was_last: bool) -> Iterator[Event]:
    at = error_moment(entry)
    if at is not None:
        kind, _message = cells.error_of(entry)
        label = _("Attempt %(number)s failed") % {
            "number": cells.as_text(entry.get("number", "?"))
        }
        yield Event(at, "attempt-failed", label, cells.short_kind(kind))
        if was_last:
            yield Event(at, "failed", _("Failed for good"))


def _start(entry: Any) -> Iterator[Event]:
    """Yield the start of an attempt that has failed, if it is known how long it ran."""
    at, seconds = error_moment(entry), entry.get("seconds") if isinstance(entry, dict) else None
    if at is not None and isinstance(seconds, int | float) and 0 <= seconds < LONGEST:
        label = _("Attempt %(number)s started") % {
            "number": cells.as_text(entry.get("number", "?"))
        }
        yield Event(at - timedelta(seconds=seconds), "started", label)


def _has_begun_anew(job: JobFacts) -> bool:
    """Say whether the last attempt that has started is not the last that has failed."""
    return isinstance(job, SucceededJob) or (
        isinstance(job, JobRecord) and job.state == JobState.IN_PROGRESS
    )


def error_moment(entry: Any) -> datetime | None:
    """Return when an attempt ended, as a moment that compares with those of the row."""
    try:
        at = datetime.fromisoformat(entry["at"])
    except (KeyError, TypeError, ValueError):
        return None
    if timezone.is_naive(timezone.now()):  # without USE_TZ, rows have the local time
        return timezone.make_naive(at) if timezone.is_aware(at) else at
    return at if timezone.is_aware(at) else at.replace(tzinfo=UTC)


def _gap(before: Event, after: Event) -> str:
    span = after.at - before.at
    if span < timedelta(milliseconds=1):
        return ""
    text = _("%(length)s later")
    if before.kind == "started" and after.kind in {"attempt-failed", "succeeded", "failed"}:
        text = _("ran for %(length)s")
    elif after.kind in {"reserved", "started"}:
        text = _("waited %(length)s")
    return text % {"length": spans.length(span)}

"""What the page of a job shows of its row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from django.utils.text import capfirst
from django.utils.translation import gettext as _

from django_jobflow import tracebacks
from django_jobflow.admin import cells, live, timeline
from django_jobflow.arguments import HIDDEN
from django_jobflow.declare.secrecy import secrecy_of
from django_jobflow.engines import engine_for
from django_jobflow.logs import LogLine
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.models.records import JobFacts
from django_jobflow.observe import spans
from django_jobflow.observe.readable import pretty, pretty_members
from django_jobflow.states import JobState

IN_PROGRESS = JobState.IN_PROGRESS
OPTIONAL = ("partition", "queue_key", "execution_key")
LOGS_SHOWN = 5  # attempts, the latest


@dataclass(frozen=True, slots=True)
class Fact:
    """A label and what stands beside it: text, or HTML from a template.

    Attributes:
        url: Where more is told about it, as far as the user may see that.
    """

    label: str
    value: Any
    url: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A failed attempt, from an entry of ``errors``."""

    number: str
    at: datetime | None
    worker: str
    kind: str
    message: str
    traceback: str

    @property
    def short_kind(self) -> str:
        """The name of the exception's class."""
        return cells.short_kind(self.kind)

    @property
    def parts(self) -> list[tracebacks.Part]:
        """The traceback, cut where frames of libraries begin and end."""
        return tracebacks.parts(self.traceback)


@dataclass(frozen=True, slots=True)
class AttemptLog:
    """What an attempt has logged.

    Attributes:
        hold: Which reservation of the record it was.
        total: How many lines it has logged in all.
    """

    number: int
    worker: str
    lines: list[LogLine]
    hold: int
    total: int


@dataclass(frozen=True, slots=True)
class Code:
    """A titled piece of text that keeps its lines."""

    title: str
    text: str


def facts(job: JobFacts, urls: Mapping[str, str]) -> list[Fact]:
    """Return the short facts of *job*, without those that it does not have.

    Args:
        urls: By the name of a field: where more is told about what it holds.
    """
    shown = [*_facts(job, urls), *_moments(job)]
    return [fact for fact in shown if fact.value not in (None, "")]


def _facts(job: JobFacts, urls: Mapping[str, str]) -> Iterator[Fact]:
    yield _field(job, "queue", urls)
    yield _field(job, "priority")
    yield Fact(_("Attempts"), cells.attempts(job))
    limit = _("none") if job.timeout is None else spans.length(job.timeout)
    yield Fact(_("Time limit"), limit)
    for name in OPTIONAL:
        yield _field(job, name, urls)
    yield Fact(_("Tags"), cells.joined(job.tags))
    yield _field(job, "reserved_by", urls)
    yield _field(job, "batch_id", urls)
    if url := urls.get("fingerprint"):
        yield Fact(_("Kind of failure"), cells.last_kind(job), url)
    # While it runs, the page has a part for it, which is kept up to date.
    if job.progress is not None and isinstance(job, JobRecord) and job.state != IN_PROGRESS:
        message = f" ({job.progress_message})" if job.progress_message else ""
        yield Fact(_("Progress"), f"{job.progress} %{message}")


def _moments(job: JobFacts) -> Iterator[Fact]:
    yield Fact(_("Enqueued"), cells.full(job.created_at))
    if isinstance(job, SucceededJob):
        ran = spans.between(job.started_at, job.succeeded_at)
        waited = timeline.waited(job)
        yield Fact(_("Waited"), None if waited is None else spans.length(waited))
        yield Fact(_("Ran for"), ran)
        yield Fact(_("Succeeded"), cells.full(job.succeeded_at))
    elif isinstance(job, JobRecord):
        yield Fact(_("Next run"), cells.next_run(job))
        yield Fact(_("Lease ends"), cells.full(job.expires))
        yield Fact(_("Pointless after"), cells.full(job.expires_at))
        yield Fact(_("Ended"), cells.full(job.finished_at))


def attempts(job: JobFacts) -> list[Attempt]:
    """Return the latest failed attempts of *job*, the last one first."""
    latest = cells.listed(job.errors)[-cells.ENTRIES_SHOWN :]
    return [_attempt(entry) for entry in reversed(latest)]


def earlier(job: JobFacts) -> int:
    """Return how many failed attempts of *job* there are beside those that are shown."""
    return max(len(cells.listed(job.errors)) - cells.ENTRIES_SHOWN, 0)


def logs(job: JobFacts) -> list[AttemptLog]:
    """Return what the latest attempts of *job* have logged, the last one first.

    Database:
        One statement.
    """
    kept = engine_for(job._state.db).logs_of(job.pk)
    return [
        AttemptLog(log.attempt, log.worker, log.lines, log.reserved_count, live.total(log))
        for log in kept[: -LOGS_SHOWN - 1 : -1]
    ]


def codes(job: JobFacts) -> list[Code]:
    """Return the arguments, the result and the meta data of *job* as readable text."""
    found = []
    secrecy = secrecy_of(job.name)
    args, kwargs = secrecy.masked(job.args, job.kwargs)
    if args:
        found.append(Code(_("Positional arguments"), pretty(args)))
    if kwargs or not args:
        text = pretty_members(kwargs) if kwargs else _("none")
        found.append(Code(_("Arguments"), text))
    if isinstance(job, SucceededJob):
        result = HIDDEN if secrecy.hides_result else job.result
        found.append(Code(_("Result"), pretty(result)))
    if job.meta:
        found.append(Code(_("Meta"), pretty_members(job.meta)))
    return found


def _attempt(entry: Any) -> Attempt:
    kind, message = cells.error_of(entry)
    known = entry if isinstance(entry, dict) else {}
    return Attempt(
        number=cells.as_text(known.get("number", "?")),
        at=timeline.error_moment(entry),
        worker=cells.as_text(known.get("worker") or ""),
        kind=kind,
        message=message,
        traceback=cells.as_text(known.get("traceback") or ""),
    )


def _field(job: JobFacts, name: str, urls: Mapping[str, str] = MappingProxyType({})) -> Fact:
    label = str(capfirst(job._meta.get_field(name).verbose_name))  # type: ignore[union-attr]
    return Fact(label, getattr(job, name), urls.get(name, ""))

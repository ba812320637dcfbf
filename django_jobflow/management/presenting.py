"""A job as a row of a table, as facts, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django_jobflow.arguments import HIDDEN
from django_jobflow.declare.secrecy import secrecy_of
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.models.records import JobFacts
from django_jobflow.observe import SUCCEEDED, spans
from django_jobflow.states import PENDING, JobState

ERROR_SHOWN = 60  # characters of an error in a table

LIVE_HEADS = ("id", "state", "job", "queue", "attempts", "age", "next run", "last error")
SUCCEEDED_HEADS = ("id", "job", "queue", "attempts", "age", "ran for", "succeeded")

FACTS = (
    "id",
    "name",
    "queue",
    "partition",
    "priority",
    "attempt",
    "max_attempts",
    "timeout",
    "queue_key",
    "execution_key",
    "tags",
    "created_at",
    "available_at",
    "reserved_by",
    "reserved_at",
    "started_at",
    "progress",
    "progress_message",
)
LIVE_FACTS = ("expires", "expires_at", "finished_at", "updated_at", "cancel_requested_at")
LARGE = ("args", "kwargs", "meta")  # not read for a list


def state_of(job: JobFacts) -> str:
    """Return the state of *job* as a word."""
    return str(job.state) if isinstance(job, JobRecord) else SUCCEEDED


def heads(*, is_of_succeeded: bool) -> tuple[str, ...]:
    """Return the heads of the columns of a list."""
    return SUCCEEDED_HEADS if is_of_succeeded else LIVE_HEADS


def row(job: JobFacts) -> list[Any]:
    """Return the cells of *job*, as the heads of its kind name them."""
    attempts = f"{job.attempt}/{job.max_attempts}"
    age = spans.age(job.created_at)
    if isinstance(job, SucceededJob):
        ran = spans.between(job.started_at, job.succeeded_at)
        succeeded = spans.distance(job.succeeded_at)
        return [job.pk, job.name, job.queue, attempts, age, ran, succeeded]
    state = state_of(job)
    return [job.pk, state, job.name, job.queue, attempts, age, next_run(job), last_error(job)]


def next_run(job: JobFacts) -> str | None:
    """Return when a worker may take *job*; None when it waits for no time."""
    state = state_of(job)
    if state == JobState.AVAILABLE:
        return "now"
    return spans.distance(job.available_at) if state in PENDING else None


def last_error(job: JobFacts, most: int = ERROR_SHOWN) -> str | None:
    """Return class and message of the last error, no more than so many characters of them."""
    error = errors_of(job)[-1:]
    if not error:
        return None
    kind, message = (str(error[0].get(part, "")) for part in ("exception", "message"))
    text = f"{kind.rpartition('.')[2]}: {' '.join(message[:1000].split())}"
    return text if len(text) <= most else f"{text[: most - 1]}…"


def errors_of(job: JobFacts) -> list[dict[str, Any]]:
    """Return the entries of ``errors``, without what somebody has put among them."""
    errors = job.errors if isinstance(job.errors, list) else []
    return [entry for entry in errors if isinstance(entry, dict)]


def as_json(job: JobFacts, *, in_full: bool = False) -> dict[str, Any]:
    """Return *job* for JSON.

    Args:
        in_full: With its arguments, its result and the errors of all attempts; what its job
            calls sensitive is hidden.
    """
    live = LIVE_FACTS if isinstance(job, JobRecord) else ("succeeded_at",)
    shown = {"state": state_of(job)} | {name: getattr(job, name) for name in (*FACTS, *live)}
    shown["last_error"] = last_error(job, most=1000)
    return shown | dict(_rest(job)) if in_full else shown


def _rest(job: JobFacts) -> Iterator[tuple[str, Any]]:
    secrecy = secrecy_of(job.name)
    args, kwargs = secrecy.masked(job.args, job.kwargs)
    yield from {"args": args, "kwargs": kwargs, "meta": job.meta, "errors": job.errors}.items()
    if isinstance(job, SucceededJob):
        yield "result", HIDDEN if secrecy.hides_result else job.result

"""``manage.py jobflow show``: what is known of one job?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser

from django_jobflow import observe
from django_jobflow.engines import engine_for
from django_jobflow.management import presenting
from django_jobflow.management.arguments import job_id
from django_jobflow.management.output import Output
from django_jobflow.management.subcommands.base import Asking
from django_jobflow.models import JobLog, JobRecord, SucceededJob
from django_jobflow.models.records import JobFacts
from django_jobflow.observe import spans
from django_jobflow.observe.readable import pretty, pretty_members
from django_jobflow.sentences import moment


def found(alias: str, pk: int) -> JobFacts:
    """Return the job of this number, wherever it is."""
    job = observe.find(pk, alias)
    if job is None:
        raise CommandError(f"There is no job {pk} in the database {alias!r}.")
    return job


class Show(Asking):
    """Prints the facts, the arguments and the failed attempts of one job."""

    name = "show"
    help = "Show one job: its facts, its arguments, its errors. Sensitive values are hidden."

    @classmethod
    def add_arguments(cls, parser: CommandParser) -> None:
        parser.add_argument("id", type=job_id, metavar="ID", help="The job's number.")
        parser.add_argument(
            "--logs",
            action="store_true",
            help="Show also what its attempts have logged, if it keeps that.",
        )
        super().add_arguments(parser)

    def answer(self, alias: str, output: Output, options: dict[str, Any]) -> int:
        job = found(alias, options["id"])
        logs = engine_for(alias).logs_of(job.pk) if options["logs"] else []
        if options["json"]:
            told = presenting.as_json(job, in_full=True)
            if options["logs"]:
                told["logs"] = [asdict(line) for log in logs for line in log.lines]
            output.json(told)
            return 0
        output.facts(_facts(job))
        for title, text in (*_texts(job), *map(_log, logs)):
            output.text(title, text)
        return 0


def _facts(job: JobFacts) -> Iterator[tuple[str, Any]]:
    yield "Job", job.pk
    yield "Name", job.name
    yield "State", presenting.state_of(job)
    yield "Queue", job.queue
    yield "Partition", job.partition
    yield "Priority", job.priority
    yield "Attempts", f"{job.attempt} of {job.max_attempts}"
    yield "Time limit", "none" if job.timeout is None else spans.length(job.timeout)
    yield "Queue key", job.queue_key
    yield "Execution key", job.execution_key
    yield "Tags", ", ".join(map(str, job.tags)) if isinstance(job.tags, list) else job.tags
    yield "Worker", job.reserved_by
    if job.progress is not None:
        yield "Progress", f"{job.progress} % {job.progress_message}".rstrip()
    yield from _moments(job)


def _moments(job: JobFacts) -> Iterator[tuple[str, Any]]:
    yield "Enqueued", _moment(job.created_at)
    yield "Due", _moment(job.available_at)
    yield "Started", _moment(job.started_at)
    if isinstance(job, JobRecord):
        yield "Lease ends", _moment(job.expires)
        yield "Pointless after", _moment(job.expires_at)
        yield "Cancel requested", _moment(job.cancel_requested_at)
        yield "Ended", _moment(job.finished_at)
    if isinstance(job, SucceededJob):
        yield "Succeeded", _moment(job.succeeded_at)
        yield "Ran for", spans.between(job.started_at, job.succeeded_at)


def _moment(at: Any) -> str | None:
    return None if at is None else f"{moment(at)} ({spans.distance(at)})"


def _log(log: JobLog) -> tuple[str, str]:
    title = f"Logged by attempt {log.attempt}, {log.worker}"
    return title, "\n".join(map(str, log.lines))


def _texts(job: JobFacts) -> Iterator[tuple[str, str]]:
    told = presenting.as_json(job, in_full=True)
    if told["args"]:
        yield "Positional arguments", pretty(told["args"])
    if told["kwargs"]:
        yield "Arguments", pretty_members(told["kwargs"])
    if job.meta:
        yield "Meta", pretty_members(job.meta)
    if isinstance(job, SucceededJob):
        yield "Result", pretty(told["result"])
    for entry in presenting.errors_of(job):
        title = f"Attempt {entry.get('number', '?')}, {entry.get('at')}, {entry.get('worker')}"
        text = entry.get("traceback") or f"{entry.get('exception')}: {entry.get('message')}"
        yield title, str(text)

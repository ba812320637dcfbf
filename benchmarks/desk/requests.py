"""One request at least for each address of the admin that is ours.

A new page has no request here until somebody writes one; a test fails until then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.urls import URLPattern, URLResolver, reverse

from django_jobflow.models import (
    AuditEntry,
    Batch,
    BulkOperation,
    FailureGroup,
    JobRecord,
    Limit,
    Pause,
    SavedView,
    SucceededJob,
    Worker,
)
from django_jobflow.states import JobState


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        title: What somebody does, in a few words.
        path: Where.
        data: What is posted. None asks for the page.
    """

    title: str
    path: str
    data: dict[str, Any] | None = None


@dataclass(slots=True)
class Sample:
    """Rows that requests are about; each one that is changed is another."""

    used: list[int] = field(default_factory=list)

    def record(self, state: JobState) -> int:
        """Return the number of a live job in *state* that no request was about."""
        rows = JobRecord._base_manager.filter(state=state.value).exclude(pk__in=self.used)
        found: int = rows.values_list("pk", flat=True)[:1][0]
        self.used.append(found)
        return found

    @property
    def busiest(self) -> str:
        """The queue of the jobs that wait."""
        rows = JobRecord._base_manager.filter(state=JobState.AVAILABLE.value, priority__gte=-100)
        found: str = rows.order_by("-priority", "available_at", "id")[:1][0].queue
        return found

    def first(self, model: Any) -> Any:
        """Return the key of a row of *model*."""
        return model._base_manager.order_by("pk").values_list("pk", flat=True)[:1][0]


FIRST_PAGE = "app_list"
"""The name of an address that is Django's, with a page of ours."""

Build = Callable[[Sample], Iterator[Request]]

REQUESTS: dict[str, Build] = {}
"""By the name of an address: what yields the requests that are made to it."""

ELSEWHERE = {
    f"jobflow_{model}_{page}"
    for page, models in {
        "add": (
            "auditentry",
            "batch",
            "bulkoperation",
            "failedjob",
            "failuregroup",
            "jobrecord",
            "succeededjob",
            "worker",
        ),
        "delete": ("auditentry", "batch", "bulkoperation", "failuregroup", "worker"),
    }.items()
    for model in models
}
"""Addresses that Django has for every model, and at which nobody is let in here."""


def at(*names: str) -> Callable[[Build], Build]:
    """Let a function yield the requests that are made to the addresses of these *names*."""

    def register(build: Build) -> Build:
        for name in names:
            REQUESTS[name] = build
        return build

    return register


def names() -> set[str]:
    """Return the names of all addresses of the admin that are ours."""
    found = set(_names(admin.site.get_urls()))
    return {name for name in found if name.startswith("jobflow_")} | {FIRST_PAGE}


def _names(patterns: list[Any]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _names(pattern.url_patterns)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield pattern.name


def url(name: str, *args: Any, **query: Any) -> str:
    """Return the address of this *name*."""
    path = reverse(f"admin:jobflow_{name}", args=[quote(each) for each in args])
    return f"{path}?{urlencode(query)}" if query else path


def action(name: str, rows: list[Any], **more: Any) -> dict[str, Any]:
    """Return what a list is sent to do an action to *rows*."""
    return {"action": name, "index": 0, "_selected_action": rows} | more


@at("jobflow_history_changelist", "jobflow_history_data")
def overview(sample: Sample) -> Iterator[Request]:
    yield Request("overview", url("history_changelist"))
    yield Request("numbers of the overview", url("history_data"))
    week = {"span": "week", "queue": sample.busiest}
    yield Request("numbers of a week of a queue", url("history_data", **week))


# Lists and pages of jobs


@at(FIRST_PAGE)
def first_page(sample: Sample) -> Iterator[Request]:
    yield Request("first page", reverse("admin:app_list", kwargs={"app_label": "jobflow"}))


@at("jobflow_jobrecord_changelist")
def live_jobs(sample: Sample) -> Iterator[Request]:
    yield Request("list of the live jobs", url("jobrecord_changelist"))
    for state in JobState:
        title = f"list of those that are {state.value}"
        yield Request(title, url("jobrecord_changelist", state=state.value))
    for name, value in (
        ("error", "smtplib.SMTPServerDisconnected"),
        ("worker", sample.first(Worker)),
        ("partition", '""'),
        ("tag", "import-7"),
    ):
        title = f"list of the live jobs, filter by {name}"
        yield Request(title, url("jobrecord_changelist", **{name: value}))
    some = [sample.record(JobState.SCHEDULED) for _ in range(3)]
    for verb in ("run_now", "cancel"):
        yield Request(f"{verb} 3 jobs", url("jobrecord_changelist"), action(verb, some))


@at("jobflow_failedjob_changelist")
def failed_jobs(sample: Sample) -> Iterator[Request]:
    yield Request("list of the failed jobs", url("failedjob_changelist"))
    some = [sample.record(JobState.FAILED) for _ in range(3)]
    yield Request("retry 3 jobs", url("failedjob_changelist"), action("retry", some))
    some = [sample.record(JobState.FAILED) for _ in range(3)]
    asked = action("delete_selected", some)
    yield Request("delete 3 jobs: ask", url("failedjob_changelist"), asked)
    yield Request("delete 3 jobs", url("failedjob_changelist"), asked | {"post": "yes"})


@at("jobflow_succeededjob_changelist")
def succeeded_jobs(sample: Sample) -> Iterator[Request]:
    yield Request("list of the succeeded jobs", url("succeededjob_changelist"))
    some = [sample.first(SucceededJob)]
    asked = action("delete_selected", some, post="yes")
    yield Request("delete one from the history", url("succeededjob_changelist"), asked)


def _of_a_job(model: str, state: JobState) -> None:
    @at(*(f"jobflow_{model}_{page}" for page in ("change", "delete", "history", "live")))
    def pages(sample: Sample) -> Iterator[Request]:
        pk = sample.record(state)
        yield Request(f"page of a job, {model}", url(f"{model}_change", pk))
        yield Request(f"what of it moves, {model}", url(f"{model}_live", pk))
        yield Request(f"its history, {model}", url(f"{model}_history", pk))
        yield Request(f"delete a job: ask, {model}", url(f"{model}_delete", pk))
        yield Request(f"delete a job, {model}", url(f"{model}_delete", pk), {"post": "yes"})

    @at(*(f"jobflow_{model}_{verb}" for verb in ("retry", "run_now", "cancel")))
    def verbs(sample: Sample) -> Iterator[Request]:
        for verb, origin in (
            ("retry", JobState.FAILED),
            ("run_now", JobState.SCHEDULED),
            ("cancel", JobState.AVAILABLE),
        ):
            if model == "failedjob" and verb != "retry":
                origin = JobState.FAILED  # refused, but asked for
            path = url(f"{model}_{verb}", sample.record(origin))
            yield Request(f"{verb} a job, {model}", path, {})

    @at(f"jobflow_{model}_edit", f"jobflow_{model}_reschedule")
    def changes(sample: Sample) -> Iterator[Request]:
        edited = url(f"{model}_edit", sample.record(JobState.FAILED))
        yield Request(f"retry with other arguments: ask, {model}", edited)
        path = url(f"{model}_reschedule", sample.record(JobState.SCHEDULED))
        yield Request(f"reschedule a job: ask, {model}", path)
        yield Request(f"reschedule a job, {model}", path, {"run_at": "2099-01-31T18:00"})


_of_a_job("jobrecord", JobState.RETRY)
_of_a_job("failedjob", JobState.FAILED)


@at(
    "jobflow_succeededjob_change",
    "jobflow_succeededjob_delete",
    "jobflow_succeededjob_history",
)
def succeeded_job(sample: Sample) -> Iterator[Request]:
    pk = sample.first(SucceededJob)
    yield Request("page of a succeeded job", url("succeededjob_change", pk))
    yield Request("its history", url("succeededjob_history", pk))
    yield Request("delete a succeeded job: ask", url("succeededjob_delete", pk))
    yield Request("delete a succeeded job", url("succeededjob_delete", pk), {"post": "yes"})


@at(*(f"jobflow_{model}_completions" for model in ("jobrecord", "failedjob", "succeededjob")))
def searches(sample: Sample) -> Iterator[Request]:
    queue = sample.busiest
    yield Request("what a search can have", url("jobrecord_completions"))
    yield Request("the same of failed jobs", url("failedjob_completions"))
    yield Request("the same of the history", url("succeededjob_completions"))
    for model, search in (
        ("jobrecord", f"queue:{queue} state:available"),
        ("jobrecord", f"queue:{queue}"),
        ("jobrecord", "state:failed error:SMTPServerDisconnected"),
        ("jobrecord", "state:available arg.order_id:7"),
        ("jobrecord", "tag:import-7"),
        ("jobrecord", "age>1h"),
        ("failedjob", f"queue:{queue} age<1d"),
        ("succeededjob", f"queue:{queue}"),
    ):
        yield Request(f"search {search!r}, {model}", url(f"{model}_changelist", q=search))


@at(*(f"jobflow_bulkoperation_{page}" for page in ("changelist", "change", "history", "start")))
def operations(sample: Sample) -> Iterator[Request]:
    pk = sample.first(BulkOperation)
    yield Request("actions on searches", url("bulkoperation_changelist"))
    yield Request("page of such an action", url("bulkoperation_change", pk))
    yield Request("its history, actions on searches", url("bulkoperation_history", pk))
    asked = {"action": "retry", "q": "state:failed error:SMTPServerDisconnected"}
    dry_run = url("bulkoperation_start", **asked)
    yield Request("retry all that a search finds: dry run", dry_run)


@at("jobflow_bulkoperation_stop", "jobflow_bulkoperation_resume")
def one_operation(sample: Sample) -> Iterator[Request]:
    pk = sample.first(BulkOperation)
    yield Request("stop an action on a search", url("bulkoperation_stop", pk), {})
    yield Request("resume it", url("bulkoperation_resume", pk), {})


@at(
    *(f"jobflow_savedview_{page}" for page in ("changelist", "change", "history", "add", "delete"))
)
def saved_views(sample: Sample) -> Iterator[Request]:
    pk = sample.first(SavedView)
    yield Request("saved views", url("savedview_changelist"))
    for page in ("change", "history", "delete"):
        yield Request(f"{page} of a saved view", url(f"savedview_{page}", pk))
    yield Request("save a view: ask", url("savedview_add"))


# Failures


@at(
    "jobflow_failuregroup_changelist",
    "jobflow_failuregroup_change",
    "jobflow_failuregroup_history",
    *(f"jobflow_failuregroup_{verb}" for verb in ("mute", "unmute")),
)
def failures(sample: Sample) -> Iterator[Request]:
    pk = FailureGroup._base_manager.order_by("count", "pk").values_list("pk", flat=True)[:1][0]
    yield Request("failures", url("failuregroup_changelist"))
    yield Request("failures with a word", url("failuregroup_changelist", q="refused"))
    yield Request("page of a kind of failure", url("failuregroup_change", pk))
    yield Request("its history, failures", url("failuregroup_history", pk))
    yield Request("mute a kind of failure", url("failuregroup_mute", pk), {"for": "day"})
    yield Request("unmute it", url("failuregroup_unmute", pk), {})
    search = {"q": f"state:failed fingerprint:{pk}"}
    yield Request("its failed jobs", url("jobrecord_changelist", **search))
    for verb in ("retry", "delete"):
        asked = search | {"action": verb}
        yield Request(f"{verb} its jobs: dry run", url("bulkoperation_start", **asked))
    yield Request(
        "retry its jobs: start", url("bulkoperation_start"), search | {"action": "retry"}
    )


# Batches


@at("jobflow_batch_changelist", "jobflow_batch_change", "jobflow_batch_history")
def batches(sample: Sample) -> Iterator[Request]:
    pk = sample.first(Batch)
    yield Request("list of the batches", url("batch_changelist"))
    yield Request("page of a batch", url("batch_change", pk))
    yield Request("its history, batch", url("batch_history", pk))


# Queues, keys, workers, settings


@at("jobflow_queue_changelist", "jobflow_queue_change")
def queues(sample: Sample) -> Iterator[Request]:
    yield Request("queues", url("queue_changelist"))
    yield Request("page of a queue", url("queue_change", sample.busiest))


@at("jobflow_queue_pause", "jobflow_queue_resume", "jobflow_queue_purge")
def queue_verbs(sample: Sample) -> Iterator[Request]:
    queue = sample.busiest
    yield Request("pause a queue", url("queue_pause", queue), {"span": "900"})
    yield Request("resume a queue", url("queue_resume", queue), {})
    yield Request("empty a queue: ask", url("queue_purge", queue))
    wanted = {"states": ["AVAILABLE", "SCHEDULED", "RETRY", "WAITING", "FAILED"]}
    yield Request("empty a queue: dry run", url("queue_purge", queue), wanted | {"count": "yes"})


@at("jobflow_key_changelist")
def keys(sample: Sample) -> Iterator[Request]:
    yield Request("keys", url("key_changelist"))
    waits = JobRecord._base_manager.get(pk=sample.record(JobState.WAITING))
    query = {"q": waits.execution_key, "partition": waits.partition}
    yield Request("look a key up", url("key_changelist", **query))


@at("jobflow_database")
def database(sample: Sample) -> Iterator[Request]:
    yield Request("health of the database", url("database"))


@at("jobflow_configuration_changelist")
def configuration(sample: Sample) -> Iterator[Request]:
    yield Request("settings in force", url("configuration_changelist"))


@at(
    "jobflow_worker_changelist",
    "jobflow_worker_change",
    "jobflow_worker_history",
    "jobflow_worker_stop",
)
def workers(sample: Sample) -> Iterator[Request]:
    pk = sample.first(Worker)
    yield Request("workers", url("worker_changelist"))
    yield Request("page of a worker", url("worker_change", pk))
    yield Request("its history, worker", url("worker_history", pk))
    yield Request("stop a worker: ask", url("worker_stop", pk))
    yield Request("stop a worker", url("worker_stop", pk), {"kind": "command"})
    yield Request("recycle a worker", url("worker_changelist"), action("recycle", [pk]))


@at("jobflow_pause_changelist", "jobflow_pause_add")
def pauses(sample: Sample) -> Iterator[Request]:
    yield Request("list of the pauses", url("pause_changelist"))
    said = {"kind": "queue", "value": sample.busiest, "reason": "Measured"}
    yield Request("add a pause: ask", url("pause_add"))
    yield Request("add a pause", url("pause_add"), said)


@at("jobflow_pause_change", "jobflow_pause_history", "jobflow_pause_delete")
def one_pause(sample: Sample) -> Iterator[Request]:
    pk = sample.first(Pause)
    yield Request("page of a pause", url("pause_change", pk))
    yield Request("its history, pause", url("pause_history", pk))
    yield Request("resume by deleting: ask", url("pause_delete", pk))
    yield Request("resume by an action", url("pause_changelist"), action("resume", [pk]))


@at("jobflow_limit_changelist", "jobflow_limit_add")
def limits(sample: Sample) -> Iterator[Request]:
    yield Request("list of the limits", url("limit_changelist"))
    said = {"kind": "queue", "value": sample.busiest, "concurrency": "5"}
    yield Request("add a limit: ask", url("limit_add"))
    yield Request("add a limit", url("limit_add"), said | {"starts": "", "burst": ""})


@at("jobflow_limit_change", "jobflow_limit_history", "jobflow_limit_delete")
def one_limit(sample: Sample) -> Iterator[Request]:
    pk = sample.first(Limit)
    yield Request("page of a limit", url("limit_change", pk))
    yield Request("its history, limit", url("limit_history", pk))
    yield Request("clear a limit by deleting: ask", url("limit_delete", pk))
    yield Request("clear a limit", url("limit_changelist"), action("clear", [pk]))


@at("jobflow_auditentry_changelist", "jobflow_auditentry_change", "jobflow_auditentry_history")
def audit(sample: Sample) -> Iterator[Request]:
    pk = sample.first(AuditEntry)
    yield Request("audit", url("auditentry_changelist"))
    yield Request("audit of a queue", url("auditentry_changelist", q=f"queue:{sample.busiest}"))
    yield Request("page of an action", url("auditentry_change", pk))
    yield Request("its history, action", url("auditentry_history", pk))


def requests(sample: Sample) -> Iterator[Request]:
    """Yield all requests, those of one kind behind each other."""
    for build in dict.fromkeys(REQUESTS.values()):
        yield from build(sample)

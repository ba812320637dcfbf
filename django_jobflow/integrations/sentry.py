"""Errors and traces of jobs for Sentry.

``django_jobflow.integrations.sentry.SentryMiddleware`` is one of JOBFLOW["MIDDLEWARE"].
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django_jobflow import signals
from django_jobflow.declare.job import Job
from django_jobflow.exceptions import JobEnd
from django_jobflow.integrations.around import Around, missing
from django_jobflow.integrations.masking import Mask
from django_jobflow.states import JobState

try:
    import sentry_sdk
    from sentry_sdk.integrations.logging import ignore_logger
except ImportError as error:
    raise missing("sentry", "sentry-sdk", "sentry") from error

HEADERS = "jobflow.sentry"
"""The key in ``meta`` that carries the trace."""

ORIGIN = "auto.queue.jobflow"
FLUSHING = 2.0  # seconds that a process which ends gives to what is not sent yet

UNRAISED = frozenset(
    f"django_jobflow.exceptions.{name}"
    for name in ("ArgumentError", "InvalidResult", "JobTimeout", "UnknownJob", "WorkerLost")
)
"""Errors of attempts that no body has raised, so that no middleware has seen them."""

_captured: deque[tuple[int, int]] = deque(maxlen=1000)
"""The latest attempts whose errors were sent from here."""


class SentryMiddleware(Around):
    """Sends what bodies raise, once, and a transaction for each execution.

    What a job raises to choose its own end (``Retry``, ``Discard``, ``Cancel``, ``Snooze``) is
    no error. An attempt that has failed without its body, since its worker died, it ran too
    long or its arguments could not be read, is sent by the worker that finds out.
    """

    def __init__(self, call_next: Callable[[Job], Any]) -> None:
        super().__init__(call_next)
        # Its lines of ERROR would be a second event for each error.
        ignore_logger("django_jobflow.settle")
        ignore_logger("django_jobflow.maintain")
        for signal, receive in RECEIVERS:
            signal.connect(receive, dispatch_uid="django_jobflow.sentry")

    def process_enqueue(self, job: type[Job], meta: dict[str, Any]) -> None:
        """Put the trace into *meta*, and a span into the one that is open."""
        with sentry_sdk.start_span(op="queue.publish", name=job._name, origin=ORIGIN) as span:
            span.set_data("messaging.system", "jobflow")
            span.set_data("messaging.destination.name", job.definition().queue)
            headers = {"sentry-trace": sentry_sdk.get_traceparent()}
            headers["baggage"] = sentry_sdk.get_baggage()
        meta[HEADERS] = {name: value for name, value in headers.items() if value}

    @contextmanager
    def around(self, job: Job) -> Iterator[None]:
        """Open a scope of its own and a transaction, which goes on with the enqueue's trace."""
        chosen: JobEnd | None = None
        with sentry_sdk.isolation_scope() as scope, _transaction(job) as transaction:
            _describe(scope, job)
            try:
                yield
            except JobEnd as end:
                transaction.set_status("ok")
                chosen = end
            except Exception as error:
                _capture(job, error)
                raise
        if chosen is not None:
            raise chosen


def _transaction(job: Job) -> Any:
    context = job.context
    headers = context.meta.get(HEADERS) if isinstance(context.meta, dict) else None
    transaction = sentry_sdk.continue_trace(
        headers if isinstance(headers, dict) else {},
        op="queue.process",
        name=context.name,
        source="task",
        origin=ORIGIN,
    )
    transaction.set_data("messaging.system", "jobflow")
    transaction.set_data("messaging.message.id", str(context.job_id))
    transaction.set_data("messaging.destination.name", context.queue)
    transaction.set_data("messaging.message.retry.count", context.attempt - 1)
    sampling = {"jobflow": {"name": context.name, "queue": context.queue}}
    return sentry_sdk.start_transaction(transaction, custom_sampling_context=sampling)


def _describe(scope: Any, job: Job) -> None:
    context = job.context
    facts: dict[str, Any] = {
        "id": context.job_id,
        "name": context.name,
        "queue": context.queue,
        "attempt": context.attempt,
        "max_attempts": context.max_attempts,
    }
    scope.clear_breadcrumbs()
    for name in ("id", "name", "queue", "attempt"):
        scope.set_tag(f"job.{name}", facts[name])
    mask = Mask(job)
    if _collects_arguments():
        facts["arguments"] = mask.arguments()
    scope.set_context("job", facts)
    if mask.hides_anything:
        scope.add_event_processor(lambda event, hint: _masked(event, mask))


def _collects_arguments() -> bool:
    """Say whether the project has allowed what messages of a queue carry."""
    client = sentry_sdk.get_client()
    collected: Any = client.options.get("data_collection")  # newer than send_default_pii
    if isinstance(collected, dict) and collected.get("provided_by_user"):
        return bool(collected.get("queues"))
    return client.should_send_default_pii()


def _masked(event: Any, mask: Mask) -> Any:
    """Return *event* without local variables, and with dots in what it quotes."""
    for exception in event.get("exception", {}).get("values", []):
        exception["value"] = mask.text(str(exception.get("value") or ""))
        for frame in (exception.get("stacktrace") or {}).get("frames", []):
            frame.pop("vars", None)
    if isinstance(event.get("message"), str):
        event["message"] = mask.text(event["message"])
    if isinstance(event.get("logentry"), dict):
        event["logentry"] = {"message": mask.text(str(event["logentry"].get("message")))}
    for crumb in (event.get("breadcrumbs") or {}).get("values", []):
        crumb["message"] = mask.text(str(crumb.get("message") or ""))
        crumb.pop("data", None)
    return event


def _capture(job: Job, error: Exception) -> None:
    from sentry_sdk.utils import event_from_exception

    event, hint = event_from_exception(
        error,
        client_options=sentry_sdk.get_client().options,
        mechanism={"type": "jobflow", "handled": False},
    )
    sentry_sdk.capture_event(event, hint=hint)
    _captured.append((job.context.job_id, job.context.attempt))


def _report_end(sender: Any, record: Any, **_: Any) -> None:
    """Send the error of an attempt that has failed without its body."""
    if record.state == JobState.IN_PROGRESS or not isinstance(record.errors, list):
        return  # it was lost, and is as its worker held it: job_rescued is sent, too
    last = record.errors[-1] if record.errors else {}
    kind = last.get("exception")
    if kind in UNRAISED and (record.pk, last["number"]) not in _captured:
        _send(record, kind.rpartition(".")[2], last["message"])


def _report_lost(sender: Any, record: Any, **_: Any) -> None:
    """Send that an attempt was lost whose body may have begun."""
    if record.state == JobState.IN_PROGRESS:
        _send(record, "WorkerLost", f"Worker {record.reserved_by} is gone.")


def _send(record: Any, kind: str, message: str) -> None:
    facts = {name: getattr(record, name) for name in ("name", "queue", "attempt")}
    value = {
        "type": kind,
        "module": "django_jobflow.exceptions",
        "value": message,
        "mechanism": {"type": "jobflow", "handled": False},
    }
    with sentry_sdk.isolation_scope() as scope:
        scope.clear_breadcrumbs()
        scope.set_transaction_name(record.name, source="task")
        for name, fact in {"id": record.pk, **facts}.items():
            scope.set_tag(f"job.{name}", fact)
        sentry_sdk.capture_event({"level": "error", "exception": {"values": [value]}})


def _flush(**_: Any) -> None:
    sentry_sdk.flush(timeout=FLUSHING)


RECEIVERS = (
    (signals.job_retried, _report_end),
    (signals.job_failed, _report_end),
    (signals.job_rescued, _report_lost),
    (signals.process_ending, _flush),
)

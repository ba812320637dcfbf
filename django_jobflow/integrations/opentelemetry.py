"""Traces and metrics of jobs for OpenTelemetry.

``django_jobflow.integrations.opentelemetry.TracingMiddleware`` follows the semantic conventions
for messaging.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django_jobflow import __version__, signals
from django_jobflow.declare.job import Job
from django_jobflow.exceptions import JobEnd
from django_jobflow.integrations.around import Around, missing
from django_jobflow.integrations.masking import Mask
from django_jobflow.outcomes import ErrorInfo

try:
    from opentelemetry import metrics, propagate, trace
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode
except ImportError as error:
    raise missing("opentelemetry", "opentelemetry-api", "otel") from error

HEADERS = "jobflow.otel"
"""The key in ``meta`` that carries the trace."""

FLUSHING = 2000  # milliseconds that a process which ends gives to what is not sent yet
NAME = "django_jobflow"


class TracingMiddleware(Around):
    """Makes a span of each enqueue and of each execution, in one trace."""

    def __init__(self, call_next: Callable[[Job], Any]) -> None:
        super().__init__(call_next)
        self.tracer = trace.get_tracer(NAME, __version__)
        meter = metrics.get_meter(NAME, __version__)
        self.sent = meter.create_counter(
            "messaging.client.sent.messages",
            unit="{message}",
            description="Enqueues; one for each thousand of enqueue_many.",
        )
        self.duration = meter.create_histogram(
            "messaging.process.duration", unit="s", description="How long bodies ran."
        )
        signals.process_ending.connect(_flush, dispatch_uid="django_jobflow.opentelemetry")

    def process_enqueue(self, job: type[Job], meta: dict[str, Any]) -> None:
        """Make a span, and put its trace into *meta*."""
        queue = job.definition().queue
        said = _attributes("send", queue)
        carrier: dict[str, str] = {}
        with self.tracer.start_as_current_span(
            f"send {queue}",
            kind=SpanKind.PRODUCER,
            attributes=said | {"messaging.operation.type": "send", "jobflow.job.name": job._name},
        ):
            propagate.inject(carrier)
        meta[HEADERS] = carrier
        self.sent.add(1, said)

    @contextmanager
    def around(self, job: Job) -> Iterator[None]:
        """Make a span in the trace of the enqueue."""
        context = job.context
        carrier = context.meta.get(HEADERS) if isinstance(context.meta, dict) else None
        said = _attributes("process", context.queue)
        began = time.perf_counter()
        with self.tracer.start_as_current_span(
            f"process {context.queue}",
            context=propagate.extract(carrier if isinstance(carrier, dict) else {}),
            kind=SpanKind.CONSUMER,
            attributes=said | _attributes_of(job),
            record_exception=False,  # done here, since it may quote what is not to be seen
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except JobEnd:
                raise
            except BaseException as error:
                _record(span, job, error)
                said = said | {"error.type": _kind(error)}
                raise
            finally:
                self.duration.record(time.perf_counter() - began, said)


def _attributes(operation: str, queue: str) -> dict[str, str]:
    return {
        "messaging.system": "jobflow",
        "messaging.operation.name": operation,
        "messaging.destination.name": queue,
    }


def _attributes_of(job: Job) -> dict[str, Any]:
    context = job.context
    return {
        "messaging.operation.type": "process",
        "messaging.message.id": str(context.job_id),
        "jobflow.job.name": context.name,
        "jobflow.job.attempt": context.attempt,
        "jobflow.job.max_attempts": context.max_attempts,
    }


def _record(span: Span, job: Job, error: BaseException) -> None:
    if not span.is_recording():
        return
    mask, info = Mask(job), ErrorInfo.of(error)
    message = mask.text(info.message)
    span.add_event(
        "exception",
        {
            "exception.type": info.exception,
            "exception.message": message,
            "exception.stacktrace": mask.text(info.traceback),
        },
    )
    span.set_attribute("error.type", _kind(error))
    span.set_status(Status(StatusCode.ERROR, message))


def _kind(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _flush(**_: Any) -> None:
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
        if flush := getattr(provider, "force_flush", None):
            flush(FLUSHING)

"""OpenTelemetry's own SDK, and what it would export."""

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
    InMemorySpanExporter,
)
from opentelemetry.trace import SpanKind, StatusCode

from django_jobflow import __version__
from django_jobflow.models import JobRecord
from tests.app import jobs

CARD = "4929 1234 5678 9012"


@pytest.fixture(scope="module")
def sdk():
    """Set the SDK up, which can be done once in a process."""
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracing = TracerProvider()
    tracing.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(tracing)
    metrics.set_meter_provider(MeterProvider([reader]))
    return exporter, reader


@pytest.fixture
def spans(sdk, settings):
    """Return a function that returns the spans by name and kind, in the order of their ends."""
    path = "django_jobflow.integrations.opentelemetry.TracingMiddleware"
    settings.JOBFLOW = {"MIDDLEWARE": [path]}
    exporter, _ = sdk
    exporter.clear()
    return exporter.get_finished_spans


class TraceTests:
    def test_execution_is_a_child_of_its_enqueue(self, drain, spans):
        with trace.get_tracer("shop").start_as_current_span("checkout") as checkout:
            record = jobs.add.using(queue="default").enqueue(1)
            jobs.add_async.enqueue(1, 2)

        drain(threads=1)

        sent, _, _, *executions = spans()
        assert {checkout.get_span_context().trace_id} == {
            each.context.trace_id for each in spans()
        }
        [execution] = [
            each
            for each in executions
            if each.attributes["messaging.message.id"] == str(record.pk)
        ]
        assert (SpanKind.PRODUCER, SpanKind.CONSUMER) == (sent.kind, execution.kind)
        assert ("send default", "process default") == (sent.name, execution.name)
        assert sent.context.span_id == execution.parent.span_id
        assert {
            "messaging.system": "jobflow",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "default",
            "messaging.message.id": str(record.pk),
            "jobflow.job.name": "tests.app.jobs.add",
            "jobflow.job.attempt": 1,
            "jobflow.job.max_attempts": 1,
        } == dict(execution.attributes)
        assert ("django_jobflow", __version__) == (
            execution.instrumentation_scope.name,
            execution.instrumentation_scope.version,
        )

    def test_error_is_an_event_without_what_is_sensitive(self, drain, spans):
        jobs.Charge.enqueue(7, CARD, how="raise")
        jobs.end_by.enqueue("cancel")

        drain(threads=1)

        failed, cancelled = [each for each in spans() if each.kind is SpanKind.CONSUMER]
        assert (StatusCode.ERROR, StatusCode.UNSET) == (
            failed.status.status_code,
            cancelled.status.status_code,
        )
        [event] = failed.events
        assert "builtins.ValueError" == event.attributes["exception.type"]
        assert "raise: '••••••'" == event.attributes["exception.message"]
        assert "in perform" in event.attributes["exception.stacktrace"]
        assert CARD not in failed.to_json()
        assert () == cancelled.events

    def test_record_of_before_begins_a_trace(self, drain, spans):
        record = jobs.add.enqueue(1)
        JobRecord.objects.filter(pk=record.pk).update(meta={"jobflow.otel": "by hand"})

        drain()

        sent, execution = spans()
        assert execution.parent is None
        assert sent.context.trace_id != execution.context.trace_id


class MetricTests:
    def test_bodies_are_measured_by_queue_and_error(self, drain, spans, sdk):
        _, reader = sdk
        reader.get_metrics_data()
        jobs.add.using(queue="measured").enqueue(1)
        jobs.end_by.using(queue="measured").enqueue("error")

        drain()

        points = [
            point
            for resource in reader.get_metrics_data().resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "messaging.process.duration"
            for point in metric.data.data_points
            if point.attributes["messaging.destination.name"] == "measured"
        ]
        assert {(None, 1), ("builtins.ZeroDivisionError", 1)} == {
            (point.attributes.get("error.type"), point.count) for point in points
        }

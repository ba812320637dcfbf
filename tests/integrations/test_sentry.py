"""Sentry's own client, and what it would send."""

import json

import pytest

sentry_sdk = pytest.importorskip("sentry_sdk")

from sentry_sdk.consts import DEFAULT_OPTIONS  # noqa: E402
from sentry_sdk.integrations.logging import LoggingIntegration  # noqa: E402
from sentry_sdk.transport import Transport  # noqa: E402

from django_jobflow.integrations import sentry  # noqa: E402
from django_jobflow.states import JobState  # noqa: E402
from tests.app import jobs  # noqa: E402
from tests.factories import JobRecordFactory  # noqa: E402

WITH_ARGUMENTS = (
    {"data_collection": {"queues": True}}
    if "data_collection" in DEFAULT_OPTIONS
    else {"send_default_pii": True}
)
CARD = "4929 1234 5678 9012"


class Sent(Transport):
    """Keeps what would be sent."""

    def __init__(self, options=None):
        super().__init__(options)
        self.errors = []
        self.transactions = []

    def capture_envelope(self, envelope):
        if (event := envelope.get_event()) is not None:
            self.errors.append(event)
        if (event := envelope.get_transaction_event()) is not None:
            self.transactions.append(event)


@pytest.fixture
def sent(settings):
    """Return what was sent: with arguments, so that nothing but the job hides them."""
    settings.JOBFLOW = {"MIDDLEWARE": ["django_jobflow.integrations.sentry.SentryMiddleware"]}
    transport = Sent()
    sentry_sdk.init(
        "https://key@sentry.example/1",
        transport=transport,
        traces_sample_rate=1.0,
        **WITH_ARGUMENTS,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[LoggingIntegration()],  # which makes an event of each line of ERROR
    )
    yield transport
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)
    for signal, receive in sentry.RECEIVERS:
        signal.disconnect(receive, dispatch_uid="django_jobflow.sentry")


def kinds(errors):
    return [[each["type"] for each in error["exception"]["values"]] for error in errors]


def job_tags(event):
    return {name: value for name, value in event["tags"].items() if name.startswith("job.")}


class ErrorTests:
    def test_error_is_sent_once_with_the_job(self, drain, sent):
        record = jobs.end_by.enqueue("error")

        drain()

        [error] = sent.errors
        assert [["ZeroDivisionError"]] == kinds(sent.errors)
        assert {
            "job.id": record.pk,
            "job.name": "tests.app.jobs.end_by",
            "job.queue": "default",
            "job.attempt": 1,
        } == job_tags(error)
        assert {"kind": "'error'"} == error["contexts"]["job"]["arguments"]
        assert {"type": "jobflow", "handled": False} == error["exception"]["values"][0][
            "mechanism"
        ]
        assert "tests.app.jobs.end_by" == error["transaction"]

    @pytest.mark.parametrize("kind", ["retry", "snooze", "discard", "cancel"])
    def test_end_that_a_job_chooses_is_no_error(self, drain, sent, kind):
        jobs.end_by.enqueue(kind)

        drain()

        assert [] == sent.errors
        assert ["ok"] == [each["contexts"]["trace"]["status"] for each in sent.transactions]

    def test_sensitive_arguments_are_nowhere(self, drain, sent):
        jobs.Charge.enqueue(7, CARD, how="raise")
        jobs.charge_async.enqueue(8, CARD)

        drain()

        plain, asynchronous = sorted(sent.errors, key=lambda each: each["tags"]["job.name"])
        said = json.dumps([sent.errors, sent.transactions], default=repr)
        assert "raise" in said
        assert CARD not in said
        assert ["KeyError", "ValueError"] == kinds([plain])[0]
        assert ["ValueError"] == kinds([asynchronous])[0]
        shown = plain["contexts"]["job"]["arguments"]
        assert {"order_id": "7", "card": "••••••", "how": "'raise'"} == shown

    def test_attempt_that_ran_too_long_is_sent_by_the_worker(self, drain, sent):
        records = [jobs.loop_for_ever.enqueue(), jobs.await_for_ever.enqueue()]

        drain()

        assert [["JobTimeout"], ["JobTimeout"]] == kinds(sent.errors)
        assert {each.pk for each in records} == {each["tags"]["job.id"] for each in sent.errors}

    def test_attempt_that_was_lost_is_sent_by_who_finds_out(self, drain, sent):
        lapsed = JobRecordFactory(state=JobState.IN_PROGRESS, attempt=1, max_attempts=1)
        jobs.add.enqueue(1)  # so that there is a worker whose middleware is built

        drain()
        from django_jobflow import maintain
        from django_jobflow.engines import engine_for

        maintain.rescue_worker(
            engine_for("default"), maintain.Remains(worker=lapsed.reserved_by, cause="was killed")
        )

        assert [["WorkerLost"]] == kinds(sent.errors)
        assert lapsed.pk == sent.errors[0]["tags"]["job.id"]


class TraceTests:
    def test_execution_is_in_the_trace_of_its_enqueue(self, drain, sent):
        with sentry_sdk.start_transaction(op="http.server", name="checkout") as checkout:
            plain, asynchronous = jobs.add.enqueue(1), jobs.add_async.enqueue(1, 2)

        drain()

        request, *executions = sent.transactions
        published = [each["span_id"] for each in request["spans"]]
        assert ["queue.publish"] * 2 == [each["op"] for each in request["spans"]]
        traces = [each["contexts"]["trace"] for each in executions]
        assert {checkout.trace_id} == {each["trace_id"] for each in traces}
        assert sorted(published) == sorted(each["parent_span_id"] for each in traces)
        assert {"queue.process"} == {each["op"] for each in traces}
        assert {str(plain.pk), str(asynchronous.pk)} == {
            each["data"]["messaging.message.id"] for each in traces
        }

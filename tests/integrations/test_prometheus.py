"""What Prometheus reads: of a page, and at the port of real workers."""

import os
import signal
from datetime import timedelta
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from django.core.management import CommandError, call_command
from django.urls import path
from django.utils import timezone

from django_jobflow.models import JobRecord, SucceededJob, Worker
from django_jobflow.states import JobState
from tests.app import jobs
from tests.factories import JobRecordFactory, WorkerFactory

pytest.importorskip("prometheus_client")

from prometheus_client.parser import text_string_to_metric_families

from django_jobflow.integrations.prometheus import MetricsView

urlpatterns = [path("metrics/", MetricsView.as_view())]

MINUTE = timedelta(minutes=1)


def samples(text):
    """Return the values by name and labels, as Prometheus's own parser reads them."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.urls(__name__)
@pytest.mark.django_db
class ViewTests:
    def test_depth_age_and_workers(self, client):
        now = timezone.now()
        JobRecordFactory(queue="email", now=now - MINUTE)
        JobRecordFactory.create_batch(2, queue="email")
        JobRecordFactory(queue="sms", state=JobState.FAILED)
        WorkerFactory()

        response = client.get("/metrics/")

        found = samples(response.content.decode())
        oldest = found.pop(("jobflow_oldest_available_seconds", ("queue", "email")))
        assert 60 <= oldest < 120
        assert {
            ("jobflow_jobs", ("queue", "email"), ("state", "AVAILABLE")): 3,
            ("jobflow_jobs", ("queue", "sms"), ("state", "FAILED")): 1,
            ("jobflow_workers", ("state", "alive")): 1,
            ("jobflow_workers", ("state", "silent")): 0,
        } == found
        assert response["Content-Type"].startswith("text/plain")

    def test_number_of_statements_does_not_grow_with_the_jobs(
        self, client, django_assert_max_num_queries
    ):
        JobRecordFactory.create_batch(20)

        with django_assert_max_num_queries(20):
            client.get("/metrics/")


class PortTests:
    @pytest.fixture
    def read(self, free_port):
        def ask():
            try:
                with urlopen(f"http://127.0.0.1:{free_port}/metrics", timeout=10) as answer:
                    return samples(answer.read().decode())
            except (URLError, ConnectionError):
                return {}

        return ask

    def test_processes_of_a_worker_add_up_and_nothing_is_lost_with_one(
        self, start_worker, until, free_port, read
    ):
        """Each in its turn has the port, and dies."""

        def ends(outcome):
            labels = ("job", name), ("outcome", outcome), ("queue", "default")
            return read().get(("jobflow_ends_total", *labels))

        name = "tests.app.jobs.add"
        start_worker("--processes=2", "--threads=1", f"--metrics-port={free_port}")
        until(lambda: Worker.objects.count() == 2)
        jobs.add.enqueue_many({"a": number} for number in range(100))
        until(lambda: SucceededJob.objects.count() == 100)
        until(lambda: ends("succeeded") == 100)

        for worker in Worker.objects.all():
            os.kill(worker.pid, signal.SIGKILL)
        jobs.add.enqueue_many({"a": number} for number in range(10))
        until(lambda: not JobRecord.objects.exists())

        until(lambda: ends("succeeded") == 110)
        found = read()
        labels = ("job", name), ("outcome", "succeeded"), ("queue", "default")
        assert 110 == found["jobflow_run_seconds_count", *labels]
        assert 110 == found["jobflow_run_seconds_bucket", labels[0], ("le", "+Inf"), *labels[1:]]
        assert 110 == found["jobflow_wait_seconds_count", *labels]
        assert 2 == found["jobflow_workers", ("state", "alive")]

    @pytest.mark.parametrize("text", ["0", "x", "host:", "70000"])
    def test_wrong_port_is_named(self, text):
        with pytest.raises(CommandError) as caught:
            call_command("runjobs", f"--metrics-port={text}")

        assert (
            "Error: argument --metrics-port: expected a port from 1 to 65535, or HOST:PORT, "
            f"got {text!r}"
        ) == str(caught.value)

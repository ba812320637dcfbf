import logging
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.urls import path
from django.utils import timezone

from django_jobflow.states import JobState
from django_jobflow.views import HealthView
from tests.factories import JobRecordFactory, WorkerFactory
from tests.health import broken
from tests.threads import elsewhere

HOUR = timedelta(hours=1)

urlpatterns = [
    path("health/", HealthView.as_view()),
    path("health/patient/", HealthView.as_view(max_wait=2 * HOUR, max_beat=7200)),
    path("health/email/", HealthView.as_view(queues=["email"], min_workers=2)),
    path("health/other/", HealthView.as_view(database="other", min_workers=0)),
]

NAMES = ("host-1", "email", "SendReceipt", "default", "migrate")


@pytest.mark.urls(__name__)
@pytest.mark.django_db(transaction=True, databases=["default", "other"])
class HealthViewTests:
    def test_healthy(self, client):
        WorkerFactory()

        response = client.get("/health/")

        told = response.json()
        assert 200 == response.status_code
        assert 0 <= told["workers"].pop("youngest_beat") == told["workers"].pop("oldest_beat")
        assert told == {
            "healthy": True,
            "findings": [],
            "workers": {"alive": 1, "silent": 0},
            "oldest_waiting": None,
            "oldest_paused": None,
            "oldest_overdue": None,
            "oldest_lapsed": None,
            "limits": {"max_wait": 60.0, "max_beat": 60.0, "min_workers": 1},
        }

    def test_unhealthy(self, client):
        JobRecordFactory(now=timezone.now() - HOUR)

        response = client.get("/health/")

        assert 503 == response.status_code
        assert ["too_few_workers", "queue_unserved", "job_waits"] == response.json()["findings"]
        assert 3600 <= response.json()["oldest_waiting"]

    def test_names_are_kept_back(self, client):
        WorkerFactory(queues=["email"])
        for state in (JobState.AVAILABLE, JobState.IN_PROGRESS):
            JobRecordFactory(state=state, queue="email")

        for address in ("/health/", "/health/email/"):
            told = client.get(address).content.decode()

            assert [] == [name for name in NAMES if name in told]

    def test_limits_are_those_of_the_address(self, client):
        WorkerFactory(now=timezone.now() - HOUR)
        JobRecordFactory(now=timezone.now() - HOUR)

        assert 503 == client.get("/health/").status_code
        assert 200 == client.get("/health/patient/").status_code

    def test_queues_are_those_of_the_address(self, client):
        WorkerFactory.create_batch(2, queues=["email"])
        JobRecordFactory(queue="reports", now=timezone.now() - HOUR)

        assert 503 == client.get("/health/").status_code
        assert 200 == client.get("/health/email/").status_code

    def test_database_is_that_of_the_address(self, client):
        JobRecordFactory()

        assert 503 == client.get("/health/").status_code
        assert 200 == client.get("/health/other/").status_code

    def test_nobody_keeps_the_answer(self, client):
        WorkerFactory()

        for status in (200, 503):
            response = client.get("/health/" if status == 200 else "/health/email/")

            assert status == response.status_code
            assert {"no-store", "private"} <= set(response["Cache-Control"].split(", "))

    def test_head_has_no_body(self, client):
        response = client.head("/health/")

        assert (503, b"") == (response.status_code, response.content)

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
    def test_other_methods_are_refused(self, client, method):
        response = getattr(client, method)("/health/")

        assert (405, "GET, HEAD") == (response.status_code, response["Allow"])

    def test_nobody_has_to_log_in(self, client, settings):
        settings.MIDDLEWARE = [
            *settings.MIDDLEWARE,
            "django.contrib.auth.middleware.LoginRequiredMiddleware",
        ]

        assert 503 == client.get("/health/").status_code

    def test_probe_is_no_error_of_the_site(self, client, caplog):
        """Django would mail it to the ADMINS each time."""
        with caplog.at_level(logging.DEBUG, "django.request"):
            assert 503 == client.get("/health/").status_code

        assert [] == caplog.records

    @pytest.mark.parametrize("is_atomic", [False, True])
    def test_database_cannot_be_reached(self, monkeypatch, tmp_path, is_atomic):
        """The request is handled by a thread that has no connection yet."""
        with broken.unreachable(monkeypatch, tmp_path):
            broken.use(monkeypatch, ATOMIC_REQUESTS=is_atomic)
            response = elsewhere(lambda: Client().get("/health/"))

        assert (503, ["database_unreachable"]) == (
            response.status_code,
            response.json()["findings"],
        )
        assert response.json()["workers"] is None


class AddressTests:
    """A mistake is found where the address is written, and not by the first probe."""

    def test_limit_is_wrong(self):
        with pytest.raises(ImproperlyConfigured) as caught:
            HealthView.as_view(max_wait="soon")

        assert (
            "HealthView: expected max_wait to be seconds or a timedelta, from 0 to 100 years, "
            "got 'soon'."
        ) == str(caught.value)

    def test_timeout_is_wrong(self):
        with pytest.raises(ImproperlyConfigured) as caught:
            HealthView.as_view(timeout=-1)

        assert (
            "HealthView: expected timeout to be seconds or a timedelta, from 0 to 100 years, "
            "got -1."
        ) == str(caught.value)

    def test_database_is_unknown(self):
        with pytest.raises(ImproperlyConfigured) as caught:
            HealthView.as_view(database="nowhere")

        assert (
            "HealthView: expected database to be one of the aliases in DATABASES "
            "['default', 'other'], got 'nowhere'."
        ) == str(caught.value)

    def test_option_is_unknown(self):
        with pytest.raises(TypeError, match="max_age"):
            HealthView.as_view(max_age=1)

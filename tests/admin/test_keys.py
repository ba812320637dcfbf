"""The page of the keys, and that of the settings."""

import pytest
from django.utils import timezone

from django_jobflow import job
from django_jobflow.attempts import key_digest
from django_jobflow.declare import registry
from django_jobflow.models import KeyHold
from django_jobflow.states import JobState
from tests.admin.site import list_url, page_url, superuser, user_with
from tests.factories import JobRecordFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client):
    client.force_login(superuser())
    return client


class KeyTests:
    @pytest.fixture
    def jobs(self):
        until = timezone.now() + timezone.timedelta(hours=1)
        KeyHold.objects.create(digest=key_digest("", "receipt:7"), job_id=77, until=until)
        holder = JobRecordFactory(state=JobState.IN_PROGRESS, execution_key="smtp:1")
        waiter = JobRecordFactory(state=JobState.WAITING, execution_key="smtp:1")
        owner = JobRecordFactory(queue_key="receipt:7")
        return holder, waiter, owner

    def test_page_tells_who_holds_and_who_waits(self, staff, jobs):
        holder, *_ = jobs

        shown = staff.get(list_url("key")).context

        [waited] = shown["waited_for"]
        assert ("smtp:1", "1", [holder], [holder]) == (
            waited["key"],
            waited["waiting"],
            [each["record"] for each in waited["holders"]],
            [each["record"] for each in shown["running"]],
        )
        assert [77] == [each["job"] for each in shown["timed"]]

    def test_key_is_looked_up(self, staff, jobs):
        holder, waiter, owner = jobs

        def found(key, partition=""):
            response = staff.get(list_url("key", q=key, partition=partition))
            shown = response.context["found"]
            return [
                [each["record"] for each in shown[name]]
                for name in ("owners", "holders", "waiters")
            ], shown["is_free"]

        assert ([[], [holder], [waiter]], False) == found("smtp:1")
        assert ([[owner], [], []], False) == found("receipt:7")
        assert ([[], [], []], True) == found("smtp:1", "x")
        assert ([[], [], []], True) == found("<b>")

    def test_key_leads_to_its_page_whatever_it_is(self, staff):
        key = "a&b=ü/?#%+ c"
        waiter = JobRecordFactory(state=JobState.WAITING, execution_key=key, partition="p&q")

        [waited] = staff.get(list_url("key")).context["waited_for"]
        found = staff.get(list_url("key") + waited["url"]).context["found"]

        assert [waiter] == [each["record"] for each in found["waiters"]]

    def test_key_that_no_database_has_is_no_error(self, staff):
        assert 200 == staff.get(list_url("key", q="a\0b")).status_code

    def test_who_may_not_see_jobs_gets_no_links(self, client, jobs):
        client.force_login(user_with("view_key"))

        response = client.get(list_url("key"))

        assert page_url(jobs[0]) not in response.content.decode()
        assert "smtp:1" in response.content.decode()

    def test_page_has_a_permission_of_its_own(self, client):
        client.force_login(user_with("view_jobrecord"))

        assert 403 == client.get(list_url("key")).status_code


class ConfigurationTests:
    def test_settings_and_jobs_are_shown(self, staff, settings):
        settings.JOBFLOW = {"LEASE": 30}
        with registry.isolated():

            @job(name="crawl", queue="web", max_attempts=7)
            def crawl(): ...

            shown = staff.get(list_url("configuration")).context

        assert {"LEASE"} == {each.name for each in shown["settings"] if each.is_given}
        assert ["web", "7"] == next(
            each["cells"][:2] for each in shown["jobs"] if each["name"] == "crawl"
        )

    def test_page_asks_no_table(self, staff, django_assert_num_queries):
        with django_assert_num_queries(2):  # the session and the user
            staff.get(list_url("configuration"))

    def test_page_has_a_permission_of_its_own(self, client):
        client.force_login(user_with("view_worker"))

        assert 403 == client.get(list_url("configuration")).status_code

    def test_nothing_is_posted_to_it(self, staff):
        for model in ("configuration", "key", "queue"):
            assert 403 == staff.post(list_url(model), {"action": "x"}).status_code

"""The pages of the queues: what they show, and what they let people do."""

from datetime import timedelta

import pytest
from django.contrib.admin.utils import quote
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from django_jobflow import control
from django_jobflow.admin import purging
from django_jobflow.engines import engine_for
from django_jobflow.models import JobRecord, Pause
from django_jobflow.states import JobState
from tests.admin.site import list_url, said, superuser, user_with
from tests.factories import JobRecordFactory, LimitFactory, PauseFactory, WorkerFactory

pytestmark = pytest.mark.django_db

VERBS = {"pause": "add_pause", "resume": "delete_pause", "purge": "purge_queue"}


def queue_url(name, page="change"):
    return reverse(f"admin:jobflow_queue_{page}", args=[quote(name)])


def text_of(response):
    return " ".join(response.content.decode().split())


@pytest.fixture
def staff(client):
    client.force_login(superuser())
    return client


@pytest.fixture
def mail(settings):
    """A queue with jobs in some states, beside another."""
    settings.JOBFLOW = {"QUEUES": {"mail": {}, "other": {}}}
    for state in (JobState.AVAILABLE, JobState.AVAILABLE, JobState.RETRY, JobState.FAILED):
        JobRecordFactory(queue="mail", state=state)
    JobRecordFactory(queue="other")


class ListTests:
    def test_each_queue_is_a_row(self, staff, mail):
        PauseFactory(value="other", by="ann", reason="Deploy")
        LimitFactory(value="mail", concurrency=4, rate=100, period=timedelta(minutes=1))

        rows = {row["facts"].name: row for row in staff.get(list_url("queue")).context["queues"]}

        assert {"mail", "other"} <= rows.keys()
        assert {"AVAILABLE": "2", "RETRY": "1", "FAILED": "1"} == {
            state: count["number"]
            for state, count in rows["mail"]["counts"].items()
            if not count["is_none"]
        }
        assert "0 of 4 running, 100/m starts" == rows["mail"]["limit"]
        assert "No worker" in rows["mail"]["badge"]
        assert "Paused" in rows["other"]["badge"]
        assert "by ann, until it is resumed: Deploy" in text_of(staff.get(list_url("queue")))

    def test_numbers_lead_to_the_jobs(self, staff, mail):
        [mail_row] = [
            row
            for row in staff.get(list_url("queue")).context["queues"]
            if row["facts"].name == "mail"
        ]

        retried = mail_row["counts"]["RETRY"]["url"]
        assert [JobState.RETRY] == [
            row.state for row in staff.get(retried).context["cl"].result_list
        ]

    def test_worker_and_no_limit_is_open(self, staff, mail):
        WorkerFactory(threads=3)

        row = staff.get(queue_url("mail"))

        assert "Open" in row.context["badge"]
        assert "1, with 3 slots" in text_of(row)

    def test_rates_are_shown(self, staff, mail):
        ended = {"mail": {"succeeded": 6000}, "": {}}
        engine_for().write_history(timezone.now(), ended, samples=1)

        [row] = [
            row
            for row in staff.get(list_url("queue")).context["queues"]
            if row["facts"].name == "mail"
        ]
        told = staff.get(queue_url("mail")).context["told"]

        coming, going = row["rates"]
        assert "-" == coming  # with one sample alone it is not known
        assert going.endswith("/s")
        facts = {fact.label: fact.value for fact in told}
        assert coming == facts["Rate in"]
        assert facts["Rate out"].endswith("/s")

    def test_statements_follow_from_the_queues_and_not_from_their_jobs(self, staff, mail):
        def statements():
            with CaptureQueriesContext(connection) as captured:
                staff.get(list_url("queue"))
            return len(captured)

        # More than those that one look at what waits for the longest reads.
        JobRecordFactory.create_batch(20, queue="mail")
        few = statements()
        JobRecordFactory.create_batch(30, queue="mail")

        assert few == statements()


class PageTests:
    def test_names_of_any_kind_have_a_page(self, staff):
        for name in ("a.b:c-d_e", "9"):
            assert f"Queue {name}" == staff.get(queue_url(name)).context["title"]

    def test_what_is_no_name_leads_to_the_list(self, staff):
        response = staff.get(queue_url("a b"), follow=True)

        assert ["Queue a b does not exist. It may have been deleted."] == said(response)

    def test_pause_tells_who_and_until_when(self, staff):
        PauseFactory(value="mail", by="ann", until=timezone.now() + timedelta(hours=2, minutes=1))

        facts = {
            fact.label: str(fact.value) for fact in staff.get(queue_url("mail")).context["told"]
        }

        assert "ann" == facts["Paused by"]
        assert "in 2" in facts["Until"]

    def test_limit_is_set_on_the_page_of_limits(self, staff):
        add = staff.get(queue_url("mail")).context["limit_url"]
        form = staff.get(add).context["adminform"].form
        assert ("queue", "mail") == (form.initial["kind"], form.initial["value"])

        limit = LimitFactory(value="mail")
        change = staff.get(queue_url("mail")).context["limit_url"]
        assert limit == staff.get(change).context["original"]


class PauseTests:
    def test_queue_is_paused_for_a_time(self, staff):
        data = {"span": "3600", "reason": "Deploy"}

        response = staff.post(queue_url("mail", "pause"), data, follow=True)

        [pause] = control.paused()
        assert ("queue", "mail", "Deploy", "root") == (
            pause.kind,
            pause.value,
            pause.reason,
            pause.by,
        )
        # SQLite's clock is read for each of them.
        assert 3600 == pytest.approx((pause.until - pause.created_at).total_seconds(), abs=1)
        assert ["Queue mail is paused."] == said(response)

    def test_queue_is_paused_until_it_is_resumed(self, staff):
        staff.post(queue_url("mail", "pause"), {"span": ""}, follow=True)

        assert [None] == [pause.until for pause in control.paused()]

        response = staff.post(queue_url("mail", "resume"), follow=True)
        assert [] == control.paused()
        assert ["Queue mail is resumed."] == said(response)

    def test_resuming_what_is_not_paused_is_told(self, staff):
        response = staff.post(queue_url("mail", "resume"), follow=True)

        assert ["Queue mail was not paused."] == said(response)

    def test_wrong_value_is_an_error_of_its_field(self, staff):
        response = staff.post(queue_url("mail", "pause"), {"span": "7", "reason": "x" * 201})

        assert ["span", "reason"] == list(response.context["pause_form"].errors)
        assert not Pause.objects.exists()


class PurgeTests:
    WAIT = ("AVAILABLE", "RETRY")

    def test_it_is_counted_first_and_then_deleted(self, staff, mail):
        address = queue_url("mail", "purge")

        asked = staff.post(address, {"states": self.WAIT, "count": "yes"})
        assert "3" == asked.context["counts"]["total"]
        assert 5 == JobRecord.objects.count()

        done = staff.post(address, {"states": self.WAIT, "purge": "yes"}, follow=True)
        assert ["3 jobs were deleted."] == said(done)
        assert {("mail", "FAILED"), ("other", "AVAILABLE")} == set(
            JobRecord.objects.values_list("queue", "state")
        )

    def test_only_what_is_named_goes(self, staff, mail):
        kept = JobRecordFactory(queue="mail", name="other.job", partition="x")
        data = {"states": ["AVAILABLE"], "job": "shop.jobs.SendReceipt", "purge": "yes"}

        staff.post(queue_url("mail", "purge"), data)

        assert [kept] == list(JobRecord.objects.filter(queue="mail", state="AVAILABLE"))

        staff.post(
            queue_url("mail", "purge"),
            {"states": ["AVAILABLE"], "partition": "x", "purge": "yes"},
        )
        assert not JobRecord.objects.filter(queue="mail", state="AVAILABLE").exists()

    def test_no_more_go_at_a_time_than_a_request_has_time_for(self, staff, mail, monkeypatch):
        monkeypatch.setattr(purging, "MOST_PURGED", 2)
        data = {"states": self.WAIT, "purge": "yes"}

        response = staff.post(queue_url("mail", "purge"), data)

        assert ["2 jobs were deleted.", "There may be more: go on."] == said(response)
        assert "1" == response.context["counts"]["total"]
        assert ["1 job was deleted."] == said(
            staff.post(queue_url("mail", "purge"), data, follow=True)
        )

    @pytest.mark.parametrize(
        ("data", "field"),
        [
            ({}, "states"),
            ({"states": ["IN_PROGRESS"]}, "states"),
            ({"states": ["FAILED"], "job": "x" * 201}, "job"),
            ({"states": ["FAILED"], "partition": "x" * 101}, "partition"),
        ],
    )
    def test_wrong_value_is_an_error_of_its_field(self, staff, mail, data, field):
        response = staff.post(queue_url("mail", "purge"), data | {"purge": "yes"})

        assert [field] == list(response.context["form"].errors)
        assert 5 == JobRecord.objects.count()

    def test_it_begins_with_all_that_waits(self, staff):
        form = staff.get(queue_url("mail", "purge")).context["form"]

        assert {"FAILED", "CANCELLED"} == {value for value, _ in form.fields["states"].choices} - {
            *form["states"].initial
        }


class PermissionTests:
    @pytest.mark.parametrize("permission", VERBS.values())
    @pytest.mark.parametrize("verb", VERBS)
    def test_each_verb_has_its_own_permission(self, client, mail, verb, permission):
        if verb != "pause":
            PauseFactory(value="mail")
        client.force_login(user_with("view_queue", permission))
        before = states_of_all()
        data = {"span": "900", "states": ["AVAILABLE"], "purge": "yes"}

        response = client.post(queue_url("mail", verb), data)

        is_allowed = VERBS[verb] == permission
        assert (302 if is_allowed else 403) == response.status_code
        assert is_allowed == (before != states_of_all())

    def test_pause_of_others_takes_the_permission_to_change(self, client, mail):
        pause = PauseFactory(value="mail", by="ann")
        client.force_login(user_with("view_queue", "add_pause"))
        assert client.get(queue_url("mail")).context["pause_form"] is None

        response = client.post(queue_url("mail", "pause"), {"span": "900"})

        assert ["This is paused already."] == said(response)
        assert [("ann", None)] == list(Pause.objects.values_list("by", "until"))
        pause.delete()
        assert client.get(queue_url("mail")).context["pause_form"] is not None

    def test_who_may_change_pauses_pauses_anew_only(self, client, mail):
        client.force_login(user_with("view_queue", "change_pause"))
        assert 403 == client.post(queue_url("mail", "pause"), {"span": ""}).status_code
        PauseFactory(value="mail", by="ann")

        client.post(queue_url("mail", "pause"), {"span": ""})

        assert ["clerk"] == list(Pause.objects.values_list("by", flat=True))

    @pytest.mark.parametrize(
        ("permissions", "place"),
        [
            (["add_limit"], ""),
            (["change_limit"], ""),
            (["add_limit", "change_limit"], "add"),
        ],
    )
    def test_limit_of_the_settings_takes_both_permissions(
        self, client, mail, settings, permissions, place
    ):
        settings.JOBFLOW = {"QUEUES": {"mail": {"limit": 4}}}
        LimitFactory(value="mail", is_override=False, concurrency=None)
        client.force_login(user_with("view_queue", *permissions))

        url = client.get(queue_url("mail")).context["limit_url"]

        assert place == (url.split("?")[0].strip("/").split("/")[-1] if url else "")

    def test_row_of_a_cleared_limit_leads_to_the_page_that_adds_one(self, client, mail):
        LimitFactory(value="mail", is_override=False, concurrency=None)
        client.force_login(user_with("view_queue", "add_limit"))

        url = client.get(queue_url("mail")).context["limit_url"]

        assert 200 == client.get(url).status_code

    @pytest.mark.parametrize("verb", [*VERBS, "change"])
    def test_verb_without_the_permission_to_view_does_nothing(self, client, mail, verb):
        client.force_login(user_with(*VERBS.values()))

        assert 403 == client.get(list_url("queue")).status_code
        assert 403 == client.post(queue_url("mail", verb), {}).status_code

    def test_who_may_only_view_is_offered_nothing(self, client, mail):
        PauseFactory(value="mail")
        client.force_login(user_with("view_queue"))

        response = client.get(queue_url("mail"))

        assert (None, False, "", "") == tuple(
            response.context[name]
            for name in ("pause_form", "may_resume", "limit_url", "purge_url")
        )
        assert "<form" not in text_of(response).partition('id="content"')[2]

    def test_nothing_is_done_by_a_method_that_is_safe(self, staff, mail):
        for verb in ("pause", "resume"):
            response = staff.get(queue_url("mail", verb))  # come back to after a log-in
            assert (302, queue_url("mail")) == (response.status_code, response.url)
        assert not Pause.objects.exists()


def states_of_all():
    return (
        list(JobRecord.objects.order_by("pk").values_list("pk", "state")),
        list(Pause.objects.values_list("value", "until")),
    )

"""The pages of groups of failures."""

from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from django_jobflow import bulk
from django_jobflow.admin import group_verbs
from django_jobflow.engines import engine_for
from django_jobflow.models import FailureGroup, JobRecord, Release
from tests.admin.site import act, list_url, page_url, superuser, user_with
from tests.factories import FailedJobFactory, FailureGroupFactory
from tests.plans import PROBLEMS, noting

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def admin(client):
    client.force_login(superuser())
    return client


def failed(group, **facts):
    """Return a failed job of *group*."""
    return FailedJobFactory(fingerprint=group.pk, **facts)


def shown(client, **filters):
    """Return the groups that the list shows, in its order."""
    response = client.get(list_url("failuregroup", **filters))
    return [group.pk for group in response.context["cl"].result_list]


class ListTests:
    def test_group_seen_last_comes_first_and_what_is_muted_is_left_out(self, admin):
        now = timezone.now()
        old = FailureGroupFactory(last_seen_at=now - HOUR)
        muted = FailureGroupFactory(muted_at=now)
        over = FailureGroupFactory(muted_at=now - HOUR, muted_until=now - 2 * HOUR)
        new = FailureGroupFactory(last_seen_at=now + HOUR)

        assert [new.pk, over.pk, old.pk] == shown(admin)
        assert [muted.pk] == shown(admin, muted="yes")
        assert {each.pk for each in (new, over, old, muted)} == set(shown(admin, muted="all"))

    def test_new_is_what_came_up_with_the_last_release(self, admin):
        now = timezone.now()
        FailureGroupFactory(first_seen_at=now - 2 * HOUR)
        new = FailureGroupFactory(first_seen_at=now)
        assert [] == shown(admin, new="yes")
        for name, back in (("r1", 3), ("r2", 1)):
            Release.objects.create(name=name, first_seen_at=now - back * HOUR)

        assert [new.pk] == shown(admin, new="yes")
        response = admin.get(list_url("failuregroup"))
        assert 1 == response.content.decode().count("New in r2")

    def test_group_is_told_in_one_row(self, admin):
        group = FailureGroupFactory(
            message="<b>No</b> '…'", names={"a": 1, "b": 3, "c": 2, "d": 1}, releases={"r1": 7}
        )
        hour = int(timezone.now().timestamp()) // 3600 * 3600
        FailureGroup.objects.update(history={str(hour): 6, str(hour - 3600): 1})

        text = admin.get(list_url("failuregroup")).content.decode()

        assert "&lt;b&gt;No&lt;/b&gt;" in text
        assert "b, c, a, …" in text
        assert 'aria-label="7 failures"' in text
        assert 2 == text.count("<rect")  # nothing is drawn where there was nothing
        assert group.place in text

    @pytest.mark.parametrize("term", ["refused", "Connection", "shop.cards", " refused "])
    def test_group_is_found_by_what_it_shows(self, admin, term):
        group = FailureGroupFactory(message="Card # was refused.", place="shop.cards:charge")
        FailureGroupFactory(exception="builtins.KeyError", message="", place="")

        assert [group.pk] == shown(admin, q=term)
        assert [] == shown(admin, q="refunded")

    def test_list_takes_few_statements(self, admin, django_assert_num_queries):
        FailureGroupFactory.create_batch(30)

        with django_assert_num_queries(5):
            admin.get(list_url("failuregroup"))


class PageTests:
    def test_page_has_the_newest_failed_jobs_and_the_newest_traceback(self, admin):
        group = FailureGroupFactory()
        records = [failed(group) for _ in range(12)]
        FailedJobFactory()

        response = admin.get(page_url(group))

        listed = [each["record"].pk for each in response.context["failed"]]
        assert [record.pk for record in reversed(records[2:])] == listed
        assert "12 failed jobs are kept." in response.content.decode()
        assert "ConnectionError" in response.context["parts"][-1].text
        assert page_url(JobRecord(pk=records[-1].pk)) in response.content.decode()

    def test_page_counts_no_further_than_it_says(self, admin, monkeypatch):
        monkeypatch.setattr("django_jobflow.admin.failures.FAILED_COUNTED", 2)
        group = FailureGroupFactory()
        for _ in range(3):
            failed(group, errors=[])

        response = admin.get(page_url(group))

        assert "More than 2 failed jobs are kept" in response.content.decode()
        assert [] == response.context["parts"]

    def test_page_without_failed_jobs_offers_nothing_to_do_to_them(self, admin):
        response = admin.get(page_url(FailureGroupFactory()))

        assert ([], []) == (response.context["buttons"], response.context["offers"])
        assert "None is kept" in response.content.decode()

    def test_week_is_told_in_numbers_too(self, admin):
        hour = int(timezone.now().timestamp()) // 3600 * 3600
        group = FailureGroupFactory(history={str(hour): 2, str(hour - 25 * 3600): 3})

        response = admin.get(page_url(group))

        assert ["2", "3", "0", "0", "0", "0", "0"] == [
            day["count"] for day in response.context["days"]
        ]

    def test_page_takes_few_statements(self, admin, django_assert_num_queries):
        group = FailureGroupFactory()
        failed(group)

        with django_assert_num_queries(6):
            admin.get(page_url(group))

    def test_failed_jobs_of_a_group_are_a_range_of_an_index(self, admin):
        group = FailureGroupFactory()
        FailedJobFactory.create_batch(20)
        with noting() as statements:
            admin.get(page_url(group))

        told = [
            each
            for sql, params in statements
            if connection.vendor == "sqlite"
            for each in PROBLEMS["sqlite"](sql, params)
        ]
        assert [] == told


class OfferTests:
    """What is done to all failed jobs of a group is a bulk operation, looked at before."""

    @pytest.mark.parametrize(
        ("place", "action", "told"),
        [(0, "retry", "This retries 2 jobs."), (1, "delete", "This deletes 2 jobs for good.")],
    )
    def test_page_leads_to_what_would_be_done(self, admin, place, action, told):
        group = FailureGroupFactory(message="Attempt # was <refused>.")
        failed(group), failed(group), FailedJobFactory()

        response = admin.get(page_url(group))
        offer = response.context["offers"][place]
        is_red = f'jobflow-final" href="{offer["url"].replace("&", "&amp;")}"' in (
            response.content.decode()
        )
        page = admin.get(offer["url"])

        assert (action == "delete") == is_red
        assert told == page.context["told"][0]
        assert action == page.context["action"]
        assert f"state:failed fingerprint:{group.pk}" == str(page.context["preview"].search)
        link = f'<a href="{page_url(group)}">ConnectionError: Attempt # was &lt;refused&gt;.</a>'
        assert link in page.content.decode()

    def test_workers_carry_it_out_and_its_page_names_the_group(self, admin):
        group = FailureGroupFactory()
        failed(group), failed(group)
        other = FailedJobFactory()
        url = admin.get(page_url(group)).context["offers"][0]["url"]
        asked = dict(parse_qsl(urlsplit(url).query))

        page = admin.post(urlsplit(url).path, asked, follow=True)
        bulk.work(engine_for(), 10)

        states = set(JobRecord.objects.exclude(pk=other.pk).values_list("state", flat=True))
        assert {"AVAILABLE"} == states
        assert "FAILED" == JobRecord.objects.get(pk=other.pk).state
        assert page_url(group) in [fact.url for fact in page.context["facts"]]

    def test_group_that_is_forgotten_is_not_named(self, admin):
        group = FailureGroupFactory.build()
        failed(group)

        start = reverse("admin:jobflow_bulkoperation_start")
        asked = {"action": "retry", "q": f"fingerprint:{group.pk}"}
        page = admin.get(start, asked)

        assert ["This retries 1 job.", None] == [page.context["told"][0], page.context["kind"]]

    @pytest.mark.parametrize(
        ("permissions", "labels"),
        [
            (["start_bulkoperation", "view_jobrecord", "retry_jobrecord"], ["Retry all"]),
            (["start_bulkoperation", "view_jobrecord", "delete_jobrecord"], ["Delete all"]),
            (["start_bulkoperation", "retry_jobrecord"], []),
            (["view_jobrecord", "retry_jobrecord"], []),
        ],
    )
    def test_it_is_offered_to_those_who_may(self, client, permissions, labels):
        client.force_login(user_with("view_failuregroup", *permissions))
        group = FailureGroupFactory()
        failed(group)

        offers = client.get(page_url(group)).context["offers"]

        assert labels == [str(offer["label"]) for offer in offers]

    def test_who_may_not_see_the_group_is_not_told_its_name(self, client):
        client.force_login(user_with("start_bulkoperation", "view_jobrecord", "retry_jobrecord"))
        group = FailureGroupFactory()
        failed(group)

        start = reverse("admin:jobflow_bulkoperation_start")
        page = client.get(start, {"action": "retry", "q": f"fingerprint:{group.pk}"})

        assert page.context["kind"] is None


class VerbTests:
    def post(self, client, group, verb, **data):
        return client.post(page_url(group, verb), data, follow=True)

    def test_group_is_muted_and_unmuted(self, admin):
        group = FailureGroupFactory()

        self.post(admin, group, "mute", **{"for": "hour"})

        group.refresh_from_db()
        assert (True, "root") == (group.is_muted(), group.muted_by)
        assert HOUR - timedelta(minutes=1) < group.muted_until - timezone.now() <= HOUR
        page = admin.get(page_url(group))
        assert ["unmute"] == [button.name for button in page.context["buttons"]]
        assert "" == page.context["mute_url"]

        self.post(admin, group, "unmute")

        group.refresh_from_db()
        assert not group.is_muted()

    def test_address_that_is_only_visited_changes_nothing(self, admin):
        group = FailureGroupFactory()

        admin.get(page_url(group, "mute"))

        group.refresh_from_db()
        assert not group.is_muted()

    def test_group_that_is_gone_leads_to_the_list(self, admin):
        response = self.post(admin, FailureGroup(pk="0" * 32), "mute")

        assert [list_url("failuregroup")] == [address for address, _ in response.redirect_chain]


class PermissionTests:
    @pytest.mark.parametrize("verb", group_verbs.GROUP_VERBS)
    @pytest.mark.parametrize(
        ("codenames", "status"),
        [
            (["view_failuregroup", "mute_failuregroup"], 302),
            (["view_failuregroup", "delete_jobrecord"], 403),
            (["mute_failuregroup"], 403),
        ],
    )
    def test_verb_needs_its_permission_and_that_to_view(self, client, verb, codenames, status):
        client.force_login(user_with(*codenames))
        group = FailureGroupFactory()

        assert status == client.post(page_url(group, verb)).status_code

    def test_who_may_see_no_jobs_sees_no_traceback(self, client):
        client.force_login(user_with("view_failuregroup"))
        group = FailureGroupFactory()
        record = failed(group)

        response = client.get(page_url(group))

        assert [] == response.context["parts"]
        assert page_url(JobRecord(pk=record.pk)) not in response.content.decode()

    def test_nothing_is_done_to_a_list(self, admin):
        group = FailureGroupFactory()

        assert 403 == act(admin, list_url("failuregroup"), "delete_selected", [group]).status_code

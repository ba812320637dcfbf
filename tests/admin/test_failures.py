"""The pages of groups of failures."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from django_jobflow.admin import group_verbs
from django_jobflow.models import FailureGroup, JobRecord, Release
from tests.admin.site import act, list_url, page_url, said, superuser, user_with
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
        assert 24 == text.count("<rect")
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

        assert [] == response.context["buttons"]
        assert "None is kept" in response.content.decode()

    def test_week_is_told_in_numbers_too(self, admin):
        hour = int(timezone.now().timestamp()) // 3600 * 3600
        group = FailureGroupFactory(history={str(hour): 2, str(hour - 25 * 3600): 3})

        response = admin.get(page_url(group))

        assert [2, 3, 0, 0, 0, 0, 0] == [day["count"] for day in response.context["days"]]

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


class VerbTests:
    def post(self, client, group, verb, **data):
        return client.post(page_url(group, verb), data, follow=True)

    def test_group_is_retried(self, admin):
        group = FailureGroupFactory()
        failed(group), failed(group)
        other = FailedJobFactory()

        response = self.post(admin, group, "retry")

        assert ["2 jobs will run again."] == said(response)
        states = set(JobRecord.objects.exclude(pk=other.pk).values_list("state", "fingerprint"))
        assert {("AVAILABLE", None)} == states
        assert "FAILED" == JobRecord.objects.get(pk=other.pk).state
        assert ["No failed job of this group is kept."] == said(self.post(admin, group, "retry"))

    def test_large_group_is_retried_in_parts(self, admin, monkeypatch):
        monkeypatch.setattr(group_verbs, "MOST", 2)
        group = FailureGroupFactory()
        for _ in range(3):
            failed(group)

        assert ["2 jobs will run again.", "There are more of them: do it again."] == said(
            self.post(admin, group, "retry")
        )
        assert ["1 job will run again."] == said(self.post(admin, group, "retry"))

    def test_group_is_given_up(self, admin):
        group = FailureGroupFactory()
        failed(group)

        assert ["1 job was deleted."] == said(self.post(admin, group, "discard"))
        assert not JobRecord.objects.exists()

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
        response = self.post(admin, FailureGroup(pk="0" * 32), "retry")

        assert [list_url("failuregroup")] == [address for address, _ in response.redirect_chain]


class PermissionTests:
    @pytest.mark.parametrize("verb", group_verbs.GROUP_VERBS)
    @pytest.mark.parametrize(
        "codename", ["retry_jobrecord", "delete_jobrecord", "mute_failuregroup"]
    )
    def test_verb_needs_its_permission(self, client, verb, codename):
        needed = {"retry": "retry_jobrecord", "discard": "delete_jobrecord"}
        client.force_login(user_with("view_failuregroup", codename))
        group = FailureGroupFactory()

        status = client.post(page_url(group, verb)).status_code

        assert (302 if needed.get(verb, "mute_failuregroup") == codename else 403) == status

    def test_verb_needs_the_permission_to_view(self, client):
        client.force_login(user_with("retry_jobrecord"))
        group = FailureGroupFactory()
        failed(group)

        assert 403 == client.post(page_url(group, "retry")).status_code
        assert "FAILED" == JobRecord.objects.get().state

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

"""The page of the audit, and that each action of the admin is in it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from django_jobflow import audit
from django_jobflow.models import AuditEntry, Batch, FailedJob, SucceededJob
from tests.admin.site import act, list_url, page_url, superuser, user_with
from tests.factories import (
    FailedJobFactory,
    JobRecordFactory,
    LimitFactory,
    PauseFactory,
    SucceededJobFactory,
)

pytestmark = pytest.mark.django_db
ADDRESS = "203.0.113.7"
NO_LIMIT = {"concurrency": "", "starts": "", "burst": ""}


@pytest.fixture
def staff(client):
    client.force_login(superuser())
    client.defaults["REMOTE_ADDR"] = ADDRESS
    return client


def told():
    """Return action, subject and count of each row, after a check of who has done it all."""
    rows = AuditEntry.objects.order_by("id")
    assert {("root", "admin", ADDRESS)} == set(rows.values_list("by", "via", "origin"))
    return list(rows.values_list("action", "subject", "count"))


class WiredTests:
    """Whatever is done through a page is in the audit."""

    @pytest.mark.parametrize(
        ("action", "state", "word"),
        [
            ("retry", "FAILED", "retry"),
            ("cancel", "SCHEDULED", "cancel"),
            ("run_now", "SCHEDULED", "run_now"),
            ("delete_selected", "SCHEDULED", "delete"),
        ],
    )
    def test_action_of_a_list(self, staff, action, state, word):
        one, other = JobRecordFactory.create_batch(2, state=state)

        act(staff, list_url("jobrecord"), action, [one, other], post="yes")

        assert [(word, f"id:{one.pk},{other.pk}", 2)] == told()

    def test_action_on_all_that_match_tells_the_filters(self, staff):
        record = FailedJobFactory(queue="email")

        act(staff, list_url("failedjob", queue="email"), "retry", [record], select_across="1")

        assert [("retry", "?queue=email", 1)] == told()

    @pytest.mark.parametrize(
        ("verb", "state"), [("retry", "FAILED"), ("cancel", "SCHEDULED"), ("run_now", "RETRY")]
    )
    def test_button_of_a_page(self, staff, verb, state):
        record = JobRecordFactory(state=state)

        staff.post(page_url(record, verb))

        assert [(verb, f"id:{record.pk}", 1)] == told()

    def test_deleted_jobs(self, staff):
        failed, kept = FailedJobFactory(), SucceededJobFactory()

        staff.post(page_url(failed, "delete"), {"post": "yes"})
        staff.post(page_url(kept, "delete"), {"post": "yes"})

        assert not FailedJob.objects.exists()
        assert not SucceededJob.objects.exists()
        assert [
            ("delete", f"id:{failed.pk}", 1),
            ("delete_succeeded", f"id:{kept.pk}", 1),
        ] == told()

    def test_pauses_and_limits(self, staff):
        pause, limit = PauseFactory(value="a"), LimitFactory(value="b")
        other = PauseFactory(value="c")

        staff.post("/admin/jobflow/pause/add/", {"kind": "queue", "value": "new"})
        staff.post("/admin/jobflow/limit/add/", {"kind": "queue", "value": "new"} | NO_LIMIT)
        staff.post(page_url(pause, "delete"), {"post": "yes"})
        act(staff, list_url("pause"), "resume", [other])
        act(staff, list_url("limit"), "clear", [limit])

        assert [
            ("pause", "queue:new", 1),
            ("set_limit", "queue:new", 1),
            ("resume", "queue:a", 1),
            ("resume", "queue:c", 1),
            ("clear_limit", "queue:b", 1),
        ] == told()

    def test_batch(self, staff):
        batch = Batch.objects.open("Import")
        JobRecordFactory(batch_id=batch.pk)

        act(staff, list_url("batch"), "cancel", [batch])

        assert [("cancel_batch", f"batch:{batch.pk}", 1)] == told()

    def test_refused_verb_is_not_told(self, staff):
        staff.post(page_url(JobRecordFactory(), "retry"))

        assert not AuditEntry.objects.exists()


class PageTests:
    def shown(self, staff, **filters):
        response = staff.get(list_url("auditentry", **filters))
        return [row.subject for row in response.context["cl"].result_list]

    def test_latest_stands_first_and_can_be_filtered(self, staff):
        audit.record("retry", by="ann", subject="id:1")
        audit.record("pause", by=audit.Actor("bob", "command", "root@host"), subject="queue:a")

        assert ["queue:a", "id:1"] == self.shown(staff)
        assert ["id:1"] == self.shown(staff, action="retry")
        assert ["queue:a"] == self.shown(staff, via="command")
        assert ["id:1"] == self.shown(staff, q=" ann ")
        assert ["queue:a"] == self.shown(staff, q="queue:a")
        assert [] == self.shown(staff, q="an")

    def test_list_tells_all_but_the_details(self, staff):
        said = audit.Actor("bob", "command", "root@host")
        audit.record("set_limit", by=said, subject="queue:a", detail={"rate": "77/m"})

        page = staff.get(list_url("auditentry")).content.decode()

        for text in ("Set a limit", "bob", "the command line", "root@host", "queue:a"):
            assert text in page
        assert "77/m" not in page

    def test_page_tells_the_details(self, staff):
        audit.record("set_limit", by="bob", subject="queue:a", detail={"rate": "77/m"})
        [entry] = AuditEntry.objects.all()

        response = staff.get(page_url(entry))

        facts = {fact.label: fact.value for fact in response.context["facts"]}
        assert "Set a limit" == response.context["title"]
        assert ("queue:a", "1", "bob", "Code", "-") == tuple(
            facts[label] for label in ("What", "How many", "By", "Through", "From")
        )
        assert "77/m" in response.content.decode()

    def test_page_leads_to_the_one_job_that_it_is_about(self, staff):
        record = JobRecordFactory()
        for subject, url in ((f"id:{record.pk}", page_url(record)), ("id:1,2", ""), ("id:x", "")):
            entry = AuditEntry.objects.create(action="retry", via="admin", subject=subject)

            facts = {fact.label: fact for fact in staff.get(page_url(entry)).context["facts"]}

            assert url == facts["What"].url

    def test_word_of_a_later_release_is_shown_as_it_is(self, staff):
        AuditEntry.objects.create(action="explode", via="pigeon")
        [entry] = AuditEntry.objects.all()

        page = staff.get(page_url(entry)).content.decode()

        assert "explode" in page
        assert "Pigeon" in page
        assert "pigeon" in staff.get(list_url("auditentry")).content.decode()

    def test_list_takes_as_many_statements_for_many_rows(self, staff, django_assert_num_queries):
        for count in (1, 40):
            for _ in range(count):
                audit.record("retry")
            # Session and user, count and page, first and last day.
            with django_assert_num_queries(6):
                staff.get(list_url("auditentry"))

    def test_day_can_be_chosen(self, staff):
        audit.record("retry", subject="id:1")
        audit.record("retry", subject="id:2")
        AuditEntry.objects.filter(subject="id:1").update(at=timezone.now() - timedelta(days=400))
        then = timezone.localtime(AuditEntry.objects.get(subject="id:1").at)

        assert ["id:1"] == self.shown(staff, at__year=then.year)


class ReadOnlyTests:
    def test_not_even_a_superuser_adds_changes_or_deletes(self, staff):
        audit.record("retry", by="ann")
        [entry] = AuditEntry.objects.all()

        for page in ("change", "delete"):
            assert 403 == staff.post(page_url(entry, page), {"post": "yes"}).status_code
        assert 403 == staff.get("/admin/jobflow/auditentry/add/").status_code
        data = {"action": "delete_selected", "index": 0, "_selected_action": [entry.pk]}
        assert 403 == staff.post(list_url("auditentry"), data).status_code
        assert [entry] == list(AuditEntry.objects.all())

    @pytest.mark.parametrize(
        ("permission", "code"), [("view_jobrecord", 403), ("view_auditentry", 200)]
    )
    def test_it_has_its_own_permission(self, client, permission, code):
        audit.record("retry", by="ann")
        client.force_login(user_with(permission))

        addresses = [list_url("auditentry"), page_url(AuditEntry.objects.get())]
        assert [code, code] == [client.get(address).status_code for address in addresses]

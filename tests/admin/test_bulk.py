"""Acting on everything that matches: looking first, starting, watching, stopping."""

import pytest
from django.urls import reverse

from django_jobflow import bulk
from django_jobflow.admin import actions
from django_jobflow.engines import engine_for
from django_jobflow.models import AuditEntry, BulkOperation, JobRecord
from django_jobflow.search import parse
from tests.admin.browser import check
from tests.admin.site import act, list_url, page_url, said, superuser, user_with
from tests.factories import FailedJobFactory, JobRecordFactory, SucceededJobFactory

pytestmark = pytest.mark.django_db
START = "/admin/jobflow/bulkoperation/start/"


@pytest.fixture
def staff(client):
    client.force_login(superuser())
    return client


def start(text="state:failed queue:email", action="retry"):
    return bulk.start(action, parse(text), by="ann")


class StartTests:
    def test_what_it_would_do_is_shown_before(self, staff):
        FailedJobFactory.create_batch(2, queue="email")
        SucceededJobFactory.create_batch(3)

        page = staff.get(START, {"q": "queue:email", "action": "retry", "rate": "1"})

        assert [
            "This retries 2 jobs.",
            "The operation takes about 2.0 s.",
            "To run them takes about 3 min 20 s at the present rate.",
        ] == [sentence.replace("\xa0", " ") for sentence in page.context["told"]]
        assert "state:failed,cancelled queue:email" in page.content.decode()
        assert not BulkOperation.objects.exists()

    def test_numbers_that_are_not_exact_say_so(self, staff, monkeypatch):
        FailedJobFactory.create_batch(4, queue="email")
        monkeypatch.setattr(bulk, "SAMPLE", 2)

        asked = {"q": "queue:email state:failed", "action": "delete"}
        told = staff.get(START, asked).context["told"]
        assert "This deletes about 4 jobs for good." == told[0]
        assert "The number is an estimate from the first 2 that were looked through." == told[1]

        monkeypatch.setattr(bulk, "MOST_COUNTED", 3)
        told = staff.get(START, {"q": "state:failed", "action": "cancel"}).context["told"]
        assert "This cancels more than 3 jobs." == told[0]

    def test_operation_is_started(self, staff):
        FailedJobFactory(queue="email")

        asked = {"q": "queue:email", "action": "retry", "rate": "50"}
        response = staff.post(START, asked, follow=True)

        [operation] = BulkOperation.objects.all()
        assert (page_url(operation), 302) == response.redirect_chain[-1]
        assert ("root", "admin", "retry", 50) == (
            operation.by,
            operation.via,
            operation.action,
            operation.rate,
        )
        assert ["start_bulk"] == list(AuditEntry.objects.values_list("action", flat=True))

    @pytest.mark.parametrize(
        ("asked", "text"),
        [
            ({"q": "quue:x", "action": "retry"}, "<mark>quue</mark>"),
            ({"q": "", "action": "retry"}, "expected a search, got an empty one"),
            ({"q": "state:succeeded", "action": "retry"}, "has succeeded has ended"),
            ({"q": "x", "action": "retry", "rate": "0"}, "from 1 to 100,000"),
        ],
    )
    def test_mistake_is_shown_and_nothing_is_started(self, staff, asked, text):
        for ask in (staff.get, staff.post):
            assert text in ask(START, asked).content.decode()
        assert not BulkOperation.objects.exists()

    @pytest.mark.parametrize(
        ("permissions", "code"),
        [
            (["start_bulkoperation", "view_jobrecord", "retry_jobrecord"], 302),
            (["start_bulkoperation", "view_jobrecord", "cancel_jobrecord"], 403),
            (["start_bulkoperation", "retry_jobrecord"], 403),
            (["view_jobrecord", "retry_jobrecord"], 403),
        ],
    )
    def test_it_takes_all_permissions(self, client, permissions, code):
        client.force_login(user_with(*permissions))

        assert code == client.post(START, {"q": "x", "action": "retry"}).status_code
        assert (code == 302) == BulkOperation.objects.exists()

    def test_history_takes_the_permission_to_delete_from_it(self, client):
        client.force_login(user_with("start_bulkoperation", "view_jobrecord", "delete_jobrecord"))

        asked = {"q": "state:succeeded", "action": "delete"}
        assert 403 == client.post(START, asked).status_code


class ListTests:
    def test_list_leads_there_with_its_search(self, staff):
        page = staff.get(list_url("failedjob", q="queue:email", age="1d"))

        expected = f"{START}?q=state%3Afailed+age%3C86400s+queue%3Aemail"
        assert expected == page.context["cl"].bulk_url
        page = staff.get(list_url("jobrecord"))
        assert not hasattr(page.context["cl"], "bulk_url")

    def test_day_that_is_no_search_leads_nowhere(self, staff):
        JobRecordFactory()

        page = staff.get(list_url("jobrecord", q="queue:default", created_at__year=2030))

        assert not hasattr(page.context["cl"], "bulk_url")

    @pytest.mark.parametrize("action", ["retry", "delete_selected"])
    def test_all_that_match_are_an_operation_if_they_are_many(self, staff, monkeypatch, action):
        monkeypatch.setattr(actions, "BATCH", 2)
        rows = FailedJobFactory.create_batch(3, queue="email")

        response = act(
            staff, list_url("failedjob", queue="email"), action, rows, select_across="1"
        )

        word = action.removesuffix("_selected")
        expected = f"{START}?q=state%3Afailed+queue%3Aemail&action={word}"
        assert (expected, 302) == response.redirect_chain[-1]
        assert 3 == JobRecord.objects.filter(state="FAILED").count()

    def test_who_may_not_start_one_is_told(self, client, monkeypatch):
        monkeypatch.setattr(actions, "BATCH", 2)
        rows = FailedJobFactory.create_batch(3)
        client.force_login(user_with("view_failedjob", "retry_jobrecord"))

        response = act(client, list_url("failedjob"), "retry", rows, select_across="1")

        text = "More than 2 match, and you may not act on as many at once."
        assert [text] == said(response)
        assert 3 == JobRecord.objects.filter(state="FAILED").count()

    def test_day_has_to_be_said_in_the_search(self, staff, monkeypatch):
        monkeypatch.setattr(actions, "BATCH", 2)
        rows = FailedJobFactory.create_batch(3)

        address = list_url("failedjob", finished_at__year=rows[0].finished_at.year)
        response = act(staff, address, "retry", rows, select_across="1")

        [text] = said(response)
        assert text.startswith("More than 2 match. Say which in the search")


class PageTests:
    def test_page_tells_how_far_it_is(self, staff):
        FailedJobFactory(queue="email")
        operation = start()
        assert "0 %" in staff.get(page_url(operation)).content.decode()

        bulk.turn(engine_for())

        page = staff.get(page_url(operation))
        facts = {fact.label: fact.value for fact in page.context["facts"]}
        assert ("1", "1", "ann") == tuple(facts[k] for k in ("Changed", "Looked at", "By"))
        assert 'value="100"' in page.content.decode()
        assert "" == page.context["button_url"]

    def test_operation_is_stopped_and_goes_on(self, staff):
        operation = start()

        for word, state in (("stop", "STOPPED"), ("stop", "STOPPED"), ("resume", "RUNNING")):
            response = staff.post(page_url(operation, word), follow=True)
            operation.refresh_from_db()
            assert state == operation.state
            assert 1 == len(said(response))
        staff.get(page_url(operation, "stop"))
        operation.refresh_from_db()
        assert "RUNNING" == operation.state

    @pytest.mark.parametrize(
        ("permission", "state"), [("retry_jobrecord", "RUNNING"), ("cancel_jobrecord", "STOPPED")]
    )
    def test_going_on_takes_the_permission_of_the_action(self, client, permission, state):
        operation = start()
        client.force_login(user_with("view_bulkoperation", "stop_bulkoperation", permission))
        client.post(page_url(operation, "stop"))
        operation.refresh_from_db()
        assert "STOPPED" == operation.state

        is_offered = bool(client.get(page_url(operation)).context["button_url"])
        client.post(page_url(operation, "resume"))

        operation.refresh_from_db()
        assert (state, state == "RUNNING") == (operation.state, is_offered)

    def test_operation_that_is_gone(self, staff):
        operation = start()
        operation.delete()

        assert 302 == staff.post(f"/admin/jobflow/bulkoperation/{7**9}/stop/").status_code

    def test_error_is_shown(self, staff):
        operation = start()
        BulkOperation.objects.update(search="quue:x")
        bulk.turn(engine_for())

        page = staff.get(page_url(operation)).content.decode()
        assert "SearchError" in page
        assert "Go on" in page

    def test_who_may_only_look_changes_nothing(self, client):
        operation = start()
        client.force_login(user_with("view_bulkoperation"))

        assert 200 == client.get(page_url(operation)).status_code
        assert "<button" not in client.get(page_url(operation)).context["button_url"]
        for word in ("stop", "resume", "delete", "change"):
            assert 403 == client.post(page_url(operation, word)).status_code

    def test_list_takes_as_many_statements_for_many(self, staff, django_assert_num_queries):
        for count in (1, 20):
            for _ in range(count):
                start()
            with django_assert_num_queries(4):  # session, user, count, page
                staff.get(list_url("bulkoperation"))


@pytest.mark.django_db(transaction=True)
def test_story_of_an_operation(browse):
    FailedJobFactory.create_batch(3, queue="email")

    def story(page):
        page.goto(list_url("failedjob", q="queue:email"))
        page.get_by_role("link", name="Act on everything that matches").click()
        page.get_by_label("Action").select_option("retry")
        page.get_by_role("button", name="Look first").click()
        page.get_by_text("This retries 3 jobs.").wait_for()
        check(page)
        page.get_by_role("button", name="Start").click()
        page.get_by_role("button", name="Stop").wait_for()
        check(page)
        browse.ask(lambda: bulk.turn(engine_for()))
        page.get_by_role("link", name="Look again").click()
        page.locator('progress[value="100"]').wait_for()
        page.goto(list_url("bulkoperation"))
        check(page)
        page.goto(list_url("auditentry"))
        check(page, but=["target-size"])  # of Django's own filters
        return page.locator("#result_list tbody tr").count()

    assert 2 == browse(story, user=superuser())
    assert 3 == JobRecord.objects.filter(state="AVAILABLE").count()


def test_address():
    assert START == reverse("admin:jobflow_bulkoperation_start")

"""The search of the lists of jobs, as it is typed, and with the filters beside it."""

from functools import partial
from urllib.parse import quote_plus

import pytest
from django.urls import reverse
from django.utils import translation

from django_jobflow import observe
from django_jobflow.admin import searching
from tests.admin.browser import check
from tests.admin.site import list_url, superuser, user_with
from tests.factories import (
    FailedJobFactory,
    FailureGroupFactory,
    JobRecordFactory,
    PauseFactory,
    SucceededJobFactory,
    WorkerFactory,
    error_entry,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client):
    client.force_login(superuser())
    return client


def shown(staff, model="jobrecord", **asked):
    """Return the numbers of the jobs that a list shows."""
    response = staff.get(list_url(model, **asked))
    assert 200 == response.status_code
    return [row.pk for row in response.context["cl"].result_list]


class ListTests:
    def test_search_and_filters_are_one_search(self, staff):
        one = FailedJobFactory(queue="email")
        FailedJobFactory(queue="sms")
        JobRecordFactory(queue="email")

        assert [one.pk] == shown(staff, q="queue:email", state="FAILED")
        assert [one.pk] == shown(staff, q="state:failed", queue="email", age="1d")
        assert [] == shown(staff, q="state:failed", queue="email", age="older")
        assert [one.pk] == shown(staff, "failedjob", q="queue:email")

    def test_class_of_the_last_error(self, staff):
        entry = error_entry(1, FailedJobFactory().created_at)
        one = FailedJobFactory(errors=[entry | {"exception": "smtplib.SMTPException"}])

        assert [one.pk] == shown(staff, q="error:SMTPException")

    @pytest.mark.parametrize("model", ["jobrecord", "failedjob", "succeededjob"])
    def test_mistake_is_shown_in_its_place_and_finds_nothing(self, staff, model):
        FailedJobFactory()
        SucceededJobFactory()

        response = staff.get(list_url(model, q="quue:email state:failed"))

        assert [] == list(response.context["cl"].result_list)
        assert "<code><mark>quue</mark>:email state:failed</code>" in response.content.decode()
        assert "Did you mean &#x27;queue&#x27;?" in response.content.decode()

    @pytest.mark.parametrize("model", ["jobrecord", "failedjob", "succeededjob"])
    def test_letter_that_no_text_has_is_a_mistake(self, staff, model):
        FailedJobFactory()
        SucceededJobFactory()

        response = staff.get(list_url(model, q="name:\0"))

        assert [] == list(response.context["cl"].result_list)
        assert "is in no job" in response.content.decode()

    def test_such_a_filter_finds_nothing_and_nothing_is_done_to_all(self, staff):
        FailedJobFactory()

        response = staff.get(list_url("jobrecord", state="FAILED", queue="\0"))

        assert [] == list(response.context["cl"].result_list)
        assert not hasattr(response.context["cl"], "bulk_url")

    def test_mistake_in_the_address_is_shown_too(self, staff):
        assert [] == shown(staff, age="soon")
        assert [] == shown(staff, state="none")

    @pytest.mark.parametrize(
        ("model", "search", "other"),
        [
            ("jobrecord", "state:succeeded queue:email", "succeededjob"),
            ("succeededjob", "state:failed queue:email", "jobrecord"),
        ],
    )
    def test_search_leads_to_the_list_that_has_what_is_asked_for(
        self, staff, model, search, other
    ):
        response = staff.get(list_url(model, q=search))

        assert (302, list_url(other, q=search)) == (response.status_code, response.url)

    def test_nobody_is_led_where_they_may_not_look(self, client):
        client.force_login(user_with("view_jobrecord"))

        assert [] == shown(client, q="state:succeeded")

    def test_page_says_so_where_not_all_was_looked_through(self, staff, monkeypatch):
        monkeypatch.setattr(searching, "find_rows", partial(observe.find_rows, window=2))
        JobRecordFactory.create_batch(3)

        for search, is_told in {"queue:default": True, "state:available": False}.items():
            page = staff.get(list_url("jobrecord", q=search)).content.decode()
            assert is_told == ("the first 2 jobs were looked through" in page), search

    def test_mistake_is_told_in_the_language_of_the_page(self, staff):
        with translation.override("de"):
            page = staff.get(list_url("jobrecord", q="quue:email")).content.decode()

        assert "Suche, bei Zeichen 1: &#x27;quue&#x27; ist kein Schlüssel." in page


class FilterTests:
    """What is beside the list is a part of its search, and asks no large table."""

    @pytest.mark.parametrize(
        ("name", "value", "term"),
        [
            ("worker", "host-1:7", "worker:host-1:7"),
            ("worker", "host-*", "worker:host-*"),
            ("partition", "acme", "partition:acme"),
            ("partition", '""', 'partition:""'),
            ("tag", "late orders", 'tag:"late orders"'),
            ("tag", "a*", 'tag:"a*"'),
            ("error", "smtplib.SMTP*", "error:smtplib.SMTP*"),
            ("error", "*", 'error:"*"'),
        ],
    )
    def test_each_is_a_term(self, staff, name, value, term):
        page = staff.get(list_url("jobrecord", **{name: value, "state": "FAILED"}))

        assert f"q=state%3Afailed+{quote_plus(term)}" in page.context["cl"].bulk_url

    def test_each_finds_what_it_says(self, staff):
        entry = error_entry(1, FailedJobFactory().created_at)
        held = JobRecordFactory(state="IN_PROGRESS", reserved_by="host-1:7")
        tagged = JobRecordFactory(tags=["a"], partition="acme")
        failed = FailedJobFactory(errors=[entry | {"exception": "smtplib.SMTPException"}])

        assert [held.pk] == shown(staff, worker="host-1:7")
        assert [tagged.pk] == shown(staff, tag="a")
        assert [tagged.pk] == shown(staff, partition=" acme ")
        assert tagged.pk not in shown(staff, partition='""')
        for model in ("jobrecord", "failedjob"):
            assert [failed.pk] == shown(staff, model, error="SMTPException")

    @pytest.mark.parametrize("name", ["worker", "partition", "tag", "error"])
    def test_field_that_was_left_empty_asks_for_nothing(self, staff, name):
        record = FailedJobFactory(partition="acme")

        assert [record.pk] == shown(staff, **{name: " "})

    def test_what_is_known_can_be_chosen(self, staff):
        WorkerFactory(name="host-1:7", partitions=["acme", ""])
        PauseFactory(kind="partition", value="beta")
        FailureGroupFactory.create_batch(2, exception="smtplib.SMTPException")

        page = staff.get(list_url("jobrecord", worker="gone:1", tag="x"))

        offered = {
            spec.parameter_name: [value for value, _ in spec.lookup_choices]
            for spec in page.context["cl"].filter_specs
        }
        assert ["host-1:7", "gone:1"] == offered["worker"]
        assert ['""', "acme", "beta"] == offered["partition"]
        assert ["smtplib.SMTPException"] == offered["error"]
        assert ["x"] == offered["tag"]

    def test_field_keeps_what_else_is_asked_for(self, staff):
        page = staff.get(list_url("jobrecord", q="a<b", state="FAILED", tag="x")).content.decode()

        form = page[page.index('<input type="text" name="tag"') - 300 :].partition("</form>")[0]
        assert '<input type="hidden" name="q" value="a&lt;b">' in form
        assert '<input type="hidden" name="state" value="FAILED">' in form
        assert 'name="tag" value="x"' in form
        assert '<input type="hidden" name="tag"' not in page[page.index(form) :][: len(form)]


class CompletionTests:
    address = "/admin/jobflow/jobrecord/completions/"

    def test_it_knows_keys_and_values(self, staff):
        WorkerFactory(name="host-1:7")

        known = staff.get(self.address).json()

        assert {"name": "arg", "signs": [":"], "member": True} in known["keys"]
        assert {"in_progress", "succeeded"} < set(known["values"]["state"])
        assert ["host-1:7"] == known["values"]["worker"]
        assert "tests.app.jobs.Anything" in known["values"]["name"]

    def test_it_is_for_those_who_may_look(self, client):
        client.force_login(user_with("view_worker"))

        assert 403 == client.get(self.address).status_code


@pytest.mark.django_db(transaction=True)
class BrowserTests:
    def test_search_is_completed_by_keyboard(self, browse):
        FailedJobFactory(queue="email")
        JobRecordFactory(queue="email")

        def story(page):
            page.goto(list_url("jobrecord"))
            field = page.get_by_role("combobox", name="Search")
            with page.expect_response("**/completions/"):
                field.focus()
            field.press_sequentially("sta")
            page.get_by_role("option", name="state:").wait_for()
            field.press("ArrowDown")
            field.press("Tab")
            field.press_sequentially("fai")
            check(page, "#changelist-search")
            field.press("ArrowDown")
            field.press("Enter")
            field.press_sequentially("queue:email")
            field.press("Escape")
            field.press("Enter")
            page.wait_for_url("**q=*")
            return field.input_value(), page.locator("#result_list tbody tr").count()

        assert ("state:failed queue:email", 1) == browse(story, user=superuser())

    def test_value_is_typed_beside_the_list(self, browse):
        FailedJobFactory(tags=["import-7"])
        FailedJobFactory()
        WorkerFactory()

        def story(page):
            page.goto(list_url("jobrecord", state="FAILED"))
            check(page, "#changelist-filter", but=("target-size",))  # of Django's own filters
            field = page.get_by_role("textbox", name="tag")
            field.fill("import-7")
            field.press("Enter")
            page.wait_for_url("**tag=import-7*")
            return page.url.partition("?")[2], page.locator("#result_list tbody tr").count()

        asked, rows = browse(story, user=superuser())
        assert ({"state=FAILED", "tag=import-7"}, 1) == ({*asked.split("&")}, rows)

    def test_search_works_without_scripts(self, browse):
        FailedJobFactory(queue="email")

        def story(page):
            page.goto(list_url("jobrecord"))
            page.locator("#searchbar").fill("quue:email")
            page.get_by_role("button", name="Search").click()
            page.locator(".jobflow-search-place mark").wait_for()
            return page.locator(".jobflow-search-place mark").inner_text()

        assert "quue" == browse(story, user=superuser(), java_script_enabled=False)


def test_address_of_completions_is_there():
    assert reverse("admin:jobflow_failedjob_completions").endswith("/failedjob/completions/")

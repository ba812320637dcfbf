"""What an operator does with failed jobs, in a real browser."""

from urllib.parse import urlsplit

import pytest

from django_jobflow.models import JobRecord, Pause
from tests.admin.browser import log_in
from tests.admin.site import list_url, page_url, superuser
from tests.factories import FailedJobFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def user(live_server):
    return superuser()


def choose(page, action):
    """Run *action* for the rows that are marked."""
    page.locator("select[name=action]").select_option(action)
    page.locator("button[name=index]").click()


def states():
    return list(JobRecord.objects.order_by("id").values_list("state", flat=True))


def test_failed_job_is_retried(browse):
    record, *_ = FailedJobFactory.create_batch(3, kwargs={"note": "<script>throw 1</script>"})

    def story(page):
        log_in(page, list_url("failedjob"))
        page.get_by_role("link", name=str(record.pk), exact=True).click()
        page.get_by_text("Attempt 3 was refused.").wait_for()
        page.get_by_role("button", name="Retry").click()
        page.get_by_text(f"Job {record.pk} will run again.").wait_for()
        return urlsplit(page.url).path, page.locator(".jobflow-badge").inner_text()

    assert (page_url(JobRecord(pk=record.pk)), "Available") == browse(story)
    assert ["AVAILABLE", "FAILED", "FAILED"] == states()


def test_all_pages_of_a_list_are_chosen_and_retried(browse):
    FailedJobFactory.create_batch(101)

    def story(page):
        log_in(page, list_url("failedjob"))
        page.locator("#action-toggle").check()
        page.get_by_role("button", name="Select all 101").click()
        choose(page, "retry")
        page.get_by_text("101 jobs will run again.").wait_for()

    browse(story)
    assert {"AVAILABLE"} == set(states())


def test_delete_can_be_thought_better_of(browse):
    FailedJobFactory()

    def story(page):
        log_in(page, list_url("failedjob"))
        page.locator("input[name=_selected_action]").check()
        choose(page, "delete_selected")
        page.get_by_text("1 job is selected.").wait_for()
        page.get_by_role("button", name="No, take me back").click()
        page.locator("#result_list").wait_for()

    browse(story)
    assert ["FAILED"] == states()


def test_queue_is_paused_and_resumed(browse):
    def story(page):
        log_in(page, list_url("pause"))
        page.get_by_role("link", name="Add pause").click()
        page.get_by_label("Pauses a").select_option("queue")
        page.get_by_label("Name").fill("a b")
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_text("Name: expected queue to be 1 to 100 letters").wait_for()
        page.get_by_label("Name").fill("email")
        page.get_by_label("Reason").fill("Deploy")
        page.get_by_role("button", name="Save", exact=True).click()
        page.locator("#result_list .jobflow-badge").wait_for()
        shown = page.locator("#result_list tbody tr").inner_text().split()
        page.locator("input[name=_selected_action]").check()
        choose(page, "resume")
        page.get_by_text("1 pause was ended.").wait_for()
        return shown

    shown = browse(story)

    assert ["email", "queue", "Paused", "it", "is", "resumed", "Deploy", "root"] == shown[:8]
    assert not Pause.objects.exists()


def test_page_is_used_by_the_keyboard(browse):
    record = FailedJobFactory(max_attempts=2)

    def story(page):
        log_in(page, page_url(record))
        page.locator("details:not([open]) summary").focus()
        page.keyboard.press("Enter")
        page.locator("details[open]").nth(1).wait_for()
        page.get_by_role("button", name="Retry").focus()
        page.keyboard.press("Enter")
        page.get_by_text(f"Job {record.pk} will run again.").wait_for()

    browse(story)
    assert ["AVAILABLE"] == states()

"""The pages of queues, keys, workers and settings in a real browser."""

from datetime import timedelta

import pytest
from django.contrib.admin.utils import quote
from django.urls import reverse
from django.utils import timezone

from django_jobflow import control
from django_jobflow.attempts import key_digest
from django_jobflow.models import JobRecord, KeyHold, Worker
from django_jobflow.states import JobState
from tests.admin.browser import check
from tests.admin.site import list_url, page_url, superuser
from tests.factories import JobRecordFactory, LimitFactory, PauseFactory, WorkerFactory

pytestmark = pytest.mark.django_db(transaction=True)

NOW = timezone.now
MAIL = {"queue": "email", "name": "shop.jobs.SendReceipt"}


@pytest.fixture
def shop(settings):
    """A shop in the middle of its day."""
    settings.JOBFLOW = {
        "LEASE": 600,
        "QUEUES": {"default": {}, "email": {"limit": 4}, "reports": {"rate": "100/m"}},
    }
    workers = [
        WorkerFactory(
            name=f"web-{n}:4711:9f3c01a{n}",
            host=f"web-{n}",
            supervisor="web-1:4700:77aa01bc",
            version="0.1.0",
            memory=61_000_000 + n * 1_500_000,
        )
        for n in (1, 2)
    ]
    for state, count in ((JobState.AVAILABLE, 12), (JobState.RETRY, 3), (JobState.FAILED, 2)):
        JobRecordFactory.create_batch(count, state=state, **MAIL)
    for key in ("smtp:1", "smtp:2"):
        JobRecordFactory(
            state=JobState.IN_PROGRESS,
            execution_key=key,
            reserved_by=workers[0].pk,
            progress=40,
            progress_message="400 of 1,000",
            **MAIL,
        )
    JobRecordFactory.create_batch(5, state=JobState.WAITING, execution_key="smtp:1", **MAIL)
    JobRecordFactory(queue="sms", queue_key="receipt:7", name="shop.jobs.SendText")
    JobRecordFactory(queue="reports", state=JobState.SCHEDULED, name="shop.jobs.BuildReport")
    PauseFactory(value="reports", by="ann", reason="Month's end", until=NOW() + timedelta(hours=2))
    LimitFactory(value="email", concurrency=4, by="ann")
    KeyHold.objects.create(
        digest=key_digest("", "receipt:7"), job_id=4211, until=NOW() + timedelta(hours=1)
    )
    return workers


def queue_url(name):
    return reverse("admin:jobflow_queue_change", args=[quote(name)])


def test_queue_is_paused_and_resumed(browse, shop):
    def story(page):
        page.goto(list_url("queue"))
        page.get_by_role("link", name="email", exact=True).click()
        page.get_by_label("How long").select_option("3600")
        page.get_by_label("Reason").fill("Deploy")
        page.get_by_role("button", name="Pause").click()
        paused = page.locator(".jobflow-head .jobflow-badge").inner_text()
        page.get_by_role("button", name="Resume").click()
        return paused, page.locator(".jobflow-head .jobflow-badge").inner_text()

    assert ("Paused", "Open") == browse(story, user=superuser())
    assert ["reports"] == [pause.value for pause in control.paused()]


def test_queue_is_emptied_after_a_dry_run(browse, shop):
    def story(page):
        page.goto(queue_url("email"))
        page.get_by_role("link", name="Empty this queue").click()
        page.get_by_label("Waiting for retry").uncheck()
        page.get_by_role("button", name="Count only").click()
        check(page)
        counted = page.locator("tfoot .jobflow-number").inner_text()
        page.get_by_role("button", name="Delete them for good").click()
        return counted, page.locator(".messagelist li").inner_text()

    assert ("17", "17 jobs were deleted.") == browse(story, user=superuser())
    left = JobRecord.objects.filter(queue="email").values_list("state", flat=True)
    assert {"IN_PROGRESS", "RETRY", "FAILED"} == set(left)


def test_worker_is_stopped(browse, shop):
    def story(page):
        page.goto(page_url(shop[0]))
        page.get_by_role("link", name="Stop it").click()
        page.get_by_role("button", name="Stop the whole command").click()
        return page.locator(".messagelist li").inner_text()

    assert "2 workers were asked to stop." == browse(story, user=superuser())
    assert {"command"} == set(Worker.objects.values_list("stops", flat=True))


def test_key_is_looked_up(browse, shop):
    def story(page):
        page.goto(list_url("key"))
        page.get_by_label("Key", exact=True).fill("smtp:1")
        page.keyboard.press("Enter")
        page.wait_for_url("**q=smtp*")
        return page.locator("section[aria-labelledby=jobflow-waiters] tbody tr").count()

    assert 5 == browse(story, user=superuser())

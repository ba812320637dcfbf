"""Failures and what is done about them, in a real browser."""

from datetime import timedelta

import pytest
from django.utils import timezone

from django_jobflow import bulk
from django_jobflow.engines import engine_for
from django_jobflow.models import FailureGroup, JobRecord, Release
from tests.admin.browser import check
from tests.admin.site import list_url, page_url, superuser
from tests.factories import FailedJobFactory, FailureGroupFactory, error_entry

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)
TRACE = """Traceback (most recent call last):
  File "/srv/shop/mail.py", line 41, in perform
    self.send(order)
  File "/srv/venv/lib/python3.13/site-packages/mailer/api.py", line 17, in send
    return self._post(message)
  File "/srv/venv/lib/python3.13/site-packages/mailer/http.py", line 203, in _post
    raise ConnectionError(answer)
ConnectionError: Order 7 was refused by 'smtp-2'.
"""


@pytest.fixture
def group():
    now = timezone.now()
    Release.objects.create(name="2026.11.2", first_seen_at=now - 2 * HOUR)
    hour = int(now.timestamp()) // 3600 * 3600
    history = {str(hour - back * 3600): (back * 7) % 13 for back in range(40)}
    facts = {"names": {"shop.mail.SendReceipt": 212}, "releases": {"2026.11.2": 212}}
    FailureGroupFactory(
        exception="shop.errors.CardExpired",
        message="Card of order # has expired.",
        place="shop.cards:Charge.perform",
        first_seen_at=now - 70 * HOUR,
        last_seen_at=now - HOUR,
    )
    return FailureGroupFactory(
        count=212, history=history, message="Order # was refused by '…'.", **facts
    )


@pytest.fixture
def records(group):
    errors = [
        error_entry(number, timezone.now() - (3 - number) * HOUR / 60)
        | {"traceback": TRACE, "seconds": 4.2 * number, "message": "Order 7 was refused."}
        for number in (1, 2, 3)
    ]
    facts = {"name": "tests.app.jobs.Anything", "fingerprint": group.pk, "errors": errors}
    return [FailedJobFactory(**facts) for _ in range(3)]


def test_group_is_found_read_and_retried(browse, group, records):
    def story(page):
        page.goto(list_url("failuregroup"))
        check(page, but=("target-size",))  # of Django's own filters
        page.get_by_role("link", name="ConnectionError").click()
        page.get_by_text("3 failed jobs are kept.").wait_for()
        page.get_by_text("2 frames of libraries").click()
        page.get_by_text("in _post").wait_for()
        check(page)
        page.get_by_role("link", name="Retry all").click()
        page.get_by_text("This retries 3 jobs.").wait_for()
        check(page)
        page.get_by_role("button", name="Start").click()
        page.get_by_text("workers carry it out").wait_for()

    browse(story, user=superuser())
    bulk.work(engine_for(), 10)

    assert {"AVAILABLE"} == set(JobRecord.objects.values_list("state", flat=True))


def test_group_is_muted_for_a_day(browse, group):
    def story(page):
        page.goto(page_url(group))
        page.get_by_label("Mute for").select_option("day")
        page.get_by_role("button", name="Mute", exact=True).click()
        page.get_by_role("button", name="Unmute").wait_for()

    browse(story, user=superuser())

    assert ("root", True) == (FailureGroup.objects.get(pk=group.pk).muted_by, True)


def test_failed_job_is_retried_with_other_arguments(browse, records):
    record = records[0]

    def story(page):
        page.goto(page_url(JobRecord(pk=record.pk)))
        check(page)
        page.get_by_role("link", name="Retry with other arguments").click()
        page.get_by_label("Arguments:", exact=True).fill("[1")
        page.get_by_role("button", name="Retry with these arguments").click()
        page.get_by_text("This is no JSON").wait_for()
        check(page)
        page.get_by_label("Arguments:", exact=True).fill('{"order": 8}')
        page.get_by_role("button", name="Retry with these arguments").click()
        page.get_by_text("will run again, with these arguments").wait_for()

    browse(story, user=superuser())

    assert {"order": 8} == JobRecord.objects.get(pk=record.pk).kwargs

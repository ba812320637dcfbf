"""The page of a job that runs, as it goes on."""

import pytest

from django_jobflow.models import FailedJob, JobLog, JobRecord
from django_jobflow.states import JobState
from tests.admin.browser import check
from tests.admin.site import page_url, superuser, user_with
from tests.factories import FailedJobFactory, JobLogFactory, JobRecordFactory, SucceededJobFactory

LINES = [[1_764_000_000 + n, "INFO", "shop.mail", f"Line {n}"] for n in range(5)]


@pytest.mark.django_db
class LiveViewTests:
    @pytest.fixture(autouse=True)
    def user(self, client):
        client.force_login(superuser())

    def told(self, client, record, **asked):
        return client.get(page_url(record, "live"), asked).json()

    def test_state_progress_and_lines_are_told(self, client):
        record = JobRecordFactory(
            state=JobState.IN_PROGRESS, progress=40, progress_message="400 of 1,000"
        )
        JobLogFactory(job=record, entries=LINES[:1])

        assert {
            "version": "IN_PROGRESS 1 1",
            "percent": 40,
            "progress": "40 % (400 of 1,000)",
            "log": {
                "total": 1,
                "lines": [
                    ["2025-11-24T16:00:00+00:00", "16:00:00", "INFO", "shop.mail", "Line 0"]
                ],
            },
        } == self.told(client, record)

    @pytest.mark.parametrize(
        ("after", "expected"),
        [("3", [3, 4]), ("5", []), ("9", []), ("-1", range(5)), ("x", range(5)), ("", range(5))],
    )
    def test_lines_that_the_page_has_are_left_out(self, client, after, expected):
        record = JobRecordFactory(state=JobState.IN_PROGRESS)
        JobLogFactory(job=record, entries=LINES)

        lines = self.told(client, record, after=after)["log"]["lines"]

        assert [f"Line {n}" for n in expected] == [message for *_, message in lines]

    def test_lines_that_were_left_out_are_counted(self, client):
        record = JobRecordFactory(state=JobState.IN_PROGRESS)
        JobLogFactory(job=record, entries=LINES, left_out=7)

        log = self.told(client, record, after="11")["log"]

        assert (12, ["Line 4"]) == (log["total"], [message for *_, message in log["lines"]])

    def test_job_that_is_gone_is_of_another_version(self, client):
        for row in (JobRecord(pk=SucceededJobFactory().pk), FailedJob(pk=JobRecordFactory().pk)):
            assert "" == self.told(client, row)["version"]

    def test_version_changes_with_the_state_and_a_request_to_stop(self, client):
        record = JobRecordFactory(state=JobState.IN_PROGRESS)
        before = self.told(client, record)["version"]

        record.cancel()

        assert (before, f"{before} asked") == (
            "IN_PROGRESS 1 1",
            self.told(client, record)["version"],
        )

    def test_look_takes_few_statements(self, client, django_assert_num_queries):
        record = JobRecordFactory(state=JobState.IN_PROGRESS)

        with django_assert_num_queries(4):
            self.told(client, record)

    def test_look_needs_the_permission_to_view(self, client):
        record = JobRecordFactory(state=JobState.IN_PROGRESS)
        client.force_login(user_with("cancel_jobrecord"))

        assert 403 == client.get(page_url(record, "live")).status_code

    def test_look_changes_nothing(self, client):
        assert 403 == client.post(page_url(JobRecordFactory(), "live")).status_code

    def test_job_that_has_ended_is_not_looked_at(self, client):
        assert "live_url" not in client.get(page_url(FailedJobFactory())).context


@pytest.mark.django_db(transaction=True)
class BrowserTests:
    def test_page_follows_the_job(self, browse):
        user = superuser()
        record = JobRecordFactory(state=JobState.IN_PROGRESS, progress=10, name="shop.Import")
        JobLogFactory(job=record, entries=LINES[:1])

        def go_on():
            JobRecord.objects.update(progress=70, progress_message="7 of 10")
            JobLog.objects.update(entries=LINES[:2])

        def end():
            JobRecord.objects.get().fail(ValueError("The file has 3 columns."))

        def story(page):
            page.goto(page_url(record))
            page.get_by_text("Line 0").wait_for()
            check(page)
            browse.ask(go_on)
            page.get_by_text("Line 1").wait_for()
            progress = page.locator("#jobflow-live output").inner_text()
            value = page.locator("#jobflow-live progress").get_attribute("value")
            browse.ask(end)
            page.get_by_text("The file has 3 columns.").first.wait_for()
            return progress, value, page.locator(".jobflow-badge").inner_text()

        assert ("70 % (7 of 10)", "70", "Waiting for retry") == browse(story, user=user)

from unittest import mock

from django.contrib.admin.models import LogEntry
from django.test import Client, TestCase

from django_jobflow.models import FailedJob, JobRecord
from django_jobflow.states import JobState
from tests.admin.site import list_url, page_url, said, superuser, user_with
from tests.factories import FailedJobFactory, JobRecordFactory, SucceededJobFactory

VERBS = ("retry", "run_now", "cancel")


def state_of(row):
    return JobRecord.objects.values_list("state", flat=True).filter(pk=row.pk).first()


class ButtonTests(TestCase):
    """The page offers what the table of transitions and the user's permissions allow."""

    def offered(self, row):
        return [button.name for button in self.client.get(page_url(row)).context["buttons"]]

    def test_state_decides_what_is_offered(self):
        self.client.force_login(superuser())
        expected = {
            JobState.SCHEDULED: ["run_now", "cancel"],
            JobState.AVAILABLE: ["cancel"],
            JobState.RESERVED: ["cancel"],
            JobState.IN_PROGRESS: ["cancel"],
            JobState.RETRY: ["run_now", "cancel"],
            JobState.FAILED: ["retry"],
            JobState.WAITING: ["cancel"],
            JobState.CANCELLED: ["retry"],
        }

        found = {state: self.offered(JobRecordFactory(state=state)) for state in JobState}

        assert expected == found

    def test_permissions_decide_what_is_offered(self):
        self.client.force_login(user_with("view_jobrecord", "cancel_jobrecord"))

        assert ["cancel"] == self.offered(JobRecordFactory(state=JobState.SCHEDULED))
        assert [] == self.offered(JobRecordFactory(state=JobState.FAILED))

    def test_delete_is_offered_unless_the_job_runs(self):
        self.client.force_login(superuser())
        for state in JobState:
            row = JobRecordFactory(state=state)
            with self.subTest(state=state):
                has_link = (
                    page_url(row, "delete") in self.client.get(page_url(row)).content.decode()
                )

                assert has_link == (state != JobState.IN_PROGRESS)


class VerbViewTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = superuser()

    def setUp(self):
        self.client.force_login(self.user)

    def post(self, row, verb):
        return self.client.post(page_url(row, verb), follow=True)

    def test_retry_of_a_failed_job_leads_to_its_live_page(self):
        record = FailedJobFactory()

        response = self.post(record, "retry")

        self.assertRedirects(response, page_url(JobRecord(pk=record.pk)))
        assert "AVAILABLE" == state_of(record)
        self.assertContains(response, f"Job {record.pk} will run again.")

    def test_retry_of_a_job_that_cannot_says_why(self):
        holder = JobRecordFactory(queue_key="receipt:1")
        record = FailedJobFactory(queue_key="receipt:1")

        response = self.post(record, "retry")

        assert "FAILED" == state_of(record)
        assert [
            f"Job {record.pk} cannot be retried: another unfinished job holds its queue key "
            "'receipt:1'."
        ] == said(response)
        assert "AVAILABLE" == state_of(holder)

    def test_retry_of_a_job_that_waits_is_refused(self):
        response = self.post(JobRecordFactory(pk=42), "retry")

        assert ["Job 42 cannot be retried: it is available."] == said(response)

    def test_cancel_ends_what_waits(self):
        record = JobRecordFactory()

        response = self.post(record, "cancel")

        assert "CANCELLED" == state_of(record)
        assert [f"Job {record.pk} is cancelled."] == said(response)

    def test_cancel_asks_what_runs(self):
        record = JobRecordFactory(state=JobState.IN_PROGRESS)

        response = self.post(record, "cancel")

        assert [f"Job {record.pk} is running and was asked to stop."] == said(response)
        self.assertContains(response, "It was asked to stop, and is still running.")

    def test_cancel_of_what_has_ended_is_refused(self):
        response = self.post(FailedJobFactory(pk=42), "cancel")

        assert ["Job 42 cannot be cancelled: it is failed."] == said(response)

    def test_run_now_makes_it_due(self):
        record = JobRecordFactory(state=JobState.SCHEDULED)

        response = self.post(record, "run_now")

        assert "AVAILABLE" == state_of(record)
        assert [f"Job {record.pk} is due now."] == said(response)

    def test_run_now_of_what_is_due_is_refused(self):
        record = JobRecordFactory()

        response = self.post(record, "run_now")

        assert [f"Job {record.pk} does not wait for its time any more."] == said(response)

    def test_job_that_is_gone_leads_to_the_list(self):
        response = self.post(JobRecord(pk=7), "retry")

        self.assertRedirects(response, list_url("jobrecord"))
        assert ["Job 7 does not exist. It may have been deleted."] == said(response)

    def test_job_that_has_succeeded_meanwhile_leads_to_its_success(self):
        job = SucceededJobFactory()

        response = self.post(FailedJob(pk=job.pk), "retry")

        self.assertRedirects(response, page_url(job))
        text = f"Job {job.pk} has succeeded in the meantime: nothing was done."
        assert [text] == said(response)

    def test_job_that_was_retried_meanwhile_leads_to_its_page(self):
        record = JobRecordFactory(state=JobState.IN_PROGRESS)

        response = self.post(FailedJob(pk=record.pk), "retry")

        self.assertRedirects(response, page_url(record))
        assert [f"Job {record.pk} is not in this list any more: nothing was done."] == said(
            response
        )

    def test_address_that_is_only_visited_changes_nothing(self):
        record = FailedJobFactory()

        response = self.client.get(page_url(record, "retry"))

        self.assertRedirects(response, page_url(record))
        assert "FAILED" == state_of(record)

    def test_post_without_the_token_is_refused(self):
        record = FailedJobFactory()
        client = Client(enforce_csrf_checks=True)
        client.force_login(self.user)

        response = client.post(page_url(record, "retry"))

        assert (403, "FAILED") == (response.status_code, state_of(record))

    def test_each_verb_takes_few_statements(self):
        for verb, state in (
            ("retry", "FAILED"),
            ("run_now", "SCHEDULED"),
            ("cancel", "AVAILABLE"),
        ):
            record = JobRecordFactory(state=state)
            with self.subTest(verb=verb), self.assertNumQueries(11 if verb != "run_now" else 10):
                self.client.post(page_url(record, verb))


class VerbPermissionTests(TestCase):
    def test_user_who_may_only_look_is_refused(self):
        self.client.force_login(user_with("view_jobrecord", "view_failedjob"))
        record = FailedJobFactory()
        for row in (record, JobRecord(pk=record.pk)):
            for verb in VERBS:
                with self.subTest(model=type(row), verb=verb):
                    response = self.client.post(page_url(row, verb))

                    assert (403, "FAILED") == (response.status_code, state_of(record))

    def test_user_who_may_not_look_is_refused(self):
        self.client.force_login(user_with("retry_jobrecord"))
        record = FailedJobFactory()

        response = self.client.post(page_url(record, "retry"))

        assert (403, "FAILED") == (response.status_code, state_of(record))

    def test_user_who_sees_only_failed_jobs_is_led_back_to_them(self):
        self.client.force_login(user_with("view_failedjob", "retry_jobrecord"))
        record = FailedJobFactory()

        response = self.client.post(page_url(record, "retry"))

        self.assertRedirects(response, list_url("failedjob"))
        assert "AVAILABLE" == state_of(record)

    def test_stranger_is_asked_to_log_in(self):
        record = FailedJobFactory()

        response = self.client.post(page_url(record, "retry"))

        assert response.url.startswith("/admin/login/")
        assert "FAILED" == state_of(record)


class DeleteViewTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = superuser()

    def setUp(self):
        self.client.force_login(self.user)

    def test_delete_asks_first(self):
        record = FailedJobFactory()

        response = self.client.get(page_url(record, "delete"))

        self.assertContains(response, f"shop.jobs.SendReceipt {record.pk}")
        assert "FAILED" == state_of(record)

    def test_confirmed_delete_leads_to_the_list(self):
        for row in (FailedJobFactory(), JobRecordFactory(), SucceededJobFactory()):
            with self.subTest(model=type(row)):
                response = self.client.post(page_url(row, "delete"), {"post": "yes"})

                self.assertRedirects(response, list_url(row._meta.model_name))
                assert not type(row)._base_manager.filter(pk=row.pk).exists()

    def test_running_job_is_not_deleted(self):
        record = JobRecordFactory(state=JobState.IN_PROGRESS)

        response = self.client.post(page_url(record, "delete"), {"post": "yes"})

        assert (403, "IN_PROGRESS") == (response.status_code, state_of(record))

    def test_job_that_starts_before_the_confirmation_is_not_deleted(self):
        record = JobRecordFactory(state=JobState.IN_PROGRESS)
        allowed = "django_jobflow.admin.JobRecordAdmin.has_delete_permission"

        with mock.patch(allowed, return_value=True):
            response = self.client.post(page_url(record, "delete"), {"post": "yes"}, follow=True)

        self.assertRedirects(response, page_url(record))
        assert "IN_PROGRESS" == state_of(record)
        assert [f"Job {record.pk} is running. Cancel it first."] == said(response)
        assert not LogEntry.objects.exists()

    def test_user_without_the_permission_is_refused(self):
        self.client.force_login(user_with("view_jobrecord", "delete_failedjob"))
        record = FailedJobFactory()

        response = self.client.post(page_url(record, "delete"), {"post": "yes"})

        assert (403, "FAILED") == (response.status_code, state_of(record))

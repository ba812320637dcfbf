import logging
from unittest import mock

from django.db import connection
from django.test import TestCase
from django.test.utils import CaptureQueriesContext

from django_jobflow import operate
from django_jobflow.models import JobRecord, SucceededJob
from tests.admin.site import act, list_url, said, superuser, user_with
from tests.factories import (
    FailedJobFactory,
    JobRecordFactory,
    SucceededJobFactory,
    WorkerFactory,
)


def states_of(rows):
    """Return what has become of *rows*, a state or None each."""
    states = dict(JobRecord.objects.values_list("pk", "state"))
    return [states.get(row.pk) for row in rows]


class ActionTestCase(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = superuser()

    def setUp(self):
        self.client.force_login(self.user)


class VerbTests(ActionTestCase):
    """Each action does what it can, and says what it did and what it skipped."""

    def test_retry_lets_ended_jobs_run_again(self):
        rows = [JobRecordFactory(state=state) for state in ("FAILED", "CANCELLED", "RETRY")]

        response = act(self.client, list_url("jobrecord"), "retry", rows)

        assert ["AVAILABLE", "AVAILABLE", "RETRY"] == states_of(rows)
        assert [
            "2 jobs will run again.",
            "1 job was skipped: it has neither failed nor been cancelled, or another unfinished "
            "job holds its queue key.",
        ] == said(response)

    def test_retry_skips_a_job_whose_queue_key_is_held(self):
        JobRecordFactory(queue_key="receipt:1")
        rows = [FailedJobFactory(queue_key="receipt:1"), FailedJobFactory()]

        response = act(self.client, list_url("failedjob"), "retry", rows)

        assert ["FAILED", "AVAILABLE"] == states_of(rows)
        assert "1 job will run again." == said(response)[0]

    def test_cancel_ends_what_waits_and_asks_what_runs(self):
        rows = [
            JobRecordFactory(state=state)
            for state in ("AVAILABLE", "SCHEDULED", "IN_PROGRESS", "FAILED", "CANCELLED")
        ]

        response = act(self.client, list_url("jobrecord"), "cancel", rows)

        expected = ["CANCELLED", "CANCELLED", "IN_PROGRESS", "FAILED", "CANCELLED"]
        assert expected == states_of(rows)
        assert JobRecord.objects.get(pk=rows[2].pk).cancel_requested_at is not None
        assert [
            "2 jobs were cancelled.",
            "1 running job was asked to stop.",
            "2 jobs were skipped: they have ended already.",
        ] == said(response)

    def test_run_now_makes_due_what_waits_for_its_time(self):
        rows = [JobRecordFactory(state=state) for state in ("SCHEDULED", "RETRY", "FAILED")]

        response = act(self.client, list_url("jobrecord"), "run_now", rows)

        assert ["AVAILABLE", "AVAILABLE", "FAILED"] == states_of(rows)
        assert [
            "2 jobs are due now.",
            "1 job was skipped: it does not wait for its time.",
        ] == said(response)

    def test_all_that_match_the_filter_are_chosen_across_pages(self):
        failed = FailedJobFactory.create_batch(3)
        other = FailedJobFactory(queue="email")

        response = act(
            self.client,
            list_url("failedjob", queue="default"),
            "retry",
            failed[:1],
            select_across="1",
        )

        assert ["3 jobs will run again."] == said(response)
        assert ["FAILED"] == states_of([other])

    def test_many_are_worked_through_in_batches(self):
        rows = FailedJobFactory.create_batch(5)
        self.enterContext(mock.patch.object(operate, "BATCH", 2))

        response = act(self.client, list_url("failedjob"), "retry", rows[:1], select_across="1")

        assert ["5 jobs will run again."] == said(response)

    def test_job_that_has_left_the_list_is_not_touched(self):
        record = FailedJobFactory()
        JobRecord.objects.get(pk=record.pk).retry()

        response = act(self.client, list_url("failedjob"), "retry", [record])

        assert ["Nothing was done: what was selected is not in this list any more."] == said(
            response
        )

    def test_what_was_done_is_logged_with_who_did_it(self):
        record = FailedJobFactory()

        with self.assertLogs("django_jobflow.admin", logging.INFO) as logged:
            act(self.client, list_url("failedjob"), "retry", [record])

        assert ["jobs_operated verb=retry user=root done=1 asked=0 skipped=0"] == [
            entry.getMessage() for entry in logged.records
        ]

    def test_messages_are_translated_when_they_are_said(self):
        with mock.patch("django_jobflow.admin.verbs.ngettext", return_value="%(count)d Jobs!"):
            response = act(self.client, list_url("failedjob"), "retry", [FailedJobFactory()])

        assert ["1 Jobs!"] == said(response)

    def test_statements_do_not_grow_with_the_rows(self):
        counts = set()
        for count in (2, 50):
            rows = FailedJobFactory.create_batch(count)
            data = {"action": "retry", "index": 0, "_selected_action": [row.pk for row in rows]}
            with CaptureQueriesContext(connection) as captured:
                self.client.post(list_url("failedjob"), data)
            counts.add(len(captured))

        assert 1 == len(counts)


class DeleteTests(ActionTestCase):
    def test_delete_asks_before_it_deletes(self):
        rows = FailedJobFactory.create_batch(12)

        response = act(self.client, list_url("failedjob"), "delete_selected", rows)

        self.assertContains(response, "12 jobs are selected.")
        self.assertContains(response, "<li>shop.jobs.SendReceipt ", count=10)
        assert 12 == JobRecord.objects.count()

    def test_confirmed_delete_skips_what_runs(self):
        rows = [JobRecordFactory(state=state) for state in ("FAILED", "AVAILABLE", "IN_PROGRESS")]

        response = self.confirmed("jobrecord", rows)

        assert [None, None, "IN_PROGRESS"] == states_of(rows)
        assert [
            "2 jobs were deleted.",
            "1 job was skipped: it is running. Cancel it first.",
        ] == said(response)

    def test_confirmation_reads_a_few_rows_however_many_are_chosen(self):
        for count in (1, 40):
            FailedJobFactory.create_batch(count)
            data = {
                "action": "delete_selected",
                "index": 0,
                "select_across": "1",
                "_selected_action": "1",
            }
            # The list is made twice, each time with three statements for choices of its filters.
            with self.subTest(count=count), self.assertNumQueries(14):
                response = self.client.post(list_url("failedjob"), data)
        self.assertContains(response, "41 jobs are selected.")
        self.assertContains(response, 'name="select_across" value="1"')

    def test_confirmed_delete_of_all_that_match_keeps_the_rest(self):
        FailedJobFactory.create_batch(3)
        other = FailedJobFactory(queue="email")

        response = self.confirmed("failedjob", [other], queue="default", select_across="1")

        assert ["3 jobs were deleted."] == said(response)
        assert ["FAILED"] == states_of([other])

    def test_succeeded_jobs_are_deleted(self):
        rows = SucceededJobFactory.create_batch(3)

        response = self.confirmed("succeededjob", rows[:2])

        assert ["2 jobs were deleted."] == said(response)
        assert [rows[2].pk] == list(SucceededJob.objects.values_list("pk", flat=True))

    def test_names_are_escaped(self):
        rows = [FailedJobFactory(name="<script>alert(1)</script>")]

        response = act(self.client, list_url("failedjob"), "delete_selected", rows)

        self.assertContains(response, "&lt;script&gt;")
        self.assertNotContains(response, "<script>alert")

    def confirmed(self, model, rows, select_across="0", **filters):
        data = {
            "action": "delete_selected",
            "post": "yes",
            "select_across": select_across,
            "_selected_action": [row.pk for row in rows],
        }
        return self.client.post(list_url(model, **filters), data, follow=True)


class PermissionTests(TestCase):
    """Each action has its own permission, that of the live records in both lists."""

    ACTIONS = {
        "retry_jobrecord": "retry",
        "run_now_jobrecord": "run_now",
        "cancel_jobrecord": "cancel",
        "delete_jobrecord": "delete_selected",
    }

    def offered(self, model):
        form = self.client.get(list_url(model)).context["action_form"]
        return [] if form is None else [name for name, _ in form.fields["action"].choices if name]

    def test_each_permission_offers_its_action(self):
        for permission, action in self.ACTIONS.items():
            with self.subTest(permission=permission):
                user = user_with("view_jobrecord", "view_failedjob", permission)
                self.client.force_login(user)

                assert [action] == self.offered("jobrecord")
                applies = action in {"retry", "delete_selected"}
                assert ([action] if applies else []) == self.offered("failedjob")
                user.delete()

    def test_user_who_may_only_look_is_offered_nothing_and_refused(self):
        self.client.force_login(user_with("view_jobrecord", "view_failedjob", "view_succeededjob"))
        record = FailedJobFactory()
        for model in ("jobrecord", "failedjob", "succeededjob"):
            for action in self.ACTIONS.values():
                with self.subTest(model=model, action=action):
                    response = act(self.client, list_url(model), action, [record])

                    assert (403, []) == (response.status_code, self.offered(model))
        assert ["FAILED"] == states_of([record])

    def test_action_without_its_permission_does_nothing(self):
        self.client.force_login(user_with("view_jobrecord", "cancel_jobrecord"))
        record = FailedJobFactory()

        response = act(self.client, list_url("jobrecord"), "retry", [record])

        assert ["No action selected."] == said(response)
        assert ["FAILED"] == states_of([record])

    def test_succeeded_jobs_have_their_own_permission_to_delete(self):
        self.client.force_login(user_with("view_succeededjob", "delete_jobrecord"))
        assert [] == self.offered("succeededjob")

    def test_workers_are_recycled_by_who_may_stop_them(self):
        WorkerFactory()
        for permissions, offered in ((), []), (["stop_worker"], ["recycle"]):
            user = user_with("view_worker", *permissions)
            self.client.force_login(user)

            assert offered == self.offered("worker")
            user.delete()

from datetime import UTC, datetime, timedelta

from django.db import connection
from django.test import TestCase, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from django_jobflow.declare import registry
from django_jobflow.models import Batch, FailedJob, JobRecord, SucceededJob
from django_jobflow.states import JobState
from tests.admin.site import list_url, page_url, said, superuser, user_with
from tests.factories import (
    WORKER,
    FailedJobFactory,
    FailureGroupFactory,
    JobLogFactory,
    JobRecordFactory,
    SucceededJobFactory,
    WorkerFactory,
    error_entry,
)

SCRIPT = "<script>alert('x')</script>"


class PageTestCase(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = superuser()

    def setUp(self):
        self.client.force_login(self.user)

    def page(self, row):
        response = self.client.get(page_url(row))
        assert response.status_code == 200
        return response

    def facts(self, row):
        """Return the facts of the page by label, those that are plain text."""
        return {fact.label: fact.value for fact in self.page(row).context["facts"]}


class JobPageTests(PageTestCase):
    def test_page_takes_four_statements(self):
        for row in (FailedJobFactory(), SucceededJobFactory()):
            with self.subTest(model=type(row)), self.assertNumQueries(4):
                self.client.get(page_url(row))

    def test_page_of_what_waits_asks_why(self):
        record = JobRecordFactory()
        with CaptureQueriesContext(connection) as captured:
            response = self.client.get(page_url(record))

        assert "No living worker serves queue" in response.context["why"]
        self.assertContains(response, "Why is it not running?")
        assert len(captured) <= 4 + 8

    @override_settings(TIME_ZONE="Europe/Berlin")
    def test_page_tells_why_in_the_zone_and_the_language_of_its_reader(self):
        due = datetime(2090, 1, 31, 12, tzinfo=UTC)
        record = JobRecordFactory(state=JobState.SCHEDULED, available_at=due)

        with translation.override("de"):
            response = self.client.get(page_url(record))

        assert "Er ist am 31. Januar 2090, 13:00:00 CET fällig." == response.context["why"]

    def test_page_of_what_has_ended_asks_nothing(self):
        for row in (FailedJobFactory(), SucceededJobFactory()):
            self.assertNotContains(self.page(row), "Why is it not running?")

    def test_keys_lead_to_who_holds_them(self):
        record = JobRecordFactory(queue_key="receipt:7", partition="eu")

        self.assertContains(self.page(record), "/jobflow/key/?q=receipt%3A7&amp;partition=eu")

    def test_facts_lead_to_what_they_name(self):
        worker, batch, kind = WorkerFactory(), Batch.objects.create(), FailureGroupFactory()
        running = JobRecordFactory(
            state=JobState.IN_PROGRESS, queue="email", batch_id=batch.pk, reserved_by=worker.pk
        )
        failed = FailedJobFactory(fingerprint=kind.pk)

        page = self.page(running)
        for address in (page_url(worker), page_url(batch), "/jobflow/queue/email/change/"):
            self.assertContains(page, f'{address}">')
        self.assertContains(self.page(failed), f'{page_url(kind)}">ConnectionError</a>')

    def test_facts_lead_nowhere_that_the_user_may_not_see(self):
        kind = FailureGroupFactory()
        record = FailedJobFactory(fingerprint=kind.pk, queue_key="receipt:7")
        self.client.force_login(user_with("view_jobrecord"))

        page = self.client.get(page_url(JobRecord(pk=record.pk)))

        assert {""} == {fact.url for fact in page.context["facts"]}

    def test_frames_of_libraries_are_folded(self):
        trace = "".join(
            [
                "Traceback (most recent call last):\n",
                '  File "/srv/shop/jobs.py", line 7, in perform\n    send()\n',
                '  File "/srv/lib/python3.12/site-packages/mail.py", line 1, in send\n    x\n',
                "OSError: no\n",
            ]
        )
        entry = error_entry(1, timezone.now()) | {"traceback": trace}

        response = self.page(FailedJobFactory(errors=[entry]))

        self.assertContains(response, "<summary>1 frame of a library</summary>", count=1)

    def test_every_state_has_a_page(self):
        for state in JobState:
            with self.subTest(state=state):
                self.assertContains(
                    self.page(JobRecordFactory(state=state)),
                    f"jobflow-badge-{state.lower()}",
                )

    def test_facts_are_those_that_the_job_has(self):
        record = JobRecordFactory(
            queue="email", queue_key="receipt:7", tags=["import", "eu"], timeout=None, priority=5
        )

        facts = self.facts(record)

        expected = {
            "Queue": "email",
            "Priority": 5,
            "Attempts": "0 of 3",
            "Time limit": "none",
            "Queue key": "receipt:7",
            "Tags": "import, eu",
            "Next run": "now",
        }
        assert expected == {label: facts[label] for label in expected}
        assert {"Partition", "Execution key", "Worker", "Progress", "Ended"}.isdisjoint(facts)

    def test_running_job_shows_its_worker_and_progress(self):
        record = JobRecordFactory(
            state=JobState.IN_PROGRESS, progress=40, progress_message="400 of 1,000"
        )

        facts = self.facts(record)

        assert WORKER == facts["Worker"]
        assert "40 % (400 of 1,000)" == self.page(record).context["progress"]
        assert "in 1 min" in facts["Lease ends"]

    def test_progress_without_a_message_is_a_number(self):
        record = JobRecordFactory(state=JobState.IN_PROGRESS, progress=0)

        assert "0 %" == self.page(record).context["progress"]

    def test_progress_of_the_last_attempt_is_a_fact(self):
        record = JobRecordFactory(state=JobState.RETRY, progress=40)

        assert "40 %" == self.facts(record)["Progress"]

    def test_arguments_are_shown_by_what_they_stand_for(self):
        record = JobRecordFactory(
            name="tests.app.jobs.Anything",
            args=[1],
            kwargs={"total": {"$jobflow": "decimal", "value": "9.90"}},
            meta={"a": 1},
        )

        codes = {code.title: code.text for code in self.page(record).context["codes"]}

        expected = {
            "Positional arguments": "[1]",
            "Arguments": '{"total": Decimal 9.90}',
            "Meta": '{"a": 1}',
        }
        assert expected == codes

    def test_job_without_arguments_says_so(self):
        codes = self.page(JobRecordFactory(kwargs={})).context["codes"]

        assert [("Arguments", "none")] == [(code.title, code.text) for code in codes]

    def test_lines_stand_under_their_attempt_with_the_latest_first(self):
        for row in (FailedJobFactory(), JobRecordFactory(), SucceededJobFactory()):
            for attempt in range(1, 8):
                JobLogFactory(job=row, attempt=attempt)
            with self.subTest(model=type(row)):
                response = self.page(row)

                assert [7, 6, 5, 4, 3] == [log.number for log in response.context["logs"]]
                self.assertContains(response, "shop.mail</span> Said by 7.", 1)
                self.assertNotContains(response, "Said by 2.")

    def test_job_that_has_logged_nothing_has_no_part_for_it(self):
        self.assertNotContains(self.page(FailedJobFactory()), "jobflow-log")

    def test_attempts_come_with_the_latest_first_and_its_traceback_open(self):
        response = self.page(FailedJobFactory(max_attempts=3))

        attempts = response.context["attempts"]
        assert ["3", "2", "1"] == [attempt.number for attempt in attempts]
        assert ("ConnectionError", "Attempt 3 was refused.", WORKER) == (
            attempts[0].short_kind,
            attempts[0].message,
            attempts[0].worker,
        )
        self.assertContains(response, "<details open>", count=1)
        self.assertContains(response, "<details", count=3)
        self.assertContains(response, "Traceback (most recent call last):", count=3)

    def test_errors_that_no_attempt_has_written_break_nothing(self):
        self.page(FailedJobFactory(errors=["what", {}, {"number": None, "at": "soon"}, 7]))

    def test_success_shows_its_result_and_times(self):
        job = SucceededJobFactory(
            name="tests.app.jobs.Anything",
            result={"to": "zoë"},
            errors=[error_entry(1, timezone.now())],
        )

        response = self.page(job)

        codes = {code.title: code.text for code in response.context["codes"]}
        facts = {fact.label: fact.value for fact in response.context["facts"]}
        assert '{"to": "zoë"}' == codes["Result"]
        assert "1.0\N{NO-BREAK SPACE}s" == facts["Ran for"]
        self.assertContains(response, "jobflow-badge-succeeded")
        self.assertContains(response, "Attempt 1 was refused.")

    def test_success_that_never_was_in_a_worker_breaks_nothing(self):
        facts = self.facts(
            SucceededJobFactory(started_at=None, reserved_at=None, reserved_by=None)
        )

        assert {"Waited", "Ran for", "Worker"}.isdisjoint(facts)

    def test_job_whose_code_is_gone_says_so(self):
        gone = self.page(JobRecordFactory(name="shop.jobs.Gone"))
        here = self.page(JobRecordFactory(name="tests.app.jobs.add"))

        self.assertContains(gone, "Its code is not installed here")
        self.assertNotContains(here, "Its code is not installed here")
        assert registry.find("shop.jobs.Gone") is None

    def test_argument_whose_class_or_row_is_gone_is_shown(self):
        record = JobRecordFactory(
            name="tests.app.jobs.Anything",
            kwargs={
                "order": {"$jobflow": "model", "value": ["gone.order", 7, "nowhere"]},
                "kind": {"$jobflow": "enum", "value": ["gone.kinds", "Kind", "ONE"]},
            },
        )

        response = self.page(record)

        self.assertContains(response, "gone.order 7")
        self.assertContains(response, "Kind.ONE")

    def test_nothing_that_a_job_holds_becomes_html(self):
        error = {
            "number": SCRIPT,
            "at": SCRIPT,
            "worker": SCRIPT,
            "exception": SCRIPT,
            "message": SCRIPT,
            "traceback": SCRIPT,
        }
        given = {
            "name": SCRIPT,
            "queue": SCRIPT,
            "partition": SCRIPT,
            "args": [SCRIPT],
            "kwargs": {SCRIPT: SCRIPT},
            "meta": {SCRIPT: SCRIPT},
            "tags": [SCRIPT],
            "queue_key": SCRIPT,
            "errors": [error, error | {"at": timezone.now().isoformat()}],
        }
        rows = [
            JobRecordFactory(**given | {"state": JobState.IN_PROGRESS, "reserved_by": SCRIPT}),
            FailedJobFactory(**given),
            SucceededJobFactory(**given, result=SCRIPT, reserved_by=SCRIPT),
        ]
        for row in rows:
            with self.subTest(model=type(row)):
                response = self.page(row)

                self.assertNotContains(response, "<script>alert")
                self.assertContains(response, "&lt;script&gt;alert")

    def test_time_is_that_of_the_current_zone_and_locale(self):
        created = timezone.now().replace(month=1, day=2, hour=23, minute=30)
        record = JobRecordFactory(created_at=created, available_at=created)

        with override_settings(TIME_ZONE="Asia/Tokyo", LANGUAGE_CODE="de"):
            self.assertContains(self.page(record), f"3. Januar {created.year}, 08:30")


class ReadOnlyTests(PageTestCase):
    def test_nothing_is_added(self):
        for model in ("jobrecord", "failedjob", "succeededjob", "worker"):
            with self.subTest(model=model):
                address = list_url(model) + "add/"

                assert 403 == self.client.get(address).status_code
                assert 403 == self.client.post(address, {}).status_code

    def test_nothing_is_edited(self):
        rows = [JobRecordFactory(), FailedJobFactory(), SucceededJobFactory(), WorkerFactory()]
        for row in rows:
            with self.subTest(model=type(row)):
                assert 403 == self.client.post(page_url(row), {"queue": "x"}).status_code
                self.assertNotContains(self.page(row), 'name="_save"')

    def test_page_needs_the_permission_to_view_its_model(self):
        record, worker = JobRecordFactory(), WorkerFactory()
        self.client.force_login(user_with("view_jobrecord"))

        assert 200 == self.client.get(page_url(record)).status_code
        assert 403 == self.client.get(page_url(worker)).status_code
        assert 403 == self.client.get(list_url("failedjob")).status_code


class MovedTests(PageTestCase):
    """An address stays good while the job moves from one table to another."""

    def test_retried_job_is_found_among_the_live_ones(self):
        record = JobRecordFactory()

        response = self.client.get(page_url(FailedJob(pk=record.pk)))

        self.assertRedirects(response, page_url(record))

    def test_job_that_succeeded_is_found_in_the_history(self):
        job = SucceededJobFactory()
        for model in (FailedJob, JobRecord):
            with self.subTest(model=model):
                response = self.client.get(page_url(model(pk=job.pk)))

                self.assertRedirects(response, page_url(job))

    def test_job_that_is_nowhere_leads_to_the_list(self):
        for row in (FailedJob(pk=7), JobRecord(pk=7), SucceededJob(pk=7)):
            with self.subTest(model=type(row)):
                response = self.client.get(page_url(row), follow=True)

                self.assertRedirects(response, list_url(row._meta.model_name))
                assert 1 == len(said(response))

    def test_number_that_is_none_leads_to_the_list(self):
        for wrong in ("x", "1_5F", "9" * 30, "²"):
            with self.subTest(wrong=wrong):
                response = self.client.get(f"{list_url('failedjob')}{wrong}/change/")

                self.assertRedirects(response, list_url("failedjob"))

    def test_user_who_may_not_see_where_it_went_is_not_led_there(self):
        self.client.force_login(user_with("view_failedjob"))
        record = JobRecordFactory()

        response = self.client.get(page_url(FailedJob(pk=record.pk)))

        self.assertRedirects(response, list_url("failedjob"))


class WorkerPageTests(PageTestCase):
    def test_list_tells_what_each_worker_holds(self):
        worker = WorkerFactory(queues=["email", "default"])
        WorkerFactory(heartbeat_at=timezone.now() - timedelta(minutes=5))
        for state, count in (("IN_PROGRESS", 2), ("RESERVED", 3)):
            JobRecordFactory.create_batch(count, state=state, reserved_by=worker.pk)

        response = self.client.get(list_url("worker"))

        self.assertContains(response, '<td class="field-load">2 of 4</td>')
        self.assertContains(response, '<td class="field-reserved">3</td>')
        self.assertContains(response, "email, default")
        self.assertContains(response, ">Alive<", count=1)
        self.assertContains(response, ">Silent<", count=1)

    def test_page_lists_what_the_worker_holds(self):
        worker = WorkerFactory(name="web-1:4711/a b")
        running = JobRecordFactory(state=JobState.IN_PROGRESS, reserved_by=worker.pk)
        JobRecordFactory(state=JobState.IN_PROGRESS, reserved_by="other")

        with self.assertNumQueries(4):
            response = self.client.get(page_url(worker))

        assert [running.pk] == [each["record"].pk for each in response.context["held"]]
        self.assertContains(response, page_url(running))

    def test_page_tells_what_the_worker_serves(self):
        serves = {"queues": ["a", "b"], "excluded": ["b", "c"], "partitions": ["", "acme"]}

        for worker, expected in (
            (WorkerFactory(), ("all", "all")),
            (WorkerFactory(**serves), ("a, b but b, c", "'', acme")),
        ):
            facts = self.client.get(page_url(worker)).context["facts"]
            shown = {fact.label: fact.value for fact in facts}
            assert expected == (shown["Queues"], shown["Partitions"])

    def test_records_have_no_link_for_a_user_who_may_not_see_them(self):
        worker = WorkerFactory()
        running = JobRecordFactory(state=JobState.IN_PROGRESS, reserved_by=worker.pk)
        self.client.force_login(user_with("view_worker"))

        response = self.client.get(page_url(worker))

        self.assertNotContains(response, page_url(running))
        self.assertContains(response, str(running))

    def test_worker_that_has_gone_leads_to_the_list(self):
        response = self.client.get(f"{list_url('worker')}gone/change/", follow=True)

        self.assertRedirects(response, list_url("worker"))
        assert ["Worker gone does not exist. It may have been deleted."] == said(response)

    def test_worker_is_not_deleted_by_hand(self):
        worker = WorkerFactory()

        assert 403 == self.client.post(page_url(worker, "delete"), {"post": "yes"}).status_code

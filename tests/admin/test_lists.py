from datetime import timedelta
from unittest import mock

from django.test import TestCase
from django.utils import timezone

from django_jobflow.admin.lists import BoundedPaginator
from django_jobflow.models import FailureGroup, JobRecord, Worker
from django_jobflow.states import JobState
from tests.admin.site import list_url, page_url, superuser
from tests.factories import (
    FailedJobFactory,
    JobRecordFactory,
    SucceededJobFactory,
    WorkerFactory,
)

SESSION_AND_USER = 2
COUNT_AND_PAGE = 2
FIRST_AND_LAST = 2
SAVED_VIEWS = 1
OF_FILTERS = {"jobrecord": 4, "failedjob": 3, "succeededjob": 3}  # of the small tables


class ListTestCase(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = superuser()

    def setUp(self):
        self.client.force_login(self.user)

    def rows(self, model, **filters):
        """Return the ids of the rows that the list shows, in its order."""
        response = self.client.get(list_url(model, **filters))
        assert response.status_code == 200
        return [row.pk for row in response.context["cl"].result_list]


class BudgetTests(ListTestCase):
    """A list takes as many statements for 3 rows as for 150 of them."""

    def budget(self, address, *, expected):
        with self.assertNumQueries(expected):
            response = self.client.get(address)
        assert response.status_code == 200

    def test_lists_of_jobs(self):
        for count in (3, 147):
            FailedJobFactory.create_batch(count)
            JobRecordFactory.create_batch(count, state=JobState.SCHEDULED)
            SucceededJobFactory.create_batch(count)
            for model in ("jobrecord", "failedjob", "succeededjob"):
                with self.subTest(model=model, count=count):
                    views = 0 if model == "succeededjob" else SAVED_VIEWS
                    expected = SESSION_AND_USER + COUNT_AND_PAGE + FIRST_AND_LAST + views
                    expected += OF_FILTERS[model]

                    self.budget(list_url(model), expected=expected)
                    # And whether there are more rows than were looked through.
                    asked = list_url(model, q="receipt", queue="default")
                    self.budget(asked, expected=expected + 1)

    def test_list_of_workers(self):
        for count in (1, 20):
            with self.subTest(count=count):
                WorkerFactory.create_batch(count)

                self.budget(list_url("worker"), expected=SESSION_AND_USER + COUNT_AND_PAGE + 1)


class ColumnTests(ListTestCase):
    def cells(self, model, row):
        """Return the text of each cell of the only row."""
        response = self.client.get(list_url(model))
        changelist = response.context["cl"]
        assert [row.pk] == [each.pk for each in changelist.result_list]
        return response

    def test_job_shows_its_facts(self):
        # Times of which half a minute more or less makes no other text.
        now = timezone.now()
        record = JobRecordFactory(
            state=JobState.RETRY,
            queue="email",
            max_attempts=5,
            created_at=now - timedelta(hours=50),
            available_at=now + timedelta(hours=70),
        )

        response = self.cells("jobrecord", record)

        for expected in (
            f">{record.pk}</a>",
            "shop.<wbr>jobs.<wbr>SendReceipt",
            '<span class="jobflow-badge jobflow-badge-retry">Waiting for retry</span>',
            ">email<",
            ">1 of 5<",
            ">2 d</time>",
            ">in 2 d</time>",
            "<b>ConnectionError</b> Attempt 1 was refused.",
        ):
            self.assertContains(response, expected)

    def test_failed_job_shows_when_it_failed(self):
        record = FailedJobFactory(now=timezone.now() - timedelta(hours=3))

        response = self.cells("failedjob", record)

        self.assertContains(response, ">3 h ago</time>")
        self.assertContains(response, ">3 of 3<")

    def test_succeeded_job_shows_its_times_and_the_start_of_its_result(self):
        job = SucceededJobFactory(name="tests.app.jobs.Anything", result={"text": "y" * 999})

        response = self.cells("succeededjob", job)

        self.assertContains(
            response, "1\N{NO-BREAK SPACE}min\N{NO-BREAK SPACE}59\N{NO-BREAK SPACE}s"
        )
        self.assertContains(response, "1.0\N{NO-BREAK SPACE}s")
        self.assertContains(response, "{&quot;text&quot;: &quot;yyy")
        self.assertNotContains(response, "y" * 70)

    def test_short_result_is_shown_with_its_letters(self):
        job = SucceededJobFactory(name="tests.app.jobs.Anything", result={"to": "zoë"})

        self.assertContains(self.cells("succeededjob", job), "{&quot;to&quot;: &quot;zoë&quot;}")

    def test_nothing_that_a_job_holds_becomes_html(self):
        script = "<script>alert(1)</script>"
        FailedJobFactory(
            name=script,
            queue=script,
            errors=[{"exception": script, "message": script}],
            kwargs={script: script},
        )
        SucceededJobFactory(name=script, queue=script, result=script)
        for model in ("jobrecord", "failedjob", "succeededjob"):
            with self.subTest(model=model):
                self.assertNotContains(self.client.get(list_url(model, queue=script)), script)


class FilterTests(ListTestCase):
    def test_state_is_chosen(self):
        rows = {state: JobRecordFactory(state=state).pk for state in JobState}
        for state in JobState:
            with self.subTest(state=state):
                assert [rows[state]] == self.rows("jobrecord", state=state.value)

    def test_queue_and_job_are_chosen(self):
        JobRecordFactory.create_batch(2)
        record = JobRecordFactory(name="shop.jobs.Charge", queue="payments")

        assert [record.pk] == self.rows("jobrecord", queue="payments")
        assert [record.pk] == self.rows("jobrecord", name="shop.jobs.Charge")
        assert [] == self.rows("jobrecord", name="shop.jobs.Charge", queue="default")

    def test_choices_are_what_is_declared_and_what_is_chosen(self):
        JobRecordFactory(name="shop.jobs.Undeclared", queue="undeclared")

        specs = self.client.get(list_url("jobrecord", name="gone")).context["cl"].filter_specs
        offered = {
            spec.parameter_name: [value for value, _ in spec.lookup_choices] for spec in specs
        }

        assert [*JobState.values, "SUCCEEDED"] == offered["state"]
        assert {"default", "notes"} <= set(offered["queue"])
        assert {"tests.app.jobs.add", "gone"} <= set(offered["name"])
        assert "undeclared" not in offered["queue"]

    def test_value_that_no_row_has_finds_nothing(self):
        JobRecordFactory()
        for wrong in ({"state": "PAUSED"}, {"queue": "x" * 999}, {"name": "a\0b"}):
            with self.subTest(wrong=wrong):
                assert [] == self.rows("jobrecord", **wrong)

    def test_text_that_no_database_has_is_no_error(self):
        for model in ("auditentry", "batch"):
            column = {"auditentry": "by", "batch": "description"}[model]
            address = list_url(model, **{column: "a\0b"})
            with self.subTest(model=model):
                self.assertRedirects(self.client.get(address), list_url(model, e=1))

    def test_page_of_a_key_that_no_database_has_leads_to_the_list(self):
        for row in (FailureGroup(pk="\0"), Worker(pk="\0")):
            model = row._meta.model_name
            with self.subTest(model=model):
                self.assertRedirects(self.client.get(page_url(row)), list_url(model))
                assert 403 == self.client.post(page_url(row, "delete")).status_code


class OrderTests(ListTestCase):
    def test_all_jobs_come_with_the_newest_first(self):
        first, second = JobRecordFactory.create_batch(2)

        assert [second.pk, first.pk] == self.rows("jobrecord")

    def test_available_jobs_come_as_they_will_run(self):
        later = JobRecordFactory(priority=0)
        sooner = JobRecordFactory(priority=10)

        assert [sooner.pk, later.pk] == self.rows("jobrecord", state="AVAILABLE")

    def test_scheduled_jobs_come_with_the_next_one_first(self):
        now = timezone.now()
        later = JobRecordFactory(state=JobState.SCHEDULED, now=now)
        sooner = JobRecordFactory(state=JobState.SCHEDULED, now=now - timedelta(minutes=1))

        assert [sooner.pk, later.pk] == self.rows("jobrecord", state="SCHEDULED")

    def test_failed_jobs_come_with_the_latest_first(self):
        now = timezone.now()
        latest = FailedJobFactory(now=now)
        before = FailedJobFactory(now=now - timedelta(minutes=1))

        assert [latest.pk, before.pk] == self.rows("failedjob")
        assert [latest.pk, before.pk] == self.rows("jobrecord", state="FAILED")

    def test_no_other_order_can_be_asked_for(self):
        """Another one would sort the table."""
        first, second = JobRecordFactory.create_batch(2)

        assert [second.pk, first.pk] == self.rows("jobrecord", o="1")


class SearchTests(ListTestCase):
    def test_number_finds_one_job(self):
        JobRecordFactory.create_batch(2)
        record = JobRecordFactory(name="shop.jobs.Job2")

        assert [record.pk] == self.rows("jobrecord", q=f" {record.pk} ")

    def test_number_beyond_all_ids_finds_nothing(self):
        JobRecordFactory()
        for number in (2**63, 10**30, "9" * 5000):
            with self.subTest(digits=len(str(number))):
                assert [] == self.rows("jobrecord", q=number)

    def test_part_of_the_name_finds_its_jobs(self):
        JobRecordFactory()
        record = JobRecordFactory(name="shop.jobs.ChargeOrder")

        assert [record.pk] == self.rows("jobrecord", q="charge")

    def test_blank_finds_all(self):
        record = JobRecordFactory()

        assert [record.pk] == self.rows("jobrecord", q="  ")

    def test_percent_sign_is_a_letter(self):
        JobRecordFactory()

        assert [] == self.rows("jobrecord", q="%")

    def test_succeeded_and_failed_jobs_are_found_alike(self):
        succeeded, failed = SucceededJobFactory(), FailedJobFactory()

        assert [succeeded.pk] == self.rows("succeededjob", q=succeeded.pk)
        assert [failed.pk] == self.rows("failedjob", q="sendreceipt")

    def test_worker_is_found_by_its_name(self):
        WorkerFactory(host="web-1")
        worker = WorkerFactory(host="web-2")

        assert [worker.pk] == self.rows("worker", q="WEB-2")


class PaginatorTests(ListTestCase):
    """Counting ends where paging ends."""

    def setUp(self):
        super().setUp()
        self.enterContext(mock.patch.object(BoundedPaginator, "limit", 150))

    def test_more_rows_than_the_limit_are_not_counted(self):
        JobRecordFactory.create_batch(151)

        response = self.client.get(list_url("jobrecord", p=2))

        changelist = response.context["cl"]
        assert (150, 2, 50) == (
            changelist.result_count,
            changelist.paginator.num_pages,
            len(changelist.result_list),
        )
        self.assertContains(response, "More than 150 match; these are the first.")
        self.assertContains(response, "Select all that match, more than 150")

    def test_rows_up_to_the_limit_are_counted(self):
        JobRecordFactory.create_batch(150)

        response = self.client.get(list_url("jobrecord"))

        assert (150, False) == (
            response.context["cl"].result_count,
            response.context["cl"].paginator.has_more,
        )
        self.assertContains(response, "150 jobs")
        self.assertNotContains(response, "More than")

    def test_page_behind_the_limit_leads_to_the_list(self):
        JobRecordFactory.create_batch(151)

        response = self.client.get(list_url("jobrecord", p=3))

        self.assertRedirects(response, list_url("jobrecord", e=1))

    def test_count_reads_no_more_rows_than_the_limit_and_one(self):
        paginator = BoundedPaginator(JobRecord.objects.order_by("-id"), 100)

        with self.assertNumQueries(1) as captured:
            assert 0 == paginator.count

        assert "LIMIT 151" in captured[0]["sql"]

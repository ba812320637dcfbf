"""What a job says not to be seen is on no page of the admin."""

from django.test import TestCase

from django_jobflow.arguments import DOTS
from tests.admin.site import act, list_url, page_url, superuser
from tests.factories import (
    FailedJobFactory,
    JobRecordFactory,
    SucceededJobFactory,
    WorkerFactory,
)

CARD = "4111-1111-1111-1111"
GIVEN = {"name": "tests.app.jobs.Charge", "args": [7], "kwargs": {"how": "plain", "card": CARD}}


class SensitiveTestCase(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = superuser()

    def setUp(self):
        self.client.force_login(self.user)

    def codes(self, row):
        """Return the texts of the row's page by their titles."""
        response = self.client.get(page_url(row))
        self.assertNotContains(response, CARD)
        return {code.title: code.text for code in response.context["codes"]}


class PageTests(SensitiveTestCase):
    def test_hidden_argument_is_dots_and_the_others_are_shown(self):
        for factory in (JobRecordFactory, FailedJobFactory):
            with self.subTest(factory=factory):
                assert {
                    "Positional arguments": "[7]",
                    "Arguments": f'{{"how": "plain", "card": {DOTS}}}',
                } == self.codes(factory(**GIVEN))

    def test_positional_argument_is_hidden_by_its_name(self):
        codes = self.codes(JobRecordFactory(**GIVEN | {"args": [7, CARD], "kwargs": {}}))

        assert {"Positional arguments": f"[7, {DOTS}]"} == codes

    def test_hidden_result_is_dots(self):
        codes = self.codes(SucceededJobFactory(**GIVEN, result={"charged": CARD}))

        assert DOTS == codes["Result"]

    def test_result_of_none_is_no_secret_that_can_be_told_apart(self):
        assert DOTS == self.codes(SucceededJobFactory(**GIVEN, result=None))["Result"]

    def test_all_of_a_job_that_hides_all_is_dots(self):
        row = JobRecordFactory(name="tests.app.jobs.ChargeAndTell", args=[CARD, True], kwargs={})

        assert {"Positional arguments": f"[{DOTS}, {DOTS}]"} == self.codes(row)

    def test_all_of_a_job_that_nobody_knows_is_dots(self):
        row = SucceededJobFactory(**GIVEN | {"name": "shop.jobs.Gone"}, result=CARD)

        assert {
            "Positional arguments": f"[{DOTS}]",
            "Arguments": f'{{"how": {DOTS}, "card": {DOTS}}}',
            "Result": DOTS,
        } == self.codes(row)
        self.assertContains(
            self.client.get(page_url(row)), "nobody knows which of its values are sensitive"
        )

    def test_argument_that_the_code_does_not_take_any_more_is_dots(self):
        row = JobRecordFactory(**GIVEN | {"kwargs": {"pan": CARD}})

        assert f'{{"pan": {DOTS}}}' == self.codes(row)["Arguments"]


class EverywhereTests(SensitiveTestCase):
    """Lists, searches, confirmations, messages and the history of the admin."""

    def setUp(self):
        super().setUp()
        self.worker = WorkerFactory()
        self.rows = [
            JobRecordFactory(**GIVEN, state="IN_PROGRESS", reserved_by=self.worker.pk),
            FailedJobFactory(**GIVEN),
            SucceededJobFactory(**GIVEN, result=CARD),
        ]

    def test_lists_and_searches(self):
        for model in ("jobrecord", "failedjob", "succeededjob"):
            for filters in ({}, {"q": "charge"}, {"name": GIVEN["name"]}):
                with self.subTest(model=model, filters=filters):
                    response = self.client.get(list_url(model, **filters))

                    assert response.context["cl"].result_list
                    self.assertNotContains(response, CARD)

    def test_search_does_not_tell_whether_a_value_is_there(self):
        for model in ("jobrecord", "failedjob", "succeededjob"):
            with self.subTest(model=model):
                response = self.client.get(list_url(model, q=CARD))

                assert 0 == len(response.context["cl"].result_list)

    def test_result_in_the_list_is_dots(self):
        self.assertContains(self.client.get(list_url("succeededjob")), DOTS)

    def test_pages_of_a_deletion_and_the_history_of_the_admin(self):
        for row in self.rows[1:]:
            with self.subTest(model=type(row)):
                model = row._meta.model_name
                confirm = act(self.client, list_url(model), "delete_selected", [row])
                self.assertNotContains(confirm, CARD)
                self.assertNotContains(self.client.get(page_url(row, "history")), CARD)
                self.assertNotContains(self.client.get(page_url(row, "delete")), CARD)
                done = self.client.post(page_url(row, "delete"), {"post": "yes"}, follow=True)
                self.assertNotContains(done, CARD)
        self.assertNotContains(self.client.get("/admin/"), CARD)

    def test_messages_of_the_verbs(self):
        for row, verb in ((self.rows[0], "cancel"), (self.rows[1], "retry")):
            for response in (
                self.client.post(page_url(row, verb), follow=True),
                self.client.post(page_url(row, verb), follow=True),
                act(self.client, list_url("jobrecord"), verb, [row]),
            ):
                self.assertNotContains(response, CARD)

    def test_page_of_the_worker(self):
        self.assertNotContains(self.client.get(page_url(self.worker)), CARD)

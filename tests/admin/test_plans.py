"""How the databases find the rows of a list when there are many."""

import pytest
from django.db import connection
from django.test import TestCase

from django_jobflow.models import JobRecord
from django_jobflow.states import JobState
from tests.admin.site import list_url, superuser
from tests.plans import fill, noting, problems


@pytest.mark.skipif(
    connection.vendor == "mysql",
    reason="InnoDB gathers its statistics when it likes, and ANALYZE would commit the rows.",
)
class PlanTests(TestCase):
    """No list reads its whole table or sorts it."""

    @classmethod
    def setUpTestData(cls):
        fill()
        cls.user = superuser()

    def setUp(self):
        self.client.force_login(self.user)

    def problems(self, address):
        """Return what is wrong with the plans of the statements behind *address*."""
        with noting() as statements:
            response = self.client.get(address)
        assert response.status_code == 200
        return problems(statements)

    def test_list_of_all_jobs_follows_the_primary_key(self):
        assert [] == self.problems(list_url("jobrecord"))

    def test_list_of_one_state_follows_the_index_over_this_state(self):
        for state in JobState:
            if state == JobState.WAITING and not connection.features.supports_partial_indexes:
                continue  # its index has not all the columns of the order there
            with self.subTest(state=state):
                assert [] == self.problems(list_url("jobrecord", state=state.value))

    def test_list_of_failed_jobs_follows_their_index(self):
        assert [] == self.problems(list_url("failedjob"))

    def test_list_of_succeeded_jobs_follows_their_index(self):
        assert [] == self.problems(list_url("succeededjob"))

    def test_day_of_failed_and_succeeded_jobs_is_a_range_of_an_index(self):
        now = JobRecord.objects.latest("id").created_at
        day = {"year": now.year, "month": now.month, "day": now.day}
        for model, field in (("failedjob", "finished_at"), ("succeededjob", "succeeded_at")):
            with self.subTest(model=model):
                address = list_url(model, **{f"{field}__{part}": n for part, n in day.items()})

                assert [] == self.problems(address)

    def test_number_is_found_by_the_primary_key(self):
        number = JobRecord.objects.latest("id").pk

        assert [] == self.problems(list_url("jobrecord", q=number))

"""How the databases find what is asked for when there is much of everything."""

from datetime import timedelta
from unittest import mock

import pytest
from django.db import connection
from django.test import TestCase

from django_jobflow import observe
from django_jobflow.models import JobRecord
from django_jobflow.observe import SUCCEEDED, Selection
from django_jobflow.observe.searching import Plan
from django_jobflow.search import parse
from django_jobflow.states import JobState
from tests.plans import fill, noting, problems, run


@pytest.mark.skipif(
    connection.vendor == "mysql",
    reason="InnoDB gathers its statistics when it likes, and ANALYZE would commit the rows.",
)
class PlanTests(TestCase):
    """Nothing reads its whole table or sorts it."""

    @classmethod
    def setUpTestData(cls):
        fill(doublings=6)

    def problems(self, **wanted):
        """Return what is wrong with the plans of a list of what is *wanted*."""
        with noting() as statements:
            list(observe.select(Selection(**wanted))[:50])
        return problems(statements)

    def test_list_of_all_follows_the_primary_key(self):
        assert [] == self.problems()
        assert [] == self.problems(queue="default")

    def test_list_of_one_state_follows_its_index(self):
        for state in (*JobState.values, SUCCEEDED):
            with self.subTest(state=state):
                assert [] == self.problems(state=state)

    def test_list_of_a_queue_follows_its_index(self):
        assert [] == self.problems(state="AVAILABLE", queue="default")

    def test_age_of_what_has_ended_is_a_range_of_an_index(self):
        for state in ("FAILED", "CANCELLED", SUCCEEDED):
            with self.subTest(state=state):
                assert [] == self.problems(state=state, newer_than=timedelta(hours=1))

    def test_key_is_found_by_what_holds_it_and_what_waits_for_it(self):
        key = JobRecord.objects.filter(state="WAITING").first().execution_key

        assert [] == self.problems(key=key)

    def test_failures_of_a_kind_are_a_range_of_an_index(self):
        kind = "a" * 32
        failed = JobRecord.objects.filter(state="FAILED")
        failed.update(fingerprint=kind)  # so many that another index may seem as good
        run("ANALYZE jobflow_job")
        for text in (f"fingerprint:{kind}", f"state:failed fingerprint:{kind}"):
            plan = Plan(parse(text), JobRecord._base_manager.all())
            part = plan.seek.filter(pk__gt=failed.first().pk, pk__lte=failed.last().pk)
            with self.subTest(text=text), noting() as statements:
                list(plan.found().rows[:50])
                observe.count_up_to(plan.found().rows, 1000)
                list(part.order_by("pk").values_list("pk", flat=True)[:100])
            assert [] == problems(statements)

    def test_class_of_an_error_is_looked_up_by_the_kinds_of_failures(self):
        failed = JobRecord.objects.filter(state="FAILED")
        rare = list(failed.values_list("pk", flat=True)[:20])
        failed.update(fingerprint="a" * 32)
        JobRecord.objects.filter(pk__in=rare).update(
            fingerprint="b" * 32, errors=[{"exception": "smtplib.SMTPException"}]
        )
        run("ANALYZE jobflow_job")
        with mock.patch("django_jobflow.observe.searching.WINDOW", 100), noting() as statements:
            found = observe.find_rows(parse("state:failed error:SMTPException"))
            assert sorted(rare, reverse=True) == [row.pk for row in found.rows[:50]]
            observe.count_up_to(found.rows, 1000)

        assert [] == problems(statements)

    def test_number_is_found_by_the_primary_key(self):
        pk = JobRecord.objects.latest("id").pk

        assert [] == self.problems(ids=(pk,))
        with noting() as statements:
            observe.find(pk)
        assert [] == problems(statements)

    def test_counts_read_the_first_rows_of_each_index(self):
        with noting() as statements:
            observe.counts(most=100)

        assert [] == problems(statements)

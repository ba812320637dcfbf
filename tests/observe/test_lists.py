from datetime import UTC, datetime, timedelta

from django.test import TestCase

from django_jobflow import observe
from django_jobflow.models import FailedJob, JobRecord
from django_jobflow.states import JobState
from tests.factories import FailedJobFactory, JobRecordFactory

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class CountTests(TestCase):
    def test_count_ends_where_it_is_told_to(self):
        FailedJobFactory.create_batch(3)
        rows = FailedJob.objects.order_by("-finished_at", "-id")

        assert [2, 3, 3] == [observe.count_up_to(rows, most) for most in (2, 3, 4)]

    def test_rows_of_one_moment_are_counted_each(self):
        FailedJobFactory.create_batch(2, now=NOON)

        assert 2 == observe.count_up_to(FailedJob.objects.order_by("-finished_at", "-id"), 9)

    def test_order_of_one_column_will_do(self):
        JobRecordFactory.create_batch(2)

        with self.assertNumQueries(1):
            assert 2 == observe.count_up_to(JobRecord.objects.order_by("-id"), 9)


class FirstAndLastTests(TestCase):
    def test_moments_of_the_ends_are_returned_the_earlier_first(self):
        for hours in (2, 1, 0):
            JobRecordFactory(now=NOON, created_at=NOON + hours * HOUR)

        with self.assertNumQueries(2):
            found = observe.first_and_last(JobRecord.objects.all(), "created_at", by="id")

        assert (NOON, NOON + 2 * HOUR) == found

    def test_without_rows_there_are_none(self):
        assert observe.first_and_last(JobRecord.objects.all(), "created_at", by="id") is None


def test_each_state_has_its_order():
    assert set(JobState) == set(observe.LIST_ORDERS)
    assert all(order[-1].lstrip("-") == "id" for order in observe.LIST_ORDERS.values())

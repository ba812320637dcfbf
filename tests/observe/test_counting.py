import pytest
from django.test import TestCase

from django_jobflow import observe
from django_jobflow.models import Batch
from django_jobflow.observe import Count, counting
from django_jobflow.states import JobState
from tests.factories import JobRecordFactory, SucceededJobFactory


class CountTests(TestCase):
    def test_number_that_is_a_least_is_shown_as_one(self):
        assert ["0", "10,000+"] == [str(Count(0)), str(Count(10_000, is_more=True))]

    def test_sum_of_a_least_is_a_least(self):
        assert Count(3, is_more=True) == Count(1) + Count(2, is_more=True)


class CountsTests(TestCase):
    def setUp(self):
        for state in JobState:
            JobRecordFactory(state=state, queue="email", name="a", partition="acme")
        JobRecordFactory.create_batch(2, queue="reports", name="b")
        SucceededJobFactory.create_batch(3, queue="reports", name="a")

    def test_each_state_is_counted(self):
        expected = {(state.value,): Count(1) for state in JobState}
        expected |= {("AVAILABLE",): Count(3), ("SUCCEEDED",): Count(3)}

        assert expected == observe.counts().by("state")

    def test_states_come_in_the_order_of_a_life(self):
        expected = [*JobState.values, "SUCCEEDED"]

        assert expected == [state for (state,) in observe.counts().by("state")]

    def test_queue_name_and_partition_are_counted(self):
        counts = observe.counts()

        assert {("email",): Count(8), ("reports",): Count(5)} == counts.by("queue")
        assert {("a",): Count(11), ("b",): Count(2)} == counts.by("name")
        assert {("",): Count(5), ("acme",): Count(8)} == counts.by("partition")
        assert Count(3) == counts.by("queue", "name", "state")["reports", "a", "SUCCEEDED"]

    def test_total_is_of_all(self):
        assert Count(13) == observe.counts().total

    def test_no_row_is_no_job(self):
        assert Count(0) == counting.Counts(()).total


class BatchTests(TestCase):
    def setUp(self):
        self.batch = Batch.objects.open()
        for state in ("AVAILABLE", "FAILED", "FAILED"):
            JobRecordFactory(state=state, batch_id=self.batch.pk, queue="email")
        JobRecordFactory.create_batch(2, batch_id=self.batch.pk + 1)
        SucceededJobFactory.create_batch(2, batch_id=self.batch.pk)
        SucceededJobFactory()

    def test_members_are_counted_and_no_others(self):
        with self.assertNumQueries(2):
            by = observe.counts(batch=self.batch).by

        expected = {"AVAILABLE": Count(1), "FAILED": Count(2), "SUCCEEDED": Count(2)}
        assert {(state,): count for state, count in expected.items()} == by("state")
        assert {("default",): Count(2), ("email",): Count(3)} == by("queue")

    def test_successes_are_counted_up_to_the_bound(self):
        by = observe.counts(batch=self.batch, most=1).by

        assert Count(1, is_more=True) == by("state")["SUCCEEDED",]
        assert Count(2) == by("state")["FAILED",]


class BoundTests(TestCase):
    def test_state_is_counted_up_to_the_bound(self):
        JobRecordFactory.create_batch(3, state=JobState.FAILED, queue="email")
        JobRecordFactory(state=JobState.CANCELLED, queue="reports")

        by = observe.counts(most=2).by

        assert {
            ("CANCELLED",): Count(1),
            ("FAILED",): Count(2, is_more=True),
        } == by("state")
        # A failed one of "reports" may be among those that were not read.
        assert {
            ("email",): Count(2, is_more=True),
            ("reports",): Count(1, is_more=True),
        } == by("queue")
        assert Count(1) == by("queue", "state")["reports", "CANCELLED"]

    def test_each_queue_is_counted_up_to_the_bound(self):
        JobRecordFactory.create_batch(3, queue="email")
        JobRecordFactory(queue="reports")

        by = observe.counts(most=2).by

        assert {
            ("email",): Count(2, is_more=True),
            ("reports",): Count(1),
        } == by("queue")
        assert Count(3, is_more=True) == by("state")["AVAILABLE",]

    def test_queues_are_counted_up_to_a_bound_too(self):
        JobRecordFactory(queue="a", state=JobState.FAILED)
        JobRecordFactory(queue="b")
        JobRecordFactory(queue="c")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(counting, "MOST_QUEUES", 1)
            counts = observe.counts()

        assert counts.has_more_queues
        assert Count(1, is_more=True) == counts.by("state")["AVAILABLE",]
        assert Count(1) == counts.by("state")["FAILED",]

    def test_statements_are_one_for_each_state_and_queue(self):
        statements = len(JobState) + 1  # for the queues, and for what succeeded
        with self.assertNumQueries(statements):
            observe.counts()

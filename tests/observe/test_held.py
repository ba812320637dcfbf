from django.test import TestCase

from django_jobflow import observe
from tests.factories import JobRecordFactory


class HeldTests(TestCase):
    def test_records_are_counted_by_worker_and_state(self):
        for worker, state in (("a", "RESERVED"), ("a", "IN_PROGRESS"), ("b", "RESERVED")):
            JobRecordFactory.create_batch(2, state=state, reserved_by=worker)
        JobRecordFactory()

        with self.assertNumQueries(1):
            found = observe.held_counts(["a", "c"], "default")

        assert {"a": {"RESERVED": 2, "IN_PROGRESS": 2}} == found

    def test_records_of_a_worker_come_with_the_running_ones_first(self):
        reserved = JobRecordFactory(state="RESERVED", reserved_by="a")
        running = JobRecordFactory(state="IN_PROGRESS", reserved_by="a")
        JobRecordFactory(state="IN_PROGRESS", reserved_by="b")

        assert [running, reserved] == list(observe.held_by("a", "default"))

"""A queue is emptied while others enqueue, take and end: no key stays held, no end comes twice."""

import pytest

from django_jobflow import Job, control
from django_jobflow.attempts import Demand
from django_jobflow.endings import decide
from django_jobflow.models import Batch, JobRecord, SucceededJob
from django_jobflow.outcomes import Succeeded
from django_jobflow.states import KEYED, JobState
from tests.concurrency.meeting import Concurrent, together
from tests.engines.contract import MINUTE


class PurgeRaceTests(Concurrent):
    @pytest.fixture(autouse=True)
    def jobs(self, own_jobs):
        class Row(Job):
            name = "shop.Row"

            def perform(self, number=0):
                pass

        self.row = Row

    def work(self, worker, rounds):
        """Take and end, as a worker does."""
        demand = Demand(
            worker=worker,
            queues=None,
            limit=3,
            names=frozenset({"shop.Row"}),
            lease=MINUTE,
            timeout=MINUTE,
        )
        endings = []
        for _ in range(rounds):
            exchange = self.engine.exchange(endings, [demand], 3)
            endings = [decide(each, Succeeded(None)) for each in exchange.started]
        self.engine.settle(endings)

    def purge(self, rounds):
        return sum(control.purge(queue="default") for _ in range(rounds))

    def test_keys_are_given_on_whoever_ends_or_deletes_their_holders(self):
        for _ in range(3):
            for number in range(40):
                self.row.using(execution_key=str(number % 4)).enqueue(number)

            *_, purged = together(
                *(lambda n=n: self.work(f"w{n}", 6) for n in range(2)),
                lambda: [
                    self.row.using(execution_key=str(number % 4)).enqueue(number)
                    for number in range(20)
                ],
                lambda: self.purge(3),
            )

            left = JobRecord.objects.filter(state=JobState.WAITING)
            waiting = set(left.values_list("execution_key", flat=True))
            having = JobRecord.objects.filter(state__in=KEYED)
            assert waiting <= set(having.values_list("execution_key", flat=True))
            assert 60 == SucceededJob.objects.count() + JobRecord.objects.count() + purged
            self.work("w", 60)
            assert not JobRecord.objects.exists()
            SucceededJob.objects.all().delete()

    def test_queue_keys_of_what_is_deleted_are_free(self):
        for _ in range(5):
            job = self.row.using(queue_key="q", unique_for=60)
            job.enqueue()

            _, again = together(lambda: self.purge(2), job.enqueue)

            # Either the first was there still, and is gone by now; or the second came after it.
            assert set() <= set(JobRecord.objects.values_list("pk", flat=True)) <= {again.pk}
            assert job.enqueue().duplicate is JobRecord.objects.filter(pk=again.pk).exists()
            control.purge(queue="default")

    def test_batch_is_finished_once_by_those_who_end_or_delete_its_members(self):
        for _ in range(5):
            batch = Batch.objects.open(on_finish=self.row.using(queue="later").prepared(7))
            self.row.using(batch=batch).enqueue_many({"number": n} for n in range(30))
            batch.close()

            together(*(lambda n=n: self.work(f"w{n}", 4) for n in range(2)), lambda: self.purge(3))
            self.work("w", 20)

            batch.refresh_from_db()
            assert batch.finished_at is not None
            done = SucceededJob.objects.filter(batch_id=batch.pk).count()
            assert (30, 30 - done) == (batch.total, batch.deleted)
            follows = SucceededJob.objects.filter(queue="later").count()
            assert 1 == follows + JobRecord.objects.filter(queue="later").count()
            SucceededJob.objects.all().delete()
            JobRecord.objects.all().delete()

"""The last members of a batch end at once: what is to follow is neither lost nor doubled."""

import pytest
from django.db import transaction

from django_jobflow import BatchClosed, Job
from django_jobflow.attempts import Demand
from django_jobflow.models import Batch, BatchChange, JobRecord, SucceededJob
from django_jobflow.outcomes import ErrorInfo, Failed, Succeeded
from django_jobflow.states import JobState
from tests.concurrency.meeting import Concurrent, together
from tests.engines.contract import MINUTE, ending, make

DEMAND = Demand(worker="w", queues=(), limit=1, names=frozenset(), lease=MINUTE, timeout=MINUTE)


class BatchTests(Concurrent):
    @pytest.fixture(autouse=True)
    def jobs(self, own_jobs):
        class Row(Job):
            name = "shop.Row"

            def perform(self, number=0):
                pass

        class Follows(Row):
            name = "shop.Follows"

        self.row, self.follows = Row, Follows

    def batch(self, count, state=JobState.IN_PROGRESS):
        batch = Batch.objects.open(
            on_success=self.follows.prepared(1), on_finish=self.follows.prepared(2)
        )
        members = [
            make(state, batch_id=batch.pk, max_attempts=1, reserved_by=f"w{number}")
            if state == JobState.IN_PROGRESS
            else make(state, batch_id=batch.pk)
            for number in range(count)
        ]
        BatchChange.objects.create(batch_id=batch.pk, added=count)
        return batch, members

    def followed(self):
        found = JobRecord.objects.filter(name="shop.Follows").order_by("pk")
        return [args[0] for args in found.values_list("args", flat=True)]

    def forget(self):
        # The batches first: nothing follows upon those that are gone.
        for model in (Batch, JobRecord, SucceededJob, BatchChange):
            model.objects.all().delete()

    @pytest.mark.parametrize("count", [2, 4])
    def test_last_ones_succeed_at_once(self, count):
        for _ in range(15):
            batch, members = self.batch(count)
            batch.close()
            ends = [ending(member, Succeeded()) for member in members]

            together(*(lambda end=end: self.engine.settle([end]) for end in ends))

            assert [1, 2] == self.followed()
            self.forget()

    def test_last_ones_end_in_the_cycles_of_two_workers(self):
        for _ in range(15):
            batch, members = self.batch(4)
            batch.close()
            ends = [ending(member, Succeeded()) for member in members]

            together(
                lambda ends=ends: self.engine.exchange(ends[:2], [DEMAND], 1),
                lambda ends=ends: self.engine.exchange(ends[2:], [DEMAND], 1),
            )

            assert [1, 2] == self.followed()
            self.forget()

    def test_last_ones_succeed_fail_and_are_cancelled_at_once(self):
        for _ in range(15):
            batch, [one, other] = self.batch(2)
            waiting = make(batch_id=batch.pk)
            batch.close()
            ends = ending(one, Succeeded()), ending(other, Failed(ErrorInfo("E", "text")))

            together(
                *(lambda end=end: self.engine.settle([end]) for end in ends),
                lambda waiting=waiting: waiting.cancel(),
            )

            assert [2] == self.followed()
            self.forget()

    def test_last_one_ends_while_the_batch_is_closed_and_the_sweep_comes(self):
        for _ in range(15):
            batch, [one] = self.batch(1)
            end = ending(one, Succeeded())

            together(
                lambda end=end: self.engine.settle([end]),
                batch.close,
                self.engine.finish_batches,
            )
            self.engine.finish_batches()  # of a sweep: nothing is left for it

            assert [1, 2] == self.followed()
            self.forget()

    def test_member_ends_in_transactions_that_commit_at_once(self):
        for _ in range(10):
            batch, members = self.batch(2)
            batch.close()

            def end(member):
                with transaction.atomic():
                    self.engine.settle([ending(member, Succeeded())])
                    JobRecord.objects.count()  # a snapshot of before the other's commit

            together(*(lambda member=member: end(member) for member in members))

            assert [1, 2] == self.followed()
            self.forget()

    def test_member_is_added_while_the_batch_is_closed_and_it_is_in_or_refused(self):
        for _ in range(10):
            batch, _ = self.batch(0)

            def add(batch=batch):
                with transaction.atomic():
                    self.row.using(batch=batch).enqueue()
                    return True

            added, _ = together(add, batch.close, but=BatchClosed)

            if added is True:
                assert ([], 1) == (self.followed(), batch.progress().total)
            else:
                assert [1, 2] == self.followed()
            self.forget()

    def test_members_are_added_by_many_at_once(self):
        batch, _ = self.batch(0)
        members = self.row.using(batch=batch)

        together(
            *[members.enqueue, lambda: members.enqueue_many({"number": 1} for _ in "abc")] * 3
        )

        assert 12 == batch.progress().total

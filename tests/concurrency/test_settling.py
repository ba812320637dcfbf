import random
from itertools import chain

import pytest

from django_jobflow.endings import decide
from django_jobflow.engines.verbs import reservation_of
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.outcomes import ErrorInfo, Failed, Released, Snoozed, Succeeded
from django_jobflow.states import JobState
from tests.concurrency.meeting import Concurrent, together
from tests.engines.contract import (
    LATER,
    MINUTE,
    NOON,
    ending,
    live,
    make,
    make_many,
    succeeded,
)

FAILED = Failed(ErrorInfo("E", "text"), MINUTE)


class SettleTests(Concurrent):
    @pytest.mark.parametrize("outcome", [Succeeded(1), FAILED, Snoozed(MINUTE), Released()])
    def test_attempt_is_settled_once(self, outcome):
        for _ in range(10):
            record = make(JobState.IN_PROGRESS)
            ends = [ending(record, outcome) for _ in range(4)]

            found = together(*(lambda end=end: self.engine.settle([end], NOON) for end in ends))

            assert [record.pk] == list(chain(*found))
            JobRecord.objects.all().delete()

    def test_first_of_two_different_ends_wins(self):
        for _ in range(15):
            record = make(JobState.IN_PROGRESS)
            ends = [ending(record, Succeeded(1)), ending(record, FAILED)]

            won, failed = together(*(lambda end=end: self.engine.settle([end]) for end in ends))

            assert 1 == len(won) + len(failed)
            assert bool(won) is (record.pk in succeeded())
            assert ({record.pk: JobState.RETRY} if failed else {}) == live()
            JobRecord.objects.all().delete()

    def test_stale_worker_cannot_settle_beside_the_one_that_has_the_record(self):
        for _ in range(10):
            record = make(JobState.IN_PROGRESS, lapsed=True)
            stale = ending(record, Succeeded("stale"))
            JobRecord.objects.activate_expired(NOON)
            [again] = JobRecord.objects.reserve(1, worker="other", now=NOON)
            again.start(NOON)
            current = ending(again, Succeeded("current"))

            found = together(
                lambda stale=stale: self.engine.settle([stale], NOON),
                lambda current=current: self.engine.settle([current], NOON),
            )

            assert [set(), {record.pk}] == found
            assert "current" == SucceededJob.objects.get(pk=record.pk).result

    def test_stale_worker_cannot_settle_beside_the_next_start(self):
        for _ in range(10):
            record = make(JobState.IN_PROGRESS, lapsed=True)
            stale = ending(record, Succeeded("stale"))
            JobRecord.objects.activate_expired(NOON)
            [again] = JobRecord.objects.reserve(1, worker=record.reserved_by, now=NOON)

            settled, started = together(
                lambda stale=stale: self.engine.settle([stale], NOON),
                lambda again=again: self.engine.start(
                    [reservation_of(again)], lease=MINUTE, now=NOON
                ),
            )

            assert (set(), 1) == (settled, len(started))
            assert {record.pk: JobState.IN_PROGRESS} == live()
            JobRecord.objects.all().delete()

    def test_settled_or_asked_to_stop(self):
        for _ in range(10):
            record = make(JobState.IN_PROGRESS)
            end = ending(record, FAILED)

            settled, (cancelled, asked) = together(
                lambda end=end: self.engine.settle([end], NOON),
                lambda record=record: self.engine.cancel(
                    JobRecord.objects.filter(pk=record.pk), LATER
                ),
            )

            # Asked first, or cancelled in the delay before its retry.
            assert {record.pk} == settled
            assert 1 == len(cancelled) + len(asked)
            assert {record.pk: JobState.CANCELLED if cancelled else JobState.RETRY} == live()
            JobRecord.objects.all().delete()

    def test_succeeded_or_asked_to_stop(self):
        for _ in range(10):
            record = make(JobState.IN_PROGRESS)
            end = ending(record, Succeeded("done"))

            settled, (cancelled, asked) = together(
                lambda end=end: self.engine.settle([end], NOON),
                lambda record=record: self.engine.cancel(
                    JobRecord.objects.filter(pk=record.pk), LATER
                ),
            )

            # A success that was asked to stop too late is one, and never CANCELLED as well.
            assert {record.pk} == settled
            assert [] == cancelled
            assert len(asked) <= 1
            assert {} == live()
            assert "done" == SucceededJob.objects.get(pk=record.pk).result

    def test_batches_that_overlap_do_not_lock_each_other_out(self):
        """Rows are locked in the order of their ids, whatever the order of the ends."""
        records = make_many(40, JobState.IN_PROGRESS)
        batches = [random.sample(records, 30) for _ in range(6)]
        ends = [
            [ending(record, Succeeded(1) if record.pk % 2 else FAILED) for record in batch]
            for batch in batches
        ]

        found = together(*(lambda end=end: self.engine.settle(end, NOON) for end in ends))

        written = list(chain(*found))
        assert len(set(written)) == len(written)
        assert {record.pk for record in chain(*batches)} == set(written)


class LifeTests(Concurrent):
    def work(self, name):
        """Be a worker until there is nothing left to reserve."""
        ended = []
        while found := self.engine.reserve(
            limit=5, worker=name, queues=None, timeout=MINUTE, now=NOON
        ):
            started = self.engine.start(found, lease=MINUTE, now=NOON)
            ends = [self.outcome(reservation) for reservation in started]
            ended += self.engine.settle(ends, NOON)
            self.engine.activate_scheduled(self.engine.records, LATER)
            self.engine.rescue(self.engine.records, NOON)
        return ended

    def outcome(self, reservation):
        fails = reservation.attempt == 1 and reservation.id % 3 == 0
        return decide(reservation, FAILED if fails else Succeeded(reservation.attempt))

    @pytest.mark.parametrize("keys", [None, 3])
    def test_many_workers_bring_every_record_to_its_one_end(self, keys):
        records = [
            *make_many(60, JobState.AVAILABLE),
            *make_many(20, JobState.SCHEDULED, due=True),
        ]
        for number in range(20 if keys else 0):
            records.append(make(JobState.WAITING, execution_key=str(number % keys)))
        self.engine.promote_waiting()

        ended = chain(*together(*(lambda n=n: self.work(f"w{n}") for n in range(6))))
        rest = chain.from_iterable(iter(lambda: self.sweep_and_work(), []))

        settled = sorted([*ended, *rest])
        expected = sorted(
            pk for record in records for pk in [record.pk] * (2 if record.pk % 3 == 0 else 1)
        )
        assert expected == settled
        assert ({}, {record.pk for record in records}) == (live(), succeeded())

    def sweep_and_work(self):
        self.engine.activate_scheduled(self.engine.records, LATER)
        self.engine.promote_waiting()
        return self.work("last")

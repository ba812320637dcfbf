from itertools import chain

import pytest
from django.db import connection, transaction

from django_jobflow import ReservationLost
from django_jobflow.attempts import Demand
from django_jobflow.engines import engine_for
from django_jobflow.engines.verbs import reservation_of
from django_jobflow.models import JobRecord
from django_jobflow.outcomes import Succeeded
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
    stored,
    succeeded,
)


class ReserveTests(Concurrent):
    def reserve_all(self, worker, queues=None, limit=7):
        """Reserve until there is nothing left; return the ids."""
        ids = []
        while found := self.engine.reserve(
            limit=limit, worker=worker, queues=queues, timeout=MINUTE, now=LATER
        ):
            ids += [reservation.id for reservation in found]
        return ids

    @pytest.mark.parametrize("count", [2, 8, 32])
    @pytest.mark.parametrize("queues", [None, ["default", "email"]])
    def test_workers_never_share_a_record(self, count, queues):
        make_many(60, JobState.AVAILABLE)
        make_many(60, JobState.AVAILABLE, queue="email")
        names = [f"w{number}" for number in range(count)]

        shares = together(*(lambda name=name: self.reserve_all(name, queues) for name in names))

        reserved = dict(
            JobRecord.objects.exclude(reserved_by=None).values_list("pk", "reserved_by")
        )
        assert {
            pk: name for name, ids in zip(names, shares, strict=True) for pk in ids
        } == reserved
        assert len(list(chain(*shares))) == len(reserved)
        # Whoever passed over rows that another had locked may have stopped early.
        left = set(live()) - set(reserved)
        assert set(self.reserve_all("last")) == left

    def take_all(self, worker):
        """Take until there is nothing left, as a worker does; return the ids."""
        engine, ids = engine_for("default"), []
        demand = Demand(
            worker=worker,
            queues=None,
            limit=7,
            names=frozenset({"tests.jobs.Known"}),
            lease=MINUTE,
            timeout=MINUTE,
        )
        try:
            while found := engine.exchange((), [demand], 7, LATER).started:
                ids += [reservation.id for reservation in found]
        finally:
            engine.end_session()
        return ids

    @pytest.mark.parametrize("count", [2, 8, 32])
    def test_workers_never_take_the_same_record(self, count):
        make_many(120, JobState.AVAILABLE, name="tests.jobs.Known")
        names = [f"w{number}" for number in range(count)]

        shares = together(*(lambda name=name: self.take_all(name) for name in names))

        taken = dict(JobRecord.objects.exclude(reserved_by=None).values_list("pk", "reserved_by"))
        assert {pk: name for name, ids in zip(names, shares, strict=True) for pk in ids} == taken
        assert len(list(chain(*shares))) == len(taken)
        assert set(taken.values()) <= set(names)
        assert {1} == set(
            JobRecord.objects.exclude(reserved_by=None).values_list("attempt", flat=True)
        )

    def test_one_record_has_one_holder(self):
        for _ in range(10):
            record = make()
            shares = together(*(lambda n=n: self.reserve_all(f"w{n}") for n in range(4)))

            assert [record.pk] == list(chain(*shares))
            JobRecord.objects.all().delete()

    def test_record_is_started_once(self):
        for _ in range(10):
            record = make(JobState.RESERVED)
            twins = [stored(record) for _ in range(4)]

            found = together(
                *(lambda twin=twin: twin.start(NOON) for twin in twins), but=ReservationLost
            )

            assert 3 == sum(isinstance(each, ReservationLost) for each in found)
            assert 1 == stored(record).attempt

    def test_started_or_rescued(self):
        """The worker's clock says that it still may start, the sweep's that it is too late."""
        for _ in range(10):
            record = make(JobState.RESERVED, expires=NOON + MINUTE)

            started, rescued = together(
                lambda record=record: self.engine.start(
                    [reservation_of(record)], lease=MINUTE, now=NOON
                ),
                lambda: JobRecord.objects.activate_expired(LATER),
            )

            state = JobState.IN_PROGRESS if started else JobState.AVAILABLE
            lapsed = rescued and started  # the lease of the start had lapsed for the sweep, too
            assert lapsed or 1 == len(started) + rescued
            assert lapsed or {record.pk: state} == live()
            JobRecord.objects.all().delete()

    def test_started_or_cancelled(self):
        for _ in range(10):
            record = make(JobState.RESERVED)

            started, cancelled = together(
                lambda record=record: self.engine.start(
                    [reservation_of(record)], lease=MINUTE, now=NOON
                ),
                lambda record=record: stored(record).cancel(LATER),
            )

            found = stored(record)
            if started:
                expected = (JobState.IN_PROGRESS, LATER, False)
            else:
                expected = (JobState.CANCELLED, None, True)
            assert expected == (found.state, found.cancel_requested_at, cancelled)

    def test_reserved_or_deleted(self):
        for _ in range(10):
            record = make()

            reserved, deleted = together(
                lambda: self.reserve_all("w"),
                lambda: self.engine.delete(JobRecord.objects.filter(state=JobState.AVAILABLE)),
            )

            assert (record.pk in live()) is bool(reserved)
            assert 1 == len(reserved) + deleted
            JobRecord.objects.all().delete()

    @pytest.mark.skipif(
        not connection.features.has_select_for_update,
        reason="The whole database is locked: a worker waits until the caller commits.",
    )
    def test_record_that_is_not_committed_is_not_seen(self):
        with transaction.atomic():
            make()
            [before] = together(lambda: self.reserve_all("w"))
        [after] = together(lambda: self.reserve_all("w"))

        assert [[], 1] == [before, len(after)]


class LeaseTests(Concurrent):
    def test_extended_or_rescued(self):
        for _ in range(10):
            record = make(JobState.IN_PROGRESS, expires=NOON)

            extended, rescued = together(
                lambda record=record: self.engine.extend(
                    [reservation_of(record)], lease=MINUTE, now=NOON
                ),
                lambda: JobRecord.objects.activate_expired(NOON),
            )

            assert 1 == len(extended) + rescued
            JobRecord.objects.all().delete()

    def test_every_lapsed_record_is_rescued_once(self):
        make_many(30, JobState.RESERVED, lapsed=True)
        make_many(30, JobState.IN_PROGRESS, lapsed=True)

        counts = together(*[lambda: JobRecord.objects.activate_expired(LATER)] * 4)

        # A sweep passes over what another sweep has locked.
        assert 60 == sum(counts) + JobRecord.objects.activate_expired(LATER)
        assert {JobState.AVAILABLE} == set(live().values())
        assert {0, 1} == {len(record.errors) for record in JobRecord.objects.all()}

    def test_every_lost_record_fails_once(self):
        make_many(30, JobState.IN_PROGRESS, lapsed=True, spent=True)

        counts = together(*[lambda: JobRecord.objects.fail_expired_at_max_attempts(LATER)] * 4)

        rest = JobRecord.objects.fail_expired_at_max_attempts(LATER)
        assert 30 == sum(counts) + rest
        assert {3} == {len(record.errors) for record in JobRecord.objects.all()}

    def test_every_due_record_is_activated_once(self):
        make_many(30, JobState.SCHEDULED, due=True)
        make_many(30, JobState.RETRY, due=True)

        counts = together(*[lambda: JobRecord.objects.activate_scheduled(LATER)] * 4)

        assert 60 == sum(counts) + JobRecord.objects.activate_scheduled(LATER)
        assert {JobState.AVAILABLE} == set(live().values())

    def test_rescued_or_settled(self):
        for _ in range(15):
            record = make(JobState.IN_PROGRESS, lapsed=True)
            end = ending(record, Succeeded(1))

            settled, rescued = together(
                lambda end=end: self.engine.settle([end], NOON),
                lambda: JobRecord.objects.activate_expired(NOON),
            )

            assert 1 == len(settled) + rescued
            assert bool(settled) is (record.pk in succeeded())
            assert bool(rescued) is (record.pk in live())
            JobRecord.objects.all().delete()

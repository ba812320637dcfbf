"""A worker that lost a record and got it again: its older attempt has no say in the newer one.

Attempts are given back and begin anew, so that the older and the newer one may have one number
and one holder. The count of reservations still tells them apart.
"""

import pytest

from django_jobflow.attempts import Demand
from django_jobflow.endings import decide, expired, unknown_job
from django_jobflow.engines import engine_for
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.outcomes import Released, Snoozed, Succeeded
from django_jobflow.states import JobState
from tests.engines.contract import (
    HOUR,
    LATER,
    MINUTE,
    NOON,
    SECOND,
    Contract,
    changes,
    make,
    stored,
    succeeded,
)
from tests.engines.test_settling import OUTCOMES

NAME = "tests.jobs.Known"
WORKER = "host-1:4711"
FAR = NOON + HOUR


class FencingContract(Contract):
    def take(self):
        """Reserve and start as the cycle of a worker does."""
        demand = Demand(
            worker=WORKER,
            queues=None,
            limit=1,
            names=frozenset({NAME}),
            lease=MINUTE,
            timeout=10 * SECOND,
        )
        # An engine of its own: one that has been used may look behind the last record first.
        [taken] = engine_for("default").exchange((), [demand], 1, NOON).started
        return taken

    def take_in_steps(self):
        [started] = self.engine.start([self.reserve()], lease=MINUTE, now=NOON)
        return started

    def reserve(self):
        """Only reserve, as a worker does with a job that it does not know."""
        [reserved] = self.engine.reserve(
            limit=1, worker=WORKER, queues=None, timeout=10 * SECOND, now=NOON
        )
        return reserved


def lose_and_retry(engine, held):
    """The lease lapses at the last attempt, and an operator lets the record run again."""
    assert [held.id] == [record.pk for record in engine.fail_lost(engine.records, FAR)]
    assert [held.id] == engine.retry(engine.records, NOON)


def give_back_and_retry(engine, held):
    engine.give_back(held.worker, NOON)
    assert [held.id] == engine.retry(engine.records, NOON)


def release(engine, held):
    engine.settle([decide(held, Released())], NOON)


def snooze(engine, held):
    engine.settle([decide(held, Snoozed(MINUTE))], NOON)
    assert 1 == engine.run_now(engine.records, NOON)


def release_unknown(engine, held):
    assert 1 == engine.release_unknown(held.worker, ())


WAYS = [lose_and_retry, give_back_and_retry, release, snooze, release_unknown]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("taking", ["take", "take_in_steps"])
class SameNumberTests(FencingContract):
    @pytest.fixture(autouse=True)
    def attempts(self, served_by, own_jobs, db, way, taking):
        """Let the same worker hold attempt 1 twice, the older one in vain."""
        make(name=NAME, max_attempts=1)
        self.older = getattr(self, taking)()
        way(self.engine, self.older)
        self.newer = getattr(self, taking)()
        assert (1, WORKER) == (self.older.attempt, self.older.worker)
        assert (1, WORKER) == (self.newer.attempt, self.newer.worker)
        self.row = JobRecord.objects.get()

    def test_older_end_writes_nothing(self):
        for outcome in OUTCOMES.values():
            assert set() == self.engine.settle([decide(self.older, outcome)], LATER)
        assert {} == changes(self.row)
        assert set() == succeeded()

    def test_older_end_writes_nothing_in_a_cycle(self):
        for outcome in OUTCOMES.values():
            end = decide(self.older, outcome)
            assert set() == self.engine.exchange([end], (), 0, LATER).written
        assert {} == changes(self.row)
        assert set() == succeeded()

    @pytest.mark.parametrize("newer_first", [False, True])
    def test_newer_end_is_written_beside_the_older(self, newer_first):
        ends = [decide(self.older, Succeeded("older")), decide(self.newer, Succeeded("newer"))]

        assert {self.row.pk} == self.engine.settle(ends[:: -1 if newer_first else 1], LATER)
        assert "newer" == SucceededJob.objects.get().result

    def test_older_progress_writes_nothing(self):
        assert not self.engine.write_progress(self.older, 99, "older")
        assert {} == changes(self.row)
        assert self.engine.write_progress(self.newer, 1, "newer")

    def test_older_lease_is_not_renewed(self):
        assert [] == self.engine.extend([self.older], lease=HOUR, now=LATER)
        assert {} == changes(self.row)
        assert [self.newer] == self.engine.extend([self.newer], lease=HOUR, now=LATER)

    def test_older_body_is_not_asked_to_stop(self):
        self.row.cancel(LATER)

        assert [] == self.engine.cancel_requests([self.older])
        assert [self.newer] == self.engine.cancel_requests([self.newer])

    def test_worker_that_knows_the_older_does_not_know_the_newer(self):
        """After a cut connection: what was started unknown to the worker is given back."""
        assert 0 == self.engine.release_unknown(WORKER, [self.older, self.newer])
        assert {} == changes(self.row)
        assert 1 == self.engine.release_unknown(WORKER, [self.older])
        assert JobState.AVAILABLE == stored(self.row).state


def lapse(engine, held):
    assert [held.id] == [record.pk for record in engine.rescue(engine.records, FAR)]


def give_back(engine, held):
    engine.give_back(held.worker, NOON)


def release_reserved(engine, held):
    assert 1 == engine.release([held], NOON)


def cancel_and_retry(engine, held):
    engine.cancel(engine.records, NOON)
    assert [held.id] == engine.retry(engine.records, NOON)


PROMISE_WAYS = [lapse, give_back, release_reserved, cancel_and_retry, release_unknown]


@pytest.mark.parametrize("way", PROMISE_WAYS, ids=lambda way: way.__name__)
class SamePromiseTests(FencingContract):
    @pytest.fixture(autouse=True)
    def promises(self, served_by, own_jobs, db, way):
        """Let a record be promised to the same worker twice, and not started."""
        make(name=NAME, max_attempts=1)
        self.older = self.reserve()
        way(self.engine, self.older)
        self.newer = self.reserve()
        self.row = JobRecord.objects.get()

    def test_older_promise_does_not_start(self):
        assert [] == self.engine.start([self.older], lease=MINUTE, now=NOON)
        assert {} == changes(self.row)
        assert [self.newer] == self.engine.start([self.newer], lease=MINUTE, now=NOON)

    def test_older_promise_does_not_start_beside_the_newer(self):
        both = [self.older, self.newer]

        assert [self.newer] == self.engine.start(both, lease=MINUTE, now=NOON)

    def test_older_promise_is_not_given_back(self):
        assert 0 == self.engine.release([self.older], LATER)
        assert {} == changes(self.row)
        assert 1 == self.engine.release([self.newer], LATER)

    @pytest.mark.parametrize("refusal", [expired, lambda held: unknown_job(held, LATER)])
    def test_older_promise_is_not_refused(self, refusal):
        assert set() == self.engine.settle([refusal(self.older)], LATER)
        assert {} == changes(self.row)
        assert {self.row.pk} == self.engine.settle([refusal(self.newer)], LATER)

    def test_older_promise_is_not_extended(self):
        assert [] == self.engine.extend([self.older], lease=HOUR, now=LATER)
        assert {} == changes(self.row)
        assert [self.newer] == self.engine.extend([self.newer], lease=HOUR, now=LATER)

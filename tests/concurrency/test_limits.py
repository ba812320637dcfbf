"""Limits that hold over all hosts: many who take at the same time, and those who die."""

import threading

import pytest
from django.db import connection

from django_jobflow import control
from django_jobflow.attempts import Demand, Gate, Range, Turn
from django_jobflow.endings import decide
from django_jobflow.engines import engine_for
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.outcomes import Succeeded
from django_jobflow.quotas import Quota
from django_jobflow.states import HELD, KEYED, JobState
from tests.concurrency.meeting import PATIENCE, Concurrent, together
from tests.engines.contract import MINUTE, make, make_many

LIMIT = 3


class LimitRaceTests(Concurrent):
    def cycle(self, worker, quota, endings=()):
        demand = Demand(
            worker=worker,
            queues=None,
            turns=(Turn((Range("default", "", 4),), 4),),
            quotas={"default": quota},
            limit=4,
            names=frozenset(["shop.jobs.SendReceipt"]),
            lease=MINUTE,
            timeout=MINUTE,
        )
        return engine_for("default").exchange(endings, [demand], 4)

    def work(self, worker, quota, most_held):
        """Take and end until nothing is left, noting how many were held in between."""
        endings = []
        while endings or JobRecord.objects.exists():
            exchange = self.cycle(worker, quota, endings)
            most_held.append(JobRecord.objects.filter(state__in=HELD).count())
            endings = [decide(each, Succeeded(None)) for each in exchange.started]

    def prepare(self, count):
        self.engine.prepare_limits({("queue", "default")})
        make_many(count, JobState.AVAILABLE)

    @pytest.mark.skipif(
        not connection.features.has_select_for_update, reason="One writer at a time."
    )
    def test_limit_is_never_passed(self):
        self.prepare(60)
        held = []

        together(*(lambda name=f"w{n}": self.work(name, Quota(LIMIT), held) for n in range(8)))

        assert 60 == SucceededJob.objects.count()
        assert 0 < max(held) <= LIMIT

    def test_rate_is_shared(self):
        self.prepare(20)
        quota = Quota(None, 5, 60 * MINUTE)

        found = together(*(lambda name=f"w{n}": self.drain_rate(name, quota) for n in range(4)))

        assert 5 == sum(found)

    def drain_rate(self, worker, quota):
        """Take until the bucket is empty; a row that another has locked is tried again."""
        taken = 0
        while True:
            exchange = self.cycle(worker, quota)
            taken += len(exchange.started)
            if exchange.out_of_tokens.get("default", 0) > 1:
                return taken

    def test_place_of_a_dead_holder_is_free_once_it_is_rescued(self):
        self.prepare(1)
        make(JobState.IN_PROGRESS, reserved_by="dead")
        assert [] == self.cycle("w", Quota(1)).started

        JobRecord.objects.activate_expired()

        assert 1 == len(self.cycle("w", Quota(1)).started)


class GateRaceTests(LimitRaceTests):
    """The same of a job that is limited by its name."""

    def cycle(self, worker, quota, endings=()):
        name = "shop.jobs.SendReceipt"
        demand = Demand(
            worker=worker,
            queues=None,
            limit=4,
            names=frozenset(),
            lease=MINUTE,
            timeout=MINUTE,
            gates=(Gate(name, (name,), quota, asks=True, has_parked=True),),
        )
        return engine_for("default").exchange(endings, [demand], 4)

    def drain_rate(self, worker, quota):
        taken = 0
        while True:
            exchange = self.cycle(worker, quota)
            taken += len(exchange.started)
            if any(pause > 1 for pause in exchange.gates_without_token.values()):
                return taken

    def prepare(self, count):
        self.engine.prepare_limits({("job", "shop.jobs.SendReceipt")})
        make_many(count, JobState.AVAILABLE)

    def test_those_who_let_go_meet_those_who_park(self):
        self.prepare(40)
        name = "shop.jobs.SendReceipt"

        def let_go():
            for _ in range(20):
                self.engine.unpark({name})

        together(
            *(lambda n=n: [self.cycle(f"w{n}", None) for _ in range(20)] for n in range(3)),
            let_go,
            let_go,
        )

        self.engine.unpark({name})
        assert 40 == JobRecord.objects.filter(state=JobState.AVAILABLE).count()


class KeyLimitRaceTests(Concurrent):
    """The same of an execution key, whose limit an operator has set."""

    def wait(self, count):
        for _ in range(count):
            make(JobState.WAITING, execution_key="e")

    def having(self):
        return JobRecord.objects.filter(state__in=KEYED).count()

    def work(self, name, most_held):
        """Take and end until nothing is left, noting how many had a place in between."""
        while JobRecord.objects.exists():
            found = self.engine.reserve(limit=2, worker=name, queues=None, timeout=MINUTE)
            started = self.engine.start(found, lease=MINUTE)
            most_held.append(self.having())
            self.engine.settle([decide(each, Succeeded(None)) for each in started])

    def test_limit_is_never_passed(self):
        self.wait(40)
        held = []
        control.set_limit(key="e", concurrency=LIMIT)

        together(
            *(lambda name=f"w{n}": self.work(name, held) for n in range(6)),
            *[lambda: [self.engine.promote_waiting() for _ in range(10)]] * 2,
        )

        assert 40 == SucceededJob.objects.count()
        assert 0 < max(held) <= LIMIT

    def test_rate_is_shared(self):
        self.wait(20)
        control.set_limit(key="e", rate="5/h")

        together(*[lambda: self.engine.promote_key("e")] * 6)

        assert 5 == self.having()

    def test_limit_is_set_and_cleared_while_others_work(self):
        self.wait(30)
        held = []

        def operate():
            while JobRecord.objects.exists():
                control.set_limit(key="e", concurrency=LIMIT)
                control.set_limit(key="e", rate="1000/s", concurrency=1)
                control.clear_limit(key="e")
                self.engine.promote_waiting()

        together(*(lambda name=f"w{n}": self.work(name, held) for n in range(3)), operate)

        assert 30 == SucceededJob.objects.count()
        assert max(held) <= LIMIT

    def test_limit_that_is_lowered_before_its_row_is_locked_holds(self):
        """Whoever has come for a turn may have to wait for the lock, and must not know better."""
        if not self.engine.locks_rows:
            pytest.skip("One writer at a time.")
        control.set_limit(key="e", concurrency=LIMIT)
        self.wait(5)
        arrived, lowered = threading.Event(), threading.Event()

        def pause_at_the_lock(execute, sql, *rest):
            if "FOR UPDATE" in sql:
                arrived.set()
                assert lowered.wait(PATIENCE)
            return execute(sql, *rest)

        def promote():
            with connection.execute_wrapper(pause_at_the_lock):
                self.engine.promote_limited(("", "e"))

        def lower():
            assert arrived.wait(PATIENCE)
            self.engine.set_limit("key", "e", Quota(1), "ann")
            lowered.set()

        together(promote, lower)

        assert 1 == self.having()

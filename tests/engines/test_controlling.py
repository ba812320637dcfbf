"""Pauses, limits and partitions, as the engines read and write them."""

from collections import Counter
from datetime import timedelta

import pytest

from django_jobflow.attempts import Demand, Range, Turn
from django_jobflow.engines.controlling import Controls
from django_jobflow.models import JobRecord, Limit
from django_jobflow.outcomes import Succeeded
from django_jobflow.quotas import Quota
from django_jobflow.states import JobState
from tests.engines.contract import LATER, MINUTE, NOON, SECOND, TICK, Contract, ending, make
from tests.factories import LimitFactory, PauseFactory

NAME = "shop.jobs.SendReceipt"


class PauseTests(Contract):
    def pause(self, kind="queue", value="email", until=None):
        self.engine.pause(kind, value, until=until, reason="Deploy", by="ann", now=NOON)

    def controls(self, now=NOON):
        return self.engine.controls(partitions=False, now=now)

    def test_pause_says_what_by_whom_and_why(self):
        self.pause(until=LATER)

        [pause] = self.engine.paused(NOON)
        assert ("queue", "email", LATER, "Deploy", "ann", NOON) == (
            pause.kind,
            pause.value,
            pause.until,
            pause.reason,
            pause.by,
            pause.created_at,
        )

    def test_pause_anew_replaces_the_one_before(self):
        self.pause(until=LATER)
        self.pause()

        assert [None] == [pause.until for pause in self.engine.paused(NOON)]

    @pytest.mark.parametrize(("now", "lasts"), [(LATER - TICK, True), (LATER, False)])
    def test_pause_ends_by_itself(self, now, lasts):
        self.pause(until=LATER)

        assert lasts == self.controls(now).pauses("queue", "email")
        assert lasts == bool(self.engine.paused(now))

    def test_end_may_be_a_time_from_now(self):
        self.pause(until=MINUTE)

        assert [NOON + MINUTE] == [pause.until for pause in self.engine.paused(NOON)]

    @pytest.mark.parametrize(("now", "lasted"), [(NOON, True), (LATER, False)])
    def test_resume_says_whether_there_was_a_pause(self, now, lasted):
        self.pause(until=LATER)

        assert lasted == self.engine.resume("queue", "email", now)
        assert not self.engine.resume("queue", "email", NOON)

    def test_each_kind_is_a_pause_of_its_own(self):
        self.pause("partition", "")
        self.pause("job", NAME)

        assert {("partition", ""), ("job", NAME)} == self.controls().paused


class LimitTests(Contract):
    quota = Quota(4, 10, timedelta(seconds=1), 2)

    def limits(self):
        return self.engine.controls(partitions=False).limits

    def test_limit_that_is_set_is_in_force(self):
        self.engine.set_limit("queue", "email", self.quota, "ann", NOON)

        assert {("queue", "email"): self.quota} == self.limits()

    def test_limit_that_is_cleared_is_not_and_keeps_its_row(self):
        self.engine.set_limit("queue", "email", self.quota, "ann", NOON)

        assert self.engine.clear_limit("queue", "email", NOON)
        assert not self.engine.clear_limit("queue", "email", NOON)
        assert ({}, 1) == (self.limits(), Limit.objects.count())

    def test_rows_of_the_settings_are_made_once_and_limit_nothing(self):
        for _ in range(2):
            self.engine.prepare_limits({("queue", "email"), ("queue", "sms")})

        assert ({}, 2) == (self.limits(), Limit.objects.count())

    def test_glance_sees_whether_there_is_any(self):
        assert not self.engine.glance(None).controlled

        LimitFactory()
        assert self.engine.glance(None).controlled

    def test_glance_sees_a_pause(self):
        PauseFactory()

        assert self.engine.glance(None).controlled

    def test_nothing_said_controls_nothing(self):
        assert Controls() == self.engine.controls(partitions=False)


class LaneTests(Contract):
    def test_lanes_are_the_queues_and_partitions_with_work(self):
        for queue, partition in [("b", ""), ("a", "x"), ("a", ""), ("a", "x"), ("c", "y")]:
            make(queue=queue, partition=partition)
        make(JobState.SCHEDULED, queue="d")

        assert [("a", ""), ("a", "x"), ("b", ""), ("c", "y")] == self.engine.waiting_lanes()
        assert [("a", ""), ("a", "x")] == self.engine.waiting_lanes(["d", "a"])
        assert [] == self.engine.waiting_lanes([])

    def test_work_in_the_default_partition_is_no_partition(self):
        make()
        make(JobState.FAILED, partition="x")
        assert not self.engine.has_partitions()

        make(queue="z", partition="x")
        assert self.engine.has_partitions()

    def test_partitions_of_other_queues_are_none(self):
        make(queue="z", partition="x")
        make(queue="a")

        assert self.engine.has_partitions(["z"])
        assert self.engine.has_partitions(["a", "z"])
        assert not self.engine.has_partitions(["a", "b"])
        assert not self.engine.has_partitions([])

    def test_reserve_takes_from_every_partition_of_its_queues(self):
        first = make(partition="x", priority=5)
        second = make()
        make(queue="other")

        found = self.engine.reserve(limit=9, worker="w", queues=["default"], timeout=MINUTE)

        assert [first.pk, second.pk] == [reservation.id for reservation in found]


class TakeContract(Contract):
    def demand(self, turns, quotas=None):
        return Demand(
            worker="w",
            queues=None,
            turns=turns,
            quotas=quotas,
            limit=20,
            names=frozenset([NAME]),
            lease=MINUTE,
            timeout=MINUTE,
        )

    def take(self, *turns, quotas=None, now=LATER, endings=()):
        return self.engine.exchange(endings, [self.demand(turns, quotas)], 20, now)


class TurnTests(TakeContract):
    def test_each_turn_takes_no_more_than_its_share(self):
        for partition in ("x", "x", "x", "y", ""):
            make(partition=partition)

        exchange = self.take(
            Turn((Range("default", "x", 2),), 2), Turn((Range("default", "y", 2),), 2)
        )

        assert {"x": 2, "y": 1} == Counter(each.partition for each in exchange.started)

    def test_turn_takes_what_comes_first_of_its_queues(self):
        make(queue="a", partition="x")
        best = [make(queue="b", partition="x", priority=5) for _ in range(3)]

        exchange = self.take(Turn((Range("a", "x", 2), Range("b", "x", 2)), 2))

        assert [record.pk for record in best[:2]] == [each.id for each in exchange.started]

    def test_range_is_limited_for_itself(self):
        for _ in range(3):
            make(queue="a", priority=5)
            make(queue="b")

        exchange = self.take(Turn((Range("a", "", 1), Range("b", "", 3)), 3))

        assert {"a": 1, "b": 2} == Counter(each.queue for each in exchange.started)

    def test_no_turn_takes_nothing(self):
        make()

        assert [] == self.take().started

    def test_unknown_job_is_held(self):
        make(name="unknown", partition="x")

        exchange = self.take(Turn((Range("default", "x", 1),), 1))

        assert ([], ["unknown"]) == (exchange.started, [each.name for each in exchange.held])


class QuotaTests(TakeContract):
    @pytest.fixture(autouse=True)
    def row(self, served_by, db):
        self.engine.prepare_limits({("queue", "default")})

    def turn(self, limit=9):
        return Turn((Range("default", "", limit),), limit)

    def start(self, quota, now=LATER, **options):
        return self.take(self.turn(), quotas={"default": quota}, now=now, **options)

    def test_what_is_held_takes_its_places(self):
        make(JobState.RESERVED)
        make(JobState.IN_PROGRESS)
        make(JobState.IN_PROGRESS, queue="other")
        for _ in range(4):
            make()

        exchange = self.start(Quota(3))

        assert 1 == len(exchange.started)
        assert {"default"} == self.start(Quota(3)).full.keys()

    def test_ends_free_their_places_in_the_same_cycle(self):
        held = make(JobState.IN_PROGRESS)
        make()

        exchange = self.start(Quota(1), endings=[ending(held, Succeeded(None))])

        assert 1 == len(exchange.started)

    def test_partitions_share_the_places_of_their_queue(self):
        for partition in ("x", "y", "z"):
            make(partition=partition)
            make(partition=partition)
        turns = [Turn((Range("default", partition, 2),), 2) for partition in "xyz"]

        exchange = self.take(*turns, quotas={"default": Quota(3)})

        assert {"x": 2, "y": 1} == Counter(each.partition for each in exchange.started)

    def test_other_queues_are_not_limited(self):
        make(JobState.IN_PROGRESS)
        make()
        make(queue="other")
        turn = Turn((Range("default", "", 2), Range("other", "", 2)), 2)

        exchange = self.take(turn, quotas={"default": Quota(1)})

        assert ["other"] == [each.queue for each in exchange.started]

    def test_rate_begins_with_its_burst(self):
        for _ in range(9):
            make()

        exchange = self.start(Quota(None, 4, SECOND))

        assert 4 == len(exchange.started)
        assert {"default": 0.25} == pytest.approx(exchange.out_of_tokens)

    def test_rate_gives_a_token_at_a_time(self):
        for _ in range(9):
            make()
        quota = Quota(None, 4, SECOND, 1)

        started = [
            len(self.start(quota, LATER + milliseconds * timedelta(milliseconds=1)).started)
            for milliseconds in (0, 100, 249, 250, 400, 500, 5000)
        ]

        assert [1, 0, 0, 1, 0, 1, 1] == started

    def test_clock_that_goes_back_gives_no_token_twice(self):
        for _ in range(9):
            make()
        quota = Quota(None, 1, SECOND)

        moments = (LATER, LATER - MINUTE, LATER + SECOND / 2, LATER + SECOND)
        assert [1, 0, 0, 1] == [len(self.start(quota, moment).started) for moment in moments]

    def test_both_limits_hold(self):
        for _ in range(9):
            make()

        assert 2 == len(self.start(Quota(2, 100, SECOND)).started)
        assert 2 == JobRecord.objects.filter(state=JobState.IN_PROGRESS).count()

    def test_queue_without_its_row_is_left_for_now(self):
        make()
        Limit.objects.all().delete()

        exchange = self.start(Quota(1))

        assert ([], {"default"}) == (exchange.started, exchange.out_of_tokens.keys())

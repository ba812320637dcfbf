"""Limits that operators set for execution keys: they win over what the jobs say."""

from datetime import timedelta

import pytest

from django_jobflow import InvalidJob, control
from django_jobflow.attempts import key_digest
from django_jobflow.models import Limit
from django_jobflow.outcomes import Succeeded
from django_jobflow.quotas import Quota
from django_jobflow.states import KEYED, JobState
from tests.engines.contract import LATER, Contract, ending, live, make


class KeyLimitTests(Contract):
    @pytest.fixture(autouse=True)
    def commit(self, django_capture_on_commit_callbacks):
        self.committed = lambda: django_capture_on_commit_callbacks(execute=True)

    def limit(self, **quota):
        with self.committed():
            control.set_limit(key="e", **quota)

    def waiting(self, count=1, **facts):
        made = [make(JobState.WAITING, **{"execution_key": "e"} | facts) for _ in range(count)]
        return [record.pk for record in made]

    def holder(self, place=0):
        digest = key_digest("", "e", place)
        return make(JobState.IN_PROGRESS, execution_key="e", held_execution_key=digest)

    def turns(self):
        return [pk for pk, state in live().items() if state in KEYED]

    def promote(self, count=1):
        with self.committed():
            self.engine.promote([("", "e")] * count)

    def test_more_have_a_turn_as_soon_as_the_limit_is_set(self):
        ids = self.waiting(5)

        self.limit(concurrency=3)

        assert ids[:3] == self.turns()

    def test_end_lets_as_many_in_as_the_limit_says(self):
        holders = [self.holder(place) for place in range(4)]
        ids = self.waiting(3)
        self.limit(concurrency=2)

        with self.committed():
            self.engine.settle([ending(each, Succeeded()) for each in holders[:2]], LATER)
        assert [each.pk for each in holders[2:]] == self.turns()

        with self.committed():
            self.engine.settle([ending(holders[3], Succeeded())], LATER)
        assert [holders[2].pk, ids[0]] == self.turns()

    def test_each_partition_has_its_own_places(self):
        here, there = self.waiting(2), self.waiting(2, partition="x")

        self.limit(concurrency=1)

        assert [here[0], there[0]] == self.turns()

    def test_sweep_keeps_the_limit(self):
        ids = self.waiting(3)
        self.limit(concurrency=1)

        with self.committed():
            self.engine.promote_waiting()

        assert ids[:1] == self.turns()

    def test_without_any_limit_all_may_run(self):
        ids = self.waiting(5)

        self.limit()

        assert ids == self.turns()

    def test_cleared_limit_leaves_it_to_the_job(self):
        holder = self.holder()
        ids = self.waiting(2)
        self.limit(concurrency=1)

        with self.committed():
            assert control.clear_limit(key="e")
            self.engine.settle([ending(holder, Succeeded())], LATER)

        assert ids[:1] == self.turns()

    def test_rate_gives_turns_as_it_has_tokens(self):
        ids = self.waiting(4)

        self.limit(rate="4/h", burst=2)

        assert ids[:2] == self.turns()
        assert 890 < self.engine.promote_limited(("", "e")) <= 900

        Limit.objects.update(filled_at=LATER - timedelta(days=400))
        assert self.engine.promote_key("e") is None
        assert ids == self.turns()

    def test_many_have_their_turn_in_several_steps(self):
        self.waiting(1)
        for number in range(120):
            make(JobState.WAITING, execution_key="e", available_at=LATER, priority=-number % 90)

        self.limit(concurrency=110)

        assert 110 == len(self.turns())

    def test_key_without_a_limit_is_not_touched(self):
        self.waiting(2, execution_key="f")

        self.limit(concurrency=5)
        assert [] == self.turns()

        with self.committed():
            self.engine.promote([("", "f")])
        assert 1 == len(self.turns())

    def test_more_places_than_a_key_can_have_are_refused(self):
        with pytest.raises(InvalidJob, match="concurrency of a key to be at most 1000, got 1001"):
            control.set_limit(key="e", concurrency=1001)
        assert not Limit.objects.exists()

    def test_limit_says_what_it_was_set_to(self):
        self.limit(concurrency=2)

        assert {("key", "e"): Quota(2)} == self.engine.controls(partitions=False).limits

from datetime import UTC, datetime, timedelta

from django.test import TestCase, override_settings

from django_jobflow import job, observe
from django_jobflow.declare import registry
from django_jobflow.observe import LimitFacts
from django_jobflow.quotas import Quota
from django_jobflow.states import JobState
from tests.factories import JobRecordFactory, LimitFactory

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)


def declared(**queues):
    return override_settings(JOBFLOW={"QUEUES": queues})


class LimitsTests(TestCase):
    def limits(self, now=NOON, **more):
        return observe.limits(now=now, **more)

    def next_at(self, now=NOON):
        [limit] = self.limits(now)
        return limit.next_at

    def test_nothing_is_limited(self):
        LimitFactory(concurrency=None, is_override=False)

        with self.assertNumQueries(1):
            assert [] == self.limits()

    @declared(email={"limit": 3}, sms={"rate": "1/s"}, default={}, own={"concurrency": 1})
    def test_settings_limit_before_any_worker_has_seen_them(self):
        assert [
            LimitFacts(
                kind="queue",
                name="email",
                quota=Quota(3),
                is_override=False,
                by="",
                running=0,
            ),
            LimitFacts(
                kind="queue", name="sms", quota=Quota(None, 1, SECOND), is_override=False, by=""
            ),
        ] == self.limits()

    @declared(email={"limit": 3})
    def test_what_an_operator_says_wins(self):
        LimitFactory(value="email", concurrency=9, by="ann")
        LimitFactory(kind="job", value="a", concurrency=2)

        assert [("job", "a", 2, 0, True, ""), ("queue", "email", 9, 0, True, "ann")] == [
            (each.kind, each.name, each.quota.concurrency, each.running, each.is_override, each.by)
            for each in self.limits()
        ]

    @declared(email={"limit": 3})
    def test_limit_of_the_settings_may_be_lifted(self):
        LimitFactory(value="email", concurrency=None)

        [limit] = self.limits()
        assert limit.quota.is_open

    def test_held_records_take_places(self):
        LimitFactory(value="email", concurrency=2)
        JobRecordFactory(state=JobState.RESERVED, queue="email")
        JobRecordFactory(state=JobState.IN_PROGRESS)
        JobRecordFactory(queue="email")
        assert [(1, False)] == [(each.running, each.is_full) for each in self.limits()]

        JobRecordFactory(state=JobState.IN_PROGRESS, queue="email")
        assert [(2, True)] == [(each.running, each.is_full) for each in self.limits()]

    def test_code_limits_too_and_former_names_count(self):
        with registry.isolated():

            @job(name="crawl", aliases=["old"], rate="1/s")
            def crawl(): ...

            [limit] = self.limits()
            assert ("job", "crawl", Quota(None, 1, SECOND), False) == (
                limit.kind,
                limit.name,
                limit.quota,
                limit.is_override,
            )

            LimitFactory(kind="job", value="crawl", concurrency=3)
            for name in ("crawl", "old", "other"):
                JobRecordFactory(state=JobState.IN_PROGRESS, name=name)
            assert [2] == [each.running for each in self.limits()]

    def test_next_start_is_when_there_is_a_token(self):
        rate = {"rate": 4, "period": SECOND, "burst": 1}
        LimitFactory(value="sms", concurrency=None, **rate, tokens=0.5, filled_at=NOON)

        assert NOON + SECOND / 8 == self.next_at()
        assert NOON + SECOND / 8 == self.next_at(NOON + SECOND / 16)
        assert self.next_at(NOON + SECOND / 8) is None

    def test_rate_of_which_nothing_was_taken_has_tokens(self):
        LimitFactory(value="sms", concurrency=None, rate=4, period=SECOND)

        assert self.next_at() is None

    @declared(email={"limit": 3})
    def test_one_can_be_asked_for(self):
        LimitFactory(value="sms")

        assert ["sms"] == [each.name for each in self.limits(only=[("queue", "sms")])]
        assert ["email"] == [each.name for each in self.limits(only=[("queue", "email")])]
        assert [] == self.limits(only=[("job", "sms")])

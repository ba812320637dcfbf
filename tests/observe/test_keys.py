from datetime import timedelta

from django.test import TestCase
from django.utils import timezone

from django_jobflow import job, observe
from django_jobflow.attempts import key_digest
from django_jobflow.declare import registry
from django_jobflow.models import KeyHold
from django_jobflow.observe import Count
from django_jobflow.states import JobState
from tests.factories import JobRecordFactory, LimitFactory

HOUR = timedelta(hours=1)


def waiting(key, count=1, **more):
    return JobRecordFactory.create_batch(count, state=JobState.WAITING, execution_key=key, **more)


def holding(key, state=JobState.IN_PROGRESS, **more):
    return JobRecordFactory(state=state, execution_key=key, **more)


class WaitedForTests(TestCase):
    def waits(self, **more):
        found = observe.waited_for(**more)
        return [
            (each.partition, each.key, each.places, [job.pk for job in each.holders], each.waiting)
            for each in found.keys
        ], found.has_more

    def test_nobody_waits(self):
        holding("a")
        JobRecordFactory(state=JobState.WAITING, parked_for="shop.jobs.SendReceipt")

        with self.assertNumQueries(1):
            assert ([], False) == self.waits()

    def test_each_key_is_told_with_its_holder(self):
        holder, other = holding("a"), holding("a", partition="x")
        holding("b", state=JobState.AVAILABLE)
        waiting("a", 2)
        waiting("a", partition="x")
        waiting("free")

        with self.assertNumQueries(3):
            found = self.waits()

        assert (
            [
                ("", "a", 1, [holder.pk], Count(2)),
                ("", "free", 1, [], Count(1)),
                ("x", "a", 1, [other.pk], Count(1)),
            ],
            False,
        ) == found

    def test_places_of_a_job_and_of_an_operator_have_holders(self):
        with registry.isolated():

            @job(name="two", concurrency=2)
            def two(): ...

            LimitFactory(kind="key", value="many", concurrency=3)
            second = JobRecordFactory(
                state=JobState.IN_PROGRESS,
                name="two",
                execution_key="a",
                held_execution_key=key_digest("", "a", 1),
            )
            waiting("a", name="two")
            waiting("many")

            assert [("a", 2, [second.pk]), ("many", 3, [])] == [
                (key, places, holders) for _, key, places, holders, _ in self.waits()[0]
            ]

    def test_no_more_is_read_than_is_wanted(self):
        waiting("a", 2)
        waiting("b", 2)

        found, has_more = self.waits(read=3)
        assert [("a", Count(2)), ("b", Count(1, is_more=True))] == [
            (key, count) for _, key, _, _, count in found
        ]
        assert has_more
        assert ["a"] == [key for _, key, *_ in self.waits(shown=1)[0]]
        assert self.waits(shown=1)[1]


class KeyFactsTests(TestCase):
    def test_key_is_free(self):
        JobRecordFactory(queue_key="other")
        waiting("k", partition="x")

        assert observe.key_facts("k").is_free
        assert not observe.key_facts("k", "x").is_free

    def test_holders_and_waiters_are_found(self):
        owner = JobRecordFactory(queue_key="k", state=JobState.SCHEDULED)
        holder = holding("k")
        first, second = waiting("k"), waiting("k", priority=9)
        now = timezone.now()
        KeyHold.objects.create(digest=key_digest("", "k"), job_id=7, until=now + HOUR)

        with self.assertNumQueries(6):
            found = observe.key_facts("k")

        assert (owner, now + HOUR, 7, 1, [holder], Count(2), [*second, *first], False) == (
            found.queue_key_holder,
            found.held_until,
            found.held_for,
            found.places,
            found.holders,
            found.waiting,
            found.waiters,
            found.is_free,
        )

    def test_hold_that_is_over_is_none(self):
        KeyHold.objects.create(digest=key_digest("", "k"), job_id=7, until=timezone.now() - HOUR)

        assert observe.key_facts("k").is_free
        assert [] == observe.held_for_a_time()


class HeldTests(TestCase):
    def test_what_workers_have_and_holds_a_key_is_named(self):
        running = holding("a")
        reserved = JobRecordFactory(state=JobState.RESERVED, queue_key="b")
        JobRecordFactory(state=JobState.RESERVED)
        JobRecordFactory(queue_key="c")

        assert [running, reserved] == observe.held_while_running()
        assert [running] == observe.held_while_running(shown=1)

    def test_what_is_held_for_a_time_is_named_the_soonest_first(self):
        now = timezone.now()
        for number, hours in enumerate((2, 1)):
            KeyHold.objects.create(digest=str(number), job_id=number, until=now + hours * HOUR)

        assert [1, 0] == [each.job_id for each in observe.held_for_a_time()]

from datetime import UTC, datetime, timedelta

from django.test import TestCase, override_settings

from django_jobflow import observe
from django_jobflow.engines import engine_for
from django_jobflow.observe import Count
from django_jobflow.states import JobState
from tests.factories import JobRecordFactory, LimitFactory, PauseFactory, WorkerFactory

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@override_settings(JOBFLOW={"QUEUES": {"email": {"limit": 3}}})
class QueuesTests(TestCase):
    def queues(self, **more):
        return {each.name: each for each in observe.queues(now=NOON, **more).all}

    def test_queue_of_the_settings_is_there_without_a_job(self):
        email = self.queues()["email"]

        assert ({}, None, None, 3, 0, 0) == (
            email.counts,
            email.oldest,
            email.pause,
            email.limit.quota.concurrency,
            email.workers,
            email.slots,
        )
        assert not email.has_no_worker

    def test_jobs_are_counted_by_queue_and_state(self):
        for queue, state in (
            ("a", JobState.AVAILABLE),
            ("a", JobState.AVAILABLE),
            ("a", JobState.FAILED),
            ("email", JobState.SCHEDULED),
            ("email", JobState.IN_PROGRESS),
        ):
            JobRecordFactory(queue=queue, state=state)

        found = self.queues()

        assert {JobState.AVAILABLE: Count(2), JobState.FAILED: Count(1)} == found["a"].counts
        assert {JobState.SCHEDULED: Count(1), JobState.IN_PROGRESS: Count(1)} == (
            found["email"].counts
        )
        assert 1 == found["email"].limit.running
        assert Count(0) == found["email"].count(JobState.FAILED)

    def test_no_more_are_counted_than_are_wanted(self):
        JobRecordFactory.create_batch(3, queue="a")
        JobRecordFactory.create_batch(3, queue="b", state=JobState.RETRY)

        found = self.queues(most=2)

        assert Count(2, is_more=True) == found["a"].count(JobState.AVAILABLE)
        assert Count(2, is_more=True) == found["b"].count(JobState.RETRY)

    def test_oldest_of_all_partitions_counts(self):
        for partition, waited in (("", 2), ("x", 5)):
            at = NOON - waited * MINUTE
            JobRecordFactory(queue="a", partition=partition, available_at=at, updated_at=at)

        assert 5 * MINUTE == self.queues()["a"].oldest
        assert 5 * MINUTE == self.queues(only="a")["a"].oldest

    def test_living_workers_that_serve_it_are_counted(self):
        JobRecordFactory(queue="a")
        WorkerFactory(heartbeat_at=NOON, threads=4, queues=["email"])
        WorkerFactory(heartbeat_at=NOON, threads=3)
        WorkerFactory(heartbeat_at=NOON - timedelta(hours=1), threads=9)

        email = self.queues()["email"]
        assert (2, 7) == (email.workers, email.slots)
        assert (1, 3) == (self.queues()["a"].workers, self.queues()["a"].slots)

    def test_queue_with_jobs_and_no_worker_is_told(self):
        JobRecordFactory(queue="a")
        WorkerFactory(heartbeat_at=NOON, queues=["email"])

        assert ["a"] == [name for name, each in self.queues().items() if each.has_no_worker]

    def test_pause_and_limit_of_queues_are_found_and_those_of_others_not(self):
        PauseFactory(kind="queue", value="a", by="ann")
        PauseFactory(kind="job", value="email")
        LimitFactory(kind="job", value="email", concurrency=9)
        LimitFactory(kind="queue", value="b", concurrency=9)

        found = self.queues()

        assert ("ann", None) == (found["a"].pause.by, found["email"].pause)
        assert (9, 3) == (
            found["b"].limit.quota.concurrency,
            found["email"].limit.quota.concurrency,
        )

    def test_rates_are_those_of_the_last_minutes(self):
        engine = engine_for()
        for back, waiting in ((1, 0), (0, 120)):
            ended = {"email": {"succeeded": 45, "waiting": waiting}, "gone": {"failed": 30}}
            engine.write_history(NOON - back * MINUTE, ended | {"": {}}, samples=1)
        now = NOON + timedelta(seconds=30)

        found = {each.name: each for each in observe.queues(now=now).all}
        [alone] = observe.queues(now=now, only="email").all

        # Since four minutes before noon, when the first of the last five began.
        rate_out = 90 / 270
        assert (rate_out + 2, rate_out) == (found["email"].rate_in, found["email"].rate_out)
        assert (60 / 270, {}) == (found["gone"].rate_out, found["gone"].counts)
        assert (found["email"].rate_in, rate_out) == (alone.rate_in, alone.rate_out)
        assert "" not in found

    def test_rate_of_a_queue_without_a_past_is_nothing(self):
        email = self.queues()["email"]

        assert (None, 0.0) == (email.rate_in, email.rate_out)

    def test_one_queue_is_read_alone(self):
        JobRecordFactory(queue="a")
        JobRecordFactory(queue="b", state=JobState.FAILED)

        assert {"b": {JobState.FAILED: Count(1)}} == {
            name: each.counts for name, each in self.queues(only="b").items()
        }


class PurgeableTests(TestCase):
    def setUp(self):
        for more in ({}, {"partition": "x"}, {"name": "other"}, {"state": JobState.RETRY}):
            JobRecordFactory(queue="a", **more)
        JobRecordFactory(queue="b")
        JobRecordFactory(queue="b", state=JobState.RETRY)

    def purgeable(self, states=(JobState.AVAILABLE, JobState.RETRY), **more):
        return observe.purgeable("a", states, **more)

    def test_jobs_of_the_queue_are_counted_by_state(self):
        assert {JobState.AVAILABLE: Count(3), JobState.RETRY: Count(1)} == self.purgeable()
        assert {JobState.FAILED: Count(0)} == self.purgeable([JobState.FAILED])

    def test_only_those_that_are_wanted_are_counted(self):
        assert {JobState.AVAILABLE: Count(1)} == self.purgeable([JobState.AVAILABLE], job="other")
        assert {JobState.AVAILABLE: Count(2)} == self.purgeable([JobState.AVAILABLE], partition="")

    def test_number_that_is_not_all_says_so(self):
        found = self.purgeable(most=2)

        assert {
            JobState.AVAILABLE: Count(2, is_more=True),
            JobState.RETRY: Count(1, is_more=True),
        } == found

import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, connections
from django.db.models.functions import Now
from django.test import TestCase, TransactionTestCase
from django.utils import timezone

from django_jobflow import InvalidJob, job
from django_jobflow.declare import registry
from django_jobflow.engines import engine_for
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.states import JobState
from django_jobflow.testing import Succeeded, drain, run_job, travel
from tests.app.jobs import Anything, add, end_by
from tests.factories import JobRecordFactory

HOUR = timedelta(hours=1)
ABOUT = timedelta(minutes=5)  # more than any test takes
FAR = datetime(2035, 1, 2, 3, tzinfo=UTC)


class Moving:
    """Everything that the engines say of time, with and without a transaction around it."""

    def assertHere(self, moment, expected):
        assert abs(moment - expected) < ABOUT, (moment, expected)

    def test_every_clock_of_this_process_is_moved(self):
        real = timezone.now()
        with travel(HOUR):
            self.assertHere(timezone.now(), real + HOUR)
            self.assertHere(engine_for().now(), real + HOUR)
            JobRecordFactory()
            asked = JobRecord.objects.annotate(moment=Now()).get().moment
            self.assertHere(asked, real + HOUR)
        self.assertHere(timezone.now(), real)
        self.assertHere(engine_for().now(), real)

    def test_clock_goes_on(self):
        with travel(to=FAR):
            first, second = engine_for().now(), engine_for().now()

        assert FAR <= first < second < FAR + ABOUT

    def test_distances_add_up_and_a_moment_does_not(self):
        real = timezone.now()
        with travel(3600):
            with travel(-7200):
                self.assertHere(engine_for().now(), real - HOUR)
            with travel(to=FAR):
                self.assertHere(engine_for().now(), FAR)
            self.assertHere(engine_for().now(), real + HOUR)

    def test_enqueued_rows_have_the_moments_of_the_test(self):
        with travel(to=FAR):
            plain = add.enqueue(1)
            later = add.using(delay=HOUR).enqueue(1)
            at = add.using(run_at=FAR + HOUR, expires_in=60).enqueue(1)
            keyed = add.using(queue_key="k", unique_for=60).enqueue(1)
            many = add.enqueue_many([{"a": 1}, {"a": 2}])
            by_key = Anything.using(queue_key="other").enqueue_many([{}])

        dues = [FAR, FAR + HOUR, FAR + HOUR, FAR, FAR, FAR, FAR]
        for returned in (plain, later, at, keyed):
            self.assertHere(returned.created_at, FAR)
        ids = [each.pk for each in (plain, later, at, keyed)] + many + by_key
        for pk, due in zip(ids, dues, strict=True):
            record = JobRecord.objects.get(pk=pk)
            for moment, expected in (
                (record.created_at, FAR),
                (record.updated_at, FAR),
                (record.available_at, due),
            ):
                self.assertHere(moment, expected)
        at.refresh_from_db()
        assert FAR + HOUR + timedelta(minutes=1) == at.expires_at

    def test_what_is_scheduled_becomes_due(self):
        add.using(delay=HOUR).enqueue(1)

        assert () == drain()
        with travel(HOUR):
            assert ["tests.app.jobs.add"] == drain().names
        self.assertHere(SucceededJob.objects.get().succeeded_at, timezone.now() + HOUR)

    def test_retry_becomes_due(self):
        end_by.using(max_attempts=2).enqueue("retry")

        assert [1] == [each.attempt for each in drain()]
        assert () == drain()
        with travel(60):
            assert [2] == [each.attempt for each in drain()]

    def test_what_is_pointless_is_ended_unstarted(self):
        record = add.using(expires_in=60).enqueue(1)

        with travel(61):
            assert () == drain()

        record.refresh_from_db()
        assert JobState.FAILED == record.state

    def test_lease_of_a_dead_worker_lapses(self):
        JobRecordFactory(name="tests.app.jobs.add", kwargs={"a": 1}, state=JobState.IN_PROGRESS)

        assert () == drain()
        with travel(120):
            assert [2] == [each.attempt for each in drain()]

    def test_unique_for_passes(self):
        unique = add.using(queue_key="k", unique_for=HOUR)
        unique.enqueue(1)
        drain()

        assert unique.enqueue(1).duplicate
        with travel(HOUR):
            assert not unique.enqueue(1).duplicate

    def test_rate_passes(self):
        with registry.isolated():

            @job(rate="1/h")
            def limited(): ...

            for _ in range(3):
                limited.enqueue()

            assert [1, 0] == [len(drain()) for _ in range(2)]
            with travel(HOUR):
                assert [1, 0] == [len(drain()) for _ in range(2)]

    def test_single_job_runs_at_that_time(self):
        with travel(to=FAR):
            assert Succeeded(2) == run_job(add, 1)

        self.assertHere(SucceededJob.objects.get().started_at, FAR)

    def test_connections_are_left_as_they_were(self):
        with travel(HOUR):
            assert connection.execute_wrappers

        assert [] == [
            each for alias in connections for each in connections[alias].execute_wrappers
        ]
        assert "Clock" not in repr(timezone.now)

    @travel(to=FAR)
    def test_decorates(self):
        self.assertHere(timezone.now(), FAR)

    @travel(to=FAR)
    async def test_decorates_async(self):
        self.assertHere((await add.aenqueue(1)).created_at, FAR)


class TravelTests(Moving, TestCase):
    pass


class CommittedTravelTests(Moving, TransactionTestCase):
    def test_connection_that_is_made_meanwhile_is_moved(self):
        with travel(to=FAR):
            connection.close()
            self.assertHere(engine_for().now(), FAR)

        assert [] == connection.execute_wrappers


class RefusalTests:
    @pytest.mark.parametrize(
        ("arguments", "options", "message"),
        [
            ((), {}, "travel: expected delta or to, got delta=None and to=None."),
            ((1,), {"to": FAR}, f"travel: expected delta or to, got delta=1 and to={FAR!r}."),
            (("1",), {}, "travel: expected delta to be seconds or a timedelta, got '1'."),
            (
                (),
                {"to": FAR.replace(tzinfo=None)},
                f"travel: expected to to be an aware datetime, got {FAR.replace(tzinfo=None)!r}.",
            ),
        ],
    )
    def test_wrong_distance_is_refused(self, arguments, options, message):
        with pytest.raises(InvalidJob) as caught:
            travel(*arguments, **options)

        assert message == str(caught.value)

    def test_real_time_is_not_touched(self):
        before = time.time()
        with travel(HOUR):
            assert time.time() - before < ABOUT.total_seconds()

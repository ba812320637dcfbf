"""What a worker takes where something is paused, limited, or in a partition."""

from dataclasses import replace
from itertools import pairwise

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_jobflow import Job, control
from django_jobflow.attempts import Exchange, reservation_of
from django_jobflow.declare import registry
from django_jobflow.engines import engine_for
from django_jobflow.engines.ground import SWEEP_BATCH
from django_jobflow.models import JobRecord, Limit, Pause, SucceededJob, Worker
from django_jobflow.service import Service
from django_jobflow.states import JobState
from django_jobflow.worker.coordinator import Coordinator
from django_jobflow.worker.fetch import Fetch
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.turns import Turns
from tests.app import jobs
from tests.engines.contract import make, make_many

ADD = jobs.add.definition().name


def left():
    return sorted(JobRecord.objects.values_list("queue", "partition"))


class PauseTests:
    @pytest.mark.parametrize("options", [{}, {"queues": ("default", "notes")}])
    def test_drain_leaves_a_paused_queue(self, drain, tmp_path, options):
        jobs.note.enqueue(str(tmp_path / "notes"), "paused")
        jobs.add.enqueue(1)
        control.pause(queue="notes")

        assert 1 == drain(**options)
        assert [("notes", "")] == left()

        control.resume(queue="notes")
        assert 1 == drain(**options)

    def test_drain_leaves_a_paused_partition(self, drain):
        for partition in ("", "acme", "zoo"):
            jobs.add.using(partition=partition).enqueue(1)
        control.pause(partition="acme")

        assert 2 == drain()
        assert [("default", "acme")] == left()

    def test_pause_that_has_ended_holds_nothing_up(self, drain):
        jobs.add.enqueue(1)
        control.pause(queue="default", for_=0)

        assert 1 == drain()


class PartitionTests:
    def enqueue(self):
        for partition in ("", "acme", "zoo"):
            jobs.add.using(partition=partition).enqueue(1)

    def test_drain_of_all_takes_every_partition(self, drain):
        self.enqueue()

        assert 3 == drain()

    def test_drain_of_a_queue_takes_every_partition(self, drain):
        self.enqueue()

        assert 3 == drain(queues=("default",))

    def test_worker_serves_the_partitions_that_it_is_told(self, drain):
        self.enqueue()

        assert 2 == drain(partitions=("", "zoo"))
        assert [("default", "acme")] == left()

    def test_row_of_a_worker_says_its_partitions(self, transactional_db):
        coordinator = Coordinator(WorkerOptions(database="default", partitions=("", "acme")))

        coordinator.duties.register()

        assert ["", "acme"] == Worker.objects.get().partitions
        coordinator.inbox.close()

    def test_job_of_a_partition_tells_that_there_are_some(self, db):
        fetch = Fetch(engine_for(), WorkerOptions(database="default"))
        fetch.learn(engine_for().glance(None))
        taken = make(JobState.IN_PROGRESS, partition="acme")
        assert fetch.is_plain

        fetch.took([], Exchange(started=[reservation_of(taken)]))

        assert not fetch.is_plain
        make()
        fetch.learn(engine_for().glance(None))
        assert not fetch.is_plain  # for a while

    def test_partitions_are_looked_for_as_seldom_as_that_is_dear(self, db, monkeypatch):
        monkeypatch.setattr("django_jobflow.worker.fetch.PARTITIONS_SHARE", 10**9)
        fetch = Fetch(engine_for(), WorkerOptions(database="default"))
        make()
        fetch.learn(engine_for().glance(None))
        fetch.learn(engine_for().glance(None))  # one that takes long may be an accident
        make(partition="acme")

        fetch.learn(engine_for().glance(None))
        assert fetch.is_plain

        fetch._partitions_until = 0.0
        fetch.learn(engine_for().glance(None))
        assert not fetch.is_plain
        fetch.learn(replace(engine_for().glance(None), elsewhere=False))
        assert fetch.is_plain  # there is nothing
        fetch.learn(engine_for().glance(None))
        assert not fetch.is_plain

    def test_backlog_of_one_does_not_delay_another(self, drain):
        """One slot: the single job runs as soon as the one that was running has ended."""
        jobs.add.using(partition="acme").enqueue_many({"a": number} for number in range(200))
        single = jobs.add.using(partition="zoo", priority=-50).enqueue(1)

        drain(threads=1, max_jobs=20)

        assert SucceededJob.objects.filter(pk=single.pk).exists()


class LimitTests:
    def test_limit_of_the_settings_is_kept(self, drain, settings):
        settings.JOBFLOW = {"QUEUES": {"default": {"limit": 1}}}
        jobs.add.enqueue_many({"a": number} for number in range(8))

        assert 8 == drain(threads=4)

        runs = list(SucceededJob.objects.order_by("started_at"))
        assert all(a.succeeded_at <= b.started_at for a, b in pairwise(runs))

    def test_limit_of_an_operator_wins(self, drain, settings):
        settings.JOBFLOW = {"QUEUES": {"default": {"rate": "1/d"}}}
        jobs.add.enqueue_many({"a": number} for number in range(8))
        control.set_limit(queue="default", concurrency=4)

        assert 8 == drain()

    def test_rate_spreads_what_it_lets_start(self, drain, settings):
        settings.JOBFLOW = {"QUEUES": {"default": {"rate": "20/s", "burst": 1}}}
        jobs.add.enqueue_many({"a": number} for number in range(5))

        assert 5 == drain()

        starts = sorted(SucceededJob.objects.values_list("started_at", flat=True))
        # By the clock of the database; at full speed they would start together.
        assert (starts[-1] - starts[0]).total_seconds() > 0.1
        assert 1 == Limit.objects.count()


class GateTests:
    @pytest.fixture
    def own_jobs(self):
        with registry.isolated():
            yield

    def parked(self):
        return JobRecord.objects.filter(parked_for__isnull=False).count()

    def test_drain_leaves_a_paused_job_and_does_all_else(self, drain, tmp_path):
        jobs.note.using(queue="default", priority=5).enqueue_many(
            {"path": str(tmp_path / "notes"), "text": str(number)} for number in range(30)
        )
        jobs.add.enqueue_many({"a": number} for number in range(5))
        control.pause(job=jobs.note.definition().name)

        assert 5 == drain(threads=2)
        assert 30 == self.parked()

        control.resume(job=jobs.note.definition().name)
        assert 30 == drain(threads=2)

    def test_limit_of_a_job_is_kept(self, drain):
        control.set_limit(job=jobs.add.definition().name, concurrency=1)
        jobs.add.enqueue_many({"a": number} for number in range(8))

        assert 8 == drain(threads=4)

        runs = list(SucceededJob.objects.order_by("started_at"))
        assert all(a.succeeded_at <= b.started_at for a, b in pairwise(runs))

    def test_limits_of_a_job_and_of_its_queue_are_both_kept(self, drain, settings):
        settings.JOBFLOW = {"QUEUES": {"default": {"limit": 1}}}
        control.set_limit(job=jobs.add.definition().name, concurrency=3)
        jobs.add.enqueue_many({"a": number} for number in range(6))

        assert 6 == drain(threads=4)

        runs = list(SucceededJob.objects.order_by("started_at"))
        assert all(a.succeeded_at <= b.started_at for a, b in pairwise(runs))

    def test_rate_of_a_job_is_declared_on_it(self, drain, own_jobs):
        class Mail(Job):
            rate = "20/s"
            burst = 1

            def perform(self, number):
                pass

        Mail.enqueue_many({"number": number} for number in range(5))

        assert 5 == drain()

        starts = sorted(SucceededJob.objects.values_list("started_at", flat=True))
        # By the clock of the database; at full speed they would start together.
        assert (starts[-1] - starts[0]).total_seconds() > 0.1
        assert ["job"] == [limit.kind for limit in Limit.objects.all()]

    def test_limit_of_an_operator_wins_over_the_rate(self, drain, own_jobs):
        class Mail(Job):
            rate = "1/d"

            def perform(self, number):
                pass

        control.set_limit(job=Mail.definition().name, concurrency=4)
        Mail.enqueue_many({"number": number} for number in range(5))

        assert 5 == drain()

    def test_rate_of_a_key_is_kept_by_whoever_works(self, drain):
        jobs.add.using(execution_key="shop").enqueue_many({"a": number} for number in range(6))
        control.set_limit(key="shop", rate="20/s", burst=1)

        assert 6 == drain()

        starts = sorted(SucceededJob.objects.values_list("started_at", flat=True))
        assert (starts[-1] - starts[0]).total_seconds() > 0.1

    def test_parked_jobs_are_let_go_when_the_limit_has_gone(self, drain):
        control.pause(job=jobs.add.definition().name)
        jobs.add.enqueue_many({"a": number} for number in range(5))
        assert (0, 5) == (drain(), self.parked())
        Pause.objects.all().delete()  # past the verbs, as a restored backup would

        assert (5, 0) == (drain(), self.parked())

    @pytest.mark.django_db
    def test_all_that_is_let_go_is_work_however_much_it_is(self):
        make_many(SWEEP_BATCH + 5, JobState.WAITING, parked_for=ADD, name=ADD)
        fetch = Fetch(engine_for(), WorkerOptions(database="default"))
        fetch.learn(engine_for().glance(None))
        JobRecord.objects.filter(state=JobState.AVAILABLE).delete()

        assert fetch.is_outdated
        assert fetch.has_work()
        assert 0 == self.parked()

    @pytest.mark.parametrize("options", [{"partitions": ("",)}, {}])
    def test_drain_leaves_what_is_parked_in_another_partition(self, drain, options):
        control.set_limit(job=jobs.add.definition().name, concurrency=1)
        make(JobState.WAITING, parked_for=ADD, name=ADD, args=[1], partition="acme")
        if not options:
            control.pause(partition="acme")

        assert (0, 1) == (drain(**options), self.parked())

    @pytest.mark.django_db
    def test_row_that_was_deleted_is_there_again(self, own_jobs, settings):
        settings.JOBFLOW = {"QUEUES": {"email": {"limit": 1}}}

        class Mail(Job):
            rate = "1/d"

            def perform(self):
                pass

        fetch = Fetch(engine_for(), WorkerOptions(database="default"))
        for _ in range(2):
            fetch.learn(engine_for().glance(None))
            assert {"job", "queue"} == set(Limit.objects.values_list("kind", flat=True))
            Limit.objects.all().delete()

    def test_two_limited_jobs_start_in_turn(self, drain, tmp_path):
        note = jobs.note.definition().name
        for name in (ADD, note):
            control.set_limit(job=name, concurrency=100)
        text = {"path": str(tmp_path / "notes"), "text": "x"}
        jobs.add.enqueue_many({"a": number} for number in range(20))
        jobs.note.using(queue="default").enqueue_many([text] * 3)

        drain(threads=1)

        runs = SucceededJob.objects.order_by("started_at", "id")
        assert note in [run.name for run in runs[:8]]

    @pytest.mark.parametrize("is_limited", [False, True])
    def test_what_no_worker_knows_is_let_go_and_never_started(self, drain, is_limited):
        record = make(JobState.WAITING, parked_for="shop.Gone", name="shop.Gone")
        if is_limited:
            control.set_limit(job="shop.Gone", concurrency=3)

        assert 0 == drain()

        record.refresh_from_db()
        assert (JobState.SCHEDULED, None) == (record.state, record.parked_for)

    def test_what_another_worker_knows_is_left_to_it(self, drain):
        make(JobState.WAITING, parked_for="shop.Theirs", name="shop.Theirs")
        engine_for().register_worker(
            "w", host="h", pid=1, threads=1, service=Service(), names=["shop.Theirs"]
        )

        assert (0, 1) == (drain(), self.parked())

    def test_retries_are_limited_like_first_attempts(self, drain, own_jobs):
        class Flaky(Job):
            max_attempts = 3
            base_delay = 0.001

            def perform(self):
                if self.context.attempt < 3:
                    raise ConnectionError

        control.set_limit(job=Flaky.definition().name, concurrency=1)
        for _ in range(4):
            Flaky.enqueue()

        drain(threads=4)

        assert [3] * 4 == [each.attempt for each in SucceededJob.objects.all()]


class PlainTests:
    def test_nothing_is_asked_of_tables_that_nobody_uses(self, drain):
        jobs.add.enqueue_many({"a": number} for number in range(20))

        with CaptureQueriesContext(connection) as captured:
            drain(threads=1)

        glances = [sql["sql"] for sql in captured if "jobflow_pause" in (sql["sql"] or "")]
        asked = [sql["sql"] for sql in captured if "lanes" in (sql["sql"] or "")]
        assert all("EXISTS" in sql for sql in glances)
        assert len(asked) <= 1  # whether a drain has left something


class TurnTests:
    def share(self, turns, lanes, room, **budgets):
        return {
            turn.ranges[0].partition: (turn.limit, [each.limit for each in turn.ranges])
            for turn in turns.share(lanes, room, budgets)
        }

    def test_room_is_shared_among_those_with_work(self):
        found = self.share(Turns(), [("q", "a"), ("q", "b"), ("r", "b")], 5)

        assert {"a": (3, [3]), "b": (2, [2, 2])} == found

    def test_each_has_its_turn_where_there_are_more_than_room(self):
        turns, lanes = Turns(), [("q", name) for name in "abcde"]

        served = [list(self.share(turns, lanes, 2)) for _ in range(3)]

        assert [["a", "b"], ["c", "d"], ["e", "a"]] == served

    def test_budget_of_a_queue_is_one_for_all(self):
        found = self.share(Turns(), [("q", "a"), ("q", "b"), ("r", "b")], 8, q=5)

        assert {"a": (4, [4]), "b": (4, [1, 4])} == found

    def test_queue_without_budget_takes_no_turn(self):
        assert {"b": (4, [4])} == self.share(Turns(), [("q", "a"), ("r", "b")], 4, q=0)

    def test_nothing_waits(self):
        assert () == Turns().share([], 4, {})

"""Pauses and limits over several worker processes."""

import itertools
import signal
import time
from pathlib import Path

import pytest

from django_jobflow import control
from django_jobflow.models import JobRecord, SucceededJob, Worker
from django_jobflow.states import JobState
from tests.app import jobs

OCCUPY = "tests.app.jobs.occupy"
IN_FORCE = 1.0  # seconds after which every worker knows
BUSY = 1.0  # seconds that a busy machine may take for what needs none


def most_at_once(path):
    """Return how many bodies of ``occupy`` ran at the same time, at most."""
    steps = {"+": 1, "-": -1}
    return max(itertools.accumulate(steps[step] for step in path.read_text().split()))


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "steps"
    path.touch()
    return path


@pytest.fixture
def two_workers(start_worker, until):
    def start(*arguments, **settings):
        workers = [start_worker(*arguments, **settings) for _ in range(2)]
        until(lambda: Worker.objects.count() == 2)
        return workers

    return start


class PauseTests:
    @pytest.mark.parametrize("what", [{"job": OCCUPY}, {"queue": "default"}, {"partition": ""}])
    def test_pause_is_in_force_in_both_workers_within_a_second(
        self, two_workers, until, path, what
    ):
        jobs.occupy.enqueue_many({"path": str(path), "seconds": 0.05} for _ in range(2000))
        two_workers("--threads=2")
        until(lambda: len(SucceededJob.objects.values("reserved_by").distinct()) == 2)

        control.pause(**what)
        time.sleep(IN_FORCE + BUSY)
        last = path.read_text().count("+")
        time.sleep(IN_FORCE)

        assert last == path.read_text().count("+")
        assert not JobRecord.objects.filter(state=JobState.IN_PROGRESS).exists()

    def test_resumed_job_goes_on(self, two_workers, until, path):
        control.pause(job=OCCUPY)
        jobs.occupy.enqueue_many({"path": str(path), "seconds": 0} for _ in range(2000))
        two_workers("--threads=2")
        until(lambda: not JobRecord.objects.filter(state=JobState.AVAILABLE).exists())

        control.resume(job=OCCUPY)

        until(lambda: SucceededJob.objects.count() == 2000)


class LimitTests:
    def test_parked_jobs_start_though_nothing_else_comes(self, start_worker, until, path):
        control.set_limit(job=OCCUPY, concurrency=1)
        control.pause(job=OCCUPY)
        jobs.occupy.enqueue_many({"path": str(path), "seconds": 0} for _ in range(5))
        start_worker()
        until(lambda: JobRecord.objects.filter(parked_for=OCCUPY).count() == 5)

        control.resume(job=OCCUPY)

        until(lambda: SucceededJob.objects.count() == 5)

    @pytest.mark.parametrize("queue", [None, 2])
    def test_limit_of_a_job_is_not_passed_by_two_workers(self, two_workers, until, path, queue):
        control.set_limit(job=OCCUPY, concurrency=2)
        if queue is not None:
            control.set_limit(queue="default", concurrency=queue)
        jobs.occupy.enqueue_many({"path": str(path), "seconds": 0.01} for _ in range(200))
        two_workers("--threads=4")

        until(lambda: SucceededJob.objects.count() == 200)

        assert 2 == most_at_once(path)

    def test_limit_of_a_key_is_not_passed_by_two_workers(self, two_workers, until, path):
        control.set_limit(key="shop:7", concurrency=2)
        job = jobs.occupy.using(execution_key="shop:7")
        job.enqueue_many({"path": str(path), "seconds": 0.01} for _ in range(200))
        two_workers("--threads=4")

        until(lambda: SucceededJob.objects.count() == 200)

        assert 2 == most_at_once(path)


IMPATIENT = {"LEASE": 1, "SWEEP_INTERVAL": 0.2}
WAIT = "tests.app.jobs.touch_and_wait"


class CrashTests:
    """A worker is killed, and what it held goes to those that wait for it, one after the other."""

    @pytest.fixture
    def crash(self, start_worker, until, tmp_path):
        """Have a worker killed in the body of a job; return the record."""

        def crash(job):
            started = tmp_path / "started"
            record = job.enqueue(str(started), str(tmp_path / "never"))
            worker = start_worker(**IMPATIENT)
            until(started.exists)
            worker.send(signal.SIGKILL)
            worker.wait()
            return record

        return crash

    @pytest.mark.parametrize(
        ("options", "limit"),
        [
            ({"execution_key": "e"}, {}),
            ({"execution_key": "e"}, {"key": "e", "concurrency": 1}),
            ({"execution_key": "e"}, {"key": "e", "concurrency": 1, "rate": "1000/s"}),
            ({}, {"queue": "default", "concurrency": 1}),
            ({}, {"job": WAIT, "concurrency": 1}),
            ({"partition": "acme", "execution_key": "e"}, {"job": WAIT, "concurrency": 1}),
        ],
        ids=lambda value: "-".join(value) or "none",
    )
    def test_permit_is_given_on(self, crash, start_worker, until, path, options, limit):
        if limit:
            control.set_limit(**limit)
        job = jobs.touch_and_wait.using(**options)
        lost = crash(job)
        for _ in range(3):
            job.enqueue(str(path), str(path))

        start_worker("--threads=4", **IMPATIENT)

        until(lambda: SucceededJob.objects.count() == 3)
        lost.refresh_from_db()
        assert (JobState.FAILED, "django_jobflow.exceptions.WorkerLost") == (
            lost.state,
            lost.errors[0]["exception"],
        )
        spans = SucceededJob.objects.order_by("started_at").values_list(
            "started_at", "succeeded_at"
        )
        ends = [lost.finished_at, *(end for _, end in spans)]
        assert all(end <= start for end, (start, _) in zip(ends, spans, strict=False))

    def test_queue_key_is_free_once_the_worker_is_known_to_be_dead(
        self, crash, start_worker, until, path
    ):
        job = jobs.touch_and_wait.using(queue_key="q")
        lost = crash(job)
        assert lost == job.enqueue(str(path), str(path))

        start_worker(**IMPATIENT)
        until(lambda: JobRecord.objects.filter(state=JobState.FAILED).exists())

        assert not job.enqueue(str(path), str(path)).duplicate
        until(lambda: SucceededJob.objects.count() == 1)

"""A pool of processes under a real worker, and what dies in the middle."""

import os
import signal

import pytest

from django_jobflow import JobState
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.worker import affinity
from django_jobflow.worker.processes import cores
from tests.app import jobs

POOL = "django_jobflow.executors.process_pool"
ONE = "tests.app.executors.one_process"
LOST = "django_jobflow.exceptions.WorkerLost"
TIMEOUT = "django_jobflow.exceptions.JobTimeout"


def stored(record):
    return JobRecord.objects.get(pk=record.pk)


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture
def begun(until, tmp_path):
    """Enqueue a job whose body waits; return its record, its process and what lets it end."""

    def begin(name="body", **options):
        started, release = tmp_path / f"{name}-started", tmp_path / f"{name}-release"
        record = jobs.tell_and_wait.using(**options).enqueue(str(started), str(release))
        until(lambda: started.exists() and started.read_text())
        return record, int(started.read_text()), release

    return begin


@pytest.mark.skipif(cores() < 2 or not affinity.is_there(), reason="It deals out cores.")
class AffinityTests:
    def test_bodies_run_on_any_core_where_the_worker_keeps_to_its_own(self, start_worker, begun):
        start_worker("--processes=2", "--cpu-affinity", EXECUTOR=POOL)

        _, pid, release = begun()

        assert os.sched_getaffinity(0) == os.sched_getaffinity(pid)
        release.touch()


class KillingTests:
    def test_body_whose_process_is_killed_has_failed_and_runs_again(
        self, start_worker, until, begun
    ):
        worker = start_worker("--threads=2", EXECUTOR=ONE)
        record, pid, release = begun(max_attempts=2)
        waiting = jobs.add.using(max_attempts=1).enqueue(1, b=1)
        until(lambda: stored(waiting).state == JobState.IN_PROGRESS)

        os.kill(pid, signal.SIGKILL)
        release.touch()

        until(lambda: SucceededJob.objects.count() == 2)
        again = SucceededJob.objects.get(pk=record.pk)
        assert [LOST] == [each["exception"] for each in again.errors]
        # What had only waited in the same pool has lost nothing.
        spared = SucceededJob.objects.get(pk=waiting.pk)
        assert (2, 1, []) == (again.attempt, spared.attempt, spared.errors)
        assert 0 == worker.stop()
        # Both were there when it broke, and one line is enough for a pool.
        assert 1 == worker.output.count("executor_failed")

    def test_killed_worker_leaves_no_body_behind(self, start_worker, until, begun):
        worker = start_worker("--processes=1", EXECUTOR=ONE)
        record, pid, _ = begun()
        holder = int(stored(record).reserved_by.split(":")[1])

        os.kill(holder, signal.SIGKILL)

        until(lambda: is_gone(pid))
        until(lambda: stored(record).state == JobState.FAILED)
        assert [LOST] == [each["exception"] for each in stored(record).errors]
        assert 0 == worker.stop()


class StoppingTests:
    @pytest.mark.parametrize("processes", ["--processes=0", "--processes=1"])
    def test_body_that_does_not_end_in_time_is_killed_and_given_back(
        self, start_worker, until, begun, processes
    ):
        worker = start_worker(processes, EXECUTOR=ONE, SHUTDOWN_TIMEOUT=0.5)
        record, pid, _ = begun()

        assert 0 == worker.stop()

        until(lambda: is_gone(pid))
        record = stored(record)
        assert (JobState.AVAILABLE, 0, []) == (record.state, record.attempt, record.errors)

    def test_body_that_ends_in_time_is_awaited(self, start_worker, begun):
        worker = start_worker(EXECUTOR=ONE)
        record, _, release = begun()

        worker.send(signal.SIGTERM)
        release.touch()

        assert 0 == worker.wait()
        assert [record.pk] == list(SucceededJob.objects.values_list("pk", flat=True))


class TimeLimitTests:
    def test_body_that_is_stuck_times_out_and_is_replaced(self, start_worker, until, tmp_path):
        start_worker(EXECUTOR=ONE, TIMEOUT_GRACE=0.2, POLL_INTERVAL=0.1)
        stuck = jobs.hold_interpreter.using(timeout=0.5).enqueue()
        until(lambda: stored(stuck).state == JobState.FAILED)

        after = jobs.add.enqueue(1)

        until(lambda: SucceededJob.objects.filter(pk=after.pk).exists())
        assert [TIMEOUT] == [each["exception"] for each in stored(stuck).errors]


class ReportingTests:
    def test_body_is_heard_and_cancelled_while_it_runs(self, start_worker, until, begun):
        start_worker(EXECUTOR=ONE, POLL_INTERVAL=0.1)
        record, _, _ = begun()
        until(lambda: stored(record).progress == 40)

        stored(record).cancel()

        until(lambda: stored(record).state == JobState.CANCELLED)

"""A Dask cluster of real processes, and what dies in the middle."""

import os
import signal
import subprocess
import sys

import pytest

from django_jobflow import JobState
from django_jobflow.models import JobRecord, SucceededJob
from tests.app import jobs

pytest.importorskip("distributed")

LOST = "django_jobflow.exceptions.WorkerLost"


def stored(record):
    return JobRecord.objects.get(pk=record.pk)


class Cluster:
    """A scheduler and its workers, each a process."""

    def __init__(self, env, folder):
        self.env = env | {"DASK_DISTRIBUTED__ADMIN__LOW_LEVEL_LOG_LENGTH": "0"}
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.processes = []

    def start(self, name, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.dask_{name}", "--dashboard-address=:0"]
        log = self.folder / f"{name}-{len(self.processes)}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                [*command, "--scheduler-file", str(self.file), *arguments],
                env=self.env,
                cwd=self.folder,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        return process

    def start_scheduler(self, port):
        return self.start("scheduler", "--host=127.0.0.1", f"--port={port}")

    def start_worker(self):
        return self.start("worker", "--no-nanny", "--nthreads=2", "--host=127.0.0.1")

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(worker_env, tmp_path):
    made = Cluster(worker_env, tmp_path)
    yield made
    made.close()


@pytest.fixture
def start(cluster, start_worker, worker_env, free_port):
    """Start a cluster of one worker, and a worker of jobs that sends all bodies there."""

    def begin(**settings):
        worker_env["DASK_SCHEDULER_ADDRESS"] = f"tcp://127.0.0.1:{free_port}"
        cluster.start_scheduler(free_port)
        cluster.start_worker()
        settings = {"EXECUTOR": "django_jobflow.executors.dask", "POLL_INTERVAL": 0.1} | settings
        return start_worker("--threads=2", **settings)

    return begin


def begin_job(until, folder, **options):
    started, release = folder / "started", folder / "release"
    record = jobs.tell_and_wait.using(**options).enqueue(str(started), str(release))
    until(lambda: started.exists() and started.read_text())
    return record, int(started.read_text()), release


class DaskTests:
    def test_bodies_run_in_the_cluster_and_are_stopped_there(
        self, start, cluster, until, tmp_path
    ):
        worker = start()
        done = [
            jobs.add.enqueue(1, b=1),
            jobs.add_async.enqueue(2, 2),
            jobs.MakeOrder.enqueue("by Dask"),
        ]
        until(lambda: SucceededJob.objects.count() == 3)
        results = dict(SucceededJob.objects.values_list("pk", "result"))
        assert [2, 4, "by Dask"] == [results[each.pk] for each in done]

        record, pid, _ = begin_job(until, tmp_path)
        assert pid == cluster.processes[1].pid
        stored(record).cancel()
        until(lambda: stored(record).state == JobState.CANCELLED)
        assert 0 == worker.stop()

    def test_body_whose_process_is_killed_is_not_begun_again_in_the_attempt(
        self, start, cluster, until, tmp_path
    ):
        """Dask gives it to another of its workers, where it must not begin."""
        worker = start()
        record, pid, _ = begin_job(until, tmp_path, max_attempts=1)
        (tmp_path / "started").unlink()
        cluster.start_worker()

        os.kill(pid, signal.SIGKILL)

        until(lambda: stored(record).state == JobState.FAILED)
        assert [LOST] == [each["exception"] for each in stored(record).errors]
        after = jobs.add.enqueue(1)
        until(lambda: SucceededJob.objects.filter(pk=after.pk).exists())
        assert not (tmp_path / "started").exists()
        assert 0 == worker.stop()

    def test_scheduler_that_is_gone_stops_nobody_for_good(
        self, start, cluster, until, free_port, tmp_path
    ):
        worker = start()
        record, _, _ = begin_job(until, tmp_path, max_attempts=1)

        cluster.close()
        waiting = jobs.add.using(max_attempts=1).enqueue(1)

        until(lambda: stored(record).state == JobState.FAILED)
        assert [LOST] == [each["exception"] for each in stored(record).errors]
        cluster.start_scheduler(free_port)
        cluster.start_worker()
        until(lambda: SucceededJob.objects.filter(pk=waiting.pk).exists())
        assert 1 == SucceededJob.objects.get(pk=waiting.pk).attempt
        assert 0 == worker.stop()

"""The ``runjobs`` command as a real process: work, stop, die."""

import signal
from datetime import timedelta

import pytest
from django.utils import timezone

from django_jobflow import JobState
from django_jobflow.models import JobRecord, SucceededJob, Worker
from django_jobflow.service import Service
from tests.app import jobs


def state_of(record):
    record.refresh_from_db()
    return record.state, record.attempt


class WorkingTests:
    def test_drain_works_off_all_and_ends_well(self, start_worker):
        jobs.add.enqueue_many({"a": number} for number in range(200))

        worker = start_worker("--drain")

        assert (0, 200) == (worker.wait(), SucceededJob.objects.count())
        assert "worker_stopped" in worker.output

    def test_idle_worker_takes_what_comes(self, start_worker, until):
        start_worker()
        until(lambda: Worker.objects.exists())

        jobs.add.enqueue(1)

        until(lambda: SucceededJob.objects.exists())

    @pytest.mark.parametrize("processes", ["--processes=0", "--processes=1"])
    def test_row_says_what_the_worker_serves(self, start_worker, until, processes):
        start_worker(processes, "--queues=email,sms", "--partitions=,acme")
        start_worker(processes, "--exclude=reports")

        until(lambda: Worker.objects.count() == 2)

        assert {
            Service(queues=("email", "sms"), partitions=("", "acme")),
            Service(excluded=("reports",)),
        } == {worker.service for worker in Worker.objects.all()}

    def test_due_job_starts_at_its_time_and_not_at_the_next_poll(self, start_worker, until):
        start_worker(POLL_INTERVAL=20)
        until(lambda: Worker.objects.exists())
        jobs.add.enqueue(0)
        until(lambda: SucceededJob.objects.exists())
        # The worker learns of this one with the next, which makes it look at the table.
        jobs.add.using(delay=0.5).enqueue(1)
        jobs.add.enqueue(2)

        until(lambda: SucceededJob.objects.count() == 3)

        late = SucceededJob.objects.get(args=[1])
        assert timedelta(0) <= late.started_at - late.available_at < timedelta(seconds=5)

    def test_two_workers_run_each_job_once(self, start_worker, tmp_path):
        path = tmp_path / "notes"
        jobs.note.enqueue_many({"path": str(path), "text": str(n)} for n in range(300))

        workers = [start_worker("--drain"), start_worker("--drain")]

        assert [0, 0] == [worker.wait() for worker in workers]
        assert sorted(map(str, range(300))) == sorted(path.read_text().split())
        assert 300 == SucceededJob.objects.count()

    def test_max_jobs_ends_the_process(self, start_worker):
        jobs.add.enqueue_many({"a": number} for number in range(5))

        worker = start_worker("--max-jobs", "3")

        assert (0, 3) == (worker.wait(), SucceededJob.objects.count())


class StoppingTests:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_running_job_is_let_end(self, start_worker, until, tmp_path, number):
        started, release = tmp_path / "started", tmp_path / "release"
        jobs.touch_and_wait.enqueue(str(started), str(release))
        waiting = jobs.add.enqueue(1)
        worker = start_worker("--threads", "1")
        until(started.exists)

        worker.send(number)
        release.touch()

        assert 0 == worker.wait()
        assert "tests.app.jobs.touch_and_wait" == SucceededJob.objects.get().name
        assert (JobState.AVAILABLE, 0) == state_of(waiting)
        assert not Worker.objects.exists()

    @pytest.mark.parametrize("job", [jobs.touch_and_wait, jobs.touch_and_wait_async])
    def test_job_that_does_not_end_goes_back_with_its_attempt(
        self, start_worker, until, tmp_path, job
    ):
        started = tmp_path / "started"
        release = [str(tmp_path / "never")] if job is jobs.touch_and_wait else []
        record = job.enqueue(str(started), *release)
        worker = start_worker(SHUTDOWN_TIMEOUT=0.2)
        until(started.exists)

        worker.send(signal.SIGTERM)

        assert 0 == worker.wait()
        assert (JobState.AVAILABLE, 0) == state_of(record)
        assert [] == record.errors

    def test_second_signal_stops_at_once(self, start_worker, until, tmp_path):
        started = tmp_path / "started"
        record = jobs.touch_and_wait.enqueue(str(started), str(tmp_path / "never"))
        worker = start_worker(SHUTDOWN_TIMEOUT=600)
        until(started.exists)

        worker.send(signal.SIGTERM)
        worker.send(signal.SIGINT)

        assert 0 == worker.wait()
        assert (JobState.AVAILABLE, 0) == state_of(record)


class CancellingTests:
    @pytest.mark.parametrize("job", [jobs.touch_and_wait, jobs.touch_and_wait_async])
    def test_running_job_is_stopped(self, start_worker, until, tmp_path, job):
        started = tmp_path / "started"
        release = [str(tmp_path / "never")] if job is jobs.touch_and_wait else []
        record = job.enqueue(str(started), *release)
        start_worker(POLL_INTERVAL=0.05)
        until(started.exists)

        assert record.cancel() is False

        until(lambda: state_of(record)[0] == JobState.CANCELLED)
        assert record.exception.startswith("django_jobflow.exceptions.CancelInterrupt")


class DyingTests:
    def test_job_of_a_killed_worker_runs_again_elsewhere(self, start_worker, until, tmp_path):
        started, release = tmp_path / "started", tmp_path / "release"
        job = jobs.touch_and_wait.using(max_attempts=2)
        record = job.enqueue(str(started), str(release))
        impatient = {"LEASE": 1, "SWEEP_INTERVAL": 0.2}
        first = start_worker(**impatient)
        until(started.exists)

        first.send(signal.SIGKILL)
        first.wait()
        release.touch()
        start_worker(**impatient)

        until(lambda: SucceededJob.objects.exists())
        kept = SucceededJob.objects.get()
        assert (record.pk, 2) == (kept.pk, kept.attempt)
        assert [(1, "django_jobflow.exceptions.WorkerLost")] == [
            (error["number"], error["exception"]) for error in kept.errors
        ]

    def test_last_attempt_of_a_killed_worker_is_a_failure(self, start_worker, until, tmp_path):
        started = tmp_path / "started"
        record = jobs.touch_and_wait.enqueue(str(started), str(tmp_path / "never"))
        impatient = {"LEASE": 1, "SWEEP_INTERVAL": 0.2}
        first = start_worker(**impatient)
        until(started.exists)

        first.send(signal.SIGKILL)
        first.wait()
        start_worker(**impatient)

        until(lambda: state_of(record)[0] == JobState.FAILED)
        assert "django_jobflow.exceptions.WorkerLost" == record.errors[0]["exception"]

    def test_lease_of_a_running_job_is_renewed(self, start_worker, until, tmp_path):
        started, release = tmp_path / "started", tmp_path / "release"
        record = jobs.touch_and_wait.enqueue(str(started), str(release))
        start_worker(LEASE=1, HEARTBEAT=0.1, SWEEP_INTERVAL=0.2)
        start_worker(LEASE=1, HEARTBEAT=0.1, SWEEP_INTERVAL=0.2)
        until(started.exists)
        record.refresh_from_db()
        first_expiry = record.expires

        until(lambda: timezone.now() > first_expiry + timedelta(seconds=1))
        assert (JobState.IN_PROGRESS, 1) == state_of(record)
        release.touch()

        until(lambda: SucceededJob.objects.exists())
        assert 1 == SucceededJob.objects.get().attempt
        assert not JobRecord.objects.exists()


class ReloadingTests:
    def test_changed_file_starts_the_worker_anew(self, start_worker, worker_env, until, tmp_path):
        (tmp_path / "watched.py").write_text("NUMBER = 1\n")
        worker_env["PYTHONPATH"] = f"{tmp_path}:{worker_env['PYTHONPATH']}"
        worker_env["DJANGO_SETTINGS_MODULE"] = "tests.process.reloading_settings"
        worker = start_worker("--reload")
        until(lambda: "worker_started" in worker.output)
        first = Worker.objects.get().name

        def has_restarted():
            # More than once: the reloader takes its first look some time after the start.
            (tmp_path / "watched.py").touch()
            return worker.output.count("worker_started") >= 2

        until(has_restarted)
        until(lambda: Worker.objects.exclude(name=first).exists())
        assert "worker_stopped" in worker.output
        jobs.add.enqueue(1)
        until(lambda: SucceededJob.objects.exists())
        worker.stop()
        assert not Worker.objects.filter(name=first).exists()

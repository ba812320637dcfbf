"""``runjobs`` with several processes: what they share, how they stop, and what a death costs."""

import os
import signal
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection, connections
from django.db.models.functions import Now

from django_jobflow import JobState, control
from django_jobflow.models import History, JobRecord, SucceededJob, Worker
from django_jobflow.worker import affinity
from django_jobflow.worker.processes import cores
from tests.app import jobs
from tests.process.conftest import PATIENCE
from tests.process.test_trouble import cut_connections

BACKENDS = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def pids():
    return set(Worker.objects.values_list("pid", flat=True))


def backends():
    """Return which of PostgreSQL's processes serve others than this test."""
    with connection.cursor() as cursor:
        cursor.execute(BACKENDS)
        return {pid for (pid,) in cursor.fetchall()}


def state_of(record):
    record.refresh_from_db()
    return record.state, record.attempt


@pytest.fixture
def start_two(start_worker, until):
    """Start a supervisor, and return it once its two workers are there."""

    def start(*arguments, **settings):
        worker = start_worker("--processes=2", *arguments, **settings)
        until(lambda: len(pids()) == 2)
        return worker

    return start


@pytest.fixture
def running(start_two, until, tmp_path):
    """A job that waits for ``release`` in one of two workers, and both by their rows."""

    class Running:
        release = tmp_path / "release"

        def __init__(self, *arguments, attempts=1, **settings):
            started = tmp_path / "started"
            self.supervisor = start_two(*arguments, **settings)
            job = jobs.touch_and_wait.using(max_attempts=attempts)
            self.record = job.enqueue(str(started), str(self.release))
            until(started.exists)
            self.record.refresh_from_db()
            self.busy = Worker.objects.get(name=self.record.reserved_by)
            self.idle = Worker.objects.exclude(name=self.record.reserved_by).get()

    return Running


class LogTests:
    """What is left of the lines of a body when its worker ends beneath it."""

    @pytest.fixture
    def logging_job(self, start_worker, until, tmp_path):
        def start(processes, **settings):
            record = jobs.log_and_wait.enqueue(str(tmp_path / "release"))
            worker = start_worker(f"--processes={processes}", **settings)
            until(record.logs)
            return record, worker

        return start

    def lines(self, record):
        return [(line.attempt, line.logger, line.message) for line in record.logs()]

    def test_lines_that_were_written_survive_a_killed_worker(self, logging_job):
        record, worker = logging_job(processes=0)

        worker.send(signal.SIGKILL)
        worker.wait()

        assert [(1, "shop", "begun")] == self.lines(record)
        assert (JobState.IN_PROGRESS, 1) == state_of(record)

    @pytest.mark.parametrize("processes", [0, 1])
    def test_lines_of_a_body_that_is_given_back_are_kept(self, logging_job, processes):
        record, worker = logging_job(processes, SHUTDOWN_TIMEOUT=0)

        assert 0 == worker.stop()

        assert (JobState.AVAILABLE, 0) == state_of(record)
        assert [(1, "shop", "begun")] == self.lines(record)


class WorkingTests:
    def test_drain_runs_each_job_once_and_ends_when_all_processes_have(
        self, start_worker, tmp_path
    ):
        path = tmp_path / "notes"
        jobs.note.enqueue_many({"path": str(path), "text": str(n)} for n in range(500))

        worker = start_worker("--processes=2", "--drain")

        assert 0 == worker.wait()
        assert sorted(map(str, range(500))) == sorted(path.read_text().split())
        assert 500 == SucceededJob.objects.count()
        assert 2 == worker.output.count("worker_stopped")
        assert "supervisor_stopped" in worker.output
        assert set() == pids()

    def test_each_process_has_a_row_and_the_supervisor_has_none(self, start_two):
        worker = start_two()

        assert worker.process.pid not in pids()

    def test_process_that_has_executed_its_share_is_replaced(self, start_worker, until):
        jobs.add.enqueue_many({"a": number} for number in range(9))

        worker = start_worker("--processes=2", "--max-jobs=2")

        until(lambda: SucceededJob.objects.count() == 9)
        assert "worker_died" not in worker.output
        assert "worker_delayed" not in worker.output
        assert 0 == worker.stop()
        assert worker.output.count("worker_started") >= 5

    def test_process_that_drains_is_not_replaced_after_its_share(self, start_worker):
        jobs.add.enqueue_many({"a": number} for number in range(9))

        worker = start_worker("--processes=2", "--max-jobs=2", "--drain")

        assert (0, 4) == (worker.wait(), SucceededJob.objects.count())

    @pytest.mark.parametrize("processes", ["--processes=1", "--processes=2"])
    def test_process_that_a_job_forks_can_be_terminated(self, start_worker, processes):
        jobs.terminate_own_process.enqueue()

        worker = start_worker(processes, "--drain")

        assert 0 == worker.wait()
        assert -signal.SIGTERM == SucceededJob.objects.get().result

    @pytest.mark.skipif(connection.vendor != "postgresql", reason="It asks PostgreSQL.")
    def test_no_connection_is_shared_and_the_supervisor_has_none(self, start_two, until):
        before = backends()
        start_two("--threads=1")

        until(lambda: len(backends() - before) == 2)
        jobs.tell_process.enqueue_many({} for _ in range(50))
        until(lambda: SucceededJob.objects.count() == 50)

        told = {tuple(result) for result in SucceededJob.objects.values_list("result", flat=True)}
        assert len(told) == len({pid for pid, _ in told}) == len({each for _, each in told})
        assert {pid for pid, _ in told} <= pids()


@pytest.mark.skipif(cores() < 2 or not affinity.is_there(), reason="It deals out cores.")
class AffinityTests:
    def places(self, pid):
        """Return where the threads of the process *pid* may run, each place once."""
        places = set()
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(ProcessLookupError):  # it has just ended
                places.add(frozenset(os.sched_getaffinity(int(task.name))))
        return places

    def of_each(self):
        """Return where each worker runs."""
        return sorted([sorted(place) for place in self.places(pid)] for pid in pids())

    def test_each_process_keeps_to_cores_of_its_own_and_so_does_the_next(self, start_two, until):
        usable = os.sched_getaffinity(0)
        parts = [[affinity.part(usable, number, 2)] for number in range(2)]
        supervisor = start_two("--cpu-affinity")
        first = pids()
        assert parts == self.of_each()
        assert {frozenset(usable)} == self.places(supervisor.process.pid)

        for pid in first:
            os.kill(pid, signal.SIGKILL)
        until(lambda: len(pids() - first) == 2 and not pids() & first)

        assert parts == self.of_each()

    def test_they_run_anywhere_by_default(self, start_two):
        start_two()

        assert [[sorted(os.sched_getaffinity(0))]] * 2 == self.of_each()


class StoppingTests:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_running_job_is_let_end(self, running, until, number):
        run = running()

        run.supervisor.send(number)
        until(lambda: pids() == {run.busy.pid})
        run.release.touch()

        assert 0 == run.supervisor.wait()
        assert 1 == SucceededJob.objects.get().attempt
        assert set() == pids()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_signal_that_every_process_is_sent_counts_once(self, running, until, number):
        """A terminal's Ctrl-C and systemd reach the workers beside the supervisor."""
        run = running()

        os.killpg(run.supervisor.process.pid, number)
        until(lambda: pids() == {run.busy.pid})
        run.release.touch()

        assert 0 == run.supervisor.wait()
        assert 1 == SucceededJob.objects.get().attempt

    def test_job_that_does_not_end_goes_back_with_its_attempt(self, running):
        run = running(SHUTDOWN_TIMEOUT=0.2)

        run.supervisor.send(signal.SIGTERM)

        assert 0 == run.supervisor.wait()
        assert (JobState.AVAILABLE, 0) == state_of(run.record)

    @pytest.mark.parametrize("processes", [0, 1])
    def test_sigquit_stops_at_once(self, start_worker, until, tmp_path, processes):
        started = tmp_path / "started"
        record = jobs.touch_and_wait.enqueue(str(started), str(tmp_path / "never"))
        worker = start_worker(f"--processes={processes}", SHUTDOWN_TIMEOUT=600)
        until(started.exists)

        worker.send(signal.SIGQUIT)

        assert 0 == worker.wait()
        assert (JobState.AVAILABLE, 0) == state_of(record)

    def test_second_signal_stops_at_once(self, running):
        run = running(SHUTDOWN_TIMEOUT=600)

        run.supervisor.send(signal.SIGTERM)
        run.supervisor.send(signal.SIGINT)

        assert 0 == run.supervisor.wait()
        assert (JobState.AVAILABLE, 0) == state_of(run.record)

    def test_worker_that_is_stopped_alone_is_replaced(self, running, until):
        run = running()

        os.kill(run.busy.pid, signal.SIGTERM)
        run.release.touch()

        until(lambda: len(pids() - {run.busy.pid}) == 2)
        assert 1 == SucceededJob.objects.get().attempt
        assert "worker_died" not in run.supervisor.output

    def test_worker_that_is_recycled_ends_and_is_replaced(self, running, until):
        run = running()

        assert [run.busy.name] == control.stop_worker(run.busy.name, recycle=True, by="ann")

        # Another has its place before what it runs has ended.
        until(lambda: len(pids()) == 3)
        run.release.touch()
        until(lambda: run.busy.pid not in pids() and len(pids()) == 2)
        assert run.idle.pid in pids()
        assert 1 == SucceededJob.objects.get().attempt
        assert f"worker_leaving worker={run.busy.name} reason='asked to stop by ann'" in (
            run.supervisor.output
        )

    def test_whole_command_is_stopped_by_way_of_one_worker(self, running, until):
        run = running()

        assert {run.busy.name, run.idle.name} == {*control.stop_worker(run.idle.name)}

        until(lambda: pids() == {run.busy.pid})
        run.release.touch()
        assert 0 == run.supervisor.wait()
        assert 1 == SucceededJob.objects.get().attempt
        assert 2 == run.supervisor.output.count("worker_started")

    def test_job_that_does_not_end_is_given_back_by_a_worker_that_was_asked(self, running):
        run = running(SHUTDOWN_TIMEOUT=0.2)

        control.stop_worker(run.busy.name)

        assert 0 == run.supervisor.wait()
        assert (JobState.AVAILABLE, 0) == state_of(run.record)

    def test_worker_without_a_supervisor_ends(self, start_worker, until):
        worker = start_worker()
        until(pids)

        control.stop_worker(Worker.objects.get().name, recycle=True)

        assert 0 == worker.wait()
        assert set() == pids()

    def test_worker_that_does_not_end_is_killed_and_its_job_given_back(self, running):
        run = running(SHUTDOWN_TIMEOUT=0.1)
        os.kill(run.busy.pid, signal.SIGSTOP)

        run.supervisor.send(signal.SIGTERM)

        assert 1 == run.supervisor.wait()
        assert f"worker_killed worker={run.busy.name}" in run.supervisor.output
        assert "cause='did not stop in time and was killed'" in run.supervisor.output
        assert "CommandError: A worker did not end well; the log says which." in (
            run.supervisor.output
        )
        assert (JobState.AVAILABLE, 0) == state_of(run.record)
        assert set() == pids()

    def test_supervisor_is_killed_and_the_workers_stop(self, running, until):
        run = running()

        run.supervisor.send(signal.SIGKILL)

        until(lambda: pids() == {run.busy.pid})
        run.release.touch()
        until(lambda: pids() == set())
        assert 1 == SucceededJob.objects.get().attempt
        assert 2 == run.supervisor.output.count("supervisor_lost")


class DyingTests:
    """The lease is a minute, so what comes about before is the supervisor's doing."""

    def test_job_of_a_killed_worker_is_run_again_at_once(self, running, until, tmp_path):
        run = running("--threads=1", attempts=2)
        # The other worker is kept busy, so that it is the replacement that takes the job.
        jobs.touch_and_wait.enqueue(str(tmp_path / "occupied"), str(tmp_path / "never"))
        until((tmp_path / "occupied").exists)

        os.kill(run.busy.pid, signal.SIGKILL)
        run.release.touch()

        until(lambda: SucceededJob.objects.exists())
        kept = SucceededJob.objects.get()
        assert (run.record.pk, 2) == (kept.pk, kept.attempt)
        assert kept.reserved_by not in {run.busy.name, run.idle.name}
        assert [
            (
                "django_jobflow.exceptions.WorkerLost",
                f"Worker {run.busy.name} was killed by SIGKILL.",
            )
        ] == [(error["exception"], error["message"]) for error in kept.errors]
        assert (
            f"worker_died worker={run.busy.name} pid={run.busy.pid} cause='was killed by SIGKILL'"
        ) in run.supervisor.output

    def test_last_attempt_of_a_killed_worker_is_a_failure(self, running, until):
        run = running()

        os.kill(run.busy.pid, signal.SIGKILL)

        until(lambda: state_of(run.record) == (JobState.FAILED, 1))
        until(lambda: run.busy.pid not in pids())
        until(lambda: any(row.numbers.get("failed") for row in History.objects.all()))

    def test_drain_runs_what_a_dead_worker_held(self, start_worker, until):
        record = jobs.end_process.using(max_attempts=2).enqueue(0)

        worker = start_worker("--processes=2", "--drain")

        assert 0 == worker.wait()
        assert (JobState.FAILED, 2) == state_of(record)
        assert ["ended with status 0."] * 2 == [
            error["message"].partition(error["worker"] + " ")[2] for error in record.errors
        ]

    def test_workers_that_die_soon_are_replaced_more_slowly(self, start_worker, until):
        record = jobs.end_process.enqueue(3)

        worker = start_worker("--processes=2")

        until(lambda: state_of(record) == (JobState.FAILED, 3))
        # Three deaths in two places, so one place has had two.
        assert "worker_delayed seconds=1\n" in worker.output
        until(lambda: "worker_delayed seconds=2\n" in worker.output)
        assert 0 == worker.stop()

    def test_worker_that_stands_still_is_killed_and_replaced(self, start_two, until):
        supervisor = start_two("--threads=1", LEASE=3)
        before = pids()

        record = jobs.hold_interpreter.enqueue()

        until(lambda: state_of(record) == (JobState.FAILED, 1))
        until(lambda: len(before & pids()) == 1 and len(pids()) == 2)
        assert 1 == supervisor.output.count("worker_stuck")
        assert "cause='stood still and was killed'" in supervisor.output
        assert 0 == supervisor.stop()

    def test_worker_dies_while_the_supervisor_stops_and_its_job_is_given_back(
        self, running, until
    ):
        run = running(attempts=2)
        run.supervisor.send(signal.SIGTERM)
        until(lambda: pids() == {run.busy.pid})

        os.kill(run.busy.pid, signal.SIGKILL)

        assert 1 == run.supervisor.wait()
        assert (JobState.AVAILABLE, 1) == state_of(run.record)


class StuckTests:
    """Bodies that no exception reaches, and what they cost the others of their process."""

    @pytest.fixture
    def stuck(self, start_worker, until, tmp_path):
        """Start a worker whose one process runs *job* beside a job that waits for `release`."""

        class Stuck:
            release = tmp_path / "release"
            beside = tmp_path / "beside"

            def __init__(self, job, **settings):
                started = tmp_path / "stuck"
                beside = jobs.touch_and_wait.using(timeout=None)
                self.neighbour = beside.enqueue(str(self.beside), str(self.release))
                self.supervisor = start_worker(
                    "--processes=1", "--threads=2", **{"TIMEOUT_GRACE": 0.5} | settings
                )
                until(self.beside.exists)
                self.first = Worker.objects.get()
                self.record = job.using(timeout=0.5).enqueue(str(started))
                until(started.exists)

        return Stuck

    def test_neighbours_end_in_the_old_process_while_a_new_one_works(self, stuck, until):
        run = stuck(jobs.sleep_deeply, SHUTDOWN_TIMEOUT=600)

        until(lambda: len(pids()) == 2)
        assert (JobState.IN_PROGRESS, 1) == state_of(run.record)
        new = jobs.add.enqueue(1)
        until(lambda: SucceededJob.objects.filter(pk=new.pk).exists())
        run.release.touch()

        until(lambda: state_of(run.record) == (JobState.FAILED, 1))
        assert run.record.exception.startswith("django_jobflow.exceptions.JobTimeout: ")
        until(lambda: run.first.pid not in pids())
        kept = SucceededJob.objects.get(pk=run.neighbour.pk)
        assert (1, run.first.name) == (kept.attempt, kept.reserved_by)
        assert "reason='a job does not stop'" in run.supervisor.output
        assert "worker_died" not in run.supervisor.output
        assert 0 == run.supervisor.stop()

    def test_neighbours_that_do_not_end_go_back_at_no_cost(self, stuck, until):
        run = stuck(jobs.sleep_deeply, SHUTDOWN_TIMEOUT=0.2)

        until(lambda: state_of(run.record) == (JobState.FAILED, 1))
        run.release.touch()

        until(lambda: SucceededJob.objects.exists())
        kept = SucceededJob.objects.get()
        assert (run.neighbour.pk, 1, []) == (kept.pk, kept.attempt, kept.errors)
        assert kept.reserved_by != run.first.name

    def test_held_interpreter_is_ended_from_outside(self, stuck, until):
        run = stuck(jobs.hold_interpreter)

        until(lambda: state_of(run.record) == (JobState.FAILED, 1))
        run.release.touch()

        assert run.record.exception.startswith("django_jobflow.exceptions.JobTimeout: ")
        until(lambda: SucceededJob.objects.exists())
        kept = SucceededJob.objects.get()
        assert (run.neighbour.pk, 1, []) == (kept.pk, kept.attempt, kept.errors)
        assert "worker_stuck" in run.supervisor.output
        assert "held its interpreter past a time limit" in run.supervisor.output

    def test_what_a_dead_worker_had_not_begun_costs_nothing(self, start_worker):
        before = [jobs.add.using(max_attempts=9).enqueue(1).pk for _ in range(200)]
        crash = jobs.end_process.using(max_attempts=1).enqueue(3)
        after = [jobs.add.enqueue(1).pk for _ in range(100)]

        worker = start_worker("--processes=1", "--threads=1", "--drain")

        assert 0 == worker.wait()
        assert (JobState.FAILED, 1) == state_of(crash)
        kept = SucceededJob.objects.filter(pk__in=after)
        assert {(1, 0)} == {(each.attempt, len(each.errors)) for each in kept}
        assert (200, 100) == (SucceededJob.objects.filter(pk__in=before).count(), len(kept))


class RecyclingTests:
    def test_old_process_is_replaced(self, start_worker, until):
        worker = start_worker("--processes=1", "--max-age=0.2s")

        until(lambda: worker.output.count("worker_started") >= 3)

        assert "worker_leaving" in worker.output
        assert "reason=--max-age" in worker.output
        assert "worker_died" not in worker.output
        assert 0 == worker.stop()

    def test_new_process_works_while_the_old_one_ends_its_job(self, start_worker, until, tmp_path):
        release, started = tmp_path / "release", tmp_path / "started"
        long = jobs.touch_and_wait.using(timeout=None).enqueue(str(started), str(release))
        worker = start_worker("--processes=1", "--threads=1", "--max-age=2s")
        until(started.exists)

        other = jobs.add.enqueue(1)
        until(lambda: SucceededJob.objects.filter(pk=other.pk).exists())
        release.touch()

        until(lambda: SucceededJob.objects.count() == 2)
        names = dict(SucceededJob.objects.values_list("pk", "reserved_by"))
        assert names[long.pk] != names[other.pk]
        assert 1 == SucceededJob.objects.get(pk=long.pk).attempt
        assert 0 == worker.stop()

    def test_big_process_is_replaced_and_not_in_a_spin(self, start_worker, until):
        worker = start_worker("--processes=1", "--max-memory=1M")

        until(lambda: worker.output.count("reason=--max-memory") >= 3)

        assert 0 == worker.stop()

    @pytest.mark.parametrize("option", ["--max-age=0.2s", "--max-memory=1M"])
    def test_process_alone_just_ends(self, start_worker, option):
        assert 0 == start_worker("--processes=0", option).wait()

    def test_drain_goes_on_in_the_next_process(self, start_worker, tmp_path):
        path = tmp_path / "notes"
        jobs.note.enqueue_many({"path": str(path), "text": str(n)} for n in range(300))

        worker = start_worker("--processes=1", "--drain", "--max-memory=1M", "--threads=1")

        assert (0, 300) == (worker.wait(), SucceededJob.objects.count())


class HeartbeatFileTests:
    @pytest.mark.parametrize("processes", ["--processes=0", "--processes=2"])
    def test_file_is_there_while_it_works(self, start_worker, until, tmp_path, processes):
        path = tmp_path / "beat"
        worker = start_worker(processes, f"--heartbeat-file={path}")
        until(path.exists)
        first = path.stat().st_mtime_ns

        until(lambda: path.stat().st_mtime_ns > first)
        assert 0 == worker.stop()

        assert not path.exists()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="It shuts PostgreSQL's door.")
@pytest.mark.django_db(transaction=True, databases=["default", "other"])
class ShutDatabaseTests:
    """A database that takes no new connections, while the test keeps its own."""

    @pytest.fixture
    def door(self):
        name = connection.ops.quote_name(connection.settings_dict["NAME"])

        def shut(is_shut=True):
            with connections["other"].cursor() as cursor:
                cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {not is_shut}")

        yield shut
        shut(False)

    def test_job_of_a_dead_worker_is_given_back_when_it_is_open(self, running, door, until):
        run = running()
        trouble = f"worker={run.busy.name} error="
        door()
        os.kill(run.busy.pid, signal.SIGKILL)
        until(lambda: run.supervisor.output.count(trouble) >= 2)
        assert (JobState.IN_PROGRESS, 1) == state_of(run.record)

        door(False)

        until(lambda: state_of(run.record) == (JobState.FAILED, 1))
        until(lambda: len(pids() - {run.busy.pid}) == 2)
        assert 0 == run.supervisor.stop()

    @pytest.mark.parametrize("processes", ["--processes=0", "--processes=1"])
    def test_heartbeat_file_grows_old_meanwhile(
        self, start_worker, door, until, tmp_path, processes
    ):
        path = tmp_path / "beat"
        worker = start_worker(processes, f"--heartbeat-file={path}", LEASE=2)
        until(path.exists)
        until(lambda: pids())
        door()
        cut_connections()

        until(lambda: time.time() - path.stat().st_mtime > 4)
        door(False)

        until(lambda: time.time() - path.stat().st_mtime < 2)
        assert 0 == worker.stop()

    def test_worker_that_is_to_stop_waits_for_the_database_with_its_ends(
        self, running, door, until
    ):
        run = running(SHUTDOWN_TIMEOUT=PATIENCE)
        door()
        cut_connections()
        run.release.touch()

        run.supervisor.send(signal.SIGTERM)
        until(lambda: run.supervisor.output.count("database_trouble") >= 12)
        door(False)

        assert 0 == run.supervisor.wait()
        assert 1 == SucceededJob.objects.get().attempt
        assert set() == pids()

    def test_outage_longer_than_the_lease_costs_no_living_worker_its_job(
        self, running, start_worker, door, until
    ):
        impatient = {"LEASE": 1, "SWEEP_INTERVAL": 0.1}
        run = running(**impatient)
        other = start_worker(**impatient)
        until(lambda: "worker_started" in other.output)
        door()
        cut_connections()
        lapsed = JobRecord.objects.filter(expires__lt=Now() - timedelta(seconds=1))
        until(lapsed.exists)

        door(False)

        until(lambda: other.output.count("database_back") == 1)
        until(lambda: run.supervisor.output.count("database_back") == 2)
        renewed = JobRecord.objects.filter(expires__gt=Now())
        until(lambda: renewed.exists() or state_of(run.record)[0] != JobState.IN_PROGRESS)
        run.release.touch()
        until(SucceededJob.objects.exists)
        assert 1 == SucceededJob.objects.get().attempt

    def test_worker_that_cannot_settle_ends_all_the_same(self, running, door, until):
        run = running(SHUTDOWN_TIMEOUT=0)
        door()
        cut_connections()

        run.supervisor.send(signal.SIGTERM)

        assert 1 == run.supervisor.wait()
        assert f"worker_died worker={run.busy.name}" in run.supervisor.output
        assert "supervisor_stopped" in run.supervisor.output
        assert (JobState.IN_PROGRESS, 1) == state_of(run.record)

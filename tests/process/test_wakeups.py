"""How a worker that sleeps learns of work: none of these waits for a poll."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from django_jobflow import JobState
from django_jobflow.engines import engine_for
from django_jobflow.models import JobRecord, SucceededJob, Worker
from tests import databases
from tests.app import jobs
from tests.process.test_trouble import cut_connections
from tests.servers import Pooler

NEVER = 3600  # seconds between two polls: more than any test waits

WAKES = not engine_for("default").cannot_listen()
needs_waking = pytest.mark.skipif(not WAKES, reason="This database wakes nobody.")


@pytest.fixture
def start_sleeper(start_worker, until):
    """Start a worker that polls next to never, and wait until it has nothing to do."""

    def start(*arguments, **settings):
        worker = start_worker(*arguments, **{"POLL_INTERVAL": NEVER} | settings)
        until(lambda: "wake_ups" in worker.output)
        first = jobs.add.enqueue(1)
        until(lambda: SucceededJob.objects.filter(pk=first.pk).exists())
        SucceededJob.objects.all().delete()
        return worker

    return start


@pytest.fixture
def succeeds(until):
    def wait(record):
        return until(SucceededJob.objects.filter(pk=record.pk).first)

    return wait


class ModeTests:
    def test_worker_says_which_way_it_has_and_why(self, start_worker, until):
        worker = start_worker()
        until(lambda: "wake_ups" in worker.output)

        expected = {
            "postgresql": "wake_ups mode=notify reason='its own notice came back'",
            "sqlite": "wake_ups mode=changes reason='the database counts its changes'",
            "mysql": "wake_ups mode=poll reason='this database does not wake its clients'",
        }
        assert expected[connection.vendor] in worker.output

    def test_row_of_a_worker_says_it_from_its_next_heartbeat_on(self, start_worker, until):
        start_worker(HEARTBEAT=0.1)

        expected = {"postgresql": "notify", "sqlite": "changes", "mysql": "poll"}
        until(Worker.objects.filter(wake_up=expected[connection.vendor]).exists)

    def test_setting_takes_polls(self, start_worker, until, succeeds):
        worker = start_worker(WAKE_UP="poll", POLL_INTERVAL=0.2)
        until(lambda: "wake_ups" in worker.output)

        for number in range(3):
            succeeds(jobs.add.enqueue(number))
        succeeds(jobs.add.using(delay=0.1).enqueue(1))

        assert "wake_ups mode=poll reason=\"JOBFLOW['WAKE_UP'] says so\"" in worker.output
        assert 0 == worker.stop()

    def test_worker_that_drains_needs_none(self, start_worker):
        jobs.add.enqueue(1)

        worker = start_worker("--drain", POLL_INTERVAL=NEVER)

        assert (0, 1) == (worker.wait(), SucceededJob.objects.count())


@pytest.mark.skipif(
    not (WAKES or engine_for("default").tells_changes), reason="Workers only poll here."
)
class SleepingTests:
    def test_job_is_taken_at_once(self, start_sleeper, succeeds):
        start_sleeper()

        succeeds(jobs.add.enqueue(1))

    def test_job_of_a_transaction_is_taken_after_its_commit(self, start_sleeper, succeeds):
        start_sleeper()

        with transaction.atomic():
            record = jobs.add.enqueue(1)

        succeeds(record)

    def test_job_on_a_served_queue_is_taken(self, start_sleeper, succeeds, tmp_path):
        start_sleeper("--queues", "default,notes")

        succeeds(jobs.note.enqueue(str(tmp_path / "notes"), "x"))

    def test_every_one_of_many_singles_is_taken(self, start_sleeper, until):
        start_sleeper()

        for number in range(300):
            jobs.add.enqueue(number)

        until(lambda: SucceededJob.objects.count() == 300)

    def test_keyed_jobs_are_taken_one_after_the_other(self, start_sleeper, until):
        start_sleeper()

        for number in range(10):
            jobs.Keyed.enqueue(number)

        until(lambda: SucceededJob.objects.count() == 10)

    def test_scheduled_job_is_run_now(self, start_sleeper, succeeds):
        start_sleeper()
        record = jobs.add.using(delay=NEVER).enqueue(1)

        assert record.run_now()

        succeeds(record)

    def test_failed_job_is_retried(self, start_sleeper, until):
        start_sleeper()
        record = jobs.end_by.enqueue("error")
        until(lambda: JobRecord.objects.filter(pk=record.pk, state=JobState.FAILED).exists())

        record.retry()

        until(lambda: JobRecord.objects.get(pk=record.pk).errors[1:])

    def test_earlier_due_time_is_kept(self, start_sleeper, succeeds):
        start_sleeper()
        jobs.add.using(delay=NEVER).enqueue(1)

        for options in ({"delay": 0.3}, {"run_at": timezone.now() + timedelta(seconds=0.6)}):
            record = jobs.add.using(**options).enqueue(2)
            run = succeeds(record)
            assert timedelta(0) <= run.started_at - run.available_at < timedelta(seconds=5)

    def test_due_time_of_a_late_commit_is_now(self, start_sleeper, succeeds):
        start_sleeper()

        with transaction.atomic():
            record = jobs.add.using(delay=0.001).enqueue(1)

        succeeds(record)


@needs_waking
class ListeningTests:
    def test_worker_listens_again_on_a_new_connection(self, start_sleeper, until, succeeds):
        worker = start_sleeper()
        assert cut_connections() >= 1
        until(lambda: "database_back" in worker.output)

        succeeds(jobs.add.enqueue(1))
        succeeds(jobs.add.enqueue(2))
        assert 0 == worker.stop()

    def test_dead_socket_wakes_it_once(self, start_sleeper, until):
        worker = start_sleeper()

        cut_connections()

        until(lambda: "database_back" in worker.output)
        assert 1 == worker.output.count("database_trouble")

    def test_worker_that_stops_hands_its_job_to_another(self, start_sleeper, until, tmp_path):
        started, release = tmp_path / "started", tmp_path / "release"
        first = start_sleeper(SHUTDOWN_TIMEOUT=0)
        record = jobs.touch_and_wait.enqueue(str(started), str(release))
        until(started.exists)
        started.unlink()
        start_sleeper()

        first.stop()

        until(started.exists)
        release.touch()
        until(SucceededJob.objects.filter(pk=record.pk).exists)


@pytest.fixture
def pooled(worker_env):
    """Let the workers of a test reach the database through a pooler of transactions."""
    if Pooler.program is None:
        pytest.skip("There is no PgBouncer.")
    database = connection.settings_dict
    home = databases.run_directory() / f"pooler-{worker_env.get('PYTEST_XDIST_WORKER', 'main')}"
    upstream = {"host": database["HOST"], "port": database["PORT"], "user": database["USER"]}
    pooler = Pooler(home, password=database["PASSWORD"], **upstream)
    pooler.start()
    worker_env["DATABASE_URL"] = f"postgresql://{database['USER']}@/{home}/jobflow"
    yield
    pooler.stop()


@needs_waking
class PooledTests:
    @pytest.mark.parametrize(
        ("settings", "reason"),
        [
            ({}, "its own notice did not come back; is a pooler in between?"),
            ({"WAKE_UP": "poll"}, "JOBFLOW['WAKE_UP'] says so"),
        ],
    )
    def test_worker_behind_a_pooler_polls(self, pooled, start_worker, until, settings, reason):
        workers = [start_worker(POLL_INTERVAL=0.2, **settings) for _ in range(2)]
        until(lambda: all("wake_ups" in worker.output for worker in workers))

        for number in range(30):
            jobs.add.enqueue(number)
            jobs.Keyed.enqueue(number)
        jobs.MakeOrder.enqueue("pooled")
        until(lambda: SucceededJob.objects.count() == 61)

        assert [0, 0] == [worker.stop() for worker in workers]
        for worker in workers:
            assert "mode=poll" in worker.output
            assert reason in worker.output
            assert "database_trouble" not in worker.output
            assert "cycle_refused" not in worker.output

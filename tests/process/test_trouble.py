"""A worker whose database goes away for a moment."""

import signal

import pytest
from django.db import connection

from django_jobflow import JobState
from django_jobflow.models import JobRecord, SucceededJob, Worker
from tests.app import jobs

pytestmark = pytest.mark.skipif(
    not connection.features.has_select_for_update,
    reason="SQLite has no server to be cut off from, and a frozen writer keeps its lock.",
)

OTHERS = {
    "postgresql": (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    ),
    "mysql": (
        "SELECT CONCAT('KILL ', id) FROM information_schema.processlist"
        " WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    ),
}

CUT = {"postgresql": "SELECT pg_terminate_backend(%s)", "mysql": "KILL %s"}
CONNECTED = {
    "postgresql": "SELECT COUNT(*) FROM pg_stat_activity WHERE pid = %s",
    "mysql": "SELECT COUNT(*) FROM information_schema.processlist WHERE id = %s",
}


def cut_connection(session: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(CUT[connection.vendor], [session])


def is_connected(session: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(CONNECTED[connection.vendor], [session])
        return bool(cursor.fetchone()[0])


def cut_connections() -> int:
    """Cut every connection to the test's database but our own; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(OTHERS[connection.vendor])
        rows = cursor.fetchall()
        if connection.vendor == "mysql":
            for (statement,) in rows:
                cursor.execute(statement)
    return len(rows)


class CutConnectionTests:
    def test_idle_worker_comes_back(self, start_worker, until):
        worker = start_worker()
        until(lambda: "worker_started" in worker.output)

        assert cut_connections() >= 1
        until(lambda: "database_back" in worker.output)
        jobs.add.enqueue(1)

        until(lambda: SucceededJob.objects.exists())
        assert 0 == worker.stop()

    def test_end_of_a_running_job_is_written_after_all(self, start_worker, until, tmp_path):
        started, release = tmp_path / "started", tmp_path / "release"
        record = jobs.touch_and_wait.enqueue(str(started), str(release))
        worker = start_worker()
        until(started.exists)

        assert cut_connections() >= 1
        until(lambda: "database_back" in worker.output)
        record.refresh_from_db()
        assert (JobState.IN_PROGRESS, 1) == (record.state, record.attempt)
        release.touch()

        until(lambda: SucceededJob.objects.exists())
        assert 1 == SucceededJob.objects.get().attempt

    def test_next_job_of_a_slot_notices_nothing(self, start_worker, until):
        worker = start_worker("--threads", "1")
        jobs.MakeOrder.enqueue("a")
        until(lambda: SucceededJob.objects.count() == 1)

        cut_connections()
        until(lambda: "database_back" in worker.output)
        jobs.MakeOrder.enqueue("b")

        until(lambda: SucceededJob.objects.count() == 2)
        assert [1, 1] == list(SucceededJob.objects.values_list("attempt", flat=True))

    def test_next_job_of_a_slot_does_not_get_a_connection_that_was_cut_alone(
        self, start_worker, until
    ):
        start_worker("--threads=1")
        jobs.tell_process.enqueue()
        until(SucceededJob.objects.exists)
        [(_, session)] = SucceededJob.objects.values_list("result", flat=True)

        cut_connection(session)
        until(lambda: not is_connected(session))
        jobs.MakeOrder.enqueue("a")

        retried = JobRecord.objects.filter(state=JobState.RETRY)
        until(lambda: SucceededJob.objects.count() == 2 or retried.exists())
        assert [1, 1] == list(SucceededJob.objects.values_list("attempt", flat=True))


class FrozenWorkerTests:
    def test_worker_that_lost_its_lease_writes_nothing(self, start_worker, until, tmp_path):
        started, release = tmp_path / "started", tmp_path / "release"
        record = jobs.touch_and_wait.using(max_attempts=2).enqueue(str(started), str(release))
        impatient = {"LEASE": 1, "SWEEP_INTERVAL": 0.2}
        frozen = start_worker(**impatient)
        until(started.exists)
        frozen.send(signal.SIGSTOP)
        started.unlink()
        second = start_worker(**impatient)
        until(started.exists)  # rescued, and begun again by the second worker
        release.touch()
        until(lambda: SucceededJob.objects.exists())

        frozen.send(signal.SIGCONT)

        until(lambda: "reservation_lost" in frozen.output)
        assert [0, 0] == [frozen.stop(), second.stop()]
        kept = SucceededJob.objects.get()
        assert (record.pk, 2) == (kept.pk, kept.attempt)
        assert not JobRecord.objects.exists()
        assert not Worker.objects.exists()

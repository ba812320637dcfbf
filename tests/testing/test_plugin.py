"""The plugin of pytest, in tests of its own."""

from datetime import timedelta

import pytest
from django.db import connection, connections
from django.utils import timezone

import django_jobflow.testing
from django_jobflow.engines import engine_for
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.states import JobState
from django_jobflow.testing import LiveWorker, Succeeded, WorkerError
from django_jobflow.testing.worker import _database_names
from tests.app.jobs import add, note, sleep_deeply


class JobflowTests:
    def test_has_every_tool(self, jobflow):
        record = add.enqueue(1)

        assert record == jobflow.assert_enqueued(add)
        assert [Succeeded(2)] == [each.outcome for each in jobflow.drain()]
        jobflow.refute_enqueued(add)
        assert Succeeded(3) == jobflow.run_job(add, 2)
        with jobflow.inline():
            assert 4 == add.enqueue(3).result(timeout=0)

    def test_clock_stays_where_it_was_moved(self, jobflow):
        real = timezone.now()
        jobflow.travel(3600)
        jobflow.travel(3600)

        assert engine_for().now() - real >= timedelta(hours=2)

    def test_clock_is_back_for_the_next_test(self):
        assert "Clock" not in repr(timezone.now)

    def test_offers_what_the_module_does(self, jobflow):
        functions = {each for each in django_jobflow.testing.__all__ if each[0].islower()}

        assert set() == functions - set(dir(jobflow))


class WorkerTests:
    def test_worker_executes_what_is_committed(self, jobflow_worker, tmp_path):
        record = add.enqueue(1)

        ended = jobflow_worker.wait_for(record)

        assert (SucceededJob, 2) == (type(ended), ended.result)
        assert record.pk == ended.pk

    @pytest.mark.jobflow_worker("--queues=notes", LEASE=7)
    def test_marker_says_how_it_works(self, jobflow_worker, tmp_path):
        left = add.enqueue(1)
        record = note.enqueue(str(tmp_path / "note"), "text")

        jobflow_worker.wait_for(record)

        left.refresh_from_db()
        assert JobState.AVAILABLE == left.state
        assert 0 == jobflow_worker.stop()

    @pytest.mark.jobflow_worker("--queues=nothing", LEASE="a minute")
    def test_worker_that_ends_by_itself_is_an_error_with_its_log(self, jobflow_worker):
        record = add.enqueue(1)

        with pytest.raises(WorkerError) as caught:
            jobflow_worker.wait_for(record)

        first, _, log = str(caught.value).partition("\n")
        assert "The worker: expected it to work on, got exit status 1." == first
        assert "JOBFLOW['LEASE']: expected a timedelta or seconds" in log

    @pytest.mark.jobflow_worker("--queues=nothing")
    def test_what_does_not_come_in_time_is_an_error(self, jobflow_worker):
        record = add.enqueue(1)

        with pytest.raises(WorkerError) as caught:
            jobflow_worker.wait_for(record, timeout=0)

        assert (
            f"The worker: expected it to make the end of job {record.pk} true within 0 s, got "
            "None."
        ) == str(caught.value).partition("\n")[0]

    def test_database_in_memory_is_refused(self, transactional_db, monkeypatch):
        monkeypatch.setattr(connection, "vendor", "sqlite")
        monkeypatch.setattr(connection, "is_in_memory_db", lambda: True, raising=False)

        with pytest.raises(WorkerError) as caught:
            LiveWorker().start()

        assert (
            "The worker: expected the test's database 'default' to be a file, got one in memory. "
            "Set DATABASES['default']['TEST'] = {'NAME': 'a file'}."
        ) == str(caught.value)

    def test_database_that_is_not_of_the_test_is_not_touched(self, transactional_db, monkeypatch):
        monkeypatch.setitem(connections["other"].settings_dict, "NAME", "production")

        assert "production" not in _database_names().values()

    def test_worker_that_does_not_stop_is_killed(self, jobflow_worker, tmp_path):
        sleep_deeply.enqueue(str(tmp_path / "started"))
        jobflow_worker.until((tmp_path / "started").exists)

        with pytest.raises(WorkerError) as caught:
            jobflow_worker.stop(timeout=0)

        assert (
            "The worker: expected it to end within 0 s of SIGTERM, got none of it."
            == (str(caught.value).partition("\n")[0])
        )
        assert jobflow_worker._process.returncode is not None


def test_rows_of_a_worker_are_gone(transactional_db):
    assert not JobRecord.objects.exists()

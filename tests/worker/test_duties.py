"""What a worker does beside its cycle."""

import logging

import pytest

from django_jobflow import JobState
from django_jobflow.engines import engine_for
from django_jobflow.models import JobRecord, Worker
from django_jobflow.worker.duties import Duties
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.fetch import Fetch
from django_jobflow.worker.inbox import Inbox
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.running import Running
from tests.app import jobs
from tests.factories import JobRecordFactory, WorkerFactory


@pytest.fixture
def make_duties(transactional_db):
    """The duties of a worker that serves some queues, without its loop."""
    made = []

    def make(**options):
        given = WorkerOptions(database="default", **options)
        engine, inbox = engine_for("default"), Inbox()
        running = Running(1, "default", inbox)
        made.append((running, inbox))
        duties = Duties(engine, given, running, Fetch(engine, given))
        duties.register()
        return duties

    yield make
    for running, inbox in made:
        running.stop()
        inbox.close()


def hold(duties):
    """Let *duties* hold a record as if it ran."""
    JobRecordFactory(name="tests.app.jobs.add", args=[1])
    engine = duties.engine
    found = engine.reserve(
        limit=1, worker=duties.options.name, queues=None, timeout=duties.fetch.timeout
    )
    [reservation] = engine.start(found, lease=duties.lease)
    duties.running.executions[reservation.id] = Execution(reservation, jobs.add.job)
    return JobRecord.objects.get(pk=reservation.id)


class HeartbeatTests:
    def test_lease_of_what_is_held_is_renewed(self, make_duties):
        duties = make_duties()
        before = hold(duties)

        duties.heartbeat.bring_forward()
        duties.do()

        after = JobRecord.objects.get()
        assert after.expires > before.expires

    def test_body_can_ask_for_it(self, make_duties):
        duties = make_duties()
        before = hold(duties)

        duties.running.reports.heartbeat(before.pk)
        duties.do()

        assert JobRecord.objects.get().expires > before.expires
        assert not duties.running.reports.beat_wanted

    def test_lost_lease_is_said(self, make_duties, caplog):
        duties = make_duties()
        record = hold(duties)
        JobRecord.objects.update(reserved_by="another")

        duties.heartbeat.bring_forward()
        duties.do()

        assert f"lease_lost job_id={record.pk}" in caplog.text

    def test_row_that_was_deleted_is_written_again(self, make_duties):
        duties = make_duties(queues=("a",))
        Worker.objects.all().delete()

        duties.heartbeat.bring_forward()
        duties.do()

        assert (duties.options.name, ["a"]) == Worker.objects.values_list("name", "queues").get()


class SweepTests:
    def test_queue_without_a_worker_is_said_once(self, make_duties, caplog):
        caplog.set_level(logging.WARNING)
        duties = make_duties(queues=("served",))
        JobRecordFactory(queue="served")
        JobRecordFactory(queue="forgotten")

        for _ in range(2):
            duties.sweep.bring_forward()
            duties.do()

        assert 1 == caplog.text.count("queue_unserved queue=forgotten")
        assert "queue=served" not in caplog.text

    def test_worker_of_all_queues_serves_every_one(self, make_duties, caplog):
        duties = make_duties(queues=("served",))
        WorkerFactory(queues=[])
        JobRecordFactory(queue="other")

        duties.sweep.bring_forward()
        duties.do()

        assert "queue_unserved" not in caplog.text

    def test_lapsed_rows_are_rescued(self, make_duties):
        duties = make_duties()
        record = JobRecordFactory(state=JobState.RESERVED, expires=engine_for().now())

        duties.sweep.bring_forward()
        duties.do()

        record.refresh_from_db()
        assert JobState.AVAILABLE == record.state

    def test_old_rows_are_pruned(self, make_duties, settings):
        settings.JOBFLOW = {"RETAIN_FAILED": 0}
        duties = make_duties()
        JobRecordFactory(state=JobState.FAILED, finished_at=engine_for().now())

        duties.prune.bring_forward()
        duties.do()

        assert not JobRecord.objects.exists()


class ProgressTests:
    def test_last_word_is_written(self, make_duties):
        duties = make_duties()
        record = hold(duties)
        reports = duties.running.reports

        reports.progress(record.pk, 10, "begun")
        reports.progress(record.pk, 60, "more than half")
        duties.do()

        record.refresh_from_db()
        assert (60, "more than half") == (record.progress, record.progress_message)

    def test_next_word_waits_for_its_time(self, make_duties):
        duties = make_duties()
        record = hold(duties)

        for percent in (10, 20):
            duties.running.reports.progress(record.pk, percent, "")
            duties.do()

        record.refresh_from_db()
        assert 10 == record.progress


class CancelRequestTests:
    def test_request_reaches_the_execution(self, make_duties):
        duties = make_duties()
        record = hold(duties)
        record.cancel()

        duties.requests.bring_forward()
        duties.do()

        assert duties.running.reports.is_cancelled(record.pk)

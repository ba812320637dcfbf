"""What a worker does beside its cycle."""

import logging
import re

import pytest
from django.utils import timezone

from django_jobflow import JobState
from django_jobflow.engines import engine_for
from django_jobflow.models import JobRecord, Worker
from django_jobflow.outcomes import Succeeded
from django_jobflow.worker.coordinator import Coordinator
from django_jobflow.worker.duties import Duties
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.fetch import Fetch
from django_jobflow.worker.inbox import Inbox
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.running import Running
from django_jobflow.worker.vitals import Unwatched
from tests.app import jobs
from tests.factories import JobRecordFactory, WorkerFactory


@pytest.fixture
def make_duties(transactional_db):
    """The duties of a worker that serves some queues, without its loop."""
    made = []

    def make(**options):
        given = WorkerOptions(database="default", **options)
        engine, inbox, vitals = engine_for("default"), Inbox(), Unwatched()
        running = Running(1, engine, inbox, vitals)
        made.append((running, inbox))
        duties = Duties(engine, given, running, Fetch(engine, given), vitals)
        duties.register()
        return duties

    yield make
    for running, inbox in made:
        running.stop()
        inbox.close()


def take(duties):
    """Return an execution of the next record, as if *duties* ran it."""
    engine = duties.engine
    found = engine.reserve(
        limit=1, worker=duties.options.name, queues=None, timeout=duties.fetch.timeout
    )
    [reservation] = engine.start(found, lease=duties.lease)
    execution = Execution(reservation, jobs.add.job)
    duties.running.add(execution)
    return execution


def hold(duties):
    """Let *duties* hold a record as if it ran."""
    JobRecordFactory(name="tests.app.jobs.add", args=[1])
    return JobRecord.objects.get(pk=take(duties).id)


def context_of(duties, execution):
    """Return what the body of *execution* is told."""
    return execution.begin(duties.running.reports.of(execution))


def hold_twice(duties):
    """Let *duties* hold a record, lose it, and get it again; return both executions."""
    JobRecordFactory(name="tests.app.jobs.add", args=[1], max_attempts=1)
    older = take(duties)
    duties.engine.give_back(duties.options.name)
    duties.engine.retry(JobRecord.objects.all())
    return older, take(duties)


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

        context_of(duties, duties.running.executions[before.pk]).heartbeat()
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

    def test_renewal_that_comes_too_late_is_said(self, make_duties, caplog):
        duties = make_duties()
        record = hold(duties)
        duties.beat()
        assert "heartbeat_late" not in caplog.text
        duties._renewed_at -= duties.lease.total_seconds() + 1

        duties.beat()

        assert 1 == caplog.text.count("heartbeat_late")
        assert f"lease_lost job_id={record.pk}" not in caplog.text

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

    def test_queue_that_every_worker_excludes_is_said(self, make_duties, caplog):
        duties = make_duties(exclude=("forgotten",))
        JobRecordFactory(queue="forgotten")
        JobRecordFactory(queue="served")

        duties.sweep.bring_forward()
        duties.do()

        assert ["queue_unserved"] == re.findall("queue_unserved", caplog.text)
        assert "queue=forgotten" in caplog.text

    def test_partition_that_no_worker_of_its_queue_serves_is_said_once(self, make_duties, caplog):
        duties = make_duties(partitions=("acme",))
        WorkerFactory(queues=["full"])
        for queue, partition in [("a", ""), ("a", "acme"), ("a", "other"), ("full", "other")]:
            JobRecordFactory(queue=queue, partition=partition)

        for _ in range(2):
            duties.sweep.bring_forward()
            duties.do()

        assert 1 == caplog.text.count("queue_unserved")
        assert "queue_unserved queue=a partitions=,other " in caplog.text

    def test_of_many_partitions_some_are_named_and_all_are_said_once(self, make_duties, caplog):
        duties = make_duties(partitions=("acme",))
        for number in range(8):
            JobRecordFactory(queue="a", partition=f"p{number}")

        duties.sweep.bring_forward()
        duties.do()
        JobRecordFactory(queue="a", partition="p8")
        duties.sweep.bring_forward()
        duties.do()

        first, second = [each for each in caplog.messages if each.startswith("queue_unserved")]
        assert "queue=a partitions=p0,p1,p2,p3,p4 more=3 " in first
        assert "queue=a partitions=p8 hint=" in second

    def test_worker_that_died_serves_nothing(self, make_duties, caplog):
        duties = make_duties(queues=("served",))
        WorkerFactory(queues=["other"], heartbeat_at=timezone.now() - 10 * duties.lease)
        JobRecordFactory(queue="other")

        duties.sweep.bring_forward()
        duties.do()

        assert "queue_unserved queue=other " in caplog.text

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

    def test_nobody_is_rescued_after_trouble_that_all_had(self, make_duties):
        duties = make_duties()
        lapsed = JobRecordFactory(state=JobState.RESERVED, expires=engine_for().now())
        duties.sweep.bring_forward()

        duties.hold_off()
        duties.do()

        lapsed.refresh_from_db()
        assert JobState.RESERVED == lapsed.state

    def test_nobody_is_rescued_by_a_worker_that_was_late_itself(self, make_duties):
        duties = make_duties()
        lapsed = JobRecordFactory(state=JobState.RESERVED, expires=engine_for().now())
        duties.sweep.bring_forward()
        duties.heartbeat.bring_forward()

        duties._beat_at -= duties.lease.total_seconds()
        duties.do()

        lapsed.refresh_from_db()
        assert JobState.RESERVED == lapsed.state

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
        context = context_of(duties, duties.running.executions[record.pk])

        context.progress(10, "begun")
        context.progress(60, "more than half")
        duties.do()

        record.refresh_from_db()
        assert (60, "more than half") == (record.progress, record.progress_message)

    def test_next_word_waits_for_its_time(self, make_duties):
        duties = make_duties()
        record = hold(duties)
        context = context_of(duties, duties.running.executions[record.pk])

        for percent in (10, 20):
            context.progress(percent, "")
            duties.do()

        record.refresh_from_db()
        assert 10 == record.progress

    def test_word_of_an_older_execution_is_not_written(self, make_duties):
        duties = make_duties()
        older, newer = hold_twice(duties)

        context_of(duties, newer).progress(10, "newer")
        context_of(duties, older).progress(99, "older")
        duties.do()

        record = JobRecord.objects.get()
        assert (10, "newer") == (record.progress, record.progress_message)


class CancelRequestTests:
    def test_request_reaches_the_execution(self, make_duties):
        duties = make_duties()
        record = hold(duties)
        context = context_of(duties, duties.running.executions[record.pk])
        record.cancel()

        duties.requests.bring_forward()
        duties.do()

        assert context.is_cancelled()

    def test_request_does_not_reach_an_older_execution(self, make_duties):
        duties = make_duties()
        older, newer = hold_twice(duties)
        contexts = [context_of(duties, each) for each in (older, newer)]
        JobRecord.objects.get().cancel()

        duties.requests.bring_forward()
        duties.do()

        assert [False, True] == [context.is_cancelled() for context in contexts]


class ComingBackTests:
    """A record that was lost comes back to the process that still runs its older attempt."""

    def test_older_execution_is_known_to_be_lost(self, make_duties):
        older, newer = hold_twice(make_duties())

        assert [True, False] == [older.lost, newer.lost]

    def test_older_execution_is_counted_out_of_its_queue(self, make_duties):
        duties = make_duties()
        running = duties.running
        executions = hold_twice(duties)
        assert 1 == running.by_queue["default"]

        for execution in executions:
            running.forget(execution)

        assert 0 == running.by_queue["default"]

    def test_older_execution_has_its_slot_until_it_ends(self, make_duties):
        duties = make_duties()
        running = duties.running
        running.threads = 3
        older, newer = hold_twice(duties)
        rooms = [running.room]

        for execution in (older, newer):
            running.forget(execution)
            rooms.append(running.room)

        assert [1, 2, 3] == rooms

    def test_older_end_is_told_as_lost_and_the_newer_as_it_was(self, transactional_db, caplog):
        """Both have come to their end within one cycle, in transactions of their own."""
        caplog.set_level(logging.INFO)
        coordinator = Coordinator(WorkerOptions(database="default"))
        older, newer = hold_twice(coordinator.duties)
        for execution in (older, newer):
            execution.end(Succeeded())
        newer.settled = True
        coordinator.ledger.add([older, newer])

        coordinator._cycle()
        coordinator.running.stop()
        coordinator.inbox.close()

        assert [
            ("reservation_lost", older.id),
            ("job_succeeded", newer.id),
        ] == [(each.event, each.job_id) for each in caplog.records if each.name.endswith("settle")]

"""What a worker takes, in which order, and when it ends."""

import logging
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise

import pytest
from django.db import connection
from django.utils import timezone

from django_jobflow import JobState, signals
from django_jobflow.declare import registry
from django_jobflow.engines import engine_for
from django_jobflow.models import JobRecord, SucceededJob, Worker
from django_jobflow.worker.coordinator import Coordinator
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.process import work
from tests.app import jobs
from tests.factories import JobRecordFactory


@contextmanager
def receiving(signal, receiver):
    signal.connect(receiver)
    try:
        yield
    finally:
        signal.disconnect(receiver)


def read_lines(path):
    return path.read_text().splitlines() if path.exists() else []


class TakingTests:
    def test_only_named_queues_are_served(self, drain, tmp_path):
        jobs.note.enqueue(str(tmp_path / "notes"), "served")
        other = jobs.add.enqueue(1)

        assert drain(queues=("notes",)) == 1

        other.refresh_from_db()
        assert JobState.AVAILABLE == other.state

    def test_excluded_queues_are_left(self, drain, tmp_path):
        left = jobs.note.enqueue(str(tmp_path / "notes"), "left")
        jobs.add.enqueue(1)

        assert drain(exclude=("notes",)) == 1

        left.refresh_from_db()
        assert JobState.AVAILABLE == left.state

    def test_priority_comes_before_age(self, drain, tmp_path):
        path = tmp_path / "notes"
        for priority in (0, 10, -10, 100):
            jobs.note.using(priority=priority).enqueue(str(path), str(priority))

        drain(threads=1)

        assert ["100", "10", "0", "-10"] == read_lines(path)

    def test_concurrency_of_a_queue_is_kept(self, drain, settings, tmp_path):
        settings.JOBFLOW = {"QUEUES": {"default": {"concurrency": 1}, "notes": {}}}
        seen = tmp_path / "notes"
        for number in range(5):
            jobs.Keyed.using(execution_key=None, queue_key=f"k{number}").enqueue(number)
            jobs.note.enqueue(str(seen), number)

        assert drain(threads=3) == 10

        assert 5 == len(read_lines(seen))

    def test_other_database_is_served(self, drain, transactional_db):
        with registry.isolated():
            record = jobs.add.enqueue(1)

            assert drain() == 1

        assert SucceededJob.objects.get().pk == record.pk

    def test_keyed_records_run_one_after_the_other(self, drain, tmp_path):
        for number in range(6):
            jobs.Keyed.enqueue(number)

        assert drain(threads=4) == 6

        runs = list(SucceededJob.objects.order_by("started_at"))
        assert [*range(6)] == [run.result for run in runs]
        assert all(earlier.succeeded_at <= later.reserved_at for earlier, later in pairwise(runs))


class PassedOverTests:
    @pytest.mark.skipif(connection.vendor != "postgresql", reason="Others look at all each time.")
    def test_record_before_the_last_one_is_taken_without_a_poll(
        self, transactional_db, monkeypatch, settings
    ):
        settings.JOBFLOW = {"POLL_INTERVAL": 3600}
        monkeypatch.setattr("django_jobflow.engines.postgresql_rounds.SHARE", 500)
        ended = []
        coordinator = Coordinator(WorkerOptions(database="default"))

        def succeeded(record, **_):
            ended.append(record.pk)
            if len(ended) == 1:  # the head stands behind it by now
                early = timezone.now() - timedelta(days=1)
                jobs.add.using(run_at=early).enqueue(2)
            else:
                coordinator.request_stop()

        with receiving(signals.job_succeeded, succeeded):
            jobs.add.enqueue(1)
            coordinator.run()

        assert 2 == SucceededJob.objects.count()

    def test_job_that_no_slot_took_is_not_counted(self, transactional_db, monkeypatch):
        """Under load it is given back, to be executed and counted later."""
        monkeypatch.setattr("django_jobflow.worker.running.WAIT_LIMIT", -1)
        jobs.add.enqueue_many({"a": number} for number in range(50))

        assert 50 == work(WorkerOptions(database="default", drain=True, threads=1))


class EndingTests:
    def test_max_jobs_is_kept_exactly(self, drain):
        jobs.add.enqueue_many({"a": number} for number in range(20))

        assert drain(max_jobs=7) == 7

        assert (7, 13) == (
            SucceededJob.objects.count(),
            JobRecord.objects.filter(state=JobState.AVAILABLE).count(),
        )

    def test_drain_leaves_what_is_due_later(self, drain):
        later = jobs.add.using(delay=3600).enqueue(1)

        assert drain() == 0

        later.refresh_from_db()
        assert JobState.SCHEDULED == later.state

    def test_drain_takes_what_has_become_due(self, drain):
        record = jobs.add.using(run_at=timezone.now() - timedelta(seconds=1)).enqueue(1)

        assert drain() == 1

        assert SucceededJob.objects.get().pk == record.pk

    def test_worker_row_is_gone_afterwards(self, drain):
        drain()

        assert not Worker.objects.exists()


class ExpiryTests:
    def test_record_past_its_use_is_discarded_unstarted(self, drain):
        past = timezone.now() - timedelta(seconds=1)
        record = jobs.add.using(expires_at=past).enqueue(1)

        assert drain() == 0

        record.refresh_from_db()
        assert (JobState.FAILED, 0) == (record.state, record.attempt)
        assert record.exception.startswith("django_jobflow.exceptions.Discard: Not started by ")

    def test_record_before_its_expiry_runs(self, drain):
        jobs.add.using(expires_at=timezone.now() + timedelta(hours=1)).enqueue(1)

        assert drain() == 1


class UnknownNameTests:
    def test_record_is_put_back_for_a_minute_at_no_cost(self, drain):
        record = JobRecordFactory(name="gone.jobs.Gone")

        assert drain() == 0

        record.refresh_from_db()
        assert (JobState.SCHEDULED, 0) == (record.state, record.attempt)
        pause = (record.available_at - record.updated_at).total_seconds()
        assert pause == pytest.approx(60, abs=0.01)

    def test_record_fails_after_ten_minutes(self, drain):
        long_ago = engine_for().now() - timedelta(minutes=10)
        record = JobRecordFactory(
            name="gone.jobs.Gone", meta={"jobflow.unknown_since": long_ago.isoformat()}
        )

        drain()

        record.refresh_from_db()
        assert (JobState.FAILED, 0) == (record.state, record.attempt)
        assert record.errors[0]["exception"] == "django_jobflow.exceptions.UnknownJob"

    def test_alias_is_executed(self, drain):
        with registry.isolated():
            registry.register(jobs.add.job, jobs.add.job._name, ("former.name",))
            JobRecordFactory(name="former.name", args=[1])

            assert drain() == 1


class TellingTests:
    @pytest.fixture
    def heard(self):
        """The signals that were sent, as (name, state, attempt)."""
        heard = []
        receivers = []
        for name in ("enqueued", "started", "succeeded", "retried", "failed", "cancelled"):
            signal = getattr(signals, f"job_{name}")

            def receive(sender, record, name=name, **_):
                heard.append((name, sender._name, str(record.state), record.attempt))

            signal.connect(receive, weak=False)
            receivers.append((signal, receive))
        yield heard
        for signal, receive in receivers:
            signal.disconnect(receive)

    def test_signals_follow_the_life_of_a_job(self, drain, heard):
        jobs.fail_until.using(max_attempts=2).enqueue(2)

        drain()

        name = "tests.app.jobs.fail_until"
        assert [
            ("enqueued", name, "AVAILABLE", 0),
            ("started", name, "IN_PROGRESS", 1),
            ("retried", name, "RETRY", 1),
            ("started", name, "IN_PROGRESS", 2),
            ("succeeded", name, "IN_PROGRESS", 2),
        ] == heard

    @pytest.mark.parametrize(("kind", "word"), [("error", "failed"), ("cancel", "cancelled")])
    def test_ends_are_told_apart(self, drain, heard, kind, word):
        jobs.end_by.enqueue(kind)

        drain()

        assert word == heard[-1][0]

    def test_receiver_that_raises_costs_no_job(self, drain, caplog):
        def receive(**_):
            raise RuntimeError("a receiver's own trouble")

        signals.job_started.connect(receive)
        try:
            jobs.add.enqueue(1)
            drain()
        finally:
            signals.job_started.disconnect(receive)

        assert 1 == SucceededJob.objects.count()
        assert "receiver_failed" in caplog.text

    def test_each_event_is_a_line_with_fields(self, drain, caplog):
        caplog.set_level(logging.DEBUG, "django_jobflow")
        record = jobs.end_by.enqueue("error")

        drain()

        events = {line.event: line for line in caplog.records if hasattr(line, "event")}
        assert {
            "worker_started",
            "job_enqueued",
            "job_started",
            "job_failed",
            "worker_stopped",
        } <= set(events)
        failed = events["job_failed"]
        assert (record.pk, record.name, 1, "by zero") == (
            failed.job_id,
            failed.job_name,
            failed.job_attempt,
            failed.job_message,
        )
        assert logging.ERROR == failed.levelno
        assert f"job_failed job_id={record.pk} job_name={record.name}" in failed.getMessage()


@pytest.fixture
def refused_name():
    """A job whose success the database will never take."""
    name = "tests.app.jobs.name_thread"
    if connection.vendor == "sqlite":
        add = (
            "CREATE TRIGGER refuse BEFORE INSERT ON jobflow_succeeded "
            f"WHEN NEW.name = '{name}' BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
        drop = "DROP TRIGGER refuse"
    else:
        add = f"ALTER TABLE jobflow_succeeded ADD CONSTRAINT refuse CHECK (name <> '{name}')"
        drop = "ALTER TABLE jobflow_succeeded DROP CONSTRAINT refuse"
    with connection.cursor() as cursor:
        cursor.execute(add)
    yield name
    with connection.cursor() as cursor:
        cursor.execute(drop)


@pytest.fixture
def refused_postponement():
    """The name of a job that nobody knows, and that the database will never postpone."""
    name = "gone.Job"
    unwanted = f"NEW.name = '{name}' AND NEW.state = 'SCHEDULED'"
    if connection.vendor == "sqlite":
        add = (
            "CREATE TRIGGER refuse BEFORE UPDATE ON jobflow_job "
            f"WHEN {unwanted} BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
        drop = "DROP TRIGGER refuse"
    else:
        condition = unwanted.replace("NEW.", "")
        add = f"ALTER TABLE jobflow_job ADD CONSTRAINT refuse CHECK (NOT ({condition}))"
        drop = "ALTER TABLE jobflow_job DROP CONSTRAINT refuse"
    with connection.cursor() as cursor:
        cursor.execute(add)
    yield name
    with connection.cursor() as cursor:
        cursor.execute(drop)


class RefusedEndTests:
    def test_an_unknown_job_that_cannot_be_put_back_holds_up_nobody(
        self, drain, refused_postponement, caplog
    ):
        unknown = JobRecordFactory(name=refused_postponement, state=JobState.AVAILABLE)
        jobs.add.enqueue_many({"a": number} for number in range(10))

        drain()

        unknown.refresh_from_db()
        assert 10 == SucceededJob.objects.count()
        assert (JobState.AVAILABLE, 0) == (unknown.state, unknown.attempt)
        assert 1 == caplog.text.count("cycle_refused")

    def test_others_do_not_wait_behind_it(self, drain, refused_name, caplog):
        refused = jobs.name_thread.enqueue()
        jobs.add.enqueue_many({"a": number} for number in range(10))

        drain()

        assert 10 == SucceededJob.objects.count()
        refused.refresh_from_db()
        assert (JobState.FAILED, 1) == (refused.state, refused.attempt)
        assert "cycle_refused" in caplog.text
        assert f"reservation_lost job_id={refused.pk}" in caplog.text


class RetentionTests:
    def test_success_that_is_not_to_be_kept_leaves_nothing(self, drain, settings):
        settings.JOBFLOW = {"RETAIN_SUCCEEDED": 0}
        jobs.add.enqueue(1)

        assert drain() == 1

        assert not JobRecord.objects.exists()
        assert not SucceededJob.objects.exists()


class VerbSignalTests:
    """The verbs of a record tell the same signals as a worker."""

    @pytest.fixture
    def heard(self):
        heard = []

        def receive(signal, record, **_):
            heard.append((signal, str(record.state)))

        for signal in signals.BY_EVENT.values():
            signal.connect(receive)
        yield heard
        for signal in signals.BY_EVENT.values():
            signal.disconnect(receive)

    def test_each_end_is_told(self, heard, transactional_db):
        JobRecordFactory(state=JobState.IN_PROGRESS).succeed()
        JobRecordFactory(state=JobState.IN_PROGRESS, max_attempts=1).fail(ValueError("no"))
        JobRecordFactory(state=JobState.IN_PROGRESS, max_attempts=2).fail(ValueError("no"))
        JobRecordFactory(state=JobState.AVAILABLE).cancel()

        assert [
            (signals.job_succeeded, "IN_PROGRESS"),
            (signals.job_failed, "FAILED"),
            (signals.job_retried, "RETRY"),
            (signals.job_cancelled, "CANCELLED"),
        ] == heard

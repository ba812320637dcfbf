"""Bodies on an executor of this process: what of a job is as it is in a slot."""

import threading

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.utils import timezone

from django_jobflow import JobState, signals
from django_jobflow.attempts import reservation_of
from django_jobflow.engines import engine_for
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.worker.coordinator import Coordinator
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.remote import making
from django_jobflow.worker.remote.attendant import Attendant
from tests.app import jobs
from tests.app.models import Order
from tests.factories import JobRecordFactory

THREADS = "tests.app.executors.threads"
SILENT = "tests.app.executors.Silent"
FORGETFUL = "tests.app.executors.Forgetful"


def entries(record):
    return [(each["number"], each["exception"], each["message"]) for each in record.errors]


class Worker:
    """A worker in a thread of the test."""

    def __init__(self):
        self.coordinator = Coordinator(WorkerOptions(database="default", threads=2))
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            self.coordinator.run()
        finally:
            connections.close_all()  # that of this thread

    def stop(self):
        self.coordinator.request_stop()
        self.thread.join(30)
        assert not self.thread.is_alive()


@pytest.fixture
def worker(transactional_db):
    started = []

    def start():
        started.append(Worker())
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def heard():
    """Return a function that waits until a signal was sent for a record."""
    receivers = []

    def listen(signal):
        event = threading.Event()

        def receive(**_):
            event.set()

        receivers.append((signal, receive))
        signal.connect(receive)
        return event

    yield listen
    for signal, receive in receivers:
        signal.disconnect(receive)


class OutcomeTests:
    def test_bodies_of_all_kinds_come_to_their_ends(self, drain, settings):
        settings.JOBFLOW = {"EXECUTOR": THREADS}
        plain, asynchronous = jobs.add.enqueue(1, b=2), jobs.add_async.enqueue(3, 4)
        counted = jobs.count_orders_async.enqueue()
        again = jobs.fail_until.enqueue(3)
        cancelled = jobs.end_by.enqueue("cancel")
        snoozed = jobs.end_by.enqueue("snooze")

        drain()

        results = dict(SucceededJob.objects.values_list("pk", "result"))
        assert {plain.pk: 3, asynchronous.pk: 7, counted.pk: 0, again.pk: 3} == results
        states = dict(JobRecord.objects.values_list("pk", "state"))
        assert {cancelled.pk: JobState.CANCELLED, snoozed.pk: JobState.SCHEDULED} == states

    def test_failure_is_kept_as_facts(self, drain, settings):
        settings.JOBFLOW = {"EXECUTOR": THREADS}
        record = jobs.end_by.enqueue("error")

        drain()

        record.refresh_from_db()
        assert (JobState.FAILED, 1) == (record.state, record.attempt)
        assert [(1, "builtins.ZeroDivisionError", "by zero")] == entries(record)
        assert "in end_by\n    raise {" in record.errors[0]["traceback"]

    def test_transactional_body_ends_in_its_transaction(self, drain, settings):
        settings.JOBFLOW = {"EXECUTOR": THREADS}
        kept, undone = jobs.MakeOrder.enqueue("kept"), jobs.MakeOrder.enqueue("undone", fail=True)

        drain()

        assert ["kept"] == list(Order.objects.values_list("number", flat=True))
        assert [(kept.pk, "kept")] == list(SucceededJob.objects.values_list("pk", "result"))
        undone.refresh_from_db()
        assert (JobState.RETRY, "after the write") == (undone.state, undone.errors[0]["message"])

    def test_time_limit_strikes_there(self, drain, settings):
        settings.JOBFLOW = {"EXECUTOR": THREADS}
        records = [jobs.loop_for_ever.enqueue(), jobs.await_for_ever.enqueue()]

        drain()

        for record in records:
            record.refresh_from_db()
            assert (JobState.FAILED, "django_jobflow.exceptions.JobTimeout") == (
                record.state,
                record.errors[0]["exception"],
            )

    def test_lines_come_with_the_answer(self, drain, settings, tmp_path):
        settings.JOBFLOW = {"EXECUTOR": THREADS}
        (tmp_path / "release").touch()
        record = jobs.log_and_wait.enqueue(str(tmp_path / "release"))

        drain()

        assert ["begun"] == [
            line.message for line in SucceededJob.objects.get(pk=record.pk).logs()
        ]

    def test_only_the_named_queue_goes_there(self, drain, settings):
        settings.JOBFLOW = {"EXECUTOR": {"away": THREADS}}
        here, there = jobs.name_thread.enqueue(), jobs.name_thread.using(queue="away").enqueue()

        drain()

        names = dict(SucceededJob.objects.values_list("pk", "result"))
        assert names[here.pk].startswith("jobflow-slot-")
        assert names[there.pk].startswith("ThreadPoolExecutor-")


class WaitingTests:
    """The executor takes calls, and begins none of them."""

    def test_what_is_not_begun_is_given_back_at_a_stop(self, worker, heard, settings):
        settings.JOBFLOW = {"EXECUTOR": SILENT}
        started = heard(signals.job_started)
        record = jobs.add.enqueue(1)
        running = worker()
        assert started.wait(30)

        running.stop()

        record.refresh_from_db()
        assert (JobState.AVAILABLE, 0, []) == (record.state, record.attempt, record.errors)

    def test_what_is_not_begun_in_time_is_put_off_at_no_cost(self, worker, settings):
        settings.JOBFLOW = {"EXECUTOR": SILENT, "RESERVATION_TIMEOUT": 0.2, "POLL_INTERVAL": 0.1}
        record = jobs.add.using(max_attempts=1).enqueue(1)
        running = worker()

        while JobRecord.objects.get(pk=record.pk).state != JobState.SCHEDULED:
            running.thread.join(0.01)
        running.stop()

        record.refresh_from_db()
        assert (0, []) == (record.attempt, record.errors)
        assert record.available_at > timezone.now() - timezone.timedelta(seconds=30)

    def test_what_is_cancelled_does_not_begin(self, worker, heard, settings):
        settings.JOBFLOW = {"EXECUTOR": SILENT, "POLL_INTERVAL": 0.1}
        started, cancelled = heard(signals.job_started), heard(signals.job_cancelled)
        record = jobs.add.enqueue(1)
        worker()
        assert started.wait(30)

        JobRecord.objects.get(pk=record.pk).cancel()

        assert cancelled.wait(30)
        assert JobState.CANCELLED == JobRecord.objects.get(pk=record.pk).state

    def test_executor_that_cannot_be_made_is_tried_again(
        self, worker, heard, settings, monkeypatch
    ):
        monkeypatch.setenv("EXECUTOR_IS_AWAY", "1")
        settings.JOBFLOW = {"EXECUTOR": "tests.app.executors.once_away"}
        succeeded = heard(signals.job_succeeded)
        jobs.add.enqueue(1)

        worker()

        assert succeeded.wait(30)

    def test_stop_does_not_wait_for_an_executor_that_cannot_be_made(self, worker, heard, settings):
        settings.JOBFLOW = {"EXECUTOR": "tests.app.executors.away"}
        started = heard(signals.job_started)
        record = jobs.add.enqueue(1)
        running = worker()
        assert started.wait(30)

        running.stop()

        record.refresh_from_db()
        assert (JobState.AVAILABLE, 0) == (record.state, record.attempt)


class LosingTests:
    """The executor gives each call to two processes, and loses what they answer."""

    def test_body_has_begun_once_and_has_failed(self, drain, settings, tmp_path):
        settings.JOBFLOW = {"EXECUTOR": FORGETFUL}
        record = jobs.note.using(queue="default").enqueue(str(tmp_path / "notes"), "begun")

        drain()

        record.refresh_from_db()
        assert (JobState.FAILED, 1) == (record.state, record.attempt)
        assert [
            (
                1,
                "django_jobflow.exceptions.WorkerLost",
                "The executor has failed: BrokenExecutor('its process is gone')",
            )
        ] == entries(record)
        assert "begun\n" == (tmp_path / "notes").read_text()

    def test_body_that_has_committed_its_end_has_succeeded_once(self, drain, settings, caplog):
        settings.JOBFLOW = {"EXECUTOR": FORGETFUL}
        record = jobs.MakeOrder.enqueue("once")

        drain()

        assert ["once"] == list(Order.objects.values_list("number", flat=True))
        assert [(record.pk, 1, [])] == list(
            SucceededJob.objects.values_list("pk", "attempt", "errors")
        )
        assert not JobRecord.objects.exists()
        assert "reservation_lost" in {getattr(each, "event", "") for each in caplog.records}


class MakingTests:
    def test_what_cannot_be_imported_is_named(self):
        with pytest.raises(ImproperlyConfigured) as caught:
            making.make("tests.app.executors.unknown")

        assert str(caught.value).startswith(
            "JOBFLOW['EXECUTOR']: 'tests.app.executors.unknown' cannot be imported: "
        )

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            (
                "tests.app.executors.not_callable",
                "to be a callable that returns a concurrent.futures.Executor, got 1.",
            ),
            (
                "tests.app.executors.none",
                "to return a concurrent.futures.Executor, got None.",
            ),
        ],
    )
    def test_what_makes_no_executor_is_named(self, path, message):
        with pytest.raises(ImproperlyConfigured) as caught:
            making.make(path)

        assert f"JOBFLOW['EXECUTOR']: expected {path!r} {message}" == str(caught.value)


class AttendingTests:
    """The thread that speaks with the database for the bodies of an executor's process."""

    def test_it_ends_without_a_body_whatever_the_settings_say(self, settings, monkeypatch):
        monkeypatch.setattr("django_jobflow.worker.remote.attendant.IDLE", -1.0)
        record = JobRecordFactory.build(id=1, reserved_count=1, name=jobs.add.job._name)
        execution = Execution(reservation_of(record), jobs.add.job)
        attendant = Attendant(engine_for("default"), stop=pytest.fail)
        with attendant.at(execution):
            thread = attendant._thread
            settings.JOBFLOW = {"UNKNOWN": 1}

        attendant.wake()
        thread.join(30)

        assert not thread.is_alive()
        assert attendant._thread is None

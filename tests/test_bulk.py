"""Bulk operations: done to all that matches and to nothing else, once, whoever dies when."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_jobflow import bulk
from django_jobflow.audit import Actor
from django_jobflow.engines import engine_for
from django_jobflow.exceptions import InvalidJob
from django_jobflow.history import RUN, WORDS, class_of
from django_jobflow.models import AuditEntry, BulkOperation, JobRecord, SucceededJob
from django_jobflow.search import parse
from tests.factories import (
    FailedJobFactory,
    JobRecordFactory,
    SucceededJobFactory,
    WorkerFactory,
    error_entry,
)

ANN = Actor("ann", "admin", "10.0.0.7")
FAST = bulk.MOST_RATE


def start(action="retry", text="state:failed queue:email", **options):
    return bulk.start(action, parse(text), by=ANN, **{"rate": FAST} | options)


def finish(operation, engine=None):
    """Do all that is left of *operation*; return how many parts that took."""
    engine = engine or engine_for()
    parts = 0
    while True:
        BulkOperation.objects.filter(pk=operation.pk).update(next_at=timezone.now() - HOUR)
        if not bulk.turn(engine, operation.pk):
            operation.refresh_from_db()
            return parts
        parts += 1


HOUR = timedelta(hours=1)


def states():
    return sorted(JobRecord.objects.values_list("queue", "state"))


def told():
    rows = AuditEntry.objects.order_by("id")
    return list(rows.values_list("action", "by", "origin", "subject", "count"))


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(bulk, "CHUNK", 2)


@pytest.mark.django_db
class PartTests:
    def test_all_that_matches_is_done_a_part_at_a_time(self, small_parts):
        FailedJobFactory.create_batch(3, queue="email")
        FailedJobFactory.create_batch(2, queue="sms")
        JobRecordFactory(queue="email", state="CANCELLED")

        operation = start()
        assert 3 == finish(operation)

        assert [
            *[("email", "AVAILABLE")] * 3,
            ("email", "CANCELLED"),
            *[("sms", "FAILED")] * 2,
        ] == states()
        assert ("DONE", 3, 0, 5, 100) == (
            operation.state,
            operation.done,
            operation.skipped,
            operation.looked,
            operation.percent,
        )
        search = "state:failed queue:email"
        assert [
            ("start_bulk", "ann", "10.0.0.7", search, 0),
            ("end_bulk", "ann", "10.0.0.7", search, 3),
        ] == told()

    def test_no_part_changes_more_than_the_rate_lets_a_second(self):
        for _ in range(8):
            FailedJobFactory(queue="email")
            FailedJobFactory(queue="sms")

        operation = start(rate=5)
        pause = bulk.work(engine_for(), 60)

        operation.refresh_from_db()
        assert (5, 10, "RUNNING") == (operation.done, operation.looked, operation.state)
        assert 5 == JobRecord.objects.filter(state="AVAILABLE", queue="email").count()
        assert 0.5 < pause <= 1.0
        assert 1 == finish(operation)
        assert ("DONE", 8, 16) == (operation.state, operation.done, operation.looked)

    @pytest.mark.parametrize(
        ("action", "state", "text", "left"),
        [
            ("cancel", "AVAILABLE", "queue:email", [("email", "CANCELLED")] * 2),
            ("run_now", "SCHEDULED", "queue:email", [("email", "AVAILABLE")] * 2),
            ("delete", "FAILED", "queue:email", []),
            ("retry", "CANCELLED", "queue:email", [("email", "AVAILABLE")] * 2),
        ],
    )
    def test_each_action(self, action, state, text, left):
        JobRecordFactory.create_batch(2, queue="email", state=state)

        operation = start(action, text)
        finish(operation)

        assert (left, 2) == (states(), operation.done)

    def test_running_jobs_are_asked_to_stop(self):
        JobRecordFactory(state="IN_PROGRESS")

        operation = start("cancel", "queue:default")
        finish(operation)

        assert (0, 1, 0) == (operation.done, operation.asked, operation.skipped)

    def test_history_is_deleted(self):
        SucceededJobFactory.create_batch(2, queue="email")
        SucceededJobFactory()

        operation = start("delete", "state:succeeded queue:email")
        finish(operation)

        assert (2, ["default"]) == (
            operation.done,
            list(SucceededJob.objects.values_list("queue", flat=True)),
        )

    def test_what_cannot_be_done_is_counted(self):
        JobRecordFactory(queue_key="k")
        FailedJobFactory(queue_key="k")

        operation = start(text="state:failed")
        finish(operation)

        assert (0, 1) == (operation.done, operation.skipped)

    def test_what_is_enqueued_later_is_left_alone(self):
        FailedJobFactory(queue="email")
        operation = start()
        FailedJobFactory(queue="email")

        finish(operation)

        assert [("email", "AVAILABLE"), ("email", "FAILED")] == states()

    def test_age_is_that_of_the_start(self):
        FailedJobFactory(queue="email", now=timezone.now() - HOUR + timedelta(seconds=30))
        operation = start(text="state:failed age>1h")
        BulkOperation.objects.update(created_at=timezone.now())

        finish(operation)

        assert 0 == operation.done

    def test_error_class_and_argument_hold_for_all_and_not_only_the_first(self, small_parts):
        kind = {"exception": "smtplib.SMTPException"}
        FailedJobFactory.create_batch(4)
        FailedJobFactory(errors=[error_entry(1, timezone.now()) | kind])

        operation = start(text="error:SMTPException")
        finish(operation)

        assert (1, 5) == (operation.done, operation.looked)

    def test_pace_is_kept(self, small_parts):
        FailedJobFactory.create_batch(4, queue="email")
        operation = start(rate=1)

        assert bulk.turn(engine_for())
        assert not bulk.turn(engine_for())

        operation.refresh_from_db()
        assert 1 == operation.done
        pause = operation.next_at - timezone.now()
        assert timedelta(0) < pause <= timedelta(seconds=1)

    def test_nothing_due_is_one_statement(self):
        with CaptureQueriesContext(connection) as captured:
            assert bulk.work(engine_for(), 1) is None
        assert 1 == len(captured)

    def test_work_goes_on_for_a_while(self, small_parts):
        FailedJobFactory.create_batch(5)
        operation = start(text="state:failed queue:none")

        assert bulk.work(engine_for(), 60) is None  # there is no next part
        operation.refresh_from_db()
        assert ("DONE", 5) == (operation.state, operation.looked)


@pytest.mark.django_db
class StopTests:
    def test_stopped_operation_goes_on_where_it_was(self, small_parts):
        FailedJobFactory.create_batch(5, queue="email")
        operation = start()
        assert bulk.turn(engine_for())

        assert bulk.stop(operation, by="bob")
        assert not bulk.stop(operation, by="bob")
        assert 0 == finish(operation)
        assert ("STOPPED", 2) == (operation.state, operation.done)

        assert bulk.resume(operation, by="bob")
        assert not bulk.resume(operation, by="bob")
        finish(operation)
        assert ("DONE", 5, 5) == (operation.state, operation.done, operation.looked)
        assert [
            ("start_bulk", "ann", 0),
            ("stop_bulk", "bob", 2),
            ("resume_bulk", "bob", 2),
            ("end_bulk", "ann", 5),
        ] == [(action, by, count) for action, by, _, _, count in told()]

    def test_operation_that_breaks_says_why_and_can_go_on(self):
        FailedJobFactory(queue="email")
        operation = start()
        BulkOperation.objects.update(search="state:failed quue:email")

        assert bulk.turn(engine_for())
        operation.refresh_from_db()
        assert ("BROKEN", 0) == (operation.state, operation.done)
        assert operation.error.startswith("SearchError: Search: at character 14: 'quue' is no")

        BulkOperation.objects.update(search="state:failed queue:email")
        assert bulk.resume(operation)
        finish(operation)
        assert ("DONE", 1, "") == (operation.state, operation.done, operation.error)


@pytest.mark.django_db
class PreviewTests:
    def test_what_an_index_answers_is_counted(self):
        FailedJobFactory.create_batch(3)
        JobRecordFactory(state="CANCELLED")
        JobRecordFactory()

        told = bulk.preview("retry", parse("age<1h"), rate=2)

        assert ("state:failed,cancelled age<3600s", 4, False, False, 2.0, None) == (
            str(told.search),
            told.count,
            told.is_more,
            told.is_estimate,
            told.seconds,
            told.run_seconds,
        )

    def test_count_has_a_bound(self, monkeypatch):
        monkeypatch.setattr(bulk, "MOST_COUNTED", 2)
        FailedJobFactory.create_batch(4)

        told = bulk.preview("retry", parse("state:failed"))

        assert (2, True, False) == (told.count, told.is_more, told.is_estimate)

    def test_rest_is_estimated_from_the_first(self, monkeypatch):
        monkeypatch.setattr(bulk, "SAMPLE", 4)
        FailedJobFactory.create_batch(4)
        for queue in ("email", "sms") * 2:
            FailedJobFactory(queue=queue, now=timezone.now() + HOUR)

        told = bulk.preview("retry", parse("state:failed queue:email"))
        assert (4, False, True) == (told.count, told.is_more, told.is_estimate)

        monkeypatch.setattr(bulk, "SAMPLE", 8)
        told = bulk.preview("retry", parse("state:failed queue:email"))
        assert (2, False, False) == (told.count, told.is_more, told.is_estimate)

    def test_present_rate_tells_how_long_they_run(self):
        SucceededJobFactory.create_batch(30)
        FailedJobFactory.create_batch(2)

        told = bulk.preview("retry", parse("state:failed"))

        assert 20.0 == told.run_seconds  # 30 in five minutes
        assert None is bulk.preview("cancel", parse("queue:default")).run_seconds

    def test_workers_that_wait_for_work_could_do_more(self):
        SucceededJobFactory()
        FailedJobFactory.create_batch(6)
        WorkerFactory(threads=3)
        WorkerFactory(threads=9, now=timezone.now() - HOUR)  # it is silent
        numbers = {"default": {WORDS[RUN][class_of(1.5)]: 1}, "": {}}
        engine_for().write_history(timezone.now(), numbers)

        assert 3.0 == bulk.preview("retry", parse("state:failed")).run_seconds  # 6 * 1.5 s / 3

        JobRecordFactory()  # one waits, so the workers do what they can

        told = bulk.preview("retry", parse("state:failed"))
        assert 6 * 300 == pytest.approx(told.run_seconds)

    @pytest.mark.parametrize(
        ("action", "text", "error"),
        [
            (
                "explode",
                "queue:a",
                "Bulk operation: expected action to be one of retry, cancel, run_now, delete, "
                "got 'explode'.",
            ),
            ("retry", "", "Bulk operation: expected a search, got an empty one."),
            (
                "retry",
                "state:succeeded",
                "Bulk operation: expected state:succeeded to stand with delete: what has "
                "succeeded has ended.",
            ),
        ],
    )
    def test_what_is_meant_for_nothing_is_refused(self, action, text, error):
        for verb in (bulk.preview, bulk.start):
            with pytest.raises(InvalidJob) as caught:
                verb(action, parse(text))
            assert error == str(caught.value)

    @pytest.mark.parametrize("rate", [0, True, 1.5, 100_001])
    def test_rate_is_checked(self, rate):
        with pytest.raises(InvalidJob) as caught:
            start(rate=rate)

        assert (
            f"Bulk operation: expected rate to be a whole number from 1 to 100,000, got {rate!r}."
        ) == str(caught.value)
        assert not BulkOperation.objects.exists()


WORKER = """
import os, signal
import django
django.setup()
from django.db import connection
from django_jobflow import bulk
from django_jobflow.engines import engine_for

bulk.CHUNK = 10

def die_in_the_middle(execute, sql, params, many, context):
    result = execute(sql, params, many, context)
    if sql.startswith("UPDATE") and "jobflow_job" in sql:
        os.kill(os.getpid(), signal.SIGKILL)  # after the write, before the commit
    return result

engine = engine_for()
assert bulk.turn(engine)
with connection.execute_wrapper(die_in_the_middle):
    bulk.turn(engine)
"""


@pytest.mark.django_db(transaction=True)
class DurableTests:
    def test_part_that_was_killed_has_not_happened(self, worker_env):
        FailedJobFactory.create_batch(40, queue="email")
        operation = start()

        ended = subprocess.run([sys.executable, "-c", WORKER], env=worker_env, check=False)

        assert -signal.SIGKILL == ended.returncode
        operation.refresh_from_db()
        available = JobRecord.objects.filter(state="AVAILABLE").count()
        assert ("RUNNING", 10, 10) == (operation.state, operation.done, available)

        finish(operation)
        assert ("DONE", 40, 40) == (operation.state, operation.done, operation.looked)
        assert {"AVAILABLE"} == set(JobRecord.objects.values_list("state", flat=True))

    def test_two_workers_never_do_the_same_part(self, monkeypatch):
        monkeypatch.setattr(bulk, "CHUNK", 5)
        FailedJobFactory.create_batch(60, queue="email")
        operation = start()
        barrier = Barrier(2)

        def work():
            barrier.wait(30)
            parts = 0
            try:
                engine = engine_for()
                while bulk.operations(engine).filter(state="RUNNING").exists():
                    parts += bulk.turn(engine)
                return parts
            finally:
                connections.close_all()

        with ThreadPoolExecutor(2) as pool:
            parts = sum(each.result(60) for each in [pool.submit(work), pool.submit(work)])

        operation.refresh_from_db()
        assert ("DONE", 60, 60, 13) == (
            operation.state,
            operation.done,
            operation.looked,
            parts,
        )
        assert {"AVAILABLE"} == set(JobRecord.objects.values_list("state", flat=True))
        assert 1 == AuditEntry.objects.filter(action="end_bulk").count()

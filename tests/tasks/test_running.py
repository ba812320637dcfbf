"""How a worker runs tasks: results, attempts, signals and logs."""

import logging
from datetime import timedelta

import pytest
from django.utils import timezone

from django_jobflow import JobState, WorkerLost, operate
from django_jobflow.engines import engine_for
from django_jobflow.maintain import expire, rescue
from django_jobflow.models import JobRecord
from django_jobflow.tasks import JobflowBackend, telling
from django_jobflow.tasks.compat import (
    TaskResultStatus,
    task_backends,
    task_finished,
    task_started,
)
from tests.app import tasks
from tests.app.models import Order
from tests.factories import WORKER, JobRecordFactory
from tests.tasks.test_backend import LOGGER

NOT_STORED = [
    (1, "expected keys that are different texts in JSON, got [1, '1']."),
    (2, "got a NUL character in 'a\\x00b' at result."),
    (3, "got nan at result."),
]
"""Numbers of what a task returns, and of what its error says."""


def declared(task):
    """What a record of *task* says that ``enqueue`` has stored."""
    return {"name": task.module_path, "meta": {"jobflow.task": {"backend": "default"}}}


class ResultTests:
    @pytest.mark.parametrize("added", [tasks.add, tasks.add_async], ids=["plain", "async"])
    def test_success(self, drain, added):
        result = added.enqueue(1, b=2)

        drain(name="w:1")

        result.refresh()
        assert (TaskResultStatus.SUCCESSFUL, 3, [], ["w:1"], 1, None) == (
            result.status,
            result.return_value,
            result.errors,
            result.worker_ids,
            result.attempts,
            result.state,
        )
        moments = [result.enqueued_at, result.started_at, result.finished_at]
        assert sorted(moments) == moments
        assert result.last_attempted_at == result.started_at

    def test_context_knows_the_attempt(self, drain):
        result = tasks.tell_attempt.enqueue()

        drain(name="w:1")

        result.refresh()
        assert [result.id, 1, ["w:1"]] == result.return_value

    @pytest.mark.parametrize("how", ["error", "exit", "retry"])
    def test_attempts_that_failed_are_kept(self, drain, how):
        result = tasks.fail_until.enqueue(3, how=how)

        drain(name="w:1")

        result.refresh()
        assert (3, 3, ["w:1"] * 3) == (result.return_value, result.attempts, result.worker_ids)
        kind = type(tasks.ENDS[how])
        assert [(kind, 1, "w:1"), (kind, 2, "w:1")] == [
            (error.exception_class, error.attempt, error.worker_id) for error in result.errors
        ]
        assert result.enqueued_at <= result.started_at < result.errors[0].at
        assert result.errors[1].at < result.last_attempted_at < result.finished_at
        assert result.errors[0].traceback.startswith("Traceback (most recent call last):")

    def test_failure_that_is_the_last(self, drain):
        result = tasks.fail_until.using(max_attempts=1).enqueue(9)

        drain()

        result.refresh()
        assert (TaskResultStatus.FAILED, True) == (result.status, result.is_finished)
        with pytest.raises(ValueError, match="Task failed"):
            _ = result.return_value
        assert result.errors[0].traceback.endswith("ValueError: no\n")

    def test_value_that_is_no_json_is_a_failure(self, drain):
        result = tasks.return_strangely.enqueue()

        drain()

        result.refresh()
        (error,) = result.errors
        assert (TaskResultStatus.FAILED, TypeError) == (result.status, error.exception_class)
        assert "Unsupported type: <class 'set'>" == error.message

    def test_keys_become_texts_as_in_json(self, drain):
        result = tasks.return_one_of.enqueue(0)

        drain()

        result.refresh()
        expected = {"1": "a", "null": {"true": 2.5}, "b": [{"0.5": "c"}]}
        assert expected == result.return_value

    @pytest.mark.parametrize(("number", "said"), NOT_STORED)
    def test_value_that_cannot_be_stored_is_a_failure(self, drain, number, said):
        result = tasks.return_one_of.enqueue(number)

        drain()

        result.refresh()
        (error,) = result.errors
        assert issubclass(error.exception_class, TypeError)
        assert said in error.message

    @pytest.mark.parametrize("fails", [False, True])
    def test_transactional_one_ends_with_what_it_writes(self, drain, fails):
        result = tasks.make_order.enqueue("7", fails=fails)

        drain()

        result.refresh()
        assert (not fails) == Order.objects.filter(number="7").exists()
        assert (not fails) == (result.status == TaskResultStatus.SUCCESSFUL)

    def test_attempts_agree_after_a_rescue(self, drain):
        record = JobRecordFactory(
            **declared(tasks.tell_attempt),
            state=JobState.IN_PROGRESS,
            lapsed=True,
            attempt=1,
            kwargs={},
        )
        rescue(engine_for())

        drain(name="w:2")

        result = task_backends["default"].get_result(str(record.pk))
        assert [result.id, 2, [WORKER, "w:2"]] == result.return_value
        assert [WORKER, "w:2"] == result.worker_ids
        assert WorkerLost is result.errors[0].exception_class


class OrderTests:
    def test_is_by_priority_then_by_when_they_may_run_then_by_the_enqueue(self, drain):
        began, now = [], timezone.now()
        tasks.add.enqueue(0)
        tasks.add.using(run_after=now - timedelta(minutes=1)).enqueue(1)
        tasks.add.using(priority=5).enqueue(2)
        tasks.add.using(run_after=now - timedelta(minutes=2)).enqueue(3)
        tasks.add.enqueue(4)
        tasks.add.using(priority=-5, run_after=now - timedelta(hours=1)).enqueue(5)
        # A worker does it within its first milliseconds, in which it may begin something.
        JobRecord.objects.activate_scheduled()

        def hear(task_result, **kwargs):
            began.extend(task_result.args)

        task_started.connect(hear)
        try:
            drain(threads=1)
        finally:
            task_started.disconnect(hear)

        assert [2, 3, 1, 0, 4, 5] == began


class SignalTests:
    @pytest.mark.parametrize("added", [tasks.add, tasks.add_async], ids=["plain", "async"])
    def test_success_is_told_with_the_class_as_sender(self, drain, heard, added):
        added.enqueue(1)

        drain()

        assert [
            (JobflowBackend, "RUNNING", 1, None),
            (JobflowBackend, "SUCCESSFUL", 1, None),
        ] == heard

    def test_failure_is_told_while_its_exception_is_handled(self, drain, heard):
        tasks.fail_until.using(max_attempts=1).enqueue(9)

        drain()

        assert [
            (JobflowBackend, "RUNNING", 1, None),
            (JobflowBackend, "FAILED", 1, tasks.ENDS["error"]),
        ] == heard

    @pytest.mark.parametrize("how", ["exit", "discard", "cancel"])
    def test_every_end_is_told(self, drain, heard, how):
        tasks.fail_until.using(max_attempts=1).enqueue(9, how=how)

        drain()

        assert (JobflowBackend, "FAILED", 1, tasks.ENDS[how]) == heard[-1]

    def test_attempt_that_is_repeated_is_started_and_not_finished(self, drain, heard):
        tasks.fail_until.enqueue(2)

        drain()

        assert ["RUNNING", "RUNNING", "SUCCESSFUL"] == [status for _, status, *_ in heard]
        assert [1, 2, 2] == [attempts for _, _, attempts, _ in heard]

    def test_what_is_told_is_in_the_database(self, drain):
        seen = []

        def hear(task_result, **kwargs):
            seen.append(task_backends["default"].get_result(task_result.id).status)

        task_started.connect(hear)
        task_finished.connect(hear)
        try:
            tasks.add.enqueue(1)
            drain()
        finally:
            task_started.disconnect(hear)
            task_finished.disconnect(hear)

        assert [TaskResultStatus.RUNNING, TaskResultStatus.SUCCESSFUL] == seen

    @pytest.mark.parametrize("how", ["exit", "odd"])
    def test_exception_that_is_no_error_is_being_handled_too(self, drain, heard, how):
        tasks.fail_until.using(max_attempts=1).enqueue(9, how=how)

        drain()

        assert ("FAILED", tasks.ENDS[how]) == heard[-1][1::2]

    def test_async_task_that_runs_too_long_has_failed_with_that(self, drain, heard):
        tasks.wait_forever.enqueue()

        drain()

        assert "FAILED" == heard[-1][1]
        assert isinstance(heard[-1][3], TimeoutError)

    def test_receivers_that_raise_cost_nothing(self, drain, caplog):
        def refuse(**kwargs):
            raise ZeroDivisionError

        task_started.connect(refuse)
        task_finished.connect(refuse)
        try:
            result = tasks.add.enqueue(1)
            drain()
        finally:
            task_started.disconnect(refuse)
            task_finished.disconnect(refuse)

        result.refresh()
        assert 2 == result.return_value
        events = [each for each in caplog.records if "receiver_failed" in each.getMessage()]
        assert 2 == len(events)
        assert {"django_jobflow.tasks"} == {each.name for each in events}

    def test_value_of_a_sensitive_argument_is_told_to_nobody(self, drain, heard, caplog):
        tasks.charge.enqueue("4111 1111")

        drain()

        error = heard[-1][3]
        assert "builtins.ValueError: refused: \u2022\u2022\u2022" in str(error)
        assert "4111" not in caplog.text

    @pytest.mark.django_db(transaction=True)
    def test_worker_that_was_lost_has_finished_it(self, heard):
        JobRecordFactory(
            **declared(tasks.add), state=JobState.IN_PROGRESS, lapsed=True, spent=True
        )

        rescue(engine_for())

        [(sender, status, attempts, error)] = heard
        assert (JobflowBackend, "FAILED", 3, WorkerLost) == (sender, status, attempts, type(error))
        assert f"Worker {WORKER} stopped renewing its lease." == str(error)

    @pytest.mark.django_db(transaction=True)
    def test_one_that_is_cancelled_while_it_waits_has_finished(self, heard):
        tasks.add.enqueue(1)

        operate.cancel_many(JobRecord.objects.all())

        [(sender, status, attempts, error)] = heard
        assert (JobflowBackend, "FAILED", 0) == (sender, status, attempts)
        assert "Cancelled before it ran." == str(error)

    @pytest.mark.django_db(transaction=True)
    def test_one_that_has_become_pointless_has_finished(self, heard):
        tasks.add.using(expires_at=timezone.now() - timedelta(minutes=1)).enqueue(1)

        expire(engine_for())

        [(sender, status, attempts, error)] = heard
        assert (JobflowBackend, "FAILED", 0) == (sender, status, attempts)
        assert str(error).startswith("Not started by ")

    def test_nothing_is_kept_of_what_is_told(self, drain):
        telling._runs.clear()  # of a test whose body ended with its worker
        tasks.add.enqueue(1)
        tasks.fail_until.enqueue(9)

        drain()

        assert {} == telling._runs


class LogTests:
    def lines(self, caplog):
        return [
            (each.levelno, each.getMessage().split()[-1], each.exc_info and each.exc_info[1])
            for each in caplog.records
            if each.name == LOGGER and "enqueued" not in each.getMessage()
        ]

    def test_success(self, drain, caplog):
        tasks.add.enqueue(1)

        with caplog.at_level(logging.DEBUG, logger=LOGGER):
            drain()

        assert [
            (logging.INFO, "state=RUNNING", None),
            (logging.INFO, "state=SUCCESSFUL", None),
        ] == self.lines(caplog)

    def test_failure(self, drain, caplog):
        tasks.fail_until.using(max_attempts=1).enqueue(9)

        with caplog.at_level(logging.DEBUG, logger=LOGGER):
            drain()

        assert [
            (logging.INFO, "state=RUNNING", None),
            (logging.ERROR, "state=FAILED", tasks.ENDS["error"]),
        ] == self.lines(caplog)


class MetadataTests:
    def test_what_the_caller_says_is_there_and_reserved_keys_are_not_seen(self, drain):
        result = tasks.count_up.using(metadata={"count": 4, "_own": 1, "t": (1, 2)}).enqueue()

        drain()

        result.refresh()
        assert 5 == result.return_value
        assert {"count": 5, "t": [1, 2]} == result.metadata
        assert {"count": 5, "t": [1, 2], "_own": 1} == result.raw_metadata

    @pytest.mark.parametrize("how", ["return", "save", "fail"])
    def test_what_the_task_changes_is_kept(self, drain, how):
        result = tasks.count_up.enqueue(how)

        drain()

        result.refresh()
        assert {"count": 2 if how == "fail" else 1} == result.metadata

    def test_async_task_saves(self, drain):
        result = tasks.count_up_async.enqueue()

        drain()

        result.refresh()
        assert (False, {"count": 1}) == (result.return_value, result.metadata)

    def test_what_is_no_json_fails_the_task_and_is_not_kept(self, drain):
        result = tasks.count_up.using(max_attempts=1).enqueue("break")

        drain()

        result.refresh()
        assert (TypeError, {}) == (result.errors[0].exception_class, result.metadata)

    def test_an_unchanged_one_costs_nothing(self, drain, monkeypatch):
        monkeypatch.delattr(JobflowBackend, "keep_metadata")
        result = tasks.tell_attempt.using(metadata={"a": 1}).enqueue()

        drain()

        result.refresh()
        assert TaskResultStatus.SUCCESSFUL == result.status

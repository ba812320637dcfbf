"""The tools of a test, for those who write Django's tasks and no jobs."""

import pytest
from asgiref.sync import async_to_sync
from django.test import TestCase, TransactionTestCase, override_settings

from django_jobflow import ArgumentError, InvalidJob, JobflowError
from django_jobflow.models import JobRecord
from django_jobflow.tasks.compat import TaskResultStatus
from django_jobflow.testing import (
    Failed,
    LiveWorker,
    Succeeded,
    aassert_enqueued,
    arun_job,
    assert_enqueued,
    drain,
    enqueued,
    inline,
    refute_enqueued,
    run_job,
)
from django_jobflow.testing.factories import JobLogFactory, JobRecordFactory
from tests.app import jobs, tasks


def key(result):
    return int(result.id)


class AssertingTests(TestCase):
    def test_task_stands_for_its_calls(self):
        result = tasks.add.enqueue(1, b=2)
        other = tasks.make_order.using(priority=3).enqueue("7")

        assert key(result) == assert_enqueued(tasks.add, {"a": 1, "b": 2}, count=1).pk
        assert key(other) == assert_enqueued(tasks.make_order, {"fails": False}, priority=3).pk
        assert [key(result)] == [each.pk for each in enqueued(tasks.add.using(priority=9))]
        assert key(result) == async_to_sync(aassert_enqueued)(tasks.add).pk
        refute_enqueued(tasks.add, {"a": 2})
        refute_enqueued(tasks.add_async)

    def test_context_is_no_argument(self):
        tasks.tell_attempt.enqueue(note="x")

        assert_enqueued(tasks.tell_attempt, {"note": "x"})
        with pytest.raises(ArgumentError, match="expected names of parameters"):
            assert_enqueued(tasks.tell_attempt, {"context": None})

    def test_message_names_the_task(self):
        with pytest.raises(AssertionError) as caught:
            assert_enqueued(tasks.add, {"a": 1})

        assert (
            "Expected a job tests.app.tasks.add with a=1 to be enqueued, got none: nothing is "
            "enqueued." == str(caught.value)
        )

    @override_settings(TASKS={"default": {"BACKEND": "django_jobflow.tasks.DummyBackend"}})
    def test_task_on_a_backend_that_stores_nothing_is_refused(self):
        with pytest.raises(InvalidJob) as caught:
            refute_enqueued(tasks.add)

        assert (
            "tests.app.tasks.add: expected a task on JobflowBackend, got one on DummyBackend, "
            "which stores no records." == str(caught.value)
        )

    def test_what_is_neither_is_refused(self):
        with pytest.raises(InvalidJob, match="Expected a job, a task or the name of one, got 7"):
            enqueued(7)


class RunJobTests(TestCase):
    def test_call_of_a_task_goes_its_whole_way(self):
        assert Succeeded(3) == run_job(tasks.add, 1, b=2)
        assert Succeeded(3) == run_job("tests.app.tasks.add", 1, b=2)
        assert Succeeded(3) == run_job(tasks.add_async.using(priority=3), 1, b=2)
        assert Succeeded(3) == async_to_sync(arun_job)(tasks.add, 1, b=2)
        assert isinstance(run_job(tasks.fail_until.using(max_attempts=1), 2), Failed)

    def test_result_that_waits_is_executed_and_no_other(self):
        first, second = tasks.add.enqueue(1), tasks.add.enqueue(2)

        assert Succeeded(3) == run_job(second)

        for each in (first, second):
            each.refresh()
        assert [TaskResultStatus.READY, TaskResultStatus.SUCCESSFUL] == [
            first.status,
            second.status,
        ]

    def test_held_key_is_told(self):
        holder = tasks.fail_until.using(queue_key="k").enqueue(1)

        with pytest.raises(JobflowError) as caught:
            run_job(tasks.fail_until.using(queue_key="k"), 1)

        assert (
            f"tests.app.tasks.fail_until: expected the call to be stored, got job {holder.id}, "
            "which holds the queue key 'k'." == str(caught.value)
        )

    def test_name_of_a_job_will_do(self):
        assert Succeeded(3) == run_job("tests.app.jobs.add", 1, b=2)

    @override_settings(TASKS={"default": {"BACKEND": "django_jobflow.tasks.ImmediateBackend"}})
    def test_task_on_a_backend_that_stores_nothing_is_not_run(self):
        with pytest.raises(InvalidJob, match="got one on ImmediateBackend"):
            run_job(tasks.make_order, "7")

        assert not JobRecord.objects.exists()


@inline()
class InlineTests(TestCase):
    """The decorator of a class."""

    @classmethod
    def setUpTestData(cls):
        cls.early = jobs.add.enqueue(1)

    def test_each_enqueue_is_executed_at_once(self):
        result = tasks.add.enqueue(1)
        result.refresh()

        assert (TaskResultStatus.SUCCESSFUL, 2) == (result.status, result.return_value)
        assert 2 == self.early.result(timeout=0)

    async def test_async_too(self):
        result = await tasks.add.aenqueue(1)
        await result.arefresh()

        assert TaskResultStatus.SUCCESSFUL == result.status


@inline(raise_errors=True)
@override_settings(JOBFLOW={"DEFAULTS": {"max_attempts": 4}})
class InlineInSettingsTests(TestCase):
    def test_what_the_class_overrides_stays(self):
        with pytest.raises(ZeroDivisionError):
            jobs.end_by.enqueue("error")

        assert [4] == [*JobRecord.objects.values_list("max_attempts", flat=True)]


def test_inline_says_which_classes_it_decorates():
    with pytest.raises(ValueError, match="subclass of Django") as caught:
        inline()(object)

    assert (
        "inline: expected a function or a subclass of Django's SimpleTestCase, got "
        "<class 'object'>. Decorate its methods." == str(caught.value)
    )


class AfterInlineTests(TestCase):
    def test_ends_with_the_class(self):
        result = tasks.add.enqueue(1)
        result.refresh()

        assert TaskResultStatus.READY == result.status


class FactoryTests(TestCase):
    def test_record_of_a_task_can_be_executed(self):
        record = JobRecordFactory(job=tasks.make_order, args=["7"])

        assert ("tests.app.tasks.make_order", "email") == (record.name, record.queue)
        assert ["tests.app.tasks.make_order"] == drain(raise_errors=True).names

    def test_log_makes_the_record_that_it_is_of(self):
        log = JobLogFactory()

        assert JobRecord.objects.filter(pk=log.job_id).exists()


class WorkerTests(TransactionTestCase):
    def test_end_of_a_result_is_awaited(self):
        with LiveWorker() as worker:
            result = tasks.add.enqueue(1)

            assert 2 == worker.wait_for(result).result

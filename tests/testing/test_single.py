import pytest
from django.test import TestCase, override_settings

from django_jobflow import JobflowError, JobState, Snooze, job
from django_jobflow.declare import registry
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.testing import (
    Cancelled,
    Failed,
    Snoozed,
    Succeeded,
    arun_job,
    inline,
    run_job,
)
from tests.app.jobs import Keyed, MakeOrder, add, add_async, end_by, fail_until
from tests.app.models import Order


class RunJobTests(TestCase):
    def test_outcome_of_the_whole_way_is_returned(self):
        assert Succeeded(3) == run_job(add, 1, b=2)
        assert [3] == [*SucceededJob.objects.values_list("result", flat=True)]

    def test_call_that_does_not_fit_is_refused_as_by_enqueue(self):
        with pytest.raises(TypeError):
            run_job(add, 1, c=2)

        assert not JobRecord.objects.exists()

    def test_arguments_have_been_stored_and_read(self):
        with registry.isolated():

            @job
            def keep(order):
                return [type(order).__name__, order.total.as_tuple().digits]

            order = Order.objects.create(number="1", email="a@example.com", total=1.5)
            assert Succeeded(["Order", [1, 5, 0]]) == run_job(keep, order)

    def test_failure_has_its_traceback_and_its_row(self):
        outcome = run_job(end_by, "error")

        assert isinstance(outcome, Failed)
        assert ("builtins.ZeroDivisionError", "by zero") == (
            outcome.error.exception,
            outcome.error.message,
        )
        assert "raise {" in outcome.error.traceback
        assert [JobState.FAILED] == [*JobRecord.objects.values_list("state", flat=True)]

    def test_due_time_does_not_matter_and_options_do(self):
        outcome = run_job(fail_until.using(delay=60, max_attempts=1), 2)

        assert isinstance(outcome, Failed)
        assert [(JobState.FAILED, 1)] == [*JobRecord.objects.values_list("state", "attempt")]

    def test_record_that_waits_is_executed_and_no_other(self):
        first, second = add.enqueue(1), MakeOrder.using(delay=60).enqueue("7")

        assert Succeeded("7") == run_job(second)
        first.refresh_from_db()
        assert JobState.AVAILABLE == first.state

    def test_record_with_an_execution_key_has_its_turn(self):
        assert Succeeded("a") == run_job(Keyed.enqueue("a"))

    def test_record_that_does_not_wait_is_refused(self):
        record = end_by.enqueue("cancel")
        assert isinstance(run_job(record), Cancelled)

        with pytest.raises(JobflowError) as caught:
            run_job(record)

        assert f"Job {record.pk} cannot be executed now: {record.why()}" == str(caught.value)

    def test_record_that_is_gone_is_refused(self):
        record = add.enqueue(1)
        run_job(record)

        with pytest.raises(JobflowError) as caught:
            run_job(record)

        assert f"Job {record.pk} cannot be executed now: it is not in the live table." == str(
            caught.value
        )

    def test_call_whose_queue_key_is_held_is_refused(self):
        holder = Keyed.enqueue("a")

        with pytest.raises(JobflowError) as caught:
            run_job(Keyed, "a")

        assert (
            f"tests.app.jobs.Keyed: expected the call to be stored, got job {holder.pk}, which "
            "holds the queue key 'queue:a'."
        ) == str(caught.value)

    async def test_async_test_runs_async_body(self):
        assert Succeeded(3) == await arun_job(add_async, 1, 2)


class InlineTests(TestCase):
    def test_enqueue_executes_at_once(self):
        with inline():
            record = add.enqueue(1, b=2)

        assert 3 == record.result(timeout=0)

    def test_outside_of_it_nothing_is_executed(self):
        with inline():
            pass

        assert JobState.AVAILABLE == add.enqueue(1).state
        assert not SucceededJob.objects.exists()

    @inline()
    def test_each_of_many_is_executed(self):
        add.enqueue_many([{"a": number} for number in range(3)])

        assert [1, 2, 3] == [*SucceededJob.objects.order_by("pk").values_list("result", flat=True)]

    @inline()
    def test_failure_is_in_the_row(self):
        record = end_by.enqueue("error")

        record.refresh_from_db()
        assert JobState.FAILED == record.state

    @inline(raise_errors=True)
    def test_failure_is_raised_if_that_is_wanted(self):
        with pytest.raises(ZeroDivisionError, match="by zero"):
            end_by.enqueue("error")

        assert [JobState.FAILED] == [*JobRecord.objects.values_list("state", flat=True)]

    @inline(raise_errors=True)
    def test_job_that_asks_for_another_end_raises_nothing(self):
        for kind in ("retry", "snooze", "discard", "cancel"):
            end_by.enqueue(kind)

        assert ["FAILED", "SCHEDULED", "FAILED", "CANCELLED"] == [
            *JobRecord.objects.order_by("pk").values_list("state", flat=True)
        ]

    @inline()
    def test_what_is_due_later_stays(self):
        assert [JobState.SCHEDULED] == [add.using(delay=60).enqueue(1).state]
        assert not SucceededJob.objects.exists()

    @inline()
    def test_what_a_body_enqueues_comes_after_it(self):
        calls = []
        with registry.isolated():

            @job
            def inner():
                calls.append("inner")

            @job
            def outer():
                inner.enqueue()
                calls.append("outer")

            outer.enqueue()

        assert ["outer", "inner"] == calls

    @inline()
    def test_job_that_enqueues_itself_for_ever_is_an_error(self):
        with registry.isolated():

            @job(name="again")
            def again():
                again.enqueue()

            with (
                pytest.MonkeyPatch.context() as patch,
                pytest.raises(JobflowError) as caught,
            ):
                patch.setattr("django_jobflow.testing.at_once.RUNAWAY", 2)
                again.enqueue()

        assert (
            "JOBFLOW['INLINE']: expected an enqueue to lead to at most 2 others, got more. Does "
            "a job enqueue itself?"
        ) == str(caught.value)

    @override_settings(JOBFLOW={"INLINE": True})
    def test_setting_does_the_same(self):
        assert 2 == add.enqueue(1).result(timeout=0)

    @override_settings(JOBFLOW={"INLINE": True})
    def test_hooks_of_the_test_are_left_for_its_commit(self):
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            from django.db import transaction

            transaction.on_commit(lambda: add.enqueue(5))
            add.enqueue(1)

        assert callbacks
        assert [2, 6] == [*SucceededJob.objects.order_by("pk").values_list("result", flat=True)]

    @inline()
    async def test_async_test_enqueues(self):
        await add.aenqueue(1)
        await add_async.aenqueue(1, 2)

        results = SucceededJob.objects.order_by("pk").values_list("result", flat=True)
        assert [2, 3] == [each async for each in results]

    @inline()
    def test_run_job_executes_once(self):
        with registry.isolated():

            @job
            def snooze():
                raise Snooze(60)

            assert isinstance(run_job(snooze), Snoozed)

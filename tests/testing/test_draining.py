from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import TestCase, TransactionTestCase

from django_jobflow import Job, Retry, control, current_context, job, signals
from django_jobflow.declare import registry
from django_jobflow.models import Batch, FailureGroup, JobRecord, SucceededJob
from django_jobflow.states import JobState
from django_jobflow.testing import (
    Cancelled,
    DrainError,
    Failed,
    Succeeded,
    adrain,
    commits,
    drain,
)
from tests.app.jobs import (
    Keyed,
    MakeOrder,
    TellAfterwards,
    add,
    add_async,
    count_orders_async,
    end_by,
    fail_until,
    note,
    report_progress,
)
from tests.app.models import Order


class Declared:
    """Mixin: the jobs that are only for these tests, and what they have done."""

    def setUp(self):
        super().setUp()
        self.enterContext(registry.isolated())
        self.calls = []

    def declare(self, body, **options):
        return job(**options)(body)


class DrainTests(Declared, TestCase):
    """Inside the transaction of a test, which is never committed."""

    def test_job_succeeds_and_its_row_leaves_the_table(self):
        record = add.enqueue(1, b=2)

        drained = drain()

        assert (record.pk, "tests.app.jobs.add", "default", 1, Succeeded(3)) == (
            drained[0].id,
            drained[0].name,
            drained[0].queue,
            drained[0].attempt,
            drained[0].outcome,
        )
        assert [(record.pk, 3)] == [*SucceededJob.objects.values_list("pk", "result")]
        assert not JobRecord.objects.exists()

    def test_nothing_to_do_is_nothing_done(self):
        assert () == drain()

    def test_async_body_sees_the_rows_of_the_test(self):
        Order.objects.create(number="1", email="a@example.com", total=1)
        add_async.enqueue(1, 2)
        count_orders_async.enqueue()

        assert [Succeeded(3), Succeeded(1)] == [each.outcome for each in drain()]

    def test_job_that_is_enqueued_at_the_commit_runs(self):
        with transaction.atomic():
            transaction.on_commit(lambda: add.enqueue(1))

        assert ["tests.app.jobs.add"] == drain().names
        assert () == drain()

    def test_hook_of_a_block_that_is_still_open_waits(self):
        with transaction.atomic():
            transaction.on_commit(lambda: add.enqueue(1))
            assert () == drain()

        assert ["tests.app.jobs.add"] == drain().names

    def test_what_django_has_captured_is_left_to_it(self):
        done = []
        with self.captureOnCommitCallbacks(execute=True):
            transaction.on_commit(lambda: done.append("early"))
            transaction.on_commit(lambda: transaction.on_commit(lambda: done.append("nested")))
        with self.captureOnCommitCallbacks() as captured:
            transaction.on_commit(lambda: done.append("captured"))
        transaction.on_commit(lambda: done.append("late"))

        drain()

        assert ["early", "nested", "late"] == done
        assert 1 == len(captured)

    def test_what_is_captured_is_forgotten_with_its_test(self):
        with self.captureOnCommitCallbacks():
            transaction.on_commit(lambda: None)
        drain()
        assert 1 == len(commits._captured)

        connection.run_on_commit = []
        drain()

        assert {} == commits._captured

    def test_text_in_the_place_of_a_list_is_refused(self):
        for name in ("queues", "exclude", "partitions"):
            with pytest.raises(TypeError) as caught:
                drain(**{name: "email"})

            assert f"drain: expected {name} to be a list of names, got 'email'." == str(
                caught.value
            )

    def test_limit_below_nothing_is_refused(self):
        for name in ("max_jobs", "rounds", "runaway"):
            with pytest.raises(ValueError, match="to be 0 or more") as caught:
                drain(**{name: -1})

            assert f"drain: expected {name} to be 0 or more, got -1." == str(caught.value)

    def test_hook_of_the_test_that_raises_is_the_error_of_the_test(self):
        transaction.on_commit(lambda: 1 / 0)

        with pytest.raises(ZeroDivisionError):
            drain()

    def test_hooks_of_a_body_run_after_it(self):
        def body():
            with transaction.atomic():
                transaction.on_commit(lambda: add.enqueue(1))

        self.declare(body).enqueue()

        assert [
            f"{__name__}.DrainTests.{self._testMethodName}.<locals>.body",
            "tests.app.jobs.add",
        ] == (drain().names)

    def test_body_whose_hook_raises_has_failed(self):
        def body():
            transaction.on_commit(lambda: 1 / 0)

        self.declare(body).enqueue()

        [executed] = drain()

        assert "builtins.ZeroDivisionError" == executed.outcome.error.exception

    def test_transactional_job_has_succeeded_whatever_its_hook_raises(self):
        TellAfterwards.enqueue()

        assert [Succeeded()] == [each.outcome for each in drain()]
        assert ["told"] == [order.number for order in Order.objects.all()]

    def test_transactional_job_that_fails_leaves_nothing(self):
        record = MakeOrder.enqueue("7", fail=True)

        [executed] = drain()

        record.refresh_from_db()
        assert (JobState.RETRY, 1) == (record.state, record.attempt)
        assert isinstance(executed.outcome, Failed)
        assert not Order.objects.exists()

    def test_failed_body_has_written_what_it_wrote(self):
        def body():
            Order.objects.create(number="1", email="a@example.com", total=1)
            raise ValueError("after the write")

        self.declare(body).enqueue()

        drain()

        assert Order.objects.exists()

    def test_statement_that_fails_breaks_no_transaction_but_its_own(self):
        def body():
            Order.objects.create(number="1", email="a@example.com", total=1)
            Order.objects.create(number="1", email="a@example.com", total=1)

        record = self.declare(body).enqueue()

        drain()

        record.refresh_from_db()
        assert (JobState.FAILED, "IntegrityError") == (
            record.state,
            record.errors[0]["exception"].rpartition(".")[2],
        )

    def test_retry_without_a_pause_runs_to_its_end(self):
        fail_until.enqueue(3)

        assert [1, 2, 3] == [each.attempt for each in drain()]

    def test_what_is_due_later_stays(self):
        add.using(delay=60).enqueue(1)
        end_by.using(max_attempts=2).enqueue("retry")

        drain()

        assert ["SCHEDULED", "RETRY"] == [
            *JobRecord.objects.order_by("pk").values_list("state", flat=True)
        ]

    def test_what_a_job_enqueues_is_of_the_next_round(self):
        def again(times):
            if times:
                record = registry.get(current_context().name).enqueue(times - 1)
                self.calls.append(record.pk)

        self.declare(again).enqueue(2)

        assert [1, 1, 1, 0] == [len(drain(rounds=1)) for _ in range(4)]

    def test_max_jobs_stops_without_an_error(self):
        for number in range(3):
            add.enqueue(number)

        assert [2, 1] == [len(drain(max_jobs=2)) for _ in range(2)]

    def test_job_that_enqueues_itself_for_ever_is_an_error(self):
        def again():
            registry.get(current_context().name).enqueue()

        name = self.declare(again, name="again").job._name
        registry.get(name).enqueue()
        add.enqueue(1)

        with pytest.raises(DrainError) as caught:
            drain(runaway=3)

        assert (
            "drain: expected at most 3 executions, got more: again 2 times, "
            "tests.app.jobs.add 1 times, and next again. Does a job enqueue itself? Pass "
            "rounds= or max_jobs= to stop earlier, or runaway= to allow more."
        ) == str(caught.value)
        assert ["AVAILABLE"] == [*JobRecord.objects.values_list("state", flat=True)]

    def test_time_that_is_up_is_an_error(self):
        add.enqueue(1)

        with pytest.raises(DrainError) as caught:
            drain(timeout=0)

        assert (
            "drain: expected to end within 0 s, got and next tests.app.jobs.add, and more to do. "
            "Pass timeout= to allow more."
        ) == str(caught.value)

    def test_first_error_is_raised_and_the_rest_stays(self):
        end_by.enqueue("discard")
        end_by.enqueue("retry")
        failed = end_by.enqueue("error")
        rest = add.enqueue(1)

        with pytest.raises(ZeroDivisionError, match="by zero"):
            drain(raise_errors=True)

        failed.refresh_from_db()
        rest.refresh_from_db()
        assert (JobState.FAILED, JobState.AVAILABLE, 0) == (failed.state, rest.state, rest.attempt)

    def test_error_before_the_body_is_raised_as_well(self):
        add.enqueue(1)
        JobRecord.objects.update(kwargs={"strange": 1})

        with pytest.raises(TypeError, match="strange"):
            drain(raise_errors=True)

    def test_only_the_named_queues_are_drained(self):
        note.enqueue("/dev/null", "text")
        add.enqueue(1)
        add.using(partition="eu").enqueue(2)

        assert ["tests.app.jobs.add"] == drain(queues=["default"], partitions=[""]).names
        assert ["tests.app.jobs.add"] == drain(exclude=["notes"]).names
        assert ["tests.app.jobs.note"] == drain().names

    def test_paused_queue_is_passed_over(self):
        control.pause(queue="default")
        add.enqueue(1)

        assert () == drain()

    def test_execution_key_is_handed_on(self):
        for key in "ab":
            Keyed.enqueue(key)

        assert [Succeeded("a"), Succeeded("b")] == [each.outcome for each in drain()]

    def test_batch_finishes_and_what_follows_runs(self):
        with Batch.objects.open(on_finish=add.prepared(7)) as batch:
            add.using(batch=batch).enqueue(1)

        assert [Succeeded(2), Succeeded(8)] == [each.outcome for each in drain()]
        batch.refresh_from_db()
        assert batch.finished_at is not None

    def test_job_that_another_cancels_does_not_run(self):
        def cancel_next(pk):
            JobRecord.objects.get(pk=pk).cancel()

        first = self.declare(cancel_next, priority=1)
        first.enqueue(add.enqueue(1).pk)

        assert [Succeeded, Cancelled] == [type(each.outcome) for each in drain()]

    def test_context_of_a_body_is_not_that_of_the_test(self):
        def body():
            self.calls.append(current_context().job_id)

        record = self.declare(body).enqueue()
        drain()

        assert [record.pk] == self.calls
        assert 0 == current_context().job_id

    def test_progress_is_written(self):
        record = self.declare(lambda: None, name="fails").enqueue()
        record = report_progress.using(max_attempts=1).enqueue()

        drain()

        assert 40 == SucceededJob.objects.get(pk=record.pk).progress

    def test_hooks_and_signals_come_as_in_a_worker(self):
        calls = self.calls

        class Hooked(Job):
            name = "hooked"
            max_attempts = 2

            def perform(self):
                raise Retry("later", delay=0) if self.context.attempt == 1 else ValueError("now")

            def after_run(self, outcome):
                calls.append(type(outcome).__name__)

            def on_failure(self, error, will_retry):
                calls.append((error.message, will_retry))

        def hear(sender, record, **_):
            calls.append((sender, record.state))

        for signal in (signals.job_started, signals.job_retried, signals.job_failed):
            signal.connect(hear)
            self.addCleanup(signal.disconnect, hear)
        Hooked.enqueue()

        drain()

        assert [
            (Hooked, "IN_PROGRESS"),
            "Failed",
            (Hooked, "RETRY"),
            ("later", True),
            (Hooked, "IN_PROGRESS"),
            "Failed",
            (Hooked, "FAILED"),
            ("now", False),
        ] == calls

    def test_limit_of_the_job_holds(self):
        def body(number):
            return number

        limited = self.declare(body, name="limited", rate="1/h", burst=1)
        for number in range(2):
            limited.enqueue(number)

        assert [Succeeded(0)] == [each.outcome for each in drain()]

    def test_failures_are_in_their_group(self):
        for _ in range(2):
            end_by.enqueue("error")

        drain()

        assert [("builtins.ZeroDivisionError", 2)] == [
            *FailureGroup.objects.values_list("exception", "count")
        ]

    def test_unknown_job_is_put_back_as_a_worker_does(self):
        with registry.isolated():
            self.declare(lambda: None, name="unknown").enqueue()

        assert () == drain()
        assert ["SCHEDULED"] == [*JobRecord.objects.values_list("state", flat=True)]

    def test_session_is_left_as_it_was(self):
        add.enqueue(1)
        drain()

        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SHOW enable_seqscan")
                assert ("on",) == cursor.fetchone()

    async def test_async_test_drains(self):
        await add.aenqueue(1, 2)
        await add_async.aenqueue(3, 4)

        assert [Succeeded(3), Succeeded(7)] == [each.outcome for each in await adrain()]


class CommittedDrainTests(Declared, TransactionTestCase):
    """Where every commit is real."""

    def test_hooks_have_run_by_themselves(self):
        with transaction.atomic():
            transaction.on_commit(lambda: add.enqueue(1))
        MakeOrder.enqueue("7")
        fail_until.enqueue(2)

        assert [Succeeded(2), Succeeded("7"), Failed, Succeeded(2)] == [
            Failed if isinstance(each.outcome, Failed) else each.outcome for each in drain()
        ]

    def test_statement_that_fails_fails_alone(self):
        def body():
            Order.objects.create(number="1", email="a@example.com", total=1)
            Order.objects.create(number="1", email="a@example.com", total=1)

        self.declare(body).enqueue()

        with pytest.raises(IntegrityError):
            drain(raise_errors=True)
        assert 1 == Order.objects.count()


class SetUpTestDataTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        transaction.on_commit(lambda: add.enqueue(1))

    def test_its_hooks_are_of_no_test(self):
        add.using(delay=timedelta(0)).enqueue(1)

        assert 1 == len(drain())

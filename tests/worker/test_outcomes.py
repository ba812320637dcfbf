"""Each way in which a body can end, through the real worker and the real table."""

import asyncio
import time

import pytest

from django_jobflow import Job, JobState, SoftTimeout, job
from django_jobflow.declare import registry
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.worker.softly import _Bell, warned
from tests.app import jobs
from tests.app.models import Order


def facts(record):
    record.refresh_from_db()
    error = record.errors[-1] if record.errors else {"exception": None}
    return record.state, record.attempt, error["exception"]


class ReturningTests:
    def test_result_is_kept_with_the_facts(self, drain):
        record = jobs.add.using(tags=["a"], meta={"who": "me"}).enqueue(1, b=2)

        assert drain() == 1

        kept = SucceededJob.objects.get()
        assert not JobRecord.objects.exists()
        assert (record.pk, 3, 1, ["a"], {"who": "me"}) == (
            kept.pk,
            kept.result,
            kept.attempt,
            kept.tags,
            kept.meta,
        )
        assert kept.available_at == record.available_at
        assert kept.created_at <= kept.reserved_at <= kept.started_at <= kept.succeeded_at

    def test_async_body_returns(self, drain):
        jobs.add_async.enqueue(2, b=3)

        drain()

        assert SucceededJob.objects.get().result == 5

    def test_no_more_async_bodies_run_at_a_time_than_there_are_slots(self, drain):
        running, most = set(), []

        with registry.isolated():

            @job()
            async def step(number):
                running.add(number)
                most.append(len(running))
                for _ in range(5):
                    await asyncio.sleep(0)
                running.discard(number)

            step.enqueue_many({"number": number} for number in range(80))

            assert 80 == drain(threads=3)

        assert 3 == max(most)

    def test_async_body_uses_the_orm(self, drain):
        Order.objects.create(number="1", email="a@example.com", total=1)
        jobs.count_orders_async.enqueue()

        drain()

        assert SucceededJob.objects.get().result == 1

    @pytest.mark.parametrize("job", [jobs.describe_order, jobs.describe_order_async])
    def test_model_instance_is_loaded_again(self, drain, job):
        order = Order.objects.create(number="1", email="a@example.com", total=1)
        job.enqueue(order)
        Order.objects.update(number="2")

        drain()

        assert SucceededJob.objects.get().result == "2"

    def test_instance_that_is_gone_fails_the_attempt(self, drain):
        order = Order.objects.create(number="1", email="a@example.com", total=1)
        record = jobs.describe_order.enqueue(order)
        Order.objects.all().delete()

        drain()

        expected = (JobState.FAILED, 1, "django_jobflow.exceptions.ArgumentError")
        assert expected == facts(record)

    def test_result_that_is_not_json_fails_the_attempt(self, drain):
        record = jobs.return_set.enqueue()

        drain()

        expected = (JobState.FAILED, 1, "django_jobflow.exceptions.InvalidResult")
        assert expected == facts(record)

    def test_progress_is_written(self, drain):
        jobs.report_progress.enqueue()

        drain()

        kept = SucceededJob.objects.get()
        assert kept.progress in {None, 40}  # a body this short may end before it is written


class RaisingTests:
    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            ("error", (JobState.FAILED, 1, "builtins.ZeroDivisionError")),
            ("system exit", (JobState.FAILED, 1, "builtins.SystemExit")),
            ("interrupt", (JobState.FAILED, 1, "builtins.KeyboardInterrupt")),
            ("retry", (JobState.FAILED, 1, "django_jobflow.exceptions.Retry")),
            ("discard", (JobState.FAILED, 1, "django_jobflow.exceptions.Discard")),
            ("cancel", (JobState.CANCELLED, 1, "django_jobflow.exceptions.Cancel")),
            ("snooze", (JobState.SCHEDULED, 0, None)),
        ],
    )
    def test_end_is_settled(self, drain, kind, expected):
        record = jobs.end_by.enqueue(kind)

        drain()

        assert expected == facts(record)

    def test_discard_beats_attempts_that_are_left(self, drain):
        record = jobs.end_by.using(max_attempts=5).enqueue("discard")

        drain()

        assert (JobState.FAILED, 1) == facts(record)[:2]

    def test_retry_waits_for_its_own_delay(self, drain):
        record = jobs.end_by.using(max_attempts=5).enqueue("retry")

        drain()

        assert (JobState.RETRY, 1) == facts(record)[:2]
        seconds = (record.available_at - record.updated_at).total_seconds()
        assert seconds == pytest.approx(60, abs=0.01)

    def test_failure_is_repeated_until_it_succeeds(self, drain):
        jobs.fail_until.enqueue(3)

        assert drain() == 3

        kept = SucceededJob.objects.get()
        assert (3, 3, [1, 2]) == (
            kept.result,
            kept.attempt,
            [error["number"] for error in kept.errors],
        )

    def test_attempts_used_up_are_a_failure_with_every_error(self, drain):
        record = jobs.fail_until.enqueue(9)

        assert drain() == 3

        assert (JobState.FAILED, 3, "builtins.ValueError") == facts(record)
        assert ["attempt 1 of 9", "attempt 2 of 9", "attempt 3 of 9"] == [
            error["message"] for error in record.errors
        ]
        assert all("fail_until" in error["traceback"] for error in record.errors)

    def test_retry_from_the_table_runs_again(self, drain):
        record = jobs.fail_until.using(max_attempts=1).enqueue(1)
        JobRecord.objects.filter(pk=record.pk).update(max_attempts=1)
        failing = jobs.end_by.enqueue("error")
        drain()

        failing.retry()

        assert (JobState.AVAILABLE, 0) == facts(failing)[:2]
        assert drain() == 1
        assert len(failing.errors) == 1
        failing.refresh_from_db()
        assert len(failing.errors) == 2


class TimeLimitTests:
    @pytest.mark.parametrize("job", [jobs.loop_for_ever, jobs.await_for_ever])
    def test_body_is_stopped_at_its_deadline(self, drain, job):
        record = job.enqueue()

        drain()

        assert (JobState.FAILED, 1, "django_jobflow.exceptions.JobTimeout") == facts(record)
        assert record.errors[0]["message"] == f"{record.name} ran longer than 0.2 s."

    def test_slot_works_on_after_a_time_limit(self, drain):
        jobs.loop_for_ever.enqueue()
        jobs.add.enqueue(1)

        assert drain(threads=1) == 2

        assert SucceededJob.objects.get().result == 2

    def test_body_that_does_not_react_is_given_up_after_the_grace(self, drain, settings):
        settings.JOBFLOW = {"TIMEOUT_GRACE": 0.1}
        record = jobs.sleep_in_c.enqueue(1.5)
        jobs.add.enqueue(1)

        drain(threads=1)

        assert (JobState.FAILED, 1, "django_jobflow.exceptions.JobTimeout") == facts(record)
        assert SucceededJob.objects.get().result == 2


class SoftTimeLimitTests:
    """A body is told before its time is up; the hard limit is far away in all of these."""

    @pytest.fixture
    def declare(self):
        with registry.isolated():

            def declare(perform, **options):
                options = {"soft_timeout": 0.1, "timeout": 60, "perform": perform} | options
                return type("Warned", (Job,), options)

            yield declare

    def test_plain_body_can_finish(self, drain, declare):
        def perform(self):
            try:
                while True:
                    time.sleep(0.001)
            except SoftTimeout:
                return "finished"

        declare(perform).enqueue()

        drain()

        assert "finished" == SucceededJob.objects.get().result

    def test_async_body_can_finish(self, drain, declare):
        async def perform(self):
            try:
                await asyncio.Event().wait()
            except SoftTimeout:
                await asyncio.sleep(0)
                return "finished"

        declare(perform).enqueue()

        drain()

        assert "finished" == SucceededJob.objects.get().result

    def test_it_comes_through_what_the_async_body_awaits(self, drain, declare):
        seen = []

        async def inner():
            try:
                async with asyncio.timeout(60):
                    await asyncio.gather(asyncio.Event().wait())
            except SoftTimeout as warning:
                seen.append(str(warning))
                raise

        async def perform(self):
            try:
                await inner()
            except SoftTimeout:
                async with asyncio.timeout(60):
                    await asyncio.sleep(0)
                return asyncio.current_task().cancelling()

        declare(perform).enqueue()

        drain()

        assert 0 == SucceededJob.objects.get().result
        assert ["The job has run for its soft_timeout."] == seen

    @pytest.mark.parametrize("is_async", [False, True])
    def test_body_that_lets_it_go_on_has_failed(self, drain, declare, is_async):
        def perform(self):
            while True:
                time.sleep(0.001)

        async def aperform(self):
            await asyncio.Event().wait()

        record = declare(aperform if is_async else perform).enqueue()

        drain()

        assert (JobState.FAILED, 1, "django_jobflow.exceptions.SoftTimeout") == facts(record)

    @pytest.mark.parametrize("is_async", [False, True])
    def test_body_that_ends_before_hears_nothing(self, drain, declare, is_async):
        def perform(self):
            return "soon"

        async def aperform(self):
            await asyncio.sleep(0)
            return "soon"

        declare(aperform if is_async else perform, soft_timeout=60).enqueue()

        drain()

        assert "soon" == SucceededJob.objects.get().result

    @pytest.mark.parametrize("is_async", [False, True])
    def test_body_that_ignores_it_meets_the_hard_limit(self, drain, declare, is_async):
        def perform(self):
            while True:
                try:
                    while True:
                        time.sleep(0.001)
                except SoftTimeout:
                    continue

        async def aperform(self):
            while True:
                try:
                    await asyncio.Event().wait()
                except SoftTimeout:
                    continue

        record = declare(aperform if is_async else perform, timeout=0.4).enqueue()

        drain()

        assert (JobState.FAILED, 1, "django_jobflow.exceptions.JobTimeout") == facts(record)

    def test_cancellation_at_the_same_time_stays_one(self):
        """Both are asked for before the body runs again; a warning must not swallow it."""

        async def body():
            await asyncio.Event().wait()

        async def run():
            task = asyncio.ensure_future(warned(body(), 600, SoftTimeout()))
            await asyncio.sleep(0)
            bell = _Bell(task, SoftTimeout())
            bell.ring()
            task.cancel()
            assert isinstance(bell.replace(asyncio.CancelledError()), asyncio.CancelledError)
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(run())


class TransactionalTests:
    def test_write_and_end_are_kept_together(self, drain):
        jobs.MakeOrder.enqueue("a")

        drain()

        assert Order.objects.get().number == SucceededJob.objects.get().result == "a"

    def test_failure_undoes_the_write(self, drain):
        record = jobs.MakeOrder.enqueue("a", fail=True)

        drain()

        assert not Order.objects.exists()
        assert (JobState.RETRY, 1, "builtins.ValueError") == facts(record)

    def test_end_that_breaks_a_constraint_fails_the_attempt(self, drain):
        Order.objects.create(number="a", email="a@example.com", total=1)
        record = jobs.MakeOrder.enqueue("a")

        drain()

        assert (JobState.RETRY, 1, "django.db.utils.IntegrityError") == facts(record)

    def test_hook_that_fails_after_the_commit_changes_nothing(self, drain, caplog):
        record = jobs.TellAfterwards.enqueue()

        drain()

        assert record.pk == SucceededJob.objects.get().pk
        assert "told" == Order.objects.get().number
        assert f"on_commit_failed job_id={record.pk} job_name={record.name}" in caplog.text
        assert "reservation_lost" not in caplog.text

    def test_transaction_that_is_left_open_is_undone(self, drain):
        jobs.leave_transaction_open.enqueue()
        jobs.MakeOrder.enqueue("b")

        drain(threads=1)

        assert ["b"] == list(Order.objects.values_list("number", flat=True))
        assert SucceededJob.objects.count() == 2

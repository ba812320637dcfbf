from datetime import UTC, datetime, timedelta
from unittest import mock

from django.test import TestCase

from django_jobflow import InvalidJob, operate, signals
from django_jobflow.models import FailedJob, JobRecord, SucceededJob
from django_jobflow.operate import Done
from django_jobflow.states import JobState
from tests.factories import FailedJobFactory, JobRecordFactory, SucceededJobFactory


def states():
    """Return the state of each live record, by id."""
    return list(JobRecord.objects.order_by("id").values_list("state", flat=True))


class OperateTestCase(TestCase):
    def setUp(self):
        self.enterContext(mock.patch.object(operate, "BATCH", 2))


class RetryManyTests(OperateTestCase):
    def test_all_batches_are_retried(self):
        FailedJobFactory.create_batch(5)
        JobRecordFactory(state=JobState.SCHEDULED)

        assert Done(done=5, skipped=1) == operate.retry_many(JobRecord.objects.all())
        assert [*["AVAILABLE"] * 5, "SCHEDULED"] == states()

    def test_records_leave_the_query_while_it_is_worked_through(self):
        FailedJobFactory.create_batch(5)

        assert Done(done=5) == operate.retry_many(FailedJob.objects.all())

    def test_held_queue_key_is_skipped(self):
        JobRecordFactory(queue_key="a")
        FailedJobFactory(queue_key="a")

        assert Done(done=0, skipped=1) == operate.retry_many(FailedJob.objects.all())

    def test_slice_is_retried_and_nothing_more(self):
        FailedJobFactory.create_batch(5)

        assert Done(done=3) == operate.retry_many(FailedJob.objects.order_by("-id")[:3])
        assert ["FAILED"] * 2 + ["AVAILABLE"] * 3 == states()

    def test_full_last_batch_is_no_surprise(self):
        FailedJobFactory.create_batch(4)

        assert Done(done=4) == operate.retry_many(JobRecord.objects.all())

    def test_nothing_is_nothing(self):
        assert Done(done=0) == operate.retry_many(JobRecord.objects.all())


class CancelManyTests(OperateTestCase):
    def test_waiting_are_cancelled_running_are_asked_ended_are_skipped(self):
        for state in ("AVAILABLE", "IN_PROGRESS", "FAILED", "SCHEDULED", "WAITING"):
            JobRecordFactory(state=state)

        assert Done(done=3, asked=1, skipped=1) == operate.cancel_many(JobRecord.objects.all())

    def test_each_cancelled_record_is_announced_as_it_is_now(self):
        heard = []

        def hear(sender, record, **_):
            heard.append((sender, record.pk, record.state))

        records = JobRecordFactory.create_batch(3)
        signals.job_cancelled.connect(hear)
        self.addCleanup(signals.job_cancelled.disconnect, hear)

        operate.cancel_many(JobRecord.objects.all())

        assert [(None, record.pk, "CANCELLED") for record in records] == heard


class RunNowManyTests(OperateTestCase):
    def test_pending_are_due_and_others_skipped(self):
        for state in ("SCHEDULED", "RETRY", "SCHEDULED", "FAILED"):
            JobRecordFactory(state=state)

        assert Done(done=3, skipped=1) == operate.run_now_many(JobRecord.objects.all())


class RescheduleManyTests(OperateTestCase):
    NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)

    def test_waiting_are_put_off_and_others_skipped(self):
        for state in ("SCHEDULED", "RETRY", "AVAILABLE", "WAITING", "IN_PROGRESS", "FAILED"):
            JobRecordFactory(state=state)

        done = operate.reschedule_many(JobRecord.objects.all(), run_at=self.NOON)

        assert Done(done=4, skipped=2) == done
        assert [*["SCHEDULED"] * 4, "IN_PROGRESS", "FAILED"] == states()
        assert 4 == JobRecord.objects.filter(available_at=self.NOON).count()

    def test_delay_begins_at_the_moment_that_is_given(self):
        record = JobRecordFactory()

        operate.reschedule_many(JobRecord.objects.all(), delay=60, now=self.NOON)

        record.refresh_from_db()
        assert self.NOON + timedelta(seconds=60) == record.available_at

    def test_time_is_missing_and_nothing_is_done(self):
        with self.assertRaises(InvalidJob) as caught:
            operate.reschedule_many(JobRecord.objects.all())

        assert "reschedule_many: expected run_at or delay, got neither." == str(caught.exception)


class UpdateManyTests(OperateTestCase):
    def test_waiting_are_changed_and_others_skipped(self):
        for state in ("SCHEDULED", "RETRY", "AVAILABLE", "WAITING", "RESERVED", "CANCELLED"):
            JobRecordFactory(state=state, queue="old")

        done = operate.update_many(JobRecord.objects.filter(queue="old"), queue="b", timeout=None)

        assert Done(done=4, skipped=2) == done
        assert [*["b"] * 4, *["old"] * 2] == list(
            JobRecord.objects.order_by("id").values_list("queue", flat=True)
        )
        assert 4 == JobRecord.objects.filter(timeout=None).count()

    def test_those_without_an_attempt_left_are_skipped(self):
        for attempt in (0, 1, 2):
            JobRecordFactory(state="RETRY", attempt=attempt, max_attempts=3)

        assert Done(done=2, skipped=1) == operate.update_many(
            JobRecord.objects.all(), max_attempts=2
        )

    def test_what_each_has_of_its_own_is_refused(self):
        for name in ("kwargs", "queue_key"):
            with self.assertRaises(InvalidJob) as caught:
                operate.update_many(JobRecord.objects.all(), **{name: None})

            assert str(caught.exception).startswith(f"update_many: {name!r} is not an option.")


class DeleteManyTests(OperateTestCase):
    def test_running_are_skipped(self):
        for state in ("FAILED", "IN_PROGRESS", "AVAILABLE", "RESERVED"):
            JobRecordFactory(state=state)

        assert Done(done=3, skipped=1) == operate.delete_many(JobRecord.objects.all())
        assert ["IN_PROGRESS"] == states()

    def test_successes_are_deleted(self):
        kept, *_ = SucceededJobFactory.create_batch(4)

        done = operate.delete_succeeded_many(SucceededJob.objects.exclude(pk=kept.pk))

        assert Done(done=3) == done
        assert [kept] == list(SucceededJob.objects.all())


class MomentTests(OperateTestCase):
    NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)

    def test_moment_is_given_and_written(self):
        failed = FailedJobFactory()
        scheduled = JobRecordFactory(state=JobState.SCHEDULED)
        waiting = JobRecordFactory()

        operate.retry_many(JobRecord.objects.filter(pk=failed.pk), now=self.NOON)
        operate.run_now_many(JobRecord.objects.filter(pk=scheduled.pk), now=self.NOON)
        operate.cancel_many(JobRecord.objects.filter(pk=waiting.pk), now=self.NOON)

        for record in (failed, scheduled, waiting):
            record.refresh_from_db()
        assert [self.NOON] * 3 == [
            failed.available_at,
            scheduled.available_at,
            waiting.finished_at,
        ]


class OtherDatabaseTests(OperateTestCase):
    databases = {"default", "other"}

    def test_records_of_that_database_are_changed_there(self):
        here = FailedJobFactory()
        there = JobRecord.objects.using("other")
        for state in ("FAILED", "SCHEDULED", "AVAILABLE"):
            JobRecordFactory.build(id=here.pk, state=state).save(using="other", force_insert=True)
            here.pk += 1

        assert Done(done=1, skipped=2) == operate.retry_many(there.all())
        assert Done(done=1, skipped=2) == operate.run_now_many(there.all())
        assert Done(done=3) == operate.cancel_many(there.all())
        assert Done(done=3) == operate.delete_many(there.all())
        assert ["FAILED"] == states()

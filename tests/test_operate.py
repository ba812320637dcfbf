from datetime import UTC, datetime
from unittest import mock

from django.test import TestCase

from django_jobflow import operate, signals
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

"""What attempts have logged: written again and again, and gone with their job."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_jobflow.models import JobLog, JobRecord, SucceededJob
from django_jobflow.states import JobState
from tests.engines.contract import LATER, NOON, Contract, make
from tests.factories import JobLogFactory, SucceededJobFactory


def log(job_id, text, *, attempt=1, reserved_count=1, left_out=0):
    return JobLog(
        job_id=job_id,
        attempt=attempt,
        reserved_count=reserved_count,
        worker="w",
        entries=[[NOON.timestamp(), "INFO", "shop", text]],
        left_out=left_out,
    )


def messages(job):
    return [(line.attempt, line.message) for line in job.logs()]


class WritingTests(Contract):
    def test_lines_are_written_over_those_from_before(self):
        one, other = make(), make()
        self.engine.write_logs([log(one.pk, "begun"), log(other.pk, "other")])

        self.engine.write_logs([log(one.pk, "ended", left_out=1)])

        assert [(1, "1 earlier line was left out."), (1, "ended")] == messages(one)
        assert [(1, "other")] == messages(other)

    def test_each_reservation_has_lines_of_its_own(self):
        """Numbers of attempts come again, after a retry for example."""
        record = make()
        self.engine.write_logs([log(record.pk, "later", reserved_count=3)])
        self.engine.write_logs([log(record.pk, "first", reserved_count=1)])

        assert [(1, "first"), (1, "later")] == messages(record)

    def test_line_has_its_moment_level_and_logger(self):
        record = make()
        self.engine.write_logs([log(record.pk, "begun")])

        [line] = record.logs()

        assert (NOON, "INFO", "shop") == (line.at, line.level, line.logger)
        assert "2026-11-21 12:00:00.123+00:00 INFO shop: begun" == str(line)

    def test_what_many_attempts_have_logged_is_one_statement(self, django_assert_num_queries):
        logs = [log(number, "x") for number in range(1, 51)]

        with django_assert_num_queries(1):
            self.engine.write_logs(logs)
        with CaptureQueriesContext(connection) as statements:
            self.engine.write_logs([log(number, "x") for number in range(1, 101)])

        inserts = [each for each in statements if "INSERT" in each["sql"]]
        assert (2, 100) == (len(inserts), JobLog.objects.count())

    def test_oldest_attempts_are_forgotten(self):
        """One that is snoozed again and again must not grow for ever."""
        record, other = make(), make()
        for number in (1, 2, 3):
            self.engine.write_logs([log(record.pk, "x", reserved_count=number)])
        self.engine.write_logs([log(other.pk, "other")])

        self.engine.write_logs([log(record.pk, "x", reserved_count=22)])

        kept = JobLog.objects.filter(job_id=record.pk).values_list("reserved_count", flat=True)
        assert [3, 22] == sorted(kept)
        assert [(1, "other")] == messages(other)

    def test_success_has_the_lines_of_its_record(self):
        record = make()
        self.engine.write_logs([log(record.pk, "begun")])
        [held] = JobRecord.objects.reserve(1, worker="w")
        held.start()

        held.succeed()

        assert [(1, "begun")] == messages(SucceededJob.objects.get())


class DeletingTests(Contract):
    @pytest.fixture(autouse=True)
    def logs_of_another(self, served_by, db):
        self.other = JobLogFactory(job=make())

    def left(self):
        return [each.pk for each in JobLog.objects.exclude(pk=self.other.pk)]

    def test_deleted_record_takes_its_lines_along(self):
        JobLogFactory(job=make(JobState.FAILED))

        self.engine.delete(JobRecord.objects.filter(state=JobState.FAILED))

        assert [] == self.left()

    def test_running_record_that_is_not_deleted_keeps_its_lines(self):
        kept = JobLogFactory(job=make(JobState.IN_PROGRESS))

        self.engine.delete(JobRecord.objects.filter(state=JobState.IN_PROGRESS))

        assert [kept.pk] == self.left()

    def test_deleted_success_takes_its_lines_along(self):
        job = SucceededJobFactory()
        JobLogFactory(job=job)

        self.engine.delete_succeeded([job.pk])

        assert [] == self.left()

    def test_pruned_jobs_take_their_lines_along(self):
        JobLogFactory(job=SucceededJobFactory(now=NOON))
        JobLogFactory(job=make(JobState.FAILED))

        self.engine.prune(self.engine.old_succeeded(LATER))
        self.engine.prune(self.engine.old_ended(LATER))

        assert [] == self.left()

    def test_purged_queue_takes_its_lines_along(self):
        rows = JobRecord.objects.filter(queue="a")
        JobLogFactory(job=make(queue="a"))

        self.engine.purge(rows, {JobState.AVAILABLE})

        assert [] == self.left()


class StrayTests(Contract):
    def test_lines_of_jobs_that_are_gone_are_deleted(self):
        kept = [JobLogFactory(job=make()), JobLogFactory(job=SucceededJobFactory())]
        record = make()
        JobLogFactory(job=record)
        JobRecord.objects.filter(pk=record.pk).delete()

        assert 0 == self.engine.prune_stray_logs()

        assert {each.pk for each in kept} == set(JobLog.objects.values_list("pk", flat=True))

    def test_it_goes_on_where_it_has_stopped(self, monkeypatch):
        monkeypatch.setattr("django_jobflow.engines.logs.STRAY_BATCH", 2)
        logs = JobLog.objects.bulk_create([log(number, "x") for number in range(1, 4)])
        ids = sorted(JobLog.objects.values_list("pk", flat=True))

        assert ids[1] == self.engine.prune_stray_logs()
        assert ids[2:] == list(JobLog.objects.values_list("pk", flat=True))
        assert 0 == self.engine.prune_stray_logs(ids[1])
        assert (3, 0) == (len(logs), JobLog.objects.count())

    def test_no_lines_are_one_look(self, django_assert_num_queries):
        with django_assert_num_queries(1):
            self.engine.prune_stray_logs()

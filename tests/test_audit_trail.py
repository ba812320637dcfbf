"""What the audit says of what an operator has done, and that it says so together with it."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from django_jobflow import audit, control, maintain, operate
from django_jobflow.audit import Actor
from django_jobflow.engines import engine_for
from django_jobflow.models import (
    AuditAction,
    AuditEntry,
    Batch,
    JobRecord,
    Pause,
    SucceededJob,
)
from tests.factories import (
    FailedJobFactory,
    FailureGroupFactory,
    JobRecordFactory,
    LimitFactory,
    PauseFactory,
    SucceededJobFactory,
)

pytestmark = pytest.mark.django_db
ANN = Actor("ann", "admin", "10.0.0.7")
DAY = timedelta(days=1)
FUTURE = datetime(2099, 1, 31, tzinfo=UTC)


def told():
    """Return the whole audit but for its times, the oldest first."""
    rows = AuditEntry.objects.order_by("id")
    return list(rows.values_list("action", "subject", "count", "detail"))


class ManyTests:
    def test_retry_tells_what_was_done_and_what_was_skipped(self):
        rows = [FailedJobFactory(), FailedJobFactory(), JobRecordFactory(state="SCHEDULED")]

        operate.retry_many(JobRecord.objects.all(), by=ANN, subject="queue:email")

        [entry] = AuditEntry.objects.all()
        assert ("retry", "ann", "admin", "10.0.0.7", "queue:email", 2) == (
            entry.action,
            entry.by,
            entry.via,
            entry.origin,
            entry.subject,
            entry.count,
        )
        assert {"skipped": 1, "jobs": [row.pk for row in rows]} == entry.detail
        assert abs(entry.at - timezone.now()) < timedelta(minutes=1)

    def test_cancel_tells_who_was_only_asked(self):
        rows = [JobRecordFactory(state=state) for state in ("AVAILABLE", "IN_PROGRESS")]

        operate.cancel_many(JobRecord.objects.all())

        assert [("cancel", "", 1, {"asked": 1, "jobs": [row.pk for row in rows]})] == told()

    @pytest.mark.parametrize(
        ("verb", "options", "action", "said"),
        [
            (operate.run_now_many, {}, "run_now", {}),
            (operate.reschedule_many, {"delay": 60}, "reschedule", {"delay": "0:01:00"}),
            (operate.reschedule_many, {"run_at": FUTURE}, "reschedule", {"run_at": str(FUTURE)}),
            (operate.update_many, {"priority": 7}, "update", {"priority": 7}),
            (operate.delete_many, {}, "delete", {}),
        ],
    )
    def test_each_verb_has_its_word(self, verb, options, action, said):
        record = JobRecordFactory(state="SCHEDULED")

        verb(JobRecord.objects.all(), **options)

        detail = {"jobs": [record.pk]} | ({"set": said} if said else {})
        assert [(action, "", 1, detail)] == told()

    def test_delete_from_the_history(self):
        job = SucceededJobFactory()

        operate.delete_succeeded_many(SucceededJob.objects.all())

        assert [("delete_succeeded", "", 1, {"jobs": [job.pk]})] == told()

    def test_cancelled_batch_is_closed_and_told_of(self):
        batch = Batch.objects.open()
        record = JobRecordFactory(batch_id=batch.pk)
        FailedJobFactory(batch_id=batch.pk)

        assert operate.Done(1) == operate.cancel_batch(batch, by=ANN)

        assert batch.closed_at is not None
        detail = {"jobs": [record.pk]}
        assert [("cancel_batch", f"batch:{batch.pk}", 1, detail)] == told()

    def test_many_transactions_are_one_row(self, monkeypatch):
        monkeypatch.setattr(operate, "BATCH", 2)
        monkeypatch.setattr(audit, "JOBS_NAMED", 3)
        rows = FailedJobFactory.create_batch(5)

        operate.retry_many(JobRecord.objects.all())

        assert [("retry", "", 5, {"jobs": [row.pk for row in rows[:3]]})] == told()

    @pytest.mark.parametrize(
        ("verb", "rows", "action"),
        [
            (operate.retry_many, JobRecord.objects.all(), "retry"),
            (operate.cancel_many, JobRecord.objects.all(), "cancel"),
            (operate.delete_many, JobRecord.objects.all(), "delete"),
            (operate.delete_succeeded_many, SucceededJob.objects.all(), "delete_succeeded"),
        ],
    )
    def test_nothing_found_is_told_as_none(self, verb, rows, action):
        verb(rows, subject="queue:email")

        assert [(action, "queue:email", 0, {})] == told()


class OneTests:
    def test_each_verb_of_a_record(self):
        failed, waiting = FailedJobFactory(), JobRecordFactory(state="SCHEDULED")
        running = JobRecordFactory(state="IN_PROGRESS")

        operate.retry(failed, by=ANN, priority=3)
        assert operate.run_now(waiting, by=ANN)
        assert not operate.run_now(waiting, by=ANN)
        operate.reschedule(waiting, delay=60, by=ANN)
        operate.update(waiting, queue="email", by=ANN)
        assert operate.cancel(waiting, by=ANN)
        assert not operate.cancel(running, by=ANN)

        one = f"id:{waiting.pk}"
        assert [
            ("retry", f"id:{failed.pk}", 1, {"set": {"priority": 3}}),
            ("run_now", one, 1, {}),
            ("run_now", one, 0, {}),
            ("reschedule", one, 1, {"set": {"delay": 60}}),
            ("update", one, 1, {"set": {"queue": "email"}}),
            ("cancel", one, 1, {}),
            ("cancel", f"id:{running.pk}", 0, {"asked": 1}),
        ] == told()

    def test_new_arguments_are_named_and_not_told(self):
        record = FailedJobFactory(name="tests.app.jobs.Anything", state="FAILED")

        operate.retry(record, kwargs={"card": "4111 1111"}, tags=["4111 1111"], priority=1)

        [(*_, detail)] = told()
        assert {"set": {"priority": 1}, "changed": ["kwargs", "tags"]} == detail

    def test_refused_verb_is_not_told(self):
        with pytest.raises(operate.JobRecord.DoesNotExist), transaction.atomic():
            operate.retry(FailedJobFactory())
            raise JobRecord.DoesNotExist

        assert [] == told()


class ControlTests:
    def test_pause_and_resume(self):
        control.pause(queue="email", reason="Deploy", by="ann")
        control.resume(queue="email", by=ANN)
        control.resume(job="shop.jobs.Send")

        assert [
            ("pause", "queue:email", 1, {"reason": "Deploy"}),
            ("resume", "queue:email", 1, {}),
            ("resume", "name:shop.jobs.Send", 0, {}),
        ] == told()
        assert ["code", "admin", "code"] == list(
            AuditEntry.objects.order_by("id").values_list("via", flat=True)
        )

    def test_pause_until_a_moment_that_has_passed_is_none(self):
        past = datetime(2020, 1, 31, tzinfo=UTC)

        control.pause(queue="email", for_=0)
        control.pause(queue="email", until=past)
        assert not Pause.objects.exists()
        control.pause(queue="email")
        control.pause(queue="email", for_=0)  # ends it
        assert not Pause.objects.exists()

        assert [0, 0, 1, 1] == [count for _action, _subject, count, _detail in told()]

    def test_mute_until_a_moment_that_has_passed_is_none(self):
        group = FailureGroupFactory()

        for span in (0, 60, 0):
            assert control.mute_failures(group.pk, for_=span)
        assert not control.unmute_failures(group.pk)

        subject = f"fingerprint:{group.pk}"
        assert (
            [
                ("mute", subject, 0),
                ("mute", subject, 1),
                ("mute", subject, 1),  # ends it
                ("unmute", subject, 0),
            ]
            == [row[:3] for row in told()]
        )

    def test_name_of_an_actor_stands_in_the_pause(self):
        control.pause(queue="email", by=ANN)

        assert ["ann"] == list(Pause.objects.values_list("by", flat=True))

    def test_limit(self):
        control.set_limit(queue="email", concurrency=3, rate="5/s")
        control.clear_limit(queue="email")

        quota = {"concurrency": 3, "rate": "5/s", "burst": None}
        assert [
            ("set_limit", "queue:email", 1, quota),
            ("clear_limit", "queue:email", 1, {}),
        ] == told()

    def test_purge(self):
        JobRecordFactory.create_batch(3, queue="email", partition="acme")

        assert 3 == control.purge(queue="email", partition="acme", states=["AVAILABLE"], by=ANN)
        assert 0 == control.purge(queue="email", dry_run=True)

        detail = {"states": ["AVAILABLE"]}
        assert [("purge", "queue:email partition:acme", 3, detail)] == told()

    def test_purge_of_nothing(self):
        assert 0 == control.purge(queue="email", states=["AVAILABLE"])

        assert [("purge", "queue:email", 0, {"states": ["AVAILABLE"]})] == told()


class TogetherTests:
    """An action and its row are one transaction."""

    def test_action_that_cannot_be_told_is_not_done(self):
        rows = [FailedJobFactory(), PauseFactory(), LimitFactory(), JobRecordFactory()]
        nobody = Actor("ann", None)  # which the column refuses

        for act in (
            lambda: operate.retry_many(JobRecord.objects.all(), by=nobody),
            lambda: operate.retry(rows[0], by=nobody),
            lambda: control.resume(queue="email", by=nobody),
            lambda: control.clear_limit(queue="email", by=nobody),
            lambda: control.purge(queue="default", by=nobody),
        ):
            with pytest.raises(IntegrityError), transaction.atomic():
                act()

        before = [list(type(row).objects.filter(pk=row.pk).values()) for row in rows]
        assert [1, 1, 1, 1] == list(map(len, before))
        assert "FAILED" == JobRecord.objects.get(pk=rows[0].pk).state

    @pytest.mark.django_db(transaction=True)
    def test_row_tells_what_stayed_done_of_an_action_that_was_interrupted(self, monkeypatch):
        monkeypatch.setattr(operate, "BATCH", 2)
        rows = FailedJobFactory.create_batch(5)

        def break_at_the_last(execute, sql, params, many, context):
            if sql.startswith("UPDATE") and params and rows[4].pk in params:
                raise KeyboardInterrupt
            return execute(sql, params, many, context)

        with pytest.raises(KeyboardInterrupt), connection.execute_wrapper(break_at_the_last):
            operate.retry_many(JobRecord.objects.all())

        assert [("retry", "", 4, {"jobs": [row.pk for row in rows[:4]]})] == told()
        assert 1 == JobRecord.objects.filter(state="FAILED").count()


class RecordTests:
    def test_code_can_write_its_own(self):
        audit.record(AuditAction.PRUNE, by="ann", subject="queue:x", count=3, detail={"a": 1})

        assert [("prune", "queue:x", 3, {"a": 1})] == told()

    def test_unknown_action_is_refused(self):
        with pytest.raises(ValueError, match="'explode' is not a valid AuditAction"):
            audit.record("explode")

    def test_texts_fit_whatever_they_are(self):
        audit.record("retry", by=Actor("x" * 300, "code", "y" * 300), subject="a\0" * 200)

        [entry] = AuditEntry.objects.all()
        assert (f"{'x' * 199}…", f"{'y' * 254}…", "a\ufffd" * 127 + "…") == (
            entry.by,
            entry.origin,
            entry.subject,
        )

    def test_row_is_neither_changed_nor_deleted(self):
        audit.record("retry")
        [entry] = AuditEntry.objects.all()

        with pytest.raises(TypeError, match=rf"^Audit entry {entry.pk} is not to be changed"):
            entry.save()
        with pytest.raises(TypeError, match=rf"^Audit entry {entry.pk} is not to be deleted"):
            entry.delete()


class RetentionTests:
    def prune(self, settings, by=None, **retain):
        settings.JOBFLOW = retain
        return maintain.prune(engine_for(), by)

    def old(self, age):
        audit.record("retry")
        AuditEntry.objects.filter(pk=AuditEntry.objects.latest("id").pk).update(
            at=timezone.now() - age
        )

    def test_old_rows_are_pruned(self, settings):
        self.old(366 * DAY)
        self.old(364 * DAY)

        assert [1, 0, 1] == [
            self.prune(settings),
            self.prune(settings, RETAIN_AUDIT=None),
            self.prune(settings, RETAIN_AUDIT=30 * DAY),
        ]
        assert [] == told()

    def test_prune_that_was_asked_for_is_told(self, settings):
        SucceededJobFactory.create_batch(2, now=timezone.now() - 30 * DAY)
        FailedJobFactory(now=timezone.now() - 30 * DAY)

        assert 3 == self.prune(settings, ANN, RETAIN_FAILED=DAY)

        assert [("prune", "", 3, {})] == told()

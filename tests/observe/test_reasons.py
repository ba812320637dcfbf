from datetime import UTC, datetime, timedelta

import pytest
from django.test import TestCase, override_settings
from django.utils import translation

from django_jobflow import job, observe
from django_jobflow.attempts import key_digest
from django_jobflow.declare import registry
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.observe import Cause
from django_jobflow.sentences import moment
from django_jobflow.states import JobState
from tests.factories import (
    JobRecordFactory,
    LimitFactory,
    PauseFactory,
    SucceededJobFactory,
    WorkerFactory,
    error_entry,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)
AT_NOON = "Nov. 21, 2026, 12:00:00 UTC"
AT_ONE = "Nov. 21, 2026, 13:00:00 UTC"


class Asking(TestCase):
    def setUp(self):
        self.worker = WorkerFactory(name="w:1", now=NOON)

    def make(self, state=JobState.AVAILABLE, **facts):
        return JobRecordFactory(**{"state": state, "now": NOON} | facts)

    def assert_why(self, cause, sentence, record, now=NOON):
        reason = record.why(now=now)
        assert (cause, sentence) == (reason.cause, str(reason))
        return reason.facts


class EndedTests(Asking):
    def test_failed_one_says_of_what(self):
        record = self.make(
            JobState.FAILED, max_attempts=1, errors=[error_entry(1, NOON) | {"message": "a\nb"}]
        )

        sentence = (
            f"It has failed at {AT_NOON}, after attempt 1 of 1: builtins.ConnectionError: a b"
        )
        facts = self.assert_why(Cause.FAILED, sentence, record)
        assert {"at": NOON, "attempt": 1, "most": 1} == facts

    def test_cancelled_one_says_when(self):
        record = self.make(JobState.CANCELLED)

        self.assert_why(Cause.CANCELLED, f"It was cancelled, at {AT_NOON}.", record)

    def test_succeeded_one_says_when(self):
        record = self.make()
        SucceededJobFactory(id=record.pk, now=NOON)
        JobRecord.objects.all().delete()

        sentence = f"It has succeeded, at {AT_NOON}."
        self.assert_why(Cause.SUCCEEDED, sentence, record)
        assert Cause.SUCCEEDED == observe.why(SucceededJob.objects.get()).cause

    def test_deleted_one_is_gone(self):
        record = self.make()
        JobRecord.objects.all().delete()

        self.assert_why(Cause.GONE, "There is no such job any more.", record)

    def test_what_the_object_holds_may_be_old(self):
        record = self.make(JobState.FAILED)
        record.state = JobState.AVAILABLE

        assert Cause.FAILED == record.why(now=NOON).cause


class HeldTests(Asking):
    def test_running_one_says_where_and_since_when(self):
        record = self.make(JobState.IN_PROGRESS, reserved_by="w:1", started_at=NOON)

        sentence = f"It runs on w:1 since {AT_NOON}."
        facts = self.assert_why(Cause.RUNNING, sentence, record)
        assert {"worker": "w:1", "since": NOON} == facts

    def test_one_that_was_asked_to_stop_says_so(self):
        record = self.make(
            JobState.IN_PROGRESS, reserved_by="w:1", started_at=NOON, cancel_requested_at=NOON
        )

        sentence = f"It runs on w:1 since {AT_NOON}, and was asked to stop at {AT_NOON}."
        self.assert_why(Cause.STOPPING, sentence, record)

    def test_reserved_one_is_about_to_start(self):
        record = self.make(JobState.RESERVED, reserved_by="w:1", reserved_at=NOON)

        sentence = f"w:1 has reserved it at {AT_NOON}, and is about to start it."
        self.assert_why(Cause.STARTING, sentence, record)

    def test_lapsed_one_is_about_to_be_freed(self):
        for state in (JobState.RESERVED, JobState.IN_PROGRESS):
            record = self.make(state, reserved_by="w:2", expires=NOON)

            sentence = "w:2 holds it, but its lease has lapsed at {}; it is about to be freed."
            self.assert_why(Cause.LAPSED, sentence.format(AT_NOON), record)
            assert Cause.LAPSED != record.why(now=NOON - TICK).cause

    def test_lapsed_one_without_workers_stays_as_it_is(self):
        self.worker.delete()
        record = self.make(JobState.IN_PROGRESS, reserved_by="w:2", expires=NOON)

        sentence = f"w:2 holds it, but its lease has lapsed at {AT_NOON}; no worker is alive."
        self.assert_why(Cause.LAPSED, sentence, record)


class PendingTests(Asking):
    def test_scheduled_one_says_when_it_is_due(self):
        record = self.make(JobState.SCHEDULED, available_at=NOON + HOUR)

        facts = self.assert_why(Cause.NOT_DUE, f"It is due at {AT_ONE}.", record)
        assert {"at": NOON + HOUR} == facts

    @override_settings(TIME_ZONE="Europe/Berlin")
    def test_moment_is_told_as_its_reader_writes_it(self):
        record = self.make(JobState.SCHEDULED, available_at=NOON + HOUR)

        with translation.override("de"):
            sentence = "Er ist am 21. November 2026, 14:00:00 CET fällig."
            self.assert_why(Cause.NOT_DUE, sentence, record)

    @override_settings(USE_TZ=False)
    def test_moment_without_a_zone_is_told_as_it_is(self):
        assert "Nov. 21, 2026, 12:00:00 UTC" == moment(datetime(2026, 11, 21, 12))

    def test_one_that_has_failed_says_so(self):
        record = self.make(JobState.RETRY, available_at=NOON + HOUR)

        sentence = f"Attempt 1 of 3 has failed; the next is due at {AT_ONE}."
        self.assert_why(Cause.NOT_DUE, sentence, record)

    def test_one_whose_code_was_unknown_says_so(self):
        since = {"jobflow.unknown_since": NOON.isoformat()}
        record = self.make(JobState.SCHEDULED, available_at=NOON + MINUTE, meta=since)
        later = self.make(JobState.SCHEDULED, available_at=NOON + HOUR, meta=since)
        strange = self.make(JobState.SCHEDULED, meta={"jobflow.unknown_since": 3})

        sentence = (
            "A worker that did not know its code has put it back; it is due at "
            "Nov. 21, 2026, 12:01:00 UTC."
        )
        self.assert_why(Cause.NOT_DUE, sentence, record)
        for each in (later, strange):
            self.assert_why(Cause.NOT_DUE, f"It is due at {AT_ONE}.", each)

    def test_due_one_waits_for_a_sweep(self):
        record = self.make(JobState.SCHEDULED, available_at=NOON)

        sentence = f"It is due since {AT_NOON}, and the next sweep of a worker makes it available."
        self.assert_why(Cause.OVERDUE, sentence, record)
        self.worker.delete()
        assert Cause.NO_WORKER == record.why(now=NOON).cause


class WaitingTests(Asking):
    def test_key_is_held_by_another(self):
        holder = self.make(JobState.IN_PROGRESS, execution_key="account:7")
        record = self.make(JobState.WAITING, execution_key="account:7")

        facts = self.assert_why(
            Cause.KEY_HELD,
            "It waits behind execution key 'account:7', which job "
            f"{holder.pk} (IN_PROGRESS) holds.",
            record,
        )
        assert {"key": "account:7", "holders": {holder.pk: "IN_PROGRESS"}} == facts

    def test_key_of_several_places_has_several_holders(self):
        with registry.isolated():

            @job(name="two_at_a_time", concurrency=2)
            def fetch(): ...

            held = {"name": "two_at_a_time", "execution_key": "k"}
            record = self.make(JobState.WAITING, **held)
            first = self.make(JobState.IN_PROGRESS, **held)
            assert Cause.KEY_FREE == record.why(now=NOON).cause

            second = self.make(
                JobState.RESERVED, **held, held_execution_key=key_digest("", "k", 1)
            )

            self.assert_why(
                Cause.KEY_HELD,
                "It waits behind execution key 'k', which 2 jobs hold: "
                f"{first.pk} (IN_PROGRESS), {second.pk} (RESERVED).",
                record,
            )

    def test_key_of_another_partition_is_another(self):
        self.make(JobState.IN_PROGRESS, execution_key="k", partition="acme")
        record = self.make(JobState.WAITING, execution_key="k")

        sentence = "Its execution key 'k' is free, and it is made available with the next sweep."
        self.assert_why(Cause.KEY_FREE, sentence, record)


class PauseTests(Asking):
    def test_pause_says_who_until_when_and_why(self):
        PauseFactory(
            kind="queue", value="email", by="ann", until=NOON + HOUR, reason="the server moves"
        )
        record = self.make(queue="email")

        facts = self.assert_why(
            Cause.PAUSED,
            f"Queue 'email' is paused by ann until {AT_ONE}: the server moves.",
            record,
        )
        assert {
            "kind": "queue",
            "name": "email",
            "by": "ann",
            "until": NOON + HOUR,
            "reason": "the server moves",
        } == facts

    def test_job_and_partition_are_paused_too(self):
        for kind, value, told in (
            ("job", "a", "Job 'a' is paused."),
            ("partition", "acme", "Partition 'acme' is paused."),
        ):
            pause = PauseFactory(kind=kind, value=value, by="", reason="", until=None)
            record = self.make(name="a", partition="acme")

            self.assert_why(Cause.PAUSED, told, record)
            pause.delete()

    def test_longest_pause_is_told(self):
        for value, until in (("email", NOON + HOUR), ("a", None), ("b", NOON + HOUR)):
            kind = "queue" if value == "email" else "job"
            PauseFactory(kind=kind, value=value, until=until, by="", reason="")

        assert "Job 'a' is paused." == str(self.make(queue="email", name="a").why(now=NOON))

    def test_pause_that_is_over_or_of_another_says_nothing(self):
        PauseFactory(kind="queue", value="default", until=NOON)
        PauseFactory(kind="job", value="default")

        assert Cause.PAUSED != self.make().why(now=NOON).cause


class LimitTests(Asking):
    def test_queue_that_is_full_says_how_many_run(self):
        LimitFactory(value="email", concurrency=2)
        self.make(JobState.IN_PROGRESS, queue="email")
        record = self.make(queue="email")
        assert Cause.NO_FREE_SLOT == record.why(now=NOON).cause

        self.make(JobState.RESERVED, queue="email")

        sentence = "Queue 'email' is at its limit: 2 of 2 run."
        facts = self.assert_why(Cause.LIMITED, sentence, record)
        assert {"kind": "queue", "name": "email", "concurrency": 2, "running": 2} == facts
        assert Cause.NO_FREE_SLOT == self.make().why(now=NOON).cause

    def test_queue_without_a_token_says_when_the_next_comes(self):
        rate = {"rate": 1, "period": MINUTE}
        LimitFactory(value="sms", concurrency=5, **rate, tokens=0.0, filled_at=NOON)
        record = self.make(queue="sms")

        facts = self.assert_why(
            Cause.LIMITED,
            "Queue 'sms' is at its rate of 1/m: the next may start at Nov. 21, 2026, "
            "12:01:00 UTC.",
            record,
        )
        assert {"kind": "queue", "name": "sms", **rate, "next_at": NOON + MINUTE} == facts
        assert Cause.NO_FREE_SLOT == record.why(now=NOON + MINUTE).cause

    def test_limit_of_the_settings_is_one_too(self):
        self.make(JobState.IN_PROGRESS, queue="email")
        record = self.make(queue="email")

        with self.settings(JOBFLOW={"QUEUES": {"email": {"limit": 1}}}):
            sentence = "Queue 'email' is at its limit: 1 of 1 run."
            self.assert_why(Cause.LIMITED, sentence, record)

    def test_job_is_limited_too(self):
        LimitFactory(kind="job", value="a", concurrency=1)
        self.make(JobState.IN_PROGRESS, name="a")

        for record in (self.make(name="a"), self.make(JobState.WAITING, name="a", parked_for="a")):
            facts = self.assert_why(Cause.LIMITED, "Job 'a' is at its limit: 1 of 1 run.", record)
            assert {"kind": "job", "name": "a", "concurrency": 1, "running": 1} == facts

    def test_rate_of_the_code_is_a_limit(self):
        with registry.isolated():

            @job(name="crawl", aliases=["old"], rate="1/m")
            def crawl(): ...

            LimitFactory(
                kind="job",
                value="crawl",
                is_override=False,
                concurrency=None,
                tokens=0.0,
                filled_at=NOON,
            )
            record = self.make(JobState.WAITING, name="old", parked_for="crawl")

            self.assert_why(
                Cause.LIMITED,
                "Job 'crawl' is at its rate of 1/m: the next may start at "
                "Nov. 21, 2026, 12:01:00 UTC.",
                record,
            )

    def test_parked_one_that_nothing_holds_back_waits_for_a_worker(self):
        record = self.make(JobState.WAITING, name="a", parked_for="a")

        sentence = "It waits until its job 'a' may start the next, and a worker is free."
        facts = self.assert_why(Cause.PARKED, sentence, record)
        assert {"name": "a"} == facts

    def test_parked_one_is_paused_under_any_of_its_names(self):
        with registry.isolated():

            @job(name="crawl", aliases=["old"])
            def crawl(): ...

            PauseFactory(kind="job", value="crawl")
            record = self.make(JobState.WAITING, name="old", parked_for="crawl")

            self.assert_why(Cause.PAUSED, "Job 'crawl' is paused.", record)

    def test_key_has_as_many_places_as_an_operator_says(self):
        LimitFactory(kind="key", value="k", concurrency=2)
        record = self.make(JobState.WAITING, execution_key="k")
        first = self.make(JobState.IN_PROGRESS, execution_key="k")
        assert Cause.KEY_FREE == record.why(now=NOON).cause

        second = self.make(
            JobState.RESERVED, execution_key="k", held_execution_key=key_digest("", "k", 7)
        )

        self.assert_why(
            Cause.KEY_HELD,
            "It waits behind execution key 'k', which 2 jobs hold: "
            f"{first.pk} (IN_PROGRESS), {second.pk} (RESERVED).",
            record,
        )

    def test_key_without_a_token_says_when_the_next_comes(self):
        rate = {"rate": 1, "period": MINUTE}
        LimitFactory(kind="key", value="k", concurrency=None, **rate, tokens=0.0, filled_at=NOON)
        record = self.make(JobState.WAITING, execution_key="k")

        self.assert_why(
            Cause.LIMITED,
            "Execution key 'k' is at its rate of 1/m: the next may start at "
            "Nov. 21, 2026, 12:01:00 UTC.",
            record,
        )

    def test_pause_is_told_before_a_limit(self):
        LimitFactory(value="email", concurrency=1)
        self.make(JobState.IN_PROGRESS, queue="email")
        PauseFactory(value="email")

        assert Cause.PAUSED == self.make(queue="email").why(now=NOON).cause


class WorkerTests(Asking):
    def test_queue_that_nobody_serves_is_named(self):
        WorkerFactory(queues=["email"], now=NOON)
        self.worker.delete()
        record = self.make(queue="reports")

        facts = self.assert_why(
            Cause.NO_WORKER, "No living worker serves queue 'reports'.", record
        )
        assert {"queue": "reports", "partition": ""} == facts

    def test_queue_that_all_exclude_is_served_by_nobody(self):
        self.worker.excluded = ["reports"]
        self.worker.save()

        assert Cause.NO_WORKER == self.make(queue="reports").why(now=NOON).cause
        assert Cause.NO_FREE_SLOT == self.make(queue="email").why(now=NOON).cause

    def test_partition_that_nobody_serves_is_named(self):
        self.worker.partitions = ["acme"]
        self.worker.save()
        record = self.make(partition="zeta")

        sentence = "No living worker of queue 'default' serves partition 'zeta'."
        self.assert_why(Cause.NO_WORKER, sentence, record)

    def test_silent_worker_serves_nothing(self):
        record = self.make()

        assert Cause.NO_FREE_SLOT == record.why(now=NOON + MINUTE).cause
        assert Cause.NO_WORKER == record.why(now=NOON + MINUTE + TICK).cause

    def test_job_that_nobody_knows_is_named(self):
        self.worker.names = ["other"]
        self.worker.save()
        record = self.make(name="gone")

        sentence = "No living worker of queue 'default' knows a job of the name 'gone'."
        self.assert_why(Cause.UNKNOWN_JOB, sentence, record)
        WorkerFactory(names=["gone"], now=NOON)
        assert Cause.NO_FREE_SLOT == record.why(now=NOON).cause


class QueueTests(Asking):
    def test_what_is_before_it_is_counted(self):
        record = self.make(priority=1, available_at=NOON)
        self.make(priority=2, available_at=NOON)
        self.make(priority=1, available_at=NOON - TICK)
        for behind in ({"priority": 0}, {"priority": 1, "available_at": NOON}, {"queue": "email"}):
            self.make(**{"priority": 2, "available_at": NOON} | behind)

        sentence = "It waits for a free slot: 2 jobs of queue 'default' are before it."
        facts = self.assert_why(Cause.NO_FREE_SLOT, sentence, record)
        assert {"ahead": 2, "more": False, "queue": "default"} == facts

    def test_next_one_is_the_next(self):
        sentence = "It waits for a free slot, as the next of queue 'default'."
        self.assert_why(Cause.NO_FREE_SLOT, sentence, self.make())

    def test_pointless_one_will_be_discarded(self):
        record = self.make(expires_at=NOON)

        sentence = f"It is pointless since {AT_NOON}, and about to be discarded."
        self.assert_why(Cause.POINTLESS, sentence, record)
        assert Cause.POINTLESS != record.why(now=NOON - TICK).cause


@pytest.mark.django_db
@pytest.mark.parametrize("state", JobState)
def test_every_state_has_its_reason(state):
    record = JobRecordFactory(state=state, now=NOON)

    assert record.why(now=NOON).sentence.endswith((".", "refused."))


@pytest.mark.django_db
def test_statements_are_few(django_assert_max_num_queries):
    WorkerFactory()
    record = JobRecordFactory()

    with django_assert_max_num_queries(6):
        record.why()
    LimitFactory(value=record.queue)
    with django_assert_max_num_queries(7):
        record.why()

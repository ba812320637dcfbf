import logging
from datetime import timedelta

import pytest

from django_jobflow import Job, maintain, signals
from django_jobflow.declare import registry
from django_jobflow.engines import engine_for
from django_jobflow.maintain import Remains
from django_jobflow.models import JobRecord, Release, SucceededJob, Worker
from django_jobflow.states import JobState
from tests.factories import (
    WORKER,
    FailedJobFactory,
    JobRecordFactory,
    SucceededJobFactory,
    WorkerFactory,
)

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture
def engine():
    with registry.isolated():
        yield engine_for()


@pytest.fixture
def heard():
    """Yield what receivers of the signals are told: signal, sender, id and state."""
    told = []
    names = ("job_rescued", "job_failed")

    def listen(name):
        def hear(sender, record, **_):
            told.append((name, sender, record.pk, record.state))

        getattr(signals, name).connect(hear)
        return hear

    receivers = {name: listen(name) for name in names}
    yield told
    for name, receiver in receivers.items():
        getattr(signals, name).disconnect(receiver)


def live():
    return dict(JobRecord.objects.values_list("pk", "state"))


class RescueTests:
    def test_what_has_lapsed_is_freed_and_counted(self, engine):
        reserved = JobRecordFactory(state=JobState.RESERVED, lapsed=True)
        running = JobRecordFactory(state=JobState.IN_PROGRESS, lapsed=True)
        spent = JobRecordFactory(state=JobState.IN_PROGRESS, lapsed=True, spent=True)
        held = JobRecordFactory(state=JobState.IN_PROGRESS)

        assert 3 == maintain.rescue(engine)
        assert {
            reserved.pk: JobState.AVAILABLE,
            running.pk: JobState.AVAILABLE,
            spent.pk: JobState.FAILED,
            held.pk: JobState.IN_PROGRESS,
        } == live()

    def test_keys_that_nobody_holds_are_given_to_the_next(self, engine):
        waiting = JobRecordFactory(state=JobState.WAITING)

        assert 0 == maintain.rescue(engine)
        assert {waiting.pk: JobState.AVAILABLE} == live()

    def test_what_is_pointless_ends_and_is_told_of(self, engine, heard, caplog):
        class Charge(Job):
            def perform(self):
                pass

        past = engine.now() - DAY
        record = JobRecordFactory(name=Charge.definition().name, expires_at=past)
        JobRecordFactory(expires_at=past + 2 * DAY)

        with caplog.at_level(logging.INFO, "django_jobflow"):
            assert 0 == maintain.rescue(engine)

        record.refresh_from_db()
        assert JobState.FAILED == record.state
        assert [("job_failed", Charge, record.pk, JobState.FAILED)] == heard
        assert 1 == sum("job_failed" in each.message for each in caplog.records)

    def test_there_is_nothing_to_do_and_five_statements_say_so(
        self, engine, django_assert_num_queries
    ):
        JobRecordFactory(state=JobState.IN_PROGRESS)
        control = 3 * 2  # each of the three sweeps opens and closes a savepoint

        with django_assert_num_queries(5 + control):
            assert 0 == maintain.rescue(engine)

    def test_each_is_logged_as_its_worker_held_it(self, engine, caplog):
        running = JobRecordFactory(state=JobState.IN_PROGRESS, lapsed=True)
        spent = JobRecordFactory(state=JobState.IN_PROGRESS, lapsed=True, spent=True)

        with caplog.at_level(logging.INFO, "django_jobflow.maintain"):
            maintain.rescue(engine)

        assert [
            (
                logging.WARNING,
                f"job_rescued job_id={running.pk} job_name=shop.jobs.SendReceipt "
                "state=IN_PROGRESS attempt=1 worker=host-1:4711",
            ),
            (
                logging.ERROR,
                f"job_lost job_id={spent.pk} job_name=shop.jobs.SendReceipt "
                "state=IN_PROGRESS attempt=3 worker=host-1:4711",
            ),
        ] == [(record.levelno, record.message) for record in caplog.records]

    def test_each_is_announced_and_a_lost_one_as_failed_too(self, engine, heard):
        class Charge(Job):
            def perform(self):
                pass

        running = JobRecordFactory(
            state=JobState.IN_PROGRESS, lapsed=True, name=Charge.definition().name
        )
        spent = JobRecordFactory(state=JobState.IN_PROGRESS, lapsed=True, spent=True)

        maintain.rescue(engine)

        assert [
            ("job_rescued", Charge, running.pk),
            ("job_rescued", None, spent.pk),
            ("job_failed", None, spent.pk),
        ] == [each[:3] for each in heard]


KILLED = Remains(worker=WORKER, cause="was killed by SIGKILL")


class RescueWorkerTests:
    def test_what_it_held_is_freed_and_its_row_is_gone(self, engine):
        reserved = JobRecordFactory(state=JobState.RESERVED)
        running = JobRecordFactory(state=JobState.IN_PROGRESS)
        spent = JobRecordFactory(state=JobState.IN_PROGRESS, spent=True)
        others = JobRecordFactory(state=JobState.IN_PROGRESS, reserved_by="host-2:1")
        WorkerFactory(name=WORKER)
        WorkerFactory(name="host-2:1")

        assert 3 == maintain.rescue_worker(engine, KILLED)
        assert {
            reserved.pk: JobState.AVAILABLE,
            running.pk: JobState.AVAILABLE,
            spent.pk: JobState.FAILED,
            others.pk: JobState.IN_PROGRESS,
        } == live()
        assert ["host-2:1"] == list(Worker.objects.values_list("name", flat=True))

    def test_each_is_announced_and_a_lost_one_as_failed_too(self, engine, heard):
        reserved = JobRecordFactory(state=JobState.RESERVED, attempt=2)
        spent = JobRecordFactory(state=JobState.IN_PROGRESS, spent=True)

        maintain.rescue_worker(engine, KILLED)

        assert [
            ("job_rescued", None, reserved.pk, JobState.RESERVED),
            ("job_rescued", None, spent.pk, JobState.IN_PROGRESS),
            ("job_failed", None, spent.pk, JobState.IN_PROGRESS),
        ] == heard

    def test_it_held_nothing_and_two_statements_say_so(self, engine, django_assert_num_queries):
        with django_assert_num_queries(1 + 2 + 2):  # two looks, one in a savepoint, and the row
            assert 0 == maintain.rescue_worker(engine, KILLED)


class RemainsTests:
    """What a supervisor has seen of a dead worker decides what its jobs pay."""

    @pytest.fixture
    def held(self):
        """One that ran past its limit, one that ran, one that waited for a slot."""
        return [
            JobRecordFactory(state=JobState.IN_PROGRESS, attempt=1, max_attempts=2)
            for _ in range(3)
        ]

    def rescue(self, engine, held, **facts):
        stuck, ran, waited = held
        begun = frozenset({(stuck.pk, 1), (ran.pk, 1), (waited.pk, 7)})
        remains = Remains(
            worker=WORKER,
            cause="was killed by SIGKILL",
            begun=begun,
            overdue=frozenset({(stuck.pk, 1)}),
            **facts,
        )
        assert 3 == maintain.rescue_worker(engine, remains)
        for record in held:
            record.refresh_from_db()
        return [
            (record.state, record.attempt, [e["exception"].split(".")[-1] for e in record.errors])
            for record in held
        ]

    def test_each_pays_for_what_it_did(self, engine, held):
        assert [
            (JobState.RETRY, 1, ["JobTimeout"]),
            (JobState.AVAILABLE, 1, ["WorkerLost"]),
            (JobState.AVAILABLE, 0, []),
        ] == self.rescue(engine, held)

    def test_others_pay_nothing_for_one_that_was_stuck(self, engine, held):
        assert [
            (JobState.RETRY, 1, ["JobTimeout"]),
            (JobState.AVAILABLE, 0, []),
            (JobState.AVAILABLE, 0, []),
        ] == self.rescue(engine, held, spares=True)

    def test_former_reservation_had_begun_and_the_attempt_is_not_paid_for(self, engine):
        """It was given back after that, and reserved by the same worker once more."""
        record = JobRecordFactory(state=JobState.IN_PROGRESS, attempt=1, reserved_count=2)
        former = frozenset({(record.pk, 1)})
        remains = Remains(worker=WORKER, cause="died", begun=former, overdue=former)

        maintain.rescue_worker(engine, remains)

        record.refresh_from_db()
        assert (JobState.AVAILABLE, 0, []) == (record.state, record.attempt, record.errors)

    def test_next_attempt_of_another_worker_is_left_alone(self, engine, held):
        JobRecord.objects.update(attempt=2, reserved_by="host-2:1")
        remains = Remains(worker=WORKER, cause="died", begun=frozenset(), spares=True)

        assert 0 == maintain.rescue_worker(engine, remains)

    def test_end_is_told(self, engine, held, heard, caplog):
        self.rescue(engine, held)

        assert "job_retried" in caplog.text
        assert 1 == caplog.text.count("job_rescued")


class PruneTests:
    def prune(self, engine, settings, **retention):
        settings.JOBFLOW = retention
        return maintain.prune(engine)

    def test_old_successes_are_deleted(self, engine, settings):
        old = SucceededJobFactory(succeeded_at=engine.now() - 2 * DAY)
        young = SucceededJobFactory(succeeded_at=engine.now() - DAY / 2)

        assert 1 == self.prune(engine, settings, RETAIN_SUCCEEDED=DAY)
        assert [young.pk] == list(SucceededJob.objects.values_list("pk", flat=True))
        assert old.pk != young.pk

    def test_successes_are_kept_for_a_week_when_nothing_is_said(self, engine, settings):
        SucceededJobFactory(succeeded_at=engine.now() - 8 * DAY)
        SucceededJobFactory(succeeded_at=engine.now() - 6 * DAY)

        assert 1 == self.prune(engine, settings)

    def test_successes_are_kept_for_ever(self, engine, settings):
        SucceededJobFactory(succeeded_at=engine.now() - 9999 * DAY)

        assert 0 == self.prune(engine, settings, RETAIN_SUCCEEDED=None)

    def test_jobs_that_say_so_themselves_are_kept_for_another_time(self, engine, settings):
        class Short(Job):
            name = "shop.Short"
            aliases = ["shop.Brief"]
            retain_succeeded = DAY

            def perform(self):
                pass

        class Ever(Job):
            name = "shop.Ever"
            retain_succeeded = None

            def perform(self):
                pass

        moment = engine.now() - 3 * DAY
        for name in ("shop.Short", "shop.Brief", "shop.Ever", "shop.Other", "shop.Ancient"):
            SucceededJobFactory(name=name, succeeded_at=moment)
        SucceededJobFactory(name="shop.Ancient", succeeded_at=moment - 30 * DAY)
        SucceededJobFactory(name="shop.Ever", succeeded_at=moment - 30 * DAY)

        assert 3 == self.prune(engine, settings, RETAIN_SUCCEEDED=7 * DAY)
        assert ["shop.Ancient", "shop.Ever", "shop.Ever", "shop.Other"] == sorted(
            SucceededJob.objects.values_list("name", flat=True)
        )

    def test_only_some_jobs_are_pruned_when_the_rest_is_kept_for_ever(self, engine, settings):
        class Short(Job):
            name = "shop.Short"
            retain_succeeded = DAY

            def perform(self):
                pass

        for name in ("shop.Short", "shop.Other"):
            SucceededJobFactory(name=name, succeeded_at=engine.now() - 3 * DAY)

        assert 1 == self.prune(engine, settings, RETAIN_SUCCEEDED=None)
        assert ["shop.Other"] == list(SucceededJob.objects.values_list("name", flat=True))

    def test_ended_records_are_kept_when_nothing_is_said(self, engine, settings):
        FailedJobFactory(finished_at=engine.now() - 9999 * DAY)

        assert 0 == self.prune(engine, settings)

    def test_ended_records_are_deleted_when_they_are_old(self, engine, settings):
        FailedJobFactory(finished_at=engine.now() - 2 * DAY)
        JobRecordFactory(state=JobState.CANCELLED, finished_at=engine.now() - 2 * DAY)
        young = FailedJobFactory(finished_at=engine.now() - DAY / 2)

        assert 2 == self.prune(engine, settings, RETAIN_FAILED=DAY)
        assert {young.pk: JobState.FAILED} == live()

    def test_old_releases_go_as_the_failures_do(self, engine, settings):
        for name, days in (("r1", 40), ("r2", 20), ("r3", 1)):
            Release.objects.create(name=name, first_seen_at=engine.now() - days * DAY)

        assert 1 == self.prune(engine, settings)
        assert 1 == self.prune(engine, settings, RETAIN_FAILURES=7 * DAY)
        assert 0 == self.prune(engine, settings, RETAIN_FAILURES=DAY / 24)
        assert ["r3"] == [release.name for release in Release.objects.all()]

    def test_count_is_logged(self, engine, settings, caplog):
        SucceededJobFactory(succeeded_at=engine.now() - 8 * DAY)

        with caplog.at_level(logging.INFO, "django_jobflow.maintain"):
            self.prune(engine, settings)

        assert ["jobs_pruned rows=1"] == caplog.messages

    def test_there_is_nothing_to_delete_and_nothing_is_logged(self, engine, settings, caplog):
        with caplog.at_level(logging.INFO, "django_jobflow.maintain"):
            assert 0 == self.prune(engine, settings)

        assert [] == caplog.messages

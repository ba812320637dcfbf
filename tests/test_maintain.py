import logging
from datetime import timedelta

import pytest

from django_jobflow import Job, maintain, signals
from django_jobflow.declare import registry
from django_jobflow.engines import engine_for
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.states import JobState
from tests.factories import FailedJobFactory, JobRecordFactory, SucceededJobFactory

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

    def test_there_is_nothing_to_do_and_three_statements_say_so(
        self, engine, django_assert_num_queries
    ):
        JobRecordFactory(state=JobState.IN_PROGRESS)
        control = 2 * 2  # each of the two sweeps opens and closes a savepoint

        with django_assert_num_queries(3 + control):
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

    def test_count_is_logged(self, engine, settings, caplog):
        SucceededJobFactory(succeeded_at=engine.now() - 8 * DAY)

        with caplog.at_level(logging.INFO, "django_jobflow.maintain"):
            self.prune(engine, settings)

        assert ["jobs_pruned rows=1"] == caplog.messages

    def test_there_is_nothing_to_delete_and_nothing_is_logged(self, engine, settings, caplog):
        with caplog.at_level(logging.INFO, "django_jobflow.maintain"):
            assert 0 == self.prune(engine, settings)

        assert [] == caplog.messages

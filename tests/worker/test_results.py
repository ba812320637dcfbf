"""Waiting for a result, with a worker that runs beside in a thread of its own."""

import asyncio
import threading
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, connections, transaction

from django_jobflow import InvalidJob, Job, JobCancelled, JobFailed, NoResult
from django_jobflow.declare import registry
from django_jobflow.engines import awaiting, engine_for
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.states import JobState
from django_jobflow.worker.coordinator import Coordinator
from django_jobflow.worker.options import WorkerOptions
from tests.factories import FailedJobFactory, JobRecordFactory, SucceededJobFactory

LONG = 60  # seconds after which a test has failed

GO_ON = threading.Event()
"""What a body waits for until it is to end."""


@pytest.fixture(autouse=True)
def own_jobs():
    GO_ON.clear()
    with registry.isolated():
        yield


@pytest.fixture
def worker(transactional_db):
    """A worker that waits for work, in a thread."""
    coordinators, threads = [], []

    def start():
        hears = threading.Event()

        def run():
            coordinator = Coordinator(WorkerOptions(database="default"))
            coordinators.append(coordinator)
            follow = coordinator.wakeups.follow

            def note():
                follow()
                hears.set()

            coordinator.wakeups.follow = note
            coordinator.run()
            connections.close_all()

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        assert hears.wait(LONG)
        return coordinators[-1]

    yield start
    GO_ON.set()
    for coordinator in coordinators:
        coordinator.request_stop()
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()


def declare(how="return", **options):
    class Wait(Job):
        locals().update(timeout=LONG, **options)

        def perform(self, result=None):
            if how == "wait":
                assert GO_ON.wait(LONG)
            if how == "raise":
                raise ValueError("no")
            return result

    return Wait


class ResultTests:
    def test_result_comes_when_the_job_has_ended(self, worker):
        job = declare()  # before the worker begins, which asks once which jobs there are
        worker()

        assert {"a": 1} == job.enqueue({"a": 1}).result(timeout=LONG)

    def test_result_that_is_there_is_returned_at_once(self, drain):
        record = declare().enqueue(7)
        drain()

        assert 7 == record.result(timeout=0)

    def test_failure_is_raised_with_what_was_said(self, worker):
        job = declare("raise")
        worker()
        record = job.enqueue()

        with pytest.raises(JobFailed) as caught:
            record.result(timeout=LONG)

        assert (f"Job {record.pk} ({record.name}) has FAILED: builtins.ValueError: no") == str(
            caught.value
        )
        assert caught.value.record is record
        assert JobState.FAILED == record.state

    @pytest.mark.django_db(transaction=True)
    def test_cancelled_record_has_no_result(self):
        record = declare().enqueue()
        JobRecord.objects.get().cancel()

        with pytest.raises(JobCancelled) as caught:
            record.result()

        assert f"Job {record.pk} ({record.name}) is CANCELLED." == str(caught.value)

    @pytest.mark.django_db(transaction=True)
    def test_deleted_record_has_no_result(self):
        record = declare().enqueue()
        JobRecord.objects.all().delete()

        with pytest.raises(NoResult) as caught:
            record.result()

        assert (
            f"Job {record.pk} ({record.name}) has left nothing: it was deleted, or has succeeded "
            "and is not kept any more."
        ) == str(caught.value)

    @pytest.mark.parametrize("how", ["delete", "cancel"])
    def test_record_that_goes_while_it_is_waited_for_ends_the_wait(self, transactional_db, how):
        """Nobody wakes who waits here: no worker is there that ends anything."""
        record = declare().enqueue()
        waits = threading.Event()

        def go():
            waits.wait(LONG)
            getattr(JobRecord.objects.get(), how)()
            connections.close_all()

        thread = threading.Thread(target=go)
        thread.start()

        def first_look(execute, *rest):
            try:
                return execute(*rest)
            finally:
                waits.set()

        with (
            connection.execute_wrapper(first_look),
            pytest.raises(NoResult if how == "delete" else JobCancelled),
        ):
            record.result(timeout=LONG)
        thread.join(LONG)

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("timeout", [0, 0.02, timedelta(0)])
    def test_time_is_up(self, timeout):
        record = declare().enqueue()

        with pytest.raises(TimeoutError, match=f"Job {record.pk} .* it is AVAILABLE"):
            record.result(timeout=timeout)

    @pytest.mark.django_db(transaction=True)
    def test_timeout_that_is_none_is_refused(self):
        record = declare().enqueue()

        with pytest.raises(InvalidJob) as caught:
            record.result(timeout="5")

        assert (
            f"Job {record.pk}: expected timeout to be seconds or a timedelta, from 0 to 100 "
            "years, got '5'."
        ) == str(caught.value)

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("by", ["job", "settings"])
    def test_result_that_is_not_kept_is_not_waited_for(self, by, settings):
        if by == "settings":
            settings.JOBFLOW = {"RETAIN_SUCCEEDED": 0}
        record = declare(**({"retain_succeeded": 0} if by == "job" else {})).enqueue()

        with pytest.raises(NoResult) as caught:
            record.result()

        assert (
            f"Job {record.pk} ({record.name}) will have no result: its retain_succeeded is 0."
        ) == str(caught.value)

    @pytest.mark.django_db(transaction=True)
    def test_wait_inside_a_transaction_is_refused(self):
        with transaction.atomic():
            record = declare().enqueue()

            with pytest.raises(NoResult, match="cannot be waited for inside a transaction"):
                record.result()

    @pytest.mark.django_db
    def test_what_has_ended_may_be_asked_for_inside_a_transaction(self):
        record = declare().enqueue()
        JobRecord.objects.all().delete()
        SucceededJobFactory(id=record.pk, result=3)

        assert 3 == record.result()


class AsyncResultTests:
    def test_result_is_awaited(self, worker):
        job = declare()
        worker()

        async def ask():
            records = [await job.aenqueue(number) for number in range(3)]
            return await asyncio.gather(*[each.aresult(timeout=LONG) for each in records])

        assert [0, 1, 2] == async_to_sync(ask)()

    @pytest.mark.django_db(transaction=True)
    def test_time_is_up(self):
        record = declare().enqueue()

        with pytest.raises(TimeoutError):
            async_to_sync(record.aresult)(timeout=0.02)


class WakingTests:
    """Those who wait are woken where the database can do that."""

    @pytest.fixture(autouse=True)
    def never_looks_again(self, monkeypatch):
        if engine_for("default").cannot_listen():
            pytest.skip("This database wakes nobody.")
        monkeypatch.setattr(awaiting, "EARLY", 0)
        monkeypatch.setattr(awaiting, "FIRST_PAUSE", LONG)
        monkeypatch.setattr(awaiting, "LONGEST_PAUSE", LONG)

    def let_go_on_once_heard(self, coordinator, pk):
        hear = coordinator.attention.hear

        def listen(ids):
            hear(ids)
            if pk in coordinator.attention._awaited:
                GO_ON.set()

        coordinator.wakeups._listener.attend = listen

    @pytest.mark.parametrize("way", ["plain", "async"])
    def test_worker_tells_of_the_end(self, worker, way):
        job = declare("wait")
        coordinator = worker()
        record = job.enqueue(7)
        self.let_go_on_once_heard(coordinator, record.pk)

        if way == "plain":
            assert 7 == record.result(timeout=LONG)
        else:
            assert 7 == async_to_sync(record.aresult)(timeout=LONG)

        assert "jobflow-ears" not in {thread.name for thread in threading.enumerate()}

    def test_nobody_waits_and_nothing_is_told(self, worker):
        coordinator = worker()
        told = []

        def notice(execute, sql, params, many, context):
            told.append(sql)
            return execute(sql, params, many, context)

        with connection.execute_wrapper(notice):
            coordinator.attention.tell([], {1, 2})

        assert [] == told


class FindTests:
    pytestmark = pytest.mark.django_db

    @pytest.mark.parametrize("factory", [JobRecordFactory, FailedJobFactory, SucceededJobFactory])
    def test_job_is_found_wherever_it_is(self, factory):
        made = factory()

        found = JobRecord.objects.find(made.pk)

        assert isinstance(found, SucceededJob if factory is SucceededJobFactory else JobRecord)
        assert made.pk == found.pk

    def test_what_is_nowhere_does_not_exist(self):
        with pytest.raises(JobRecord.DoesNotExist) as caught:
            JobRecord.objects.find(7)

        assert "Job 7 is neither in the live table nor among those that succeeded." == str(
            caught.value
        )

    @pytest.mark.django_db(transaction=True)
    def test_it_is_found_from_async_code(self):
        made = SucceededJobFactory(result=3)

        async def find():
            return await JobRecord.objects.afind(made.pk)

        assert 3 == async_to_sync(find)().result

"""How a worker behaves while its database does not."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection, transaction

from django_jobflow.models import Worker
from django_jobflow.worker.coordinator import Coordinator
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.trouble import FIRST_PAUSE, Trouble, close


@pytest.fixture
def coordinator(transactional_db):
    coordinator = Coordinator(WorkerOptions(database="default"))
    yield coordinator
    coordinator.running.stop()
    coordinator.inbox.close()


def fail():
    raise OperationalError("the server is gone")


def seconds_of(action, *arguments):
    began = time.monotonic()
    action(*arguments)
    return time.monotonic() - began


class PauseTests:
    def test_it_doubles_up_to_the_longest(self):
        trouble = Trouble(longest=1)

        pauses = [trouble.begin() for _ in range(50)]

        assert 0.05 <= pauses[0] <= 0.15
        assert 0.5 <= min(pauses[4:]) < max(pauses) <= 1.5

    def test_it_is_kept_although_jobs_end(self, coordinator):
        coordinator.inbox.put("an end")

        assert FIRST_PAUSE / 2 <= seconds_of(coordinator._survive, fail)

    def test_it_is_kept_although_a_body_asks_for_a_heartbeat(self, coordinator):
        for _ in range(10):
            coordinator.inbox.wake()

        assert FIRST_PAUSE / 2 <= seconds_of(coordinator._survive, fail)

    def test_a_request_to_stop_ends_it(self, coordinator):
        coordinator.trouble = Trouble(longest=600)
        coordinator.trouble._next = 600
        stopper = threading.Thread(target=stop_in_trouble, args=[coordinator])
        stopper.start()

        seconds = seconds_of(coordinator._survive, fail)

        stopper.join()
        assert 300 > seconds


class ClosingTests:
    """A connection of which Django has lost track is of use again once it is closed."""

    @pytest.fixture(autouse=True)
    def thread(self, transactional_db):
        with ThreadPoolExecutor(1) as pool:
            yield lambda work: pool.submit(work).result()
            pool.submit(close, "default").result()

    def test_block_that_was_not_opened_whole(self, thread):
        def lose_track():
            connection.set_autocommit(False)  # as of one that was cut while Django set it up
            connection.savepoint = fail
            with pytest.raises(OperationalError), transaction.atomic():
                pass
            assert connection.in_atomic_block

        thread(lose_track)
        thread(lambda: close("default"))

        assert 0 == thread(Worker.objects.count)
        assert not thread(lambda: connection.in_atomic_block)

    def test_block_around_it_stays_what_it_is(self, thread):
        def close_inside():
            with transaction.atomic():
                Worker.objects.count()
                close("default")
                assert connection.in_atomic_block
                assert connection.needs_rollback

        thread(close_inside)


class EndTests:
    """What is to end anyway ends in order if it can, and else all the same."""

    @pytest.fixture
    def coordinator(self, transactional_db):
        return Coordinator(WorkerOptions(database="default"))

    def test_row_is_removed_although_the_database_fails_in_the_last_moment(self, coordinator):
        failures = iter([True])
        coordinator.request_stop()

        with failing(lambda sql: sql.startswith("DELETE") and next(failures, False)):
            coordinator.run()

        assert next(failures, None) is None
        assert not Worker.objects.exists()

    def test_worker_with_nothing_to_lose_gives_up_once_its_time_is_over(
        self, coordinator, monkeypatch
    ):
        monkeypatch.setattr("django_jobflow.worker.trouble.PATIENCE", 0.2)
        coordinator._survive(coordinator.duties.register)
        coordinator.request_stop(at_once=True)

        with failing(lambda sql: True):
            coordinator._survive(fail)
            coordinator.run()

        assert Worker.objects.exists()


@contextmanager
def failing(fails):
    """Let the database fail at each statement of which *fails* says so."""

    def execute(execute, sql, *arguments):
        if fails(sql):
            fail()
        return execute(sql, *arguments)

    with connection.execute_wrapper(execute):
        yield


def stop_in_trouble(coordinator):
    while not coordinator.trouble.lasts:
        time.sleep(0.001)
    coordinator.request_stop()


class SlotTests:
    """The test's own thread is that of a slot."""

    def test_it_connects_anew_after_trouble(self, coordinator):
        slots = coordinator.running.slots
        connection.ensure_connection()

        slots.distrust_connections()
        slots._slots[0]._see_to_connections(idle=0.0)

        assert connection.connection is None

    def test_it_keeps_a_connection_that_works(self, coordinator):
        connection.ensure_connection()
        before = connection.connection

        for idle in (0.0, 60.0):
            coordinator.running.slots._slots[0]._looked_at = 0.0
            coordinator.running.slots._slots[0]._see_to_connections(idle)

        assert before is connection.connection

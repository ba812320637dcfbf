"""The small parts of the worker, without a database."""

import threading
import time
from datetime import timedelta

import pytest

from django_jobflow.exceptions import TimeoutInterrupt
from django_jobflow.worker.clockwork import Polling, Timer
from django_jobflow.worker.inbox import Inbox
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.pace import Pace
from django_jobflow.worker.watch import Guard

PATIENCE = 10  # seconds after which a test gives up waiting for another thread


class PaceTests:
    def test_nothing_is_handed_over_ahead_before_anything_is_known(self):
        assert 0 == Pace(4).ahead

    def test_short_jobs_are_handed_over_ahead(self):
        pace = Pace(4)
        for _ in range(200):
            pace.note(0.0001)

        assert 500 >= pace.ahead >= 400

    def test_one_long_job_ends_it_at_once(self):
        pace = Pace(4)
        for _ in range(200):
            pace.note(0.0001)
        pace.note(1.0)

        assert 0 == pace.ahead

    def test_middling_jobs_wait_for_no_longer_than_the_bound(self):
        pace = Pace(2)
        for _ in range(500):
            pace.note(0.004)

        assert pace.ahead * 0.004 / 2 <= 0.02


class PollingTests:
    def test_pause_doubles_up_to_the_longest(self):
        polling = Polling(timedelta(seconds=0.02), eager=True)
        pauses = []
        for _ in range(4):
            polling.found(False)
            pauses.append(round(polling.due_at - time.monotonic(), 2))

        assert [0.01, 0.02, 0.02, 0.02] == pauses

    def test_work_makes_it_look_often_again(self):
        polling = Polling(timedelta(seconds=60), eager=True)
        for _ in range(20):
            polling.found(False)
        polling.found(True)

        assert polling.due_at - time.monotonic() <= 0.005

    def test_hurry_is_now(self):
        polling = Polling(timedelta(seconds=60), eager=True)
        polling.found(False)
        polling.hurry()

        assert polling.is_due()

    def test_one_that_is_told_of_changes_does_not_hurry(self):
        polling = Polling(timedelta(seconds=60), eager=False)
        polling.found(True)

        assert polling.due_at - time.monotonic() > 50


class TimerTests:
    def test_it_comes_round_once_an_interval(self):
        timer = Timer(timedelta(hours=1))

        assert not timer.is_due()
        timer.bring_forward()
        assert timer.is_due()
        assert not timer.is_due()

    def test_jitter_spreads_it(self):
        pauses = {Timer(timedelta(hours=1), jitter=0.2).due_at for _ in range(20)}

        now = time.monotonic()
        assert len(pauses) == 20
        assert all(0.8 * 3600 - 1 <= moment - now <= 1.2 * 3600 for moment in pauses)


class InboxTests:
    def test_message_ends_the_sleep(self):
        inbox = Inbox()
        thread = threading.Thread(target=inbox.put, args=["done"])
        began = time.monotonic()
        thread.start()

        inbox.sleep(PATIENCE)

        thread.join()
        assert ["done"] == inbox.take_all()
        assert time.monotonic() - began < PATIENCE
        inbox.close()

    def test_message_from_before_is_not_slept_over(self):
        inbox = Inbox()
        inbox.put("early")
        began = time.monotonic()

        inbox.sleep(PATIENCE)

        assert time.monotonic() - began < PATIENCE
        assert inbox
        inbox.close()

    def test_thousands_of_wakes_do_not_block(self):
        inbox = Inbox()
        for _ in range(200_000):
            inbox.wake()

        inbox.sleep(PATIENCE)

        inbox.close()


class GuardTests:
    def test_nothing_is_raised_outside_of_a_body(self):
        guard = Guard()
        execution = object()
        guard.enter(execution)
        guard.leave()

        assert not guard.interrupt(execution, TimeoutInterrupt)

    def test_other_execution_is_left_alone(self):
        guard = Guard()
        guard.enter(object())

        assert not guard.interrupt(object(), TimeoutInterrupt)
        guard.leave()

    def test_interrupt_arrives_in_the_thread_and_only_once(self):
        guard, execution = Guard(), object()
        inside, caught = threading.Event(), []

        def body():
            guard.enter(execution)
            try:
                inside.set()
                while True:
                    time.sleep(0.001)
            except TimeoutInterrupt as interrupt:
                caught.append(interrupt)
            finally:
                guard.leave()

        thread = threading.Thread(target=body)
        thread.start()
        assert inside.wait(PATIENCE)
        first = guard.interrupt(execution, TimeoutInterrupt)
        second = guard.interrupt(execution, TimeoutInterrupt)
        thread.join(PATIENCE)

        assert (True, False, 1) == (first, second, len(caught))

    def test_interrupt_on_its_way_is_called_back_on_leaving(self):
        guard, execution = Guard(), object()
        inside, struck, ended = threading.Event(), threading.Event(), []

        def body():
            guard.enter(execution)
            try:
                inside.set()
                struck.wait(PATIENCE)  # in C: what strikes now is still on its way afterwards
                guard.leave()
            except TimeoutInterrupt:
                guard.leave()
            ended.append(sum(range(100_000)))  # where it would arrive late

        thread = threading.Thread(target=body)
        thread.start()
        assert inside.wait(PATIENCE)
        assert guard.interrupt(execution, TimeoutInterrupt)
        struck.set()
        thread.join(PATIENCE)

        assert [sum(range(100_000))] == ended


class OptionsTests:
    def test_each_process_has_a_name_of_its_own(self):
        first, second = WorkerOptions(database="default"), WorkerOptions(database="default")

        assert first.name != second.name

    def test_name_fits_its_column(self):
        assert len(WorkerOptions(database="default").name) <= 200


@pytest.fixture(autouse=True)
def _no_database():
    """These tests must pass without one."""

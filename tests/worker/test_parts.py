"""The small parts of the worker, without a database."""

import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

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

    def test_it_goes_on_soon_after(self):
        pace = Pace(4)
        for _ in range(200):
            pace.note(0.001)
        pace.note(1.0)
        for _ in range(20):
            pace.note(0.001)

        assert 80 < pace.ahead

    def test_long_ones_now_and_then_do_not_keep_others_from_it(self):
        pace = Pace(4)
        for number in range(200):
            pace.note(0.025 if number % 5 == 0 else 0.001)

        assert 20 < pace.ahead  # of 5.8 ms each by the mean

    def test_first_bodies_tell_more_than_what_was_thought_before(self):
        pace = Pace(4)
        for _ in range(3):
            pace.note(0.019)

        assert 4 > pace.ahead

    def test_of_longer_jobs_as_many_wait_as_end_within_a_cycle(self):
        pace = Pace(10)
        for _ in range(200):
            pace.note(0.01)

        assert 4 == pytest.approx(pace.ahead, abs=1)

    def test_of_long_jobs_no_more_wait_than_end_within_a_cycle(self):
        pace = Pace(10)
        for _ in range(200):
            pace.note(0.015)

        assert 2 == pace.ahead  # in 4 ms

    def test_of_middling_jobs_less_and_less_waits(self):
        waiting = []
        for milliseconds in (5, 6, 7, 8, 9, 10):
            pace = Pace(50)
            for _ in range(200):
                pace.note(milliseconds / 1000)
            waiting.append(pace.ahead * pace.seconds / 50)

        assert waiting == sorted(waiting, reverse=True)
        assert 0.04 == pytest.approx(waiting[0], rel=0.05)
        assert 0.006 > waiting[-1]

    def test_body_is_not_long_that_takes_no_longer_than_a_cycle(self):
        pace = Pace(10)
        for _ in range(200):
            pace.note(0.009)
            pace.note_cycle(0.009)

        assert 0.04 == pytest.approx(pace.ahead * 0.009 / 10, rel=0.05)

    def test_one_body_that_a_busy_machine_has_held_up_changes_little(self):
        pace = Pace(4)
        for _ in range(200):
            pace.note(0.001)
        before = pace.ahead
        pace.note(0.01)

        assert before / 2 < pace.ahead < before

    @pytest.mark.parametrize(("cycle", "ahead"), [(0.012, 6), (60.0, 20)])
    def test_of_longer_jobs_more_wait_where_a_cycle_takes_longer_up_to_a_bound(self, cycle, ahead):
        pace = Pace(10)
        for _ in range(200):
            pace.note(0.02)
            pace.note_cycle(cycle)

        assert ahead == pytest.approx(pace.ahead, abs=1)

    def test_none_waits_where_a_slot_becomes_free_later_than_a_cycle_ends(self):
        pace = Pace(4)
        for _ in range(200):
            pace.note(0.02)

        assert 0 == pace.ahead

    def test_ends_come_together_until_a_few_of_many_slots_stand_idle(self):
        pace = Pace(100)
        for _ in range(200):
            pace.note(0.05)

        assert 10 * 0.05 / 90 == pytest.approx(pace.until_share_ends(90, 1))
        assert 0.0 == pace.until_share_ends(90, 11)
        assert 0.0 == pace.until_share_ends(3, 1)

    def test_jobs_that_run_in_turn_wait_for_no_longer_than_others(self):
        pace = Pace(4)
        for _ in range(200):
            pace.note(0.0002, in_turn=True)

        assert 200 == pytest.approx(pace.ahead, abs=1)

    def test_middling_jobs_wait_for_no_longer_than_the_bound(self):
        pace = Pace(2)
        for _ in range(500):
            pace.note(0.004)

        assert pace.ahead * 0.004 / 2 <= 0.04


class PollingTests:
    NOW = 1000.0

    @pytest.fixture(autouse=True)
    def clock_that_stands_still(self, monkeypatch):
        still = SimpleNamespace(monotonic=lambda: self.NOW)
        monkeypatch.setattr("django_jobflow.worker.clockwork.time", still)

    def pause(self, polling, *, idle=0.0, found=False):
        polling.worked_at = self.NOW - idle
        polling.looked(found)
        return polling.due_at - self.NOW

    def test_pause_is_a_tenth_of_the_time_since_the_last_work(self):
        polling = Polling(timedelta(seconds=60))

        assert 2 == pytest.approx(self.pause(polling, idle=20))

    def test_pause_after_work_is_the_shortest(self):
        polling = Polling(timedelta(seconds=60))

        assert 0.005 == pytest.approx(self.pause(polling, idle=20, found=True))

    def test_pause_exceeds_the_longest_by_no_more_than_its_spread(self):
        polling = Polling(timedelta(seconds=10))

        pauses = [self.pause(polling, idle=3600) for _ in range(50)]

        assert 10 <= min(pauses) < max(pauses) <= 12

    def test_hurry_is_now(self):
        polling = Polling(timedelta(seconds=60))
        polling.looked(False)
        polling.hurry()

        assert polling.due_at <= self.NOW

    def test_one_that_is_told_of_work_does_not_look_often(self):
        polling = Polling(timedelta(seconds=60))
        polling.eager = False

        assert self.pause(polling, found=True) > 50


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

    def test_several_messages_wake_once(self, monkeypatch):
        inbox, wakes = Inbox(), []
        wake, select = inbox.wake, inbox._selector.select

        def put_meanwhile(seconds):
            for number in range(3):
                inbox.put(number)
            return select(seconds)

        monkeypatch.setattr(inbox, "wake", lambda: wakes.append(wake()))
        monkeypatch.setattr(inbox._selector, "select", put_meanwhile)

        inbox.sleep(PATIENCE)

        assert [0, 1, 2] == inbox.take_all()
        assert 1 == len(wakes)
        inbox.close()

    def test_thousands_of_wakes_do_not_block(self):
        inbox = Inbox()
        for _ in range(200_000):
            inbox.wake()

        inbox.sleep(PATIENCE)

        inbox.close()


class WatchedSocketTests:
    @pytest.fixture
    def watched(self):
        ours, theirs = socket.socketpair()
        inbox = Inbox()
        inbox.watch(ours.fileno())
        yield inbox, ours, theirs
        inbox.close()
        ours.close()
        theirs.close()

    def test_socket_ends_the_sleep(self, watched):
        inbox, _, theirs = watched
        theirs.send(b"x")

        inbox.sleep(PATIENCE)

        assert inbox.socket_called
        assert not inbox

    def test_message_is_no_call_of_the_socket(self, watched):
        inbox, _, _ = watched
        inbox.wake()

        inbox.sleep(PATIENCE)

        assert not inbox.socket_called

    def test_closed_socket_is_forgotten(self, watched):
        inbox, ours, _ = watched
        ours.close()
        inbox.watch(None)

        inbox.sleep(0)

        assert not inbox.socket_called

    def test_new_socket_takes_the_place_of_the_former(self, watched):
        inbox, _, theirs = watched
        theirs.send(b"x")
        other, far = socket.socketpair()
        inbox.watch(other.fileno())

        inbox.sleep(0)
        assert not inbox.socket_called
        far.send(b"x")
        inbox.sleep(PATIENCE)
        assert inbox.socket_called
        other.close()
        far.close()


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
        assert in_a_thread(guard.interrupt, execution, TimeoutInterrupt)
        struck.set()
        thread.join(PATIENCE)

        assert [sum(range(100_000))] == ended

    def test_body_that_waits_in_c_does_not_keep_others_from_running(self):
        guard, execution = Guard(), object()
        inside, release, caught = threading.Event(), threading.Lock(), []
        release.acquire()

        def body():
            guard.enter(execution)
            try:
                inside.set()
                release.acquire(timeout=PATIENCE)  # in C, where no exception comes in
                while True:
                    time.sleep(0.001)
            except TimeoutInterrupt as interrupt:
                caught.append(interrupt)
            finally:
                guard.leave()

        def neighbour():
            """Call Python functions while it is traced, as a debugger does."""
            sys.settrace(lambda *_: None)
            return [sum(range(number)) for number in range(10)], release.locked()

        thread = threading.Thread(target=body)
        thread.start()
        assert inside.wait(PATIENCE)
        assert in_a_thread(guard.interrupt, execution, TimeoutInterrupt)
        _, still_waits = in_a_thread(neighbour)
        release.release()
        thread.join(PATIENCE)

        assert (True, 1) == (still_waits, len(caught))


def in_a_thread(action, *arguments):
    """Call *action* in a thread of its own, as a slot or the watch would."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(action, *arguments).result(PATIENCE)


class OptionsTests:
    def test_each_process_has_a_name_of_its_own(self):
        first, second = WorkerOptions(database="default"), WorkerOptions(database="default")

        assert first.name != second.name

    def test_name_fits_its_column(self):
        assert len(WorkerOptions(database="default").name) <= 200


@pytest.fixture(autouse=True)
def _no_database():
    """These tests must pass without one."""

"""The small parts of the supervisor, inside one process."""

import os
import signal
import threading

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from django_jobflow import conf
from django_jobflow.worker import affinity
from django_jobflow.worker import place as places
from django_jobflow.worker.alarm import Alarm
from django_jobflow.worker.forking import cause_of
from django_jobflow.worker.leash import STOP, STOP_AT_ONCE, Brake, Leash
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.place import Child, Place
from django_jobflow.worker.processes import cores, default_processes, obstacle
from django_jobflow.worker.supervisor import KILL_GRACE, Supervisor
from django_jobflow.worker.vitals import Vitals

PATIENCE = 10  # seconds after which a test gives up waiting for another thread


@pytest.fixture
def one_core():
    """Let this thread run on one core only."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


def in_thread(call):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(call()))
    thread.start()
    thread.join(PATIENCE)
    return answers[0]


class ContainerTests:
    def test_all_is_over_before_a_container_is_killed(self):
        """Docker and Kubernetes give 10 and 30 seconds; the latter is what is meant here."""
        assert 30 > conf.Settings().SHUTDOWN_TIMEOUT.total_seconds() + KILL_GRACE


class AffinityTests:
    USABLE = frozenset({2, 3, 5, 7, 11})

    @pytest.mark.parametrize(
        ("processes", "parts"),
        [
            (1, [[2, 3, 5, 7, 11]]),
            (2, [[2, 3], [5, 7, 11]]),
            (5, [[2], [3], [5], [7], [11]]),
            (7, [[2], [2], [3], [5], [5], [7], [11]]),
        ],
    )
    def test_cores_are_dealt_out_to_all_processes(self, processes, parts):
        dealt = [affinity.part(self.USABLE, number, processes) for number in range(processes)]

        assert parts == dealt

    def test_supervisor_says_where_the_system_refuses(self, monkeypatch, caplog):
        def refuse(pid, cores):
            raise PermissionError(f"not {cores}")

        monkeypatch.setattr("os.sched_getaffinity", lambda pid: self.USABLE, raising=False)
        monkeypatch.setattr("os.sched_setaffinity", refuse, raising=False)
        options = WorkerOptions(database="default")

        with caplog.at_level("WARNING", "django_jobflow.worker"):
            Supervisor(options, 2, alarm=None)._keep_to_cores(1)

        [record] = caplog.records
        assert "cpu_affinity_refused" in record.getMessage()
        assert "not [5, 7, 11]" in record.getMessage()
        assert affinity.before() is None


class ProcessesTests:
    def test_there_are_two_where_rows_are_locked_one_by_one(self):
        locks_rows = connection.features.has_select_for_update

        assert (min(2, cores()) if locks_rows else 1) == default_processes("default")

    def test_there_is_one_on_one_core(self, one_core):
        assert 1 == default_processes("default")

    def test_there_is_one_outside_the_main_thread(self):
        assert "outside the main thread" == in_thread(obstacle)
        assert 0 == in_thread(lambda: default_processes("default"))

    def test_asking_for_more_outside_the_main_thread_is_refused(self):
        def message():
            with pytest.raises(CommandError) as caught:
                call_command("runjobs", "--processes=2", "--drain")
            return str(caught.value)

        assert "--processes: expected 0 outside the main thread, got 2." == in_thread(message)

    def test_asking_for_more_without_fork_is_refused(self, monkeypatch):
        monkeypatch.delattr(os, "fork")

        with pytest.raises(CommandError) as caught:
            call_command("runjobs", "--processes=2", "--drain")

        assert "--processes: expected 0 on a system without fork(), got 2." == str(caught.value)


class PlaceTests:
    @pytest.fixture
    def place(self):
        return Place(0)

    def pauses(self, place, *, times, well=False, lived=0.0):
        found = []
        for _ in range(times):
            place.child = Child(pid=1, name="w", leash=None, vitals=Vitals(threads=1))
            place.child.started_at -= lived
            found.append(place.ended(well=well))
        return found

    def test_early_deaths_double_the_pause_up_to_a_minute(self, place):
        assert [1, 2, 4, 8, 16, 32, 60, 60] == self.pauses(place, times=8)

    def test_late_death_has_no_pause_and_ends_the_doubling(self, place):
        self.pauses(place, times=3)

        assert [0] == self.pauses(place, times=1, lived=places.SOON)
        assert [1] == self.pauses(place, times=1)

    def test_good_end_has_no_pause(self, place):
        assert [0, 0] == self.pauses(place, times=2, well=True)

    def test_process_that_could_not_begin_is_an_early_death(self, place):
        assert [1, 2] == [place.ended(well=False), place.ended(well=False)]


class BrakeTests:
    @pytest.fixture
    def stops(self):
        return []

    @pytest.fixture
    def brake(self, stops):
        brake = Brake()
        brake.connect(lambda: stops.append("stop"))
        return brake

    def test_same_request_counts_once(self, brake, stops):
        brake.ask(STOP)
        brake.ask(STOP)

        assert ["stop"] == stops

    def test_second_step_is_passed_on_as_a_second_request(self, brake, stops):
        brake.ask(STOP)
        brake.ask(STOP_AT_ONCE)
        brake.ask(STOP)

        assert ["stop", "stop"] == stops

    def test_request_from_before_there_was_a_worker_is_kept(self, stops):
        brake = Brake()
        brake.ask(STOP)
        assert [] == stops

        brake.connect(lambda: stops.append("stop"))

        assert ["stop"] == stops


class LeashTests:
    """Both ends of one pipe in one process; what a fork does to it, tests/process shows."""

    @pytest.fixture
    def asked(self):
        return []

    @pytest.fixture
    def ends(self, asked):
        """The supervisor's leash and the worker's, and what waits for so many requests."""
        supervisors = Leash()
        workers = Leash.__new__(Leash)
        workers._reader, workers._writer = os.dup(supervisors._reader), os.dup(supervisors._writer)
        supervisors.hold()
        came = threading.Semaphore(0)

        class Listening(Brake):
            def ask(self, what=STOP):
                asked.append(what)
                came.release()

        workers.follow(Listening(), beat=came.release, pause=600)
        return supervisors, came

    def test_each_pull_is_a_step_and_the_end_is_a_stop(self, ends, asked):
        leash, came = ends
        for _ in range(3):
            leash.pull()
        leash.let_go()

        for _ in range(2 * 3 + 1):  # a beat follows each step
            assert came.acquire(timeout=PATIENCE)

        assert [STOP, STOP_AT_ONCE, STOP_AT_ONCE, STOP] == asked

    def test_pulling_a_worker_that_is_gone_does_nothing(self):
        leash = Leash()
        leash.hold()

        leash.pull()
        leash.let_go()


class AlarmTests:
    def test_signal_that_came_before_the_wait_ends_it(self):
        with Alarm(signal.SIGUSR1) as alarm:
            os.kill(os.getpid(), signal.SIGUSR1)

            assert [signal.SIGUSR1] == alarm.wait(PATIENCE)

    def test_time_is_up_and_nothing_came(self):
        with Alarm(signal.SIGUSR1) as alarm:
            assert [] == alarm.wait(0)

    def test_former_handlers_are_back_afterwards(self):
        heard = []
        former = signal.signal(signal.SIGUSR1, lambda *_: heard.append("former"))
        try:
            with Alarm(signal.SIGUSR1):
                os.kill(os.getpid(), signal.SIGUSR1)
            assert [] == heard
            os.kill(os.getpid(), signal.SIGUSR1)
        finally:
            signal.signal(signal.SIGUSR1, former)

        assert ["former"] == heard


class CauseTests:
    @pytest.mark.parametrize(
        ("code", "words"),
        [
            (0, "ended with status 0"),
            (3, "ended with status 3"),
            (-9, "was killed by SIGKILL"),
            (-11, "was killed by SIGSEGV"),
            (-40, "was killed by signal 40"),
        ],
    )
    def test_end_of_a_process_is_said_in_words(self, code, words):
        assert words == cause_of(code)

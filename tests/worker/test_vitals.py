"""What a supervisor sees of its workers, and what it makes of that, inside one process."""

import logging
import os
import time
from datetime import timedelta

import pytest

from django_jobflow.declare import registry
from django_jobflow.maintain import reservation_of
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.heartbeat_file import HeartbeatFile
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.oversight import STILL, Oversight, Verdict
from django_jobflow.worker.place import Child, Place
from django_jobflow.worker.recycling import Recycling, memory
from django_jobflow.worker.vitals import KEPT, Pulse, Vitals
from tests.app import jobs
from tests.factories import JobRecordFactory

LONG_AGO = -1e9


def execution_of(number, count=1, deadline=None):
    record = JobRecordFactory.build(id=number, reserved_count=count, name=jobs.add.job._name)
    execution = Execution(reservation_of(record), registry.get(record.name))
    execution.deadline = deadline
    return execution


@pytest.fixture
def vitals():
    return Vitals(threads=1)


@pytest.fixture
def trace(vitals):
    return vitals.trace()


class VitalsTests:
    def test_body_that_runs_has_begun(self, vitals, trace):
        trace.begin(execution_of(7, count=3))

        assert {(7, 3)} == vitals.begun()

    def test_body_that_has_ended_stays_begun(self, vitals, trace):
        for number in range(1, 20):
            trace.begin(execution_of(number))
            trace.end()

        assert {(number, 1) for number in range(1, 20)} == vitals.begun()

    def test_only_the_last_ones_are_remembered(self, vitals, trace):
        for number in range(1, KEPT + 3):
            trace.begin(execution_of(number))
            trace.end()

        assert {(number, 1) for number in range(3, KEPT + 3)} == vitals.begun()

    def test_a_long_body_is_not_forgotten_over_those_of_other_slots(self, vitals, trace):
        trace.begin(execution_of(7, deadline=10.0))
        other = vitals.trace()
        for number in range(100, 102 + KEPT):
            other.begin(execution_of(number))
            other.end()

        assert (7, 1) in vitals.begun()
        assert {(7, 1)} == vitals.overdue(10.0)

    def test_what_runs_past_its_deadline_is_overdue(self, vitals):
        vitals.trace().begin(execution_of(1, deadline=10.0))
        vitals.trace().begin(execution_of(2, deadline=11.0))

        assert set() == vitals.overdue(9.9)
        assert {(1, 1)} == vitals.overdue(10.0)

    def test_no_limit_is_never_overdue(self, vitals, trace):
        trace.begin(execution_of(1))

        assert set() == vitals.overdue(1e18)

    def test_what_has_ended_is_not_overdue(self, vitals, trace):
        trace.begin(execution_of(1, deadline=10.0))
        trace.end()
        trace.end()

        assert set() == vitals.overdue(11.0)

    def test_end_without_a_beginning_does_nothing(self, vitals, trace):
        trace.end()

        assert set() == vitals.begun()

    def test_slots_beyond_the_room_have_begun_all_the_same(self, vitals):
        for number in range(1, 9):
            vitals.trace().begin(execution_of(number, deadline=10.0))

        assert {1, 2, 8} <= {number for number, _ in vitals.begun()}

    def test_another_process_sees_it(self, vitals):
        pid = os.fork()
        if pid == 0:
            vitals.trace().begin(execution_of(5))
            vitals.beat()
            vitals.contact()
            vitals.leave()
            os._exit(0)
        os.waitpid(pid, 0)

        assert ({(5, 1)}, 1, 1, True) == (
            vitals.begun(),
            vitals.beats,
            vitals.contacts,
            vitals.is_leaving,
        )

    def test_counter_does_not_overflow(self, vitals):
        vitals._header[0] = 2**64 - 1

        vitals.beat()

        assert 0 == vitals.beats


class PulseTests:
    def test_looks_without_anything_new_are_counted(self):
        counter = [0]
        pulse = Pulse(lambda: counter[0])
        found = []
        for count in (0, 0, 1, 1, 2, 2, 2):
            counter[0] = count
            pulse.look()
            found.append(pulse.still)

        assert [1, 2, 0, 1, 0, 1, 2] == found


class OversightTests:
    @pytest.fixture
    def oversight(self, settings):
        settings.JOBFLOW = {"LEASE": 60, "TIMEOUT_GRACE": 5, "SHUTDOWN_TIMEOUT": 25}
        return Oversight(WorkerOptions(database="default"))

    @pytest.fixture
    def child(self, vitals):
        return Child(pid=1, name="w", leash=None, vitals=vitals)

    def silence(self, oversight, child, looks):
        for _ in range(looks):
            oversight.look([child])

    def run_overdue(self, child, seconds):
        child.vitals.trace().begin(execution_of(1, deadline=time.monotonic() - seconds))

    def test_worker_that_beats_is_let_live(self, oversight, child):
        self.run_overdue(child, 6)
        for _ in range(100):
            child.vitals.beat()
            oversight.look([child])

        assert oversight.verdict(child) is None

    def test_silence_and_a_job_past_its_limit_and_grace(self, oversight, child):
        self.run_overdue(child, 6)
        self.silence(oversight, child, STILL - 1)
        assert oversight.verdict(child) is None

        self.silence(oversight, child, 1)

        held = Verdict("held its interpreter past a time limit and was killed", spares=True)
        assert held == oversight.verdict(child)

    def test_silence_within_the_grace_is_borne(self, oversight, child):
        self.run_overdue(child, 1)
        self.silence(oversight, child, 59)

        assert oversight.verdict(child) is None

    def test_silence_of_a_lease(self, oversight, child):
        self.silence(oversight, child, 59)
        assert oversight.verdict(child) is None

        self.silence(oversight, child, 1)

        assert Verdict("stood still and was killed", spares=False) == oversight.verdict(child)

    def test_worker_that_beats_and_ends_nothing(self, oversight, child):
        self.run_overdue(child, 5 + 25 + 60 + 1)

        kept = Verdict("kept a job past its time limit and was killed", spares=True)
        assert kept == oversight.verdict(child)

    def test_remains_tell_what_ran_and_what_was_too_long(self, oversight, child):
        child.vitals.trace().begin(execution_of(1, deadline=LONG_AGO))
        child.vitals.trace().begin(execution_of(2, count=4))
        child.spares = True

        remains = oversight.remains(child, "was killed by SIGKILL")

        assert ("w", "was killed by SIGKILL", {(1, 1), (2, 4)}, {(1, 1)}, True) == (
            remains.worker,
            remains.cause,
            remains.begun,
            remains.overdue,
            remains.spares,
        )


class ProbeTests:
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "beat"

    @pytest.fixture
    def oversight(self, settings, path):
        settings.JOBFLOW = {"LEASE": 60}
        return Oversight(WorkerOptions(database="default", heartbeat_file=path))

    @pytest.fixture
    def children(self):
        return [
            Child(pid=number, name="w", leash=None, vitals=Vitals(threads=1)) for number in (1, 2)
        ]

    def test_no_file_before_the_database_has_answered(self, oversight, children, path):
        oversight.look(children)

        assert not path.exists()

    def test_file_is_there_once_it_has(self, oversight, children, path):
        children[0].vitals.contact()

        oversight.look(children)

        assert path.exists()

    def test_one_that_hears_nothing_for_half_a_lease_keeps_it_away(
        self, oversight, children, path
    ):
        for _ in range(31):
            children[0].vitals.contact()
            for child in children:
                child.look()

        oversight.look(children)

        assert not path.exists()

    def test_no_file_without_workers(self, oversight, path):
        oversight.look([])

        assert not path.exists()

    def test_it_is_gone_in_the_end(self, oversight, children, path):
        children[0].vitals.contact()
        oversight.look(children)

        oversight.end()

        assert not path.exists()

    def test_folder_that_is_gone_is_said_once(self, tmp_path, caplog):
        file = HeartbeatFile(tmp_path / "gone" / "beat")

        for _ in range(3):
            file._touched_at = LONG_AGO
            file.touch()
        file.remove()

        assert [logging.ERROR] == [record.levelno for record in caplog.records]


class LeavingTests:
    @pytest.fixture
    def place(self):
        place = Place(0)
        place.child = Child(pid=1, name="w", leash=None, vitals=Vitals(threads=1))
        return place

    def test_one_that_leaves_makes_room_at_once(self, place):
        leaving = place.child
        place.start_at = time.monotonic() + 600
        place.make_room()
        assert [leaving] == place.children

        leaving.vitals.leave()
        place.make_room()

        assert (None, leaving, 0.0) == (place.child, place.leaving, place.start_at)

    def test_there_is_one_leaving_at_a_time(self, place):
        place.child.vitals.leave()
        place.make_room()
        place.child = Child(pid=2, name="v", leash=None, vitals=Vitals(threads=1))
        place.child.vitals.leave()

        place.make_room()

        assert [2, 1] == [child.pid for child in place.children]


class RecyclingTests:
    def test_nothing_asked_for_nothing_found(self):
        recycling = Recycling(WorkerOptions(database="default"))

        assert ("", float("inf")) == (recycling.reason(), recycling.next_at())

    def test_age(self):
        hour = timedelta(hours=1)
        recycling = Recycling(WorkerOptions(database="default", max_age=hour))
        left = recycling.next_at() - time.monotonic()

        assert ("", True) == (recycling.reason(), 3000 < left <= 3600)
        recycling._ends_at -= 3600
        assert "--max-age" == recycling.reason()

    @pytest.mark.parametrize(("limit", "reason"), [(1, "--max-memory"), (2**50, "")])
    def test_memory(self, limit, reason):
        recycling = Recycling(WorkerOptions(database="default", max_memory=limit))
        recycling._look.bring_forward()

        assert reason == recycling.reason()

    def test_memory_is_that_of_a_python(self, monkeypatch, tmp_path):
        found = memory()
        monkeypatch.setattr("django_jobflow.worker.recycling.STATM", tmp_path / "none")

        assert 2**22 < found < 2**34
        assert 2**22 < memory() < 2**34

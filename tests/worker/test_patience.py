"""For how long ends wait for others, so that one commit has many of them."""

import time

import pytest

from django_jobflow import JobState
from django_jobflow.attempts import reservation_of
from django_jobflow.worker.coordinator import (
    GATHER,
    GATHER_OF_LONG,
    GATHER_WHILE_BUSY,
    Coordinator,
)
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.options import WorkerOptions
from tests.app import jobs
from tests.factories import JobRecordFactory


class PatienceTests:
    @pytest.fixture(autouse=True)
    def worker(self, transactional_db):
        self.coordinator = Coordinator(WorkerOptions(database="default", threads=2))
        yield
        self.coordinator.running.stop()
        self.coordinator.inbox.close()

    def patience(self, seconds):
        """Return that of a worker whose bodies take so many *seconds*, and fill its slots."""
        running = self.coordinator.running
        running.pace.seconds = seconds
        running.executions |= dict.fromkeys(range(-running.capacity + 1, 0))
        return self.coordinator._patience()

    def end(self, **facts):
        record = JobRecordFactory(state=JobState.IN_PROGRESS, **facts)
        execution = Execution(reservation_of(record), jobs.add)
        execution.begun = execution.ended = 0.0
        self.coordinator._take_in([execution])

    @pytest.mark.parametrize(
        ("seconds", "expected"),
        [(0.0001, GATHER), (0.01, GATHER), (0.08, 0.01), (0.5, GATHER_OF_LONG)],
    )
    def test_is_a_part_of_what_bodies_take(self, seconds, expected):
        self.end()

        assert expected == pytest.approx(self.patience(seconds))

    def test_ends_that_are_written_wait_longer(self):
        self.end()
        [execution] = self.coordinator.ledger._executions
        execution.note_commit()

        assert GATHER_WHILE_BUSY == self.patience(0.001)

    def test_ends_of_busy_slots_wait_longer(self):
        self.end()

        assert GATHER == self.patience(0.001)
        assert GATHER_WHILE_BUSY == self.coordinator._patience(are_busy=True)

    def test_end_that_is_to_be_written_beside_them_does_not(self):
        self.end()
        self.coordinator.ledger._executions[0].note_commit()
        self.end()

        assert GATHER == self.patience(0.001)

    def test_written_end_that_somebody_waits_for_does_not_wait_longer(self):
        self.end()
        self.coordinator.ledger._executions[0].note_commit()
        self.coordinator.attention.hear([1])

        assert GATHER == self.patience(0.001)

    @pytest.mark.parametrize(
        ("waiting", "cycle", "expected"),
        [(10, 0.002, 0.008), (10, 0.007, 0.003), (10, 0.009, 0.0), (1, 0.002, 0.0)],
    )
    def test_while_slots_have_work_for_longer_than_a_cycle_ends_come_together(
        self, waiting, cycle, expected
    ):
        running = self.coordinator.running
        self.end()
        self.coordinator.ledger._executions[0].ended = time.monotonic()
        running.pace.seconds = 0.002
        running.pace.cycle = cycle
        running.executions |= dict.fromkeys(range(-running.capacity + 1, 0))
        running.lane.line.extend([None] * waiting)  # of two slots: a millisecond each

        assert expected == pytest.approx(self.coordinator._rest(), abs=0.001)

    def test_end_that_frees_a_key_does_not_wait_longer(self):
        self.end(execution_key="e")

        assert GATHER == self.patience(0.5)

    def test_end_that_frees_a_place_does_not_wait_longer(self):
        self.coordinator.fetch.quotas = {"default": object()}
        self.end()

        assert GATHER == self.patience(0.5)

    def test_end_on_a_queue_of_which_few_may_run_here_does_not_wait_longer(self):
        self.coordinator.fetch.limits = {"default": 1}
        self.end()

        assert GATHER == self.patience(0.5)

    def test_end_beside_idle_slots_does_not_wait_longer(self):
        self.end()
        self.coordinator.running.pace.seconds = 0.5
        self.coordinator.running.threads = 20

        assert GATHER == self.coordinator._patience()

    def test_end_that_somebody_waits_for_does_not_wait_longer(self):
        self.end()
        self.coordinator.attention.hear([1])

        assert GATHER == self.patience(0.5)

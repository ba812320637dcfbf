"""A worker loses a job to an operator's retry, gets it again, and runs both bodies at once."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections

from django_jobflow import Job, signals
from django_jobflow.declare import registry
from django_jobflow.engines import engine_for
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.worker.coordinator import Coordinator
from django_jobflow.worker.options import WorkerOptions
from tests.app.models import Order

PATIENCE = 90  # seconds after which a test is stuck


class Stage:
    """Two runs of one body, each of which begins and goes on when a test has it so."""

    def __init__(self):
        self.begun = [threading.Event(), threading.Event()]
        self.goes_on = [threading.Event(), threading.Event()]
        self.older_fails = False
        self._runs = iter((0, 1))
        self.ran = []

    def run(self, context):
        number = next(self._runs)
        self.ran.append(context.attempt)
        self.begun[number].set()
        assert self.goes_on[number].wait(PATIENCE)
        if number == 0 and self.older_fails:
            raise ValueError("older")
        return ("older", "newer")[number]


@pytest.fixture
def stage():
    return Stage()


class Ears(logging.Handler):
    """Hears what is said of lost reservations."""

    def __init__(self):
        super().__init__()
        self.lost = threading.Event()
        self.events = []

    def emit(self, record):
        self.events.append(record.event)
        if record.event == "reservation_lost":
            self.lost.set()


@pytest.fixture
def ears():
    handler, logger = Ears(), logging.getLogger("django_jobflow.settle")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    yield handler
    logger.setLevel(level)
    logger.removeHandler(handler)


@pytest.fixture
def jobs(stage, transactional_db):
    """Return jobs that write a row, which says which run wrote it; by how they end."""
    with registry.isolated():

        class Twice(Job):
            def perform(self):
                run = stage.run(self.context)
                Order.objects.create(number=run, email="a@example.com", total=1)
                return run

        class Alone(Twice):
            transactional = True

        class Grouped(Twice):
            transactional = "grouped"

        yield {False: Twice, True: Alone, "grouped": Grouped}


@pytest.fixture
def act(jobs, stage, ears, monkeypatch):
    """Run a worker that loses a job and gets it again; the older body ends first."""
    # A loaded machine may be late to call another slot: the job would be given back first.
    monkeypatch.setattr("django_jobflow.worker.running.WAIT_LIMIT", PATIENCE)
    coordinator = Coordinator(WorkerOptions(database="default", threads=2))

    def direct():
        try:
            assert stage.begun[0].wait(PATIENCE)
            engine = engine_for("default")
            engine.give_back(coordinator.options.name)  # as if its lease had lapsed
            assert engine.retry(JobRecord.objects.all())
            assert stage.begun[1].wait(PATIENCE)
            stage.goes_on[0].set()
            assert ears.lost.wait(PATIENCE)
            stage.goes_on[1].set()
        finally:
            connections.close_all()
            for event in stage.goes_on:
                event.set()

    def stop(record, **_):
        coordinator.request_stop()

    def run(transactional=False):
        jobs[transactional].enqueue()
        heard = signals.job_succeeded, signals.job_failed
        for signal in heard:
            signal.connect(stop)
        try:
            with ThreadPoolExecutor(1) as threads:
                director = threads.submit(direct)
                coordinator.run()
                director.result(PATIENCE)
        finally:
            for signal in heard:
                signal.disconnect(stop)

    return run


class ZombieTests:
    @pytest.mark.parametrize("fails", [False, True])
    def test_older_end_is_lost_and_the_newer_is_written(self, act, stage, ears, fails):
        stage.older_fails = fails

        act()

        assert [1, 1] == stage.ran
        assert ["newer"] == [kept.result for kept in SucceededJob.objects.all()]
        assert ["reservation_lost", "job_succeeded"] == ears.events
        assert not JobRecord.objects.exists()

    @pytest.mark.skipif(
        not connection.features.has_select_for_update, reason="Nobody else writes beside a body."
    )
    @pytest.mark.parametrize("transactional", [True, "grouped"])
    def test_older_writes_are_undone_and_the_newer_are_kept(self, act, stage, ears, transactional):
        act(transactional)

        assert [1, 1] == stage.ran
        assert ["newer"] == list(Order.objects.values_list("number", flat=True))
        assert ["newer"] == [kept.result for kept in SucceededJob.objects.all()]
        assert ["reservation_lost", "job_succeeded"] == ears.events

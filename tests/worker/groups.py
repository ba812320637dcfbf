"""Jobs that share a commit, run as one group in the thread of the test."""

import pytest

from django_jobflow import Job
from django_jobflow.attempts import Demand
from django_jobflow.declare import registry
from django_jobflow.declare.context import DETACHED, set_current
from django_jobflow.engines import engine_for
from django_jobflow.models import SucceededJob
from django_jobflow.worker.committing import Group
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.inbox import Inbox
from django_jobflow.worker.running import Running
from django_jobflow.worker.vitals import Unwatched
from tests.app.models import Order
from tests.engines.contract import MINUTE

ACTIONS = {}
"""What a body does beside its write, by the number of its order; set by a test."""
AT_THE_END = "at the end"  # of the bodies, and before anything is settled


class Runs:
    """What a test sees of the jobs that ran as one group."""

    def __init__(self, slot, executions):
        self.ended = []
        self.ran = []
        self._line = iter(executions)
        self._slot = slot
        group = Group(next(self._line), self._following, self._now, self.ended.append)
        slot.group = group
        slot.committing.together(group)
        slot.group = None

    def _following(self):
        following = next(self._line, None)
        if following is None and (action := ACTIONS.get(AT_THE_END)):
            action()
        return following

    def _now(self, execution):
        self._slot.execution = execution
        self.ran.append(execution.reservation.args[0])

    def outcomes(self):
        return {each.reservation.args[0]: type(each.outcome) for each in self.ended}


@pytest.fixture
def grouped():
    """Return a job whose short transactions share a commit."""
    with registry.isolated():

        class Grouped(Job):
            transactional = "grouped"

            def perform(self, number):
                Order.objects.create(number=number, email="a@example.com", total=1)
                if action := ACTIONS.get(number):
                    action()

        yield Grouped
    ACTIONS.clear()


@pytest.fixture
def slot(transactional_db):
    """Return the slot of a worker; the test's own thread works in it."""
    running = Running(1, engine_for("default"), Inbox(), Unwatched())
    yield running.slots._slots[0]
    running.stop()
    set_current(DETACHED)  # the bodies ran in the test's own thread


@pytest.fixture
def run(grouped, slot, monkeypatch):
    """Start a record for each number, and run them as a group that has all the time."""
    monkeypatch.setattr("django_jobflow.worker.committing.GROUP_TIME", 60)

    def run(*numbers):
        for number in numbers:
            grouped.enqueue(number)
        return Runs(slot, started(len(numbers)))

    return run


def started(count):
    demand = Demand(
        worker="w",
        queues=None,
        limit=count,
        names=registry.names(),
        lease=MINUTE,
        timeout=MINUTE,
    )
    exchange = engine_for("default").exchange((), [demand], count)
    return [Execution(each, registry.get(each.name)) for each in exchange.started]


def orders():
    return sorted(Order.objects.values_list("number", flat=True))


def kept():
    return sorted(args[0] for args in SucceededJob.objects.values_list("args", flat=True))


def forget_time(monkeypatch):
    """Hand jobs ahead, and send several at a time, also where a loaded machine is slow."""
    monkeypatch.setattr("django_jobflow.worker.pace.SHORT", 60)
    monkeypatch.setattr("django_jobflow.worker.pace.AHEAD", 10**9)
    monkeypatch.setattr("django_jobflow.worker.running.WAIT_LIMIT", 60)
    monkeypatch.setattr("django_jobflow.engines.postgresql_transactions.SLOW", 60)

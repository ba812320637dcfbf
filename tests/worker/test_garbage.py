"""What a job leaves behind in its process: nothing that only the garbage collector finds."""

import gc
import weakref

import pytest

from django_jobflow import Job
from django_jobflow.declare import registry

LEFT = []
"""References to what has performed."""


@pytest.fixture(autouse=True)
def isolated():
    with registry.isolated():
        yield
    LEFT.clear()


@pytest.fixture
def no_collector():
    gc.disable()
    yield
    gc.enable()


class Leaving:
    def perform(self):
        LEFT.append(weakref.ref(self))


class Hooked(Leaving):
    def after_run(self, outcome):
        pass


class OnLoop:
    async def perform(self):
        LEFT.append(weakref.ref(self))


class GarbageTests:
    @pytest.mark.parametrize("base", [Leaving, Hooked, OnLoop])
    def test_what_has_performed_is_gone_at_once(self, drain, no_collector, base):
        job = type("Leaver", (base, Job), {"name": "leaver"})
        job.enqueue_many([{}] * 3)

        drain()

        assert [None] * 3 == [left() for left in LEFT]

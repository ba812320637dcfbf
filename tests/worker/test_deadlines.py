"""The time limits of async bodies, on a loop without a worker; and slots that are given up."""

import asyncio
import time

import pytest

from django_jobflow import job
from django_jobflow.declare import registry
from django_jobflow.maintain import reservation_of
from django_jobflow.models import FailedJob, JobRecord, SucceededJob
from django_jobflow.worker.deadlines import Deadlines
from django_jobflow.worker.execution import Execution
from tests.app import jobs
from tests.factories import JobRecordFactory


def execution_due_in(seconds):
    record = JobRecordFactory.build(id=1, name=jobs.add.job._name)
    execution = Execution(reservation_of(record), registry.get(record.name))
    execution.deadline = None if seconds is None else time.monotonic() + seconds
    return execution


class Bodies:
    """Some that wait for ever, each with its own limit."""

    def __init__(self, *limits):
        self.deadlines = Deadlines()
        self.executions = [execution_due_in(limit) for limit in limits]
        self.tasks = [asyncio.create_task(asyncio.Event().wait()) for _ in limits]
        for execution, task in zip(self.executions, self.tasks, strict=True):
            self.deadlines.follow(execution, task)

    async def first_to_end(self):
        done, _ = await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)
        return {self.tasks.index(task) for task in done}

    def struck(self):
        return [self.deadlines.leave(each) for each in self.executions]


class DeadlinesTests:
    @pytest.mark.parametrize("limits", [(60, 0.02, None), (0.02, 60, None), (None, 0.02, 60)])
    def test_whose_time_is_up_is_cancelled_and_no_other(self, limits):
        async def run():
            bodies = Bodies(*limits)
            return await bodies.first_to_end(), bodies.struck()

        ended, struck = asyncio.run(run())

        assert {limits.index(0.02)} == ended
        assert [limit == 0.02 for limit in limits] == struck

    def test_one_after_the_other(self):
        async def run():
            bodies = Bodies(0.5, 60, 0.02)
            order = []
            while len(order) < 2:
                for number in await bodies.first_to_end() - {*order}:
                    order.append(number)
                    bodies.tasks[number] = asyncio.create_task(asyncio.Event().wait())
            return order

        assert [2, 0] == asyncio.run(run())

    def test_limit_that_is_past_already_strikes_too(self):
        async def run():
            bodies = Bodies(-1, 60)
            return await bodies.first_to_end()

        assert {0} == asyncio.run(run())

    def test_body_that_has_left_is_not_cancelled(self):
        async def run():
            bodies = Bodies(0.01, 0.03)
            left = bodies.deadlines.leave(bodies.executions[0])
            return left, await bodies.first_to_end()

        assert (False, {1}) == asyncio.run(run())


class GivenUpTests:
    def test_another_takes_the_place_of_a_body_that_does_not_end(self, drain, settings):
        settings.JOBFLOW = {"TIMEOUT_GRACE": 0.05}
        others = []

        with registry.isolated():

            @job(timeout=0.05)
            async def stubborn():
                while len(others) < 3:
                    try:
                        await asyncio.sleep(60)
                    except asyncio.CancelledError:
                        await asyncio.sleep(0)

            @job()
            async def other(number):
                others.append(number)

            stubborn.using(priority=1).enqueue()
            other.enqueue_many({"number": number} for number in range(3))
            drain(threads=1)

        assert [0, 1, 2] == sorted(others)
        assert 3 == SucceededJob.objects.count()
        assert not FailedJob.objects.exclude(name__contains="stubborn").exists()
        assert JobRecord.objects.get().errors

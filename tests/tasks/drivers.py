"""Our backend in the place of Django's, for Django's own tests of its backends.

A worker is not waited for: what it does is done here, in one thread and by the same steps, so
that it works inside the transaction of a test.
"""

import asyncio
from contextvars import copy_context
from datetime import timedelta

from asgiref.sync import AsyncToSync, async_to_sync, sync_to_async

from django_jobflow import hooks, settle
from django_jobflow.arguments import decode
from django_jobflow.attempts import Demand
from django_jobflow.declare import registry
from django_jobflow.endings import decide
from django_jobflow.engines import engine_for
from django_jobflow.execute import aexecute, execute
from django_jobflow.models import JobRecord
from django_jobflow.tasks import JobflowBackend
from django_jobflow.worker.execution import Execution

WORKER = "driver"


def drain(engine):
    """Execute what can run now, and settle it."""
    while started := take(engine):
        for reservation in started:
            # What a body finds as its context is not left to the test.
            copy_context().run(run, engine, Execution(reservation, registry.get(reservation.name)))


def take(engine):
    demand = Demand(
        worker=WORKER,
        queues=None,
        limit=10,
        names=registry.names(),
        lease=timedelta(minutes=1),
        timeout=timedelta(minutes=1),
    )
    return engine.exchange([], [demand], 10).started


def run(engine, execution):
    context = execution.begin(None)
    job, reservation = execution.job, execution.reservation
    if job._is_async:
        outcome = async_to_sync(aexecute)(job, reservation, context, adecode)
    else:
        outcome = execute(job, reservation, context)
    ending = decide(reservation, outcome)
    settle.report([ending], engine.settle([ending]), {}, hooks.run)


async def adecode(*args, **options):
    return decode(*args, **options)


def in_thread_of_test(call, *args):
    """Call what asks the database, where Django lets it: some async tests ask synchronously."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return call(*args)
    return AsyncToSync.loop_thread_executors[loop].submit(call, *args).result()


class Waiting(JobflowBackend):
    """Our backend without a worker, and with what Django's dummy has for its tests."""

    modules = ("tasks",)

    @property
    def results(self):
        return in_thread_of_test(self._read_all)

    def _read_all(self):
        return [self.get_result(str(pk)) for pk in JobRecord.objects.values_list("pk", flat=True)]

    def get_result(self, result_id):
        return in_thread_of_test(super().get_result, result_id)

    def clear(self):
        JobRecord.objects.all().delete()


class Drained(Waiting):
    """Our backend, with a worker that has executed all when ``enqueue`` returns."""

    def enqueue(self, task, args, kwargs):
        result = super().enqueue(task, args, kwargs)
        drain(engine_for(self.database))
        result.refresh()
        return result

    async def aenqueue(self, task, args, kwargs):
        return await sync_to_async(self.enqueue)(task, args, kwargs)

"""Our own jobs."""

import asyncio
import time
from importlib.util import find_spec

from benchmarks import counters
from benchmarks.project import bodies
from benchmarks.project.models import Line
from django_jobflow import Discard, Job

if find_spec("uvloop"):
    import uvloop

    # The loop of async bodies, as the peers on asyncio have it.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


class Noop(Job):
    """Does nothing."""

    name = "noop"

    def perform(self):
        counters.bump()


class Keyed(Job):
    """Does nothing, one at a time for each of 1,000 keys."""

    name = "keyed"

    def perform(self, number):
        counters.bump()

    def execution_key(self, number):
        return str(number % 1000)


class Hot(Keyed):
    """Takes a millisecond, one at a time of all."""

    name = "hot"

    def perform(self, number):
        time.sleep(0.001)
        counters.bump()

    def execution_key(self, number):
        return "hot"


class HotTenMilliseconds(Hot):
    """Takes ten milliseconds, one at a time of all."""

    name = "hot-10ms"

    def perform(self, number):
        time.sleep(0.01)
        counters.bump()


class Slow(Job):
    """Takes ten milliseconds, and is not counted."""

    name = "slow"

    def perform(self):
        time.sleep(0.01)


class Stamp(Job):
    """Says when it began."""

    name = "stamp"

    def perform(self, moment):
        counters.stamp(moment)


class Insert(Job):
    """Writes one row, in a transaction of its own."""

    name = "insert"

    def perform(self):
        Line.objects.create(text="a line")
        counters.bump()


class InsertTransactional(Insert):
    """Writes one row, in the transaction of its end."""

    name = "insert-transactional"
    transactional = True


class InsertPipelined(Insert):
    """Writes one row, in the transaction of its end, which is sent with its neighbours'."""

    name = "insert-pipelined"
    transactional = "pipelined"


class InsertGrouped(Insert):
    """Writes one row, in a transaction that it shares with its neighbours."""

    name = "insert-grouped"
    transactional = "grouped"


class InsertRaw(Job):
    """Writes one row by a statement of its own, in a transaction of its own."""

    name = "insert-raw"

    def perform(self):
        bodies.insert_by_cursor()


class InsertRawTransactional(InsertRaw):
    """Writes one row by a statement of its own, in the transaction of its end."""

    name = "insert-raw-transactional"
    transactional = True


class InsertRawPipelined(InsertRaw):
    """Writes one row by a statement of its own, in a transaction that is sent with others."""

    name = "insert-raw-pipelined"
    transactional = "pipelined"


class InsertRawGrouped(InsertRaw):
    """Writes one row by a statement of its own, in a transaction shared with its neighbours."""

    name = "insert-raw-grouped"
    transactional = "grouped"


class InsertDriver(Job):
    """Writes one row in a thread, through a bare driver."""

    name = "insert-driver"

    def perform(self):
        bodies.insert_by_thread()


class InsertAsync(Job):
    """Writes one row on a loop, through a bare driver."""

    name = "insert-async"

    async def perform(self):
        await bodies.insert_by_asyncpg()


class Failing(Job):
    """Fails for good."""

    name = "failing"

    def perform(self):
        raise Discard("as it was asked to")

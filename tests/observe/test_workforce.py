from datetime import UTC, datetime, timedelta

from django.test import TestCase

from django_jobflow import observe
from tests.factories import JobRecordFactory, WorkerFactory

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LEASE = timedelta(seconds=60)
TICK = timedelta(microseconds=1)


class WorkersTests(TestCase):
    def test_each_worker_has_its_facts(self):
        WorkerFactory(host="b", pid=1, now=NOON)
        WorkerFactory(host="a", pid=2, now=NOON, queues=["email"], threads=8)
        for state in ("IN_PROGRESS", "RESERVED", "RESERVED"):
            JobRecordFactory(state=state, reserved_by="a:2")

        first, second = observe.workers(now=NOON)

        assert ("a:2", ("email",), 8, 1, 2) == (
            first.name,
            first.queues,
            first.slots,
            first.running,
            first.reserved,
        )
        assert ("b:1", (), 0, 0) == (second.name, second.queues, second.running, second.reserved)

    def test_worker_is_alive_until_its_lease_ends(self):
        WorkerFactory(now=NOON)

        [alive], [silent] = (observe.workers(now=NOON + LEASE + late) for late in (0 * TICK, TICK))

        assert (True, LEASE) == (alive.is_alive, alive.silent_for)
        assert (False, LEASE + TICK) == (silent.is_alive, silent.silent_for)

    def test_clock_that_is_behind_makes_no_negative_silence(self):
        WorkerFactory(now=NOON + LEASE)

        [worker] = observe.workers(now=NOON)

        assert timedelta(0) == worker.silent_for

    def test_without_workers_there_are_none(self):
        assert [] == observe.workers()

"""Each statement of a worker's cycle reads a range of its index, however large the table is.

The tables have just been filled, so that the database plans with statistics that are stale.
"""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_jobflow.engines import engine_for
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.states import JobState
from tests.engines.contract import LATER, MINUTE, NOON, columns, make, make_many
from tests.factories import SucceededJobFactory

ASKS = {"postgresql": "EXPLAIN ", "sqlite": "EXPLAIN QUERY PLAN ", "mysql": "EXPLAIN "}
SORTS = ("Sort", "TEMP B-TREE", "filesort")
WHOLE = ("Seq Scan on jobflow", "SCAN jobflow", "SCAN job ", "ALL None")


STATISTICS = {"none", "empty", "others"} if connection.vendor == "postgresql" else {"none"}


def analyze(table):
    """Let the database look at what it has; the others look when they plan, or never."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {table}")


@pytest.mark.django_db
class PlanTests:
    """Of the engine that serves the database; the portable one cannot know how each plans."""

    @pytest.fixture(autouse=True, params=sorted(STATISTICS))
    def filled(self, request, db):
        """Fill the table after the database has looked at it: not at all, empty, or before."""
        self.engine = engine_for("default")
        if request.param == "empty":
            analyze("jobflow_job")
        make_many(2000, JobState.FAILED)
        if request.param == "others":
            analyze("jobflow_job")
        make_many(3000, JobState.AVAILABLE)
        make_many(500, JobState.AVAILABLE, queue="email")
        make_many(500, JobState.SCHEDULED)
        make_many(500, JobState.IN_PROGRESS)
        make_many(500, JobState.WAITING, execution_key="e")

    def plans(self, act):
        """Return the plans of the statements of *act* that read or write a table of ours."""
        with CaptureQueriesContext(connection) as captured:
            act()
        statements = [query["sql"] for query in captured.captured_queries]
        return [self.plan(sql) for sql in statements if "jobflow" in sql and "INSERT" not in sql]

    def plan(self, sql):
        with connection.cursor() as cursor:
            cursor.execute(ASKS[connection.vendor] + sql.replace("%", "%%"), [])
            return "\n".join(" ".join(map(str, row)) for row in cursor.fetchall())

    def assert_uses(self, index, act, *, sorts=False):
        plans = self.plans(act)
        assert index in plans[0], plans[0]
        for plan in plans:
            assert not any(word in plan for word in WHOLE), plan
            assert sorts or not any(word in plan for word in SORTS), plan

    def reserve(self, queues):
        return lambda: self.engine.reserve(
            limit=20, worker="w", queues=queues, timeout=MINUTE, now=LATER
        )

    def test_reserve_from_one_queue(self):
        self.assert_uses("jobflow_job_fetch_queue", self.reserve(["email"]))

    def test_reserve_from_any_queue(self):
        self.assert_uses("jobflow_job_fetch_any", self.reserve(None))

    def test_reserve_from_several_queues_merges_their_ranges(self):
        # Sorts the few rows that the ranges have given, not what waits.
        self.assert_uses("jobflow_job_fetch_queue", self.reserve(["default", "email"]), sorts=True)

    def test_start_and_settle_go_by_key(self):
        for _ in range(3):
            make(JobState.RESERVED)
        reservations = self.engine.reserve(limit=5, worker="w", queues=None, timeout=MINUTE)

        plans = self.plans(lambda: self.engine.start(reservations, lease=MINUTE))

        assert plans
        assert not any(word in plan for plan in plans for word in WHOLE), plans

    def test_sweep_looks_for_lapsed_leases(self):
        self.assert_uses(
            "jobflow_job_lease", lambda: JobRecord.objects.activate_expired(NOON), sorts=True
        )

    def test_sweep_looks_for_what_is_due(self):
        self.assert_uses("jobflow_job_due", lambda: JobRecord.objects.activate_scheduled(NOON))

    def test_worker_looks_for_the_next_moment(self):
        self.assert_uses("jobflow_job_due", lambda: self.engine.seconds_to_next_due(NOON))

    def test_freed_key_looks_for_the_next_that_waits(self):
        self.assert_uses("jobflow_job_waiting", lambda: self.engine.promote([("", "e")]))

    def test_holder_of_a_queue_key_is_found(self):
        digest = make(queue_key="q").held_queue_key

        self.assert_uses(
            "jobflow_job_queue_key", lambda: self.engine.holder_of(digest), sorts=True
        )

    def test_prune_looks_for_what_has_ended(self):
        self.assert_uses(
            "jobflow_job_ended", lambda: self.engine.prune_ended(NOON - MINUTE), sorts=True
        )

    def test_prune_looks_for_old_successes(self):
        old = columns(SucceededJobFactory.build(now=NOON))
        SucceededJob.objects.bulk_create(
            [SucceededJob(**old | {"id": number}) for number in range(2000)]
        )
        analyze("jobflow_succeeded")  # or so small a table would rather be read whole

        self.assert_uses(
            "jobflow_succeeded_at", lambda: self.engine.prune_succeeded(NOON - MINUTE)
        )

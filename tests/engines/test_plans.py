"""Each statement of a worker's cycle reads a range of its index, however large the table is.

The tables have just been filled, so that the database plans with statistics that are stale.
"""

from itertools import cycle

import pytest
from django.db import connection, transaction

from django_jobflow.attempts import Demand, Range, Turn, reservation_of
from django_jobflow.engines import Engine, engine_for
from django_jobflow.engines.counting import FIRST_COLUMNS
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.outcomes import ErrorInfo, Failed, Succeeded
from django_jobflow.quotas import Quota
from django_jobflow.states import JobState
from tests.engines.contract import LATER, MINUTE, NOON, columns, ending, make, make_many
from tests.factories import SucceededJobFactory
from tests.plans import double

ASKS = {"postgresql": "EXPLAIN ", "sqlite": "EXPLAIN QUERY PLAN ", "mysql": "EXPLAIN "}
SORTS = ("Sort", "TEMP B-TREE", "filesort")
# MariaDB has looked up the first of a range, or found that there is none.
OPTIMIZED_AWAY = ("Select tables optimized away", "No matching min/max row")
WHOLE = ("Seq Scan on jobflow_job", "Seq Scan on jobflow_succ", "SCAN jobflow_job")
WHOLE += ("SCAN jobflow_succ", "SCAN job ", "jobflow_job ALL", "job ALL")


STATISTICS = (
    {"none", "empty", "emptied", "others"} if connection.vendor == "postgresql" else {"none"}
)


def analyze(table):
    """Let the database look at what it has; the others look when they plan, or never."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {table}")


def rebuild_indexes(table):
    """Leave none larger than another by what other tests have stored and undone."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"REINDEX TABLE {table}")


def multiply(where="1 = 1", *, doublings):
    """Store the rows *where* something holds again and again: 7,000 soon, not one by one."""
    for _ in range(doublings):
        double(JobRecord, where)


def reads_all_keys(plan):
    """Say whether PostgreSQL walks along the primary key, since it expects next to no row."""
    lines = plan.splitlines()
    return any(
        "jobflow_job_pkey" in line and "Index Cond" not in after
        for line, after in zip(lines, [*lines[1:], ""], strict=True)
    )


@pytest.fixture(autouse=True, scope="module", params=sorted(STATISTICS))
def filled(request, django_db_setup, django_db_blocker):
    """Fill the table after the database has looked at it: not at all, empty, or before.

    One that was emptied has pages without a row, so that it is thought to stay that small.
    It is filled once for all tests, each of which undoes to a savepoint what it does.
    """
    with django_db_blocker.unblock(), transaction.atomic():
        rebuild_indexes("jobflow_job")
        if request.param == "emptied":
            make_many(500, JobState.AVAILABLE)
            JobRecord.objects.all()._raw_delete("default")
        if request.param in {"empty", "emptied"}:
            analyze("jobflow_job")
        make_many(125, JobState.FAILED)
        multiply(doublings=4)
        if request.param == "others":
            analyze("jobflow_job")
        make_many(375, JobState.AVAILABLE)
        make_many(60, JobState.AVAILABLE, queue="email")
        make_many(60, JobState.SCHEDULED)
        make_many(60, JobState.IN_PROGRESS)
        make_many(60, JobState.WAITING, execution_key="e")
        multiply("state <> 'FAILED'", doublings=3)
        yield
        transaction.set_rollback(True)


@pytest.mark.django_db
class PlanTests:
    """Of the engine that serves the database; the portable one cannot know how each plans."""

    @pytest.fixture(autouse=True)
    def unknowing(self, filled):
        """An engine that remembers nothing of what others have found."""
        self.engine = engine_for("default")

    def plans(self, act):
        """Return the plans of the statements of *act* that read or write a table of ours."""
        statements = []

        def note(execute, sql, params, many, context):
            statements.append((sql, params))
            return execute(sql, params, many, context)

        with connection.execute_wrapper(note):
            act()
        return [
            self.plan(sql, params)
            for sql, params in statements
            if "jobflow" in sql and not sql.startswith("INSERT")
        ]

    def plan(self, sql, params):
        with connection.cursor() as cursor:
            cursor.execute(ASKS[connection.vendor] + sql, params)
            return "\n".join(" ".join(map(str, row)) for row in cursor.fetchall())

    def assert_uses(self, index, act, *, sorts=False):
        plans = self.plans(act)
        assert index in plans[0] or any(words in plans[0] for words in OPTIMIZED_AWAY), plans[0]
        for plan in plans:
            assert not any(word in plan for word in WHOLE), plan
            assert sorts or not any(word in plan for word in SORTS), plan

    def reserve(self, queues):
        return lambda: self.engine.reserve(
            limit=20, worker="w", queues=queues, timeout=MINUTE, now=LATER
        )

    def test_reserve_from_one_queue(self):
        # Sorts the few rows that the ranges have given, not what waits.
        self.assert_uses("jobflow_job_fetch_queue", self.reserve(["email"]), sorts=True)

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
        assert not any(map(reads_all_keys, plans)), plans
        assert not any(word in plan for plan in plans for word in WHOLE), plans
        assert not any("jobflow_job_lease" in plan for plan in plans), plans

    def exchange(self, queues, endings=()):
        demand = Demand(
            worker=endings[0].reservation.worker if endings else "w",
            queues=queues,
            limit=20,
            names=frozenset(JobRecord.objects.values_list("name", flat=True)[:1]),
            lease=MINUTE,
            timeout=MINUTE,
        )
        self.engine.exchange((), ())  # sets the session up
        return lambda: self.engine.exchange(endings, [demand], 20, LATER)

    def test_exchange_takes_from_any_queue(self):
        self.assert_uses("jobflow_job_fetch_any", self.exchange(None))

    def test_exchange_takes_from_one_queue(self):
        self.assert_uses("jobflow_job_fetch_queue", self.exchange(("email",)))

    def test_exchange_takes_from_several_queues(self):
        # Sorts the few rows that the ranges have given, not what waits.
        self.assert_uses(
            "jobflow_job_fetch_queue", self.exchange(("default", "email")), sorts=True
        )

    @pytest.mark.parametrize("count", [3, 300])
    def test_exchange_finds_what_has_ended_by_its_key(self, count):
        outcomes = cycle([Succeeded(1), Failed(ErrorInfo("E", "text"))])
        running = JobRecord.objects.filter(state=JobState.IN_PROGRESS)[:count]
        endings = [
            ending(record, outcome) for record, outcome in zip(running, outcomes, strict=False)
        ]

        plans = self.plans(self.exchange(None, endings))

        assert plans
        assert not any(word in plan for plan in plans for word in WHOLE), plans
        assert not any("jobflow_job_lease" in plan for plan in plans), plans
        assert not any(map(reads_all_keys, plans)), plans

    @pytest.mark.parametrize(
        "act",
        [
            lambda engine, held: engine.extend(held, lease=MINUTE),
            lambda engine, held: engine.cancel_requests(held),
            lambda engine, held: engine.release(held),
            lambda engine, held: engine.write_progress(held[0], 50, "half"),
            lambda engine, held: engine.standing(held),
            lambda engine, held: engine._free(
                [*JobRecord.objects.filter(pk__in=[each.id for each in held])], None, "lost"
            ),
        ],
        ids=["extend", "cancel", "release", "progress", "elsewhere", "rescue"],
    )
    def test_what_a_worker_holds_is_looked_up_by_its_key(self, act):
        held = [reservation_of(row) for row in JobRecord.objects.filter(state="IN_PROGRESS")[:9]]

        plans = self.plans(lambda: act(self.engine, held))

        assert plans
        assert not any("jobflow_job_lease" in plan for plan in plans), plans
        assert not any(word in plan for plan in plans for word in WHOLE), plans
        assert not any(map(reads_all_keys, plans)), plans

    @pytest.mark.skipif(connection.vendor != "postgresql", reason="others plan each time")
    @pytest.mark.parametrize(
        ("queues", "index", "kinds"),
        [
            (None, "jobflow_job_fetch_any", 6),
            (("email",), "jobflow_job_fetch_queue", 6),
            (("default", "email"), "jobflow_job_fetch_queue", 3),  # always from the beginning
        ],
    )
    def test_plans_that_are_made_once_suit_any_values(self, queues, index, kinds, monkeypatch):
        # The first look is from the beginning, and none after it that is not told to.
        monkeypatch.setattr("django_jobflow.engines.postgresql_rounds.SHARE", 10**9)
        for number in range(4):
            make(JobState.WAITING, execution_key=f"k{number // 2}")
        running = [*JobRecord.objects.filter(state=JobState.IN_PROGRESS)[:3]]
        keyed = [make(JobState.IN_PROGRESS, execution_key=f"k{number}") for number in range(2)]
        endings = [ending(record, Succeeded()) for record in running]
        self.exchange(queues, endings[:2])()
        self.exchange(queues, endings[2:])()  # from where the first has ended
        self.exchange(queues, [ending(record, Succeeded()) for record in keyed])()
        make_many(20, JobState.AVAILABLE, queue="email", priority=7)
        self.exchange(queues)()
        self.exchange(queues)()  # from where two priorities have ended
        for rounds in self.engine._head._rounds.values():
            rounds.looked(None, 0.0, 10.0)
            rounds._due_at, rounds._looks_past = 0.0, False
        self.exchange(queues)()  # and at a piece of what was passed

        plans = self.generic_plans()

        assert kinds == len(plans)
        for plan in plans:
            assert index in plan, plan
            assert "jobflow_job_lease" not in plan, plan
            assert not any(word in plan for word in WHOLE), plan
            assert not reads_all_keys(plan), plan

    def generic_plans(self):
        """Return the plans that the server keeps of this session's cycles."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT name, cardinality(parameter_types), custom_plans "
                "FROM pg_prepared_statements "
                "WHERE statement LIKE '%SKIP LOCKED%' AND statement LIKE '%UPDATE%'"
            )
            prepared = cursor.fetchall()
        assert not any(planned_anew for _, _, planned_anew in prepared)
        nothing = [f'"{name}"({", ".join(["NULL"] * count)})' for name, count, _ in prepared]
        return [self.plan(f"EXECUTE {call}", None) for call in nothing]

    def test_first_in_each_line_is_looked_up(self):
        keys = [("", f"k{number}") for number in range(30)]
        for _, key in keys:
            make(JobState.WAITING, execution_key=key)

        self.assert_uses(
            "jobflow_job_waiting",
            lambda: self.engine._first_in_line([(key, 1) for key in keys]),
            sorts=connection.vendor == "mysql",  # those of one key
        )

    @pytest.mark.parametrize("queues", [None, ("email",)])
    def test_exchange_finds_what_waits_for_the_keys_that_become_free(self, queues):
        running = [make(JobState.IN_PROGRESS, execution_key=f"k{each}") for each in range(30)]
        for each in range(30):
            make(JobState.WAITING, execution_key=f"k{each}")
        endings = [ending(record, Succeeded()) for record in running]

        plans = self.plans(self.exchange(queues, endings))

        assert "jobflow_job_waiting" in "".join(plans), plans
        assert not any(word in plan for plan in plans for word in WHOLE), plans
        assert not any(map(reads_all_keys, plans)), plans

    def test_sweep_looks_for_lapsed_leases(self):
        self.assert_uses(
            "jobflow_job_lease", lambda: JobRecord.objects.activate_expired(NOON), sorts=True
        )

    def test_sweep_looks_for_what_is_due(self):
        self.assert_uses("jobflow_job_due", lambda: JobRecord.objects.activate_scheduled(NOON))

    def test_sweep_looks_for_what_is_pointless(self):
        make_many(500, JobState.FAILED, expires_at=NOON)

        self.assert_uses(
            "jobflow_job_pointless", lambda: self.engine.expire(JobRecord.objects, NOON)
        )

    @pytest.fixture
    def portable(self):
        """The portable engine, whose statements can be read, in the session of a worker."""
        self.engine.glance(None)
        yield Engine("default")
        self.engine.end_session()

    @pytest.mark.parametrize(
        ("queues", "index"), [(None, "fetch_any"), (["a", "email"], "fetch_queue")]
    )
    def test_glance_of_a_worker_takes_the_first_of_each_range(self, portable, queues, index):
        for used in (index, "due", "lease", "pointless"):
            self.assert_uses(f"jobflow_job_{used}", lambda: portable.glance(queues, NOON))

    @pytest.mark.parametrize("verb", ["waiting_queues", "waiting_lanes", "has_partitions"])
    def test_queues_and_partitions_with_work_are_found_by_skipping(self, verb):
        make(partition="acme")

        self.assert_uses("jobflow_job_fetch_queue", getattr(self.engine, verb))

    def test_limited_turns_read_their_ranges_and_count_what_is_held(self):
        self.engine.prepare_limits({("queue", "email")})
        demand = Demand(
            worker="w",
            queues=None,
            turns=(
                Turn((Range("default", "", 5), Range("email", "", 5)), 5),
                Turn((Range("email", "acme", 5),), 5),
            ),
            quotas={"email": Quota(100)},
            limit=10,
            names=frozenset(),
            lease=MINUTE,
            timeout=MINUTE,
        )
        self.engine.glance(None)  # sets the session up

        plans = self.plans(lambda: self.engine.exchange((), [demand], 10, LATER))

        assert plans
        assert not any(word in plan for plan in plans for word in WHOLE), plans
        assert "jobflow_job_fetch_queue" in "".join(plans)

    def test_waits_are_read_off_the_first_of_each_range(self):
        self.assert_uses("jobflow_job_fetch_queue", lambda: self.engine.waits(["a", "email"]))

    @pytest.mark.parametrize("index", ["due", "lease"])
    def test_delays_are_read_off_the_first_of_each_range(self, index):
        self.assert_uses(f"jobflow_job_{index}", self.engine.delays)

    def test_freed_key_looks_for_the_next_that_waits(self):
        self.assert_uses("jobflow_job_waiting", lambda: self.engine.promote([("", "e")]))

    @pytest.mark.parametrize("count", [1, 50])
    def test_next_in_line_gets_its_turn_by_its_key(self, count):
        for number in range(count):
            make(JobState.WAITING, execution_key=f"freed{number}")
        ended = [reservation_of(make(execution_key=f"freed{n}")) for n in range(count)]
        JobRecord.objects.filter(pk__in=[each.id for each in ended]).delete()

        plans = self.plans(lambda: self.engine.hand_on(ended))

        assert plans
        assert not any(map(reads_all_keys, plans)), plans
        assert not any(word in plan for plan in plans for word in WHOLE), plans

    def test_holder_of_a_queue_key_is_found(self):
        digest = make(queue_key="q").held_queue_key

        self.assert_uses(
            "jobflow_job_queue_key", lambda: self.engine.holder_of(digest), sorts=True
        )

    def test_prune_looks_for_what_has_ended(self):
        self.assert_uses(
            "jobflow_job_ended",
            lambda: self.engine.prune(self.engine.old_ended(NOON - MINUTE)),
            sorts=True,
        )

    def test_prune_looks_for_old_successes(self):
        old = columns(SucceededJobFactory.build(now=NOON))
        SucceededJob.objects.bulk_create(
            [SucceededJob(**old | {"id": number}) for number in range(2000)]
        )
        analyze("jobflow_succeeded")  # or so small a table would rather be read whole

        self.assert_uses(
            "jobflow_succeeded_at",
            lambda: self.engine.prune(self.engine.old_succeeded(NOON - MINUTE)),
        )

    def test_counts_of_a_state_read_the_first_of_its_index(self):
        def count():
            for state in FIRST_COLUMNS:
                self.engine.tally_state(state, 100)

        assert not any(word in plan for plan in self.plans(count) for word in WHOLE)

    def test_count_of_a_queue_reads_the_first_of_it(self):
        [plan] = self.plans(lambda: self.engine.tally_queue("email", 100))

        assert "jobflow_job_fetch_queue" in plan, plan

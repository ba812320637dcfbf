import json

import pytest
from django.db import connection

from django_jobflow.engines.surveying import HEAD, Delays
from django_jobflow.states import JobState
from tests.engines.contract import (
    HOUR,
    LATER,
    MINUTE,
    NOON,
    SECOND,
    TICK,
    Contract,
    make,
    make_many,
)
from tests.factories import JobRecordFactory

DEFAULT = ("default", "")
ENOUGH = HEAD + 1  # rows of one priority that are not read at once


def waiting(since=NOON, **facts):
    """Return a record that is AVAILABLE since then."""
    return make(**{"available_at": since, "updated_at": since} | facts)


class WaitingQueuesTests(Contract):
    def test_queues_are_those_with_available_records(self):
        make(queue="b")
        make(queue="a")
        make(queue="a")
        make(JobState.SCHEDULED, queue="c")
        make(JobState.RESERVED, queue="d")

        assert ["a", "b"] == self.engine.waiting_queues()

    def test_nothing_waits_and_there_is_no_queue(self):
        make(JobState.SCHEDULED)

        assert [] == self.engine.waiting_queues()

    def test_queues_are_told_apart_letter_by_letter(self):
        names = {"email", "Email", "émail", "e", "emails", "Z", "1", "_"}
        for name in names:
            make(queue=name)

        found = self.engine.waiting_queues()

        assert (len(names), names) == (len(found), set(found))

    def test_no_more_are_named_than_are_wanted(self):
        for name in ("c", "b", "a"):
            make(queue=name)

        assert ["a", "b"] == self.engine.waiting_queues(most=2)
        assert ["a", "b", "c"] == self.engine.waiting_queues(most=4)


class WaitTests(Contract):
    def test_each_queue_has_the_wait_of_its_oldest_record(self):
        waiting(NOON - SECOND, queue="a")
        waiting(NOON - MINUTE, queue="a")
        waiting(NOON, queue="b")
        waiting(NOON - HOUR, queue="c")

        assert {("a", ""): 60.0, ("b", ""): 0.0} == self.engine.waits(["a", "b"], NOON)

    def test_each_partition_of_a_queue_has_its_own(self):
        waiting(NOON - SECOND, queue="a", partition="x")
        waiting(NOON - MINUTE, queue="a", partition="x", priority=-1)
        waiting(NOON, queue="a")
        waiting(NOON - HOUR, queue="b", partition="x")

        assert {("a", ""): 0.0, ("a", "x"): 60.0} == self.engine.waits(["a"], NOON)

    def test_queue_without_available_records_is_left_out(self):
        make(JobState.SCHEDULED, due=True)
        make(JobState.IN_PROGRESS)

        assert {} == self.engine.waits(["default", "other"], NOON)
        assert {} == self.engine.waits([], NOON)

    @pytest.mark.parametrize("count", [1, ENOUGH])
    def test_oldest_may_have_a_lower_priority(self, count):
        for priority in (100, 5, 0, -3):
            for _ in range(count):
                waiting(NOON - SECOND, priority=priority)
        waiting(NOON - MINUTE, priority=-3)
        waiting(NOON - 2 * SECOND, priority=-100)

        assert {DEFAULT: 60.0} == self.engine.waits(["default"], NOON)

    def test_record_waits_since_it_was_made_available(self):
        """It was rescued, given back, or behind an execution key."""
        waiting(NOON - HOUR, updated_at=NOON - MINUTE)

        assert {DEFAULT: 60.0} == self.engine.waits(["default"], NOON)

    def test_record_that_was_made_available_does_not_hide_those_behind_it(self):
        for _ in range(HEAD - 1):
            waiting(NOON - HOUR, updated_at=NOON - SECOND)
        waiting(NOON - MINUTE)

        assert {DEFAULT: 60.0} == self.engine.waits(["default"], NOON)

    def test_record_that_is_not_due_has_not_waited(self):
        waiting(NOON + HOUR)

        assert {DEFAULT: 0.0} == self.engine.waits(["default"], NOON)

    def test_wait_is_counted_by_the_clock_of_the_database(self):
        began = self.engine.now() - HOUR
        JobRecordFactory(available_at=began, updated_at=began)

        waited = self.engine.waits(["default"])[DEFAULT]

        assert 3600 <= waited <= (self.engine.now() - began).total_seconds()

    def test_names_are_only_names(self):
        waiting(queue="o'%s")

        assert {("o'%s", ""): 0.0} == self.engine.waits(["o'%s", "%(names)s", "{names}"], NOON)


class DelayTests(Contract):
    def test_nothing_is_to_be_done(self):
        make()
        make(JobState.SCHEDULED)
        make(JobState.IN_PROGRESS)

        assert Delays(overdue=None, lapsed=None) == self.engine.delays(NOON)

    @pytest.mark.parametrize("state", [JobState.SCHEDULED, JobState.RETRY])
    def test_earliest_due_record_says_for_how_long(self, state):
        make(state, due=True)
        make(state, now=NOON + MINUTE, due=True)

        assert Delays(overdue=300.0, lapsed=None) == self.engine.delays(LATER)
        assert Delays(overdue=0.0, lapsed=None) == self.engine.delays(NOON)
        assert Delays(overdue=None, lapsed=None) == self.engine.delays(NOON - TICK)

    @pytest.mark.parametrize("state", [JobState.RESERVED, JobState.IN_PROGRESS])
    def test_earliest_lapsed_record_says_for_how_long(self, state):
        make(state, lapsed=True)
        make(state, now=NOON + MINUTE, lapsed=True)

        assert Delays(overdue=None, lapsed=300.0) == self.engine.delays(LATER)
        assert Delays(overdue=None, lapsed=0.0) == self.engine.delays(NOON)
        assert Delays(overdue=None, lapsed=None) == self.engine.delays(NOON - TICK)

    def test_longest_of_both_states_counts(self):
        make(JobState.SCHEDULED, due=True)
        make(JobState.RETRY, now=NOON - MINUTE, due=True)
        make(JobState.RESERVED, lapsed=True)
        make(JobState.IN_PROGRESS, now=NOON - MINUTE, lapsed=True)

        assert Delays(overdue=60.0, lapsed=60.0) == self.engine.delays(NOON)

    def test_delay_is_counted_by_the_clock_of_the_database(self):
        began = self.engine.now() - HOUR
        JobRecordFactory(state=JobState.SCHEDULED, now=began, due=True)

        overdue = self.engine.delays().overdue

        assert 3600 <= overdue <= (self.engine.now() - began).total_seconds()


class EffortTests(Contract):
    """What waits is not read, but for the first of each range."""

    COUNT = 250  # rows of each range

    @pytest.fixture(autouse=True)
    def filled(self, served_by, db):
        for queue in ("a", "b", "c"):
            for priority in (5, 0):
                make_many(self.COUNT, JobState.AVAILABLE, queue=queue, priority=priority)
        make_many(self.COUNT, JobState.SCHEDULED)
        make_many(self.COUNT, JobState.IN_PROGRESS)

    @pytest.mark.parametrize(
        ("verb", "arguments"),
        [("waiting_queues", []), ("waits", [["a", "b", "c"]]), ("delays", [])],
    )
    def test_rows_that_wait_are_passed_over(self, verb, arguments):
        effort = EFFORTS[connection.vendor](lambda: getattr(self.engine, verb)(*arguments))

        assert 0 < effort < self.COUNT


def rows_of_postgresql(act):
    """Return the rows that the statements of *act* look at."""
    return sum(
        node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        for statement in statements_of(act)
        for (plan,) in run("EXPLAIN (ANALYZE, FORMAT JSON) " + statement[0], statement[1])
        for node in nodes_below((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])
    )


def nodes_below(node):
    yield node
    for child in node.get("Plans", ()):
        yield from nodes_below(child)


def rows_of_mysql(act):
    """Return the rows that the statements of *act* look at."""
    before = handled()
    act()
    return handled() - before


def handled():
    counts = dict(run("SHOW SESSION STATUS LIKE 'Handler%'"))
    # The second counts those that the storage engine passes over; MySQL has no such number.
    names = [name for name in counts if name.startswith(("Handler_read", "Handler_icp_attempts"))]
    return sum(int(counts[name]) for name in names)


STEPS_OF_A_ROW = 10


def steps_of_sqlite(act):
    """Return the steps of SQLite's machine that *act* takes, in units of those of a row."""
    steps = []
    connection.connection.set_progress_handler(lambda: steps.append(1), STEPS_OF_A_ROW)
    act()
    connection.connection.set_progress_handler(None, 0)
    return len(steps)


def statements_of(act):
    statements = []

    def note(execute, sql, params, many, context):
        statements.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        act()
    return statements


def run(sql, params=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


EFFORTS = {
    "postgresql": rows_of_postgresql,
    "mysql": rows_of_mysql,
    "sqlite": steps_of_sqlite,
}

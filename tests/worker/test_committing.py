"""Several short transactional jobs share one commit, and each still ends exactly once."""

import threading
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from django.db import ProgrammingError, connection, connections, transaction

from django_jobflow import Cancel, Job
from django_jobflow.attempts import Demand
from django_jobflow.declare import registry
from django_jobflow.declare.context import DETACHED, set_current
from django_jobflow.endings import decide
from django_jobflow.engines import engine_for
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.outcomes import Cancelled, Failed, Released, Succeeded
from django_jobflow.states import JobState
from django_jobflow.worker.committing import Group, Turn
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.inbox import Inbox
from django_jobflow.worker.running import Running
from django_jobflow.worker.vitals import Unwatched
from tests.app import jobs
from tests.app.models import Order
from tests.engines.contract import MINUTE

ACTIONS = {}
"""What a body does beside its write, by the number of its order; set by a test."""
AT_THE_END = "at the end"  # of the bodies, and before anything is settled


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


class AloneTests:
    """Transactional jobs that end one after the other on one connection."""

    def test_end_is_fenced_also_by_a_statement_that_is_prepared(self, drain):
        with registry.isolated():

            class Fenced(Job):
                transactional = True

                def perform(self, number):
                    Order.objects.create(number=number, email="a@example.com", total=1)
                    if number == 9:
                        JobRecord.objects.filter(args=[9]).update(reserved_by="another")
                    return number

            for number in range(10):
                Fenced.enqueue(number)
            drain(threads=1)

        assert [*map(str, range(9))] == sorted(Order.objects.values_list("number", flat=True))
        assert [*range(9)] == sorted(SucceededJob.objects.values_list("result", flat=True))
        assert [[9]] == [*JobRecord.objects.values_list("args", flat=True)]


class Runs:
    """What a test sees of the jobs that ran as one group."""

    def __init__(self, slot, executions):
        self.ended = []
        self.ran = []
        self._line = iter(executions)
        self._slot = slot
        group = Group(next(self._line), self._following, self._now, self.ended.append)
        slot.group = group
        slot.committing.together(group, Turn())
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


def elsewhere(action):
    """Do *action* on a connection of its own, as another worker does."""

    def do():
        try:
            action()
        finally:
            connections.close_all()

    thread = threading.Thread(target=do)
    thread.start()
    thread.join(30)


class TogetherTests:
    def test_all_are_kept_by_one_commit(self, run):
        seen = []
        ACTIONS["b"] = lambda: transaction.on_commit(lambda: seen.append(kept()))
        ACTIONS["c"] = lambda: seen.append("body")

        runs = run("a", "b", "c")

        assert ["body", ["a", "b", "c"]] == seen
        assert ["a", "b", "c"] == orders() == kept()
        assert {"a": Succeeded, "b": Succeeded, "c": Succeeded} == runs.outcomes()
        assert all(each.settled for each in runs.ended)
        assert not JobRecord.objects.exists()

    def test_one_that_fails_is_undone_alone(self, run):
        def fail():
            raise ValueError("no")

        ACTIONS["b"] = fail

        runs = run("a", "b", "c")

        assert ["a", "c"] == orders() == kept()
        assert {"a": Succeeded, "b": Failed, "c": Succeeded} == runs.outcomes()
        assert ["a", "b", "c"] == runs.ran
        [failed] = [each for each in runs.ended if each.reservation.args == ["b"]]
        assert not failed.settled

    def test_a_lost_lease_undoes_the_group_and_the_others_end_once(self, run):
        hooks = []
        ACTIONS["a"] = lambda: transaction.on_commit(lambda: hooks.append("a"))

        def lose():
            JobRecord.objects.filter(args=["a"]).update(reserved_by="another")

        ACTIONS["b"] = (
            lose if not connection.features.has_select_for_update else (lambda: elsewhere(lose))
        )

        runs = run("a", "b", "c")

        lost = [each.reservation.args[0] for each in runs.ended if each.lost]
        assert [] == hooks
        assert ["a"] == lost
        assert ["b", "c"] == orders() == kept()
        assert ["a", "b", "c", "b", "c"] == runs.ran

    def test_a_commit_that_is_refused_fails_the_one_at_fault(self, run):
        if not connection.features.supports_deferrable_unique_constraints:
            pytest.skip("Only PostgreSQL looks at a unique constraint as late as that.")
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE last_word (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        ACTIONS["b"] = write_twice

        runs = run("a", "b", "c")

        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE last_word")

        assert ["a", "c"] == orders() == kept()
        assert {"a": Succeeded, "b": Failed, "c": Succeeded} == runs.outcomes()

    def test_one_that_closes_the_connection_fails_alone(self, run):
        ACTIONS["b"] = connection.close

        runs = run("a", "b", "c")

        # What stands in the line is for the next transaction.
        assert ["a", "b", "a", "b"] == runs.ran
        assert ["a"] == orders() == kept()
        assert {"a": Succeeded, "b": Failed} == runs.outcomes()

    def test_one_that_swallows_a_database_error_fails_alone(self, run):
        def swallow():
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT * FROM there_is_no_such_table")
            except Exception:
                connection.needs_rollback = True  # as an atomic block inside would say

        ACTIONS["b"] = swallow

        runs = run("a", "b", "c")

        assert ["a", "c"] == orders() == kept()
        assert {"a": Succeeded, "b": Failed, "c": Succeeded} == runs.outcomes()

    @pytest.mark.parametrize("at_fault", ["b", "c"])
    def test_one_that_hides_a_database_error_fails_alone(self, run, at_fault):
        if connection.vendor != "postgresql":
            pytest.skip("Here a statement that fails leaves its transaction as it was.")

        def hide():
            with suppress(ProgrammingError), connection.cursor() as cursor:
                cursor.execute("SELECT * FROM there_is_no_such_table")

        ACTIONS[at_fault] = hide

        runs = run("a", "b", "c")

        assert sorted({"a", "b", "c"} - {at_fault}) == orders() == kept()
        assert ["a", "b", "c"] == runs.ran
        assert Failed is runs.outcomes()[at_fault]

    def test_one_that_begins_another_transaction_behind_our_back_ends_nobody(self, run):
        if connection.vendor != "postgresql":
            pytest.skip("Here the driver is asked in another way.")

        def begin_anew():
            connection.connection.rollback()
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")

        ACTIONS["c"] = begin_anew

        runs = run("a", "b", "c")

        assert ["a", "b", "c", "a", "b", "c"] == runs.ran
        assert {"a", "b"} <= set(orders())
        assert ["a", "b"] == kept()[:2]

    def test_one_that_fails_takes_only_its_own_hooks_along(self, run):
        told = []

        def leave(name):
            transaction.on_commit(lambda: told.append(name))

        def fail():
            leave("b")
            raise ZeroDivisionError

        ACTIONS.update(a=lambda: leave("a"), b=fail, c=lambda: leave("c"))

        run("a", "b", "c")

        assert ["a", "c"] == told

    def test_savepoints_cost_one_message_for_each_job(self, run):
        if connection.vendor != "postgresql":
            pytest.skip("Only there two statements are one message.")
        seen = []

        def note(execute, sql, params, many, context):
            seen.append(sql.split('"')[0].strip())
            return execute(sql, params, many, context)

        ACTIONS["a"] = lambda: seen.append("...")
        with connection.execute_wrapper(note):
            run("a", "b")

        began = seen.index("SAVEPOINT jobflow_1")
        assert [
            "SAVEPOINT jobflow_1",
            "INSERT INTO",
            "...",
            "RELEASE SAVEPOINT jobflow_1; SAVEPOINT jobflow_2",
            "INSERT INTO",
            "RELEASE SAVEPOINT jobflow_2",
        ] == seen[began : began + 6]
        assert "jobflow_" not in "".join(seen[began + 6 :]).replace("jobflow_job", "")

    def test_one_that_rolls_back_fails_alone(self, run):
        ACTIONS["b"] = lambda: transaction.set_rollback(True)

        runs = run("a", "b", "c")

        assert ["a", "c"] == orders() == kept()
        assert Failed is runs.outcomes()["b"]

    def test_a_hook_that_fails_costs_no_other_its_own(self, run):
        told = []

        def fail():
            raise RuntimeError("nobody listens")

        ACTIONS["a"] = lambda: transaction.on_commit(fail)
        ACTIONS["b"] = lambda: transaction.on_commit(lambda: told.append("b"))

        runs = run("a", "b")

        assert ["b"] == told
        assert ["a", "b"] == orders() == kept()
        assert [True, True] == [each.settled for each in runs.ended]

    def test_a_group_is_bounded_in_time(self, run, monkeypatch):
        monkeypatch.setattr("django_jobflow.worker.committing.GROUP_TIME", 0.0)

        runs = run("a", "b", "c")

        assert ["a"] == runs.ran == kept()

    def test_a_group_is_bounded_in_number(self, run, monkeypatch):
        monkeypatch.setattr("django_jobflow.worker.committing.GROUP_SIZE", 2)

        assert ["a", "b"] == run("a", "b", "c").ran

    def test_a_group_that_is_given_up_commits_nothing(self, run, slot):
        others = []
        ACTIONS["b"] = lambda: others.extend(slot.give_up())

        runs = run("a", "b", "c")

        assert ["a"] == [each.reservation.args[0] for each in others]
        assert ([], []) == (orders(), kept())
        assert [] == runs.ended
        assert {JobState.IN_PROGRESS} == set(JobRecord.objects.values_list("state", flat=True))

    def test_a_group_that_is_given_up_at_its_end_commits_nothing(self, run, slot):
        """The last body has come to its end while the coordinator was settling it as stuck."""
        ACTIONS[AT_THE_END] = lambda: give_up(slot)

        runs = run("a", "b")

        assert ([], []) == (orders(), kept())
        assert [] == runs.ended
        assert {JobState.IN_PROGRESS} == set(JobRecord.objects.values_list("state", flat=True))

    def test_a_group_that_is_given_up_while_it_settles_is_not_run_again(
        self, run, slot, monkeypatch
    ):
        if not connection.features.has_select_for_update:
            pytest.skip("Nobody else writes while a group runs.")
        engine = slot.committing.engine
        settle = engine.settle

        def give_up_first(endings):
            ends = give_up(slot)
            elsewhere(lambda: engine_for("default").settle(ends))
            return settle(endings)

        monkeypatch.setattr(engine, "settle", give_up_first)

        runs = run("a", "b")

        assert ([], []) == (orders(), kept())
        assert ["a", "b"] == runs.ran
        assert [] == runs.ended
        assert {JobState.AVAILABLE} == set(JobRecord.objects.values_list("state", flat=True))

    def test_all_is_undone_by_a_group_that_is_cut_off(self, run):
        if connection.vendor != "postgresql":
            pytest.skip("Only PostgreSQL lets a test cut its connection.")

        def cut():
            pid = connection.connection.info.backend_pid
            elsewhere(lambda: terminate(pid))

        cuts = [cut]
        ACTIONS["b"] = lambda: cuts and cuts.pop()()

        runs = run("a", "b", "c")

        # That "c" cannot begin is what tells; none of its body has run by then.
        assert ["a", "b", "c", "a", "b", "c"] == runs.ran
        assert ["a", "b", "c"] == orders() == kept()
        assert dict.fromkeys("abc", Succeeded) == runs.outcomes()


def give_up(slot):
    """Do what the coordinator does with a stuck slot; return what it settles."""
    given_up = [slot.execution, *slot.give_up()]
    for execution in given_up:
        execution.abandoned = True
        execution.end(Released())
    return [decide(each.reservation, each.outcome) for each in given_up]


def terminate(pid):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def write_twice():
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO last_word VALUES (1), (1)")


@contextmanager
def unreachable():
    """Let this thread have no connection."""
    connection.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(connection.settings_dict, "NAME", "/there/is/no/such/database")
        yield
    connection.close()


class UnreachableTests:
    """Nothing that was handed to a slot is lost, whatever its connection does."""

    @pytest.fixture
    def group(self, grouped, slot):
        """Start two records, and return what runs them as a group."""
        grouped.enqueue("a")
        grouped.enqueue("b")
        executions = started(2)
        return lambda: Runs(slot, executions)

    def test_a_transaction_that_cannot_begin_costs_no_attempt(self, group):
        with unreachable():
            runs = group()

        assert {"a": Released} == runs.outcomes()
        assert runs.ended[0].outcome.delay > timedelta(0)
        assert [] == orders()

    def test_arguments_that_cannot_be_read_cost_no_attempt(self, slot):
        order = Order.objects.create(number="7", email="a@example.com", total=1)
        jobs.describe_order.enqueue(order)
        [execution] = started(1)

        with unreachable():
            outcome = slot._perform(execution)

        assert Released is type(outcome)
        assert outcome.delay > timedelta(0)

    def test_row_that_is_gone_is_the_fault_of_the_job(self, slot):
        order = Order.objects.create(number="7", email="a@example.com", total=1)
        jobs.describe_order.enqueue(order)
        order.delete()
        [execution] = started(1)

        assert Failed is type(slot._perform(execution))

    def test_body_that_ended_keeps_its_end_though_nothing_can_be_undone(self, slot):
        with registry.isolated(), pytest.MonkeyPatch.context() as patch:

            class Leave(Job):
                transactional = True

                def perform(self):
                    connection.connection.close()
                    patch.setitem(connection.settings_dict, "NAME", "/there/is/no/such/database")
                    raise Cancel("not needed")

            Leave.enqueue()
            [execution] = started(1)
            outcome = slot._perform(execution)
        connection.close()

        assert Cancelled is type(outcome)

    def test_a_connection_that_was_cut_before_costs_nobody_the_attempt(self, group):
        if connection.vendor != "postgresql":
            pytest.skip("Only PostgreSQL lets a test cut its connection.")
        pid = connection.connection.info.backend_pid
        elsewhere(lambda: terminate(pid))

        runs = group()

        assert {"a": Succeeded} == runs.outcomes()
        assert ["a"] == orders() == kept()

    def test_a_slot_that_is_given_up_leaves_the_next_in_the_line(self, grouped, slot):
        grouped.enqueue("a")
        [execution] = started(1)
        slot._set_aside.append(execution)

        slot.give_up()

        inbox = slot.slots.finished.__self__
        inbox.sleep(30)
        assert [execution] == inbox.take_all()


class DrainTests:
    @pytest.fixture(autouse=True)
    def forget_time(self, monkeypatch):
        """Hand jobs ahead and let groups grow also where a loaded machine makes them slow."""
        monkeypatch.setattr("django_jobflow.worker.pace.SHORT", 60)
        monkeypatch.setattr("django_jobflow.worker.pace.AHEAD", 10**9)
        monkeypatch.setattr("django_jobflow.worker.running.WAIT_LIMIT", 60)
        monkeypatch.setattr("django_jobflow.worker.committing.GROUP_TIME", 60)

    def test_a_worker_shares_commits_among_short_jobs(self, grouped, drain):
        grouped.enqueue_many({"number": f"{number}"} for number in range(60))
        together = []
        for number in range(60):
            ACTIONS[f"{number}"] = lambda: together.append(len(connection.run_on_commit))

        assert 60 == drain(threads=2)

        assert max(together) > 1

        assert 60 == Order.objects.count() == SucceededJob.objects.count()
        assert not JobRecord.objects.exists()

    def test_other_kinds_stand_in_the_same_line(self, grouped, drain):
        class Plain(Job):
            def perform(self, number):
                Order.objects.create(number=number, email="a@example.com", total=1)

        for number in range(20):
            grouped.enqueue(f"g{number}")
            Plain.enqueue(f"p{number}")

        assert 40 == drain(threads=1)

        assert 40 == Order.objects.count() == SucceededJob.objects.count()

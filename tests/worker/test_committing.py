"""Several short transactional jobs share one commit, and each still ends exactly once."""

import threading
import time
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import (
    OperationalError,
    ProgrammingError,
    connection,
    connections,
    transaction,
)

from django_jobflow import Cancel, Job
from django_jobflow.declare import registry
from django_jobflow.endings import decide
from django_jobflow.engines import engine_for
from django_jobflow.engines.repeating import TRIES
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.outcomes import Cancelled, Failed, Released, Succeeded
from django_jobflow.states import JobState
from django_jobflow.worker.grouping import GroupLine
from tests.app import jobs
from tests.app.models import Order
from tests.threads import elsewhere
from tests.worker import groups
from tests.worker.groups import ACTIONS, AT_THE_END, Runs, kept, orders, started


@pytest.fixture
def forget_time(monkeypatch):
    """Hand jobs ahead, in chains and groups, also where a loaded machine makes them slow."""
    groups.forget_time(monkeypatch)
    monkeypatch.setattr("django_jobflow.worker.committing.GROUP_TIME", 60)


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


class ChainTests:
    """Transactional jobs that stand in the line of a slot: one commits, and the next begins."""

    COUNT = 12  # of which a connection does the first few in the common way

    @pytest.fixture(autouse=True)
    def only_there(self, forget_time):
        if connection.vendor != "postgresql":
            pytest.skip("Only PostgreSQL takes several messages in one round trip.")

    @pytest.fixture
    def flights(self, monkeypatch):
        """Return whether the next transaction has begun, for each that was ended so."""
        from django_jobflow.engines import postgresql_direct as direct

        flown = []
        end = direct.end_transaction

        def note(connection, statement, values, **begins):
            is_there = end(connection, statement, values, **begins)
            flown.append(begins["after"] is not None)
            return is_there

        monkeypatch.setattr(direct, "end_transaction", note)
        return flown

    @pytest.fixture
    def chain(self, drain, flights):
        """Have one slot work off a line of jobs, which do what is in ``ACTIONS``."""
        with registry.isolated():

            class Chained(Job):
                transactional = True

                def perform(self, number):
                    Order.objects.create(number=number, email="a@example.com", total=1)
                    if action := ACTIONS.get(number):
                        action()

            def chain():
                for number in range(self.COUNT):
                    Chained.enqueue(number)
                assert self.COUNT == drain(threads=1)

            yield chain
        ACTIONS.clear()

    def all_but(self, *numbers):
        return sorted({*range(self.COUNT)} - {*numbers})

    def kept_orders(self):
        return sorted(map(int, Order.objects.values_list("number", flat=True)))

    def ask(self, question):
        with connection.cursor() as cursor:
            cursor.execute(question)
            return cursor.fetchone()[0]

    def test_each_has_a_transaction_of_its_own(self, chain, flights):
        seen = []
        for number in range(self.COUNT):
            ACTIONS[number] = lambda: seen.append(
                (self.ask("SELECT pg_current_xact_id()::text"), self.ask("SELECT now()"))
            )

        chain()

        assert self.all_but() == self.kept_orders() == kept()
        assert self.COUNT == len({number for number, _ in seen}) == len({at for _, at in seen})
        assert flights.count(True) >= self.COUNT / 2
        assert not flights[-1]

    def test_end_is_seen_by_others_before_the_next_body_has_ended(self, chain, flights):
        seen = []
        ACTIONS[9] = lambda: elsewhere(lambda: seen.append(kept()))

        chain()

        assert [[*range(9)]] == seen
        assert any(flights)

    def test_one_that_fails_is_undone_alone(self, chain, flights):
        def fail():
            raise ValueError("no")

        ACTIONS[8] = fail

        chain()

        assert self.all_but(8) == self.kept_orders() == kept()
        [record] = JobRecord.objects.all()
        assert ([8], JobState.FAILED) == (record.args, record.state)
        assert any(flights)

    def test_one_whose_commit_is_refused_fails_alone(self, chain, flights):
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE last_word (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        ACTIONS[8] = write_twice

        chain()

        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE last_word")
        assert self.all_but(8) == self.kept_orders() == kept()
        [record] = JobRecord.objects.all()
        assert "IntegrityError" in record.errors[0]["exception"]
        assert any(flights)

    def test_one_that_has_lost_its_record_is_undone_alone(self, chain, flights, caplog):
        ACTIONS[8] = lambda: elsewhere(
            lambda: JobRecord.objects.filter(args=[8]).update(reserved_by="another")
        )

        chain()

        assert self.all_but(8) == self.kept_orders() == kept()
        assert ["another"] == [*JobRecord.objects.values_list("reserved_by", flat=True)]
        assert "reservation_lost" in caplog.text
        assert any(flights)

    def test_hooks_run_behind_the_commit_and_before_the_next_begins(self, chain, flights):
        told = []

        def tell():
            told.append((connection.in_atomic_block, kept()))

        def fail():
            raise RuntimeError("nobody listens")

        ACTIONS[8] = lambda: transaction.on_commit(tell)
        ACTIONS[9] = lambda: transaction.on_commit(fail)

        chain()

        assert [(False, [*range(9)])] == told
        assert self.all_but() == self.kept_orders() == kept()
        assert any(flights)

    def test_one_does_not_pass_on_what_it_has_set_for_its_transaction(self, chain, flights):
        seen = []
        ask = "SELECT current_setting('transaction_isolation')"

        def set_up():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = '7min'")
                cursor.execute("SET LOCAL default_transaction_isolation = 'serializable'")

        ACTIONS[8] = set_up
        ACTIONS[9] = lambda: seen.append((self.ask(ask), self.ask("SHOW statement_timeout")))

        chain()

        assert [("read committed", "0")] == seen
        assert any(flights)

    def test_who_is_told_of_an_end_is_told_outside_of_any_transaction(self, drain, flights):
        told = []
        with registry.isolated():

            class Told(Job):
                transactional = True

                def perform(self):
                    Order.objects.create(number=self.context.job_id, email="a@b.org", total=1)

                def after_run(self, outcome):
                    told.append(connection.in_atomic_block)

            Told.enqueue_many({} for _ in range(self.COUNT))
            drain(threads=1)

        assert [False] * self.COUNT == told
        assert flights
        assert not any(flights)

    def test_isolation_that_the_project_asks_for_is_kept(self, chain, flights, monkeypatch):
        from psycopg import IsolationLevel

        seen = []
        options = connection.settings_dict["OPTIONS"]
        monkeypatch.setitem(options, "isolation_level", IsolationLevel.REPEATABLE_READ)
        connection.close()
        for number in range(self.COUNT):
            ACTIONS[number] = lambda: seen.append(self.ask("SHOW transaction_isolation"))

        chain()
        connection.close()

        assert {"repeatable read"} == {*seen}
        assert self.all_but() == kept()
        assert not any(flights)

    def test_one_whose_connection_is_cut_costs_no_other_its_end(self, chain, flights):
        def cut():
            pid = connection.connection.info.backend_pid
            elsewhere(lambda: terminate(pid))

        ACTIONS[8] = cut

        chain()

        assert self.all_but(8) == self.kept_orders() == kept()
        assert any(flights)

    def test_bodies_that_say_nothing_to_the_database_end_in_the_same_way(self, drain, flights):
        with registry.isolated():

            class Silent(Job):
                transactional = True

                def perform(self):
                    pass

            Silent.enqueue_many({} for _ in range(self.COUNT))
            drain(threads=1)

        assert self.COUNT == SucceededJob.objects.count()
        assert self.COUNT / 2 <= len(flights)

    def test_rollback_has_the_session_forget_nothing_that_is_relied_upon(self, chain, flights):
        """psycopg would have it forget all that is prepared, were there any of its own."""

        def roll_back_a_part():
            with suppress(ZeroDivisionError), transaction.atomic():
                Order.objects.create(number=100, email="a@example.com", total=1)
                raise ZeroDivisionError

        ACTIONS[7] = roll_back_a_part

        chain()

        assert self.all_but() == self.kept_orders() == kept()
        assert any(flights)

    def test_nothing_is_prepared_beside_what_the_project_has_psycopg_prepare(
        self, chain, flights, monkeypatch
    ):
        def fail():
            raise ValueError("no")

        ACTIONS[8] = fail
        options = connection.settings_dict["OPTIONS"]
        monkeypatch.setitem(options, "prepare_threshold", 0)
        connection.close()

        chain()
        connection.close()

        assert self.all_but(8) == self.kept_orders() == kept()
        assert not flights

    def test_slow_one_is_timed_without_its_commit(self, chain, flights, monkeypatch):
        monkeypatch.setattr("django_jobflow.engines.postgresql_transactions.SLOW", -1.0)
        monkeypatch.setattr("django_jobflow.engines.postgresql.SLOW", 60.0)

        chain()

        assert self.all_but() == kept()
        assert 0 < len(flights) <= self.COUNT / 2  # each second one settles by itself

    @pytest.mark.django_db(transaction=True, databases=["default", "other"])
    def test_one_that_has_opened_another_database_is_followed_by_none(self, chain, flights):
        """There may be something to see to, as a transaction that was left open."""
        ACTIONS[7] = lambda: connections["other"].ensure_connection()

        chain()

        assert any(flights[:3])
        assert not any(flights[-5:])

    def test_hook_that_takes_long_holds_up_no_other(self, drain, flights):
        hooked, count = self.COUNT, 2 * self.COUNT
        began, hooks, ran = threading.Event(), threading.Event(), threading.Event()
        numbers, is_over = [], []

        def wait_for_others():
            hooks.set()
            is_over.append(ran.wait(30))

        with registry.isolated():

            class Mixed(Job):
                transactional = True

                def perform(self, number):
                    if number == hooked:
                        began.wait(30)
                        transaction.on_commit(wait_for_others)
                    elif number > hooked:
                        began.set()
                        hooks.wait(30)
                    numbers.append(number)
                    if len(numbers) == count:
                        ran.set()

            for number in range(count):
                Mixed.enqueue(number)
            drain(threads=2)

        assert any(flights)
        assert [True] == is_over
        assert [*range(count)] == sorted(numbers)

    def test_commit_that_is_known_is_kept_though_the_connection_is_lost(
        self, chain, flights, monkeypatch
    ):
        from django_jobflow.engines import postgresql_direct as direct

        told = []
        fetch = direct.fetch_many

        def fetch_and_lose(pgconn):
            some = yield from fetch(pgconn)
            if ACTIONS.get("lose") and some and some[0].command_status == b"COMMIT":
                ACTIONS["lose"] = False
                terminate_elsewhere(pgconn.backend_pid)
                pgconn.finish()
            return some

        monkeypatch.setattr(direct, "fetch_many", fetch_and_lose)

        def leave_hook():
            ACTIONS["lose"] = True
            transaction.on_commit(lambda: told.append(kept()))

        ACTIONS[8] = leave_hook

        chain()

        assert ACTIONS["lose"] is False
        assert [[*range(9)]] == told
        assert self.all_but() == self.kept_orders() == kept()
        assert not JobRecord.objects.exists()

    def test_timeouts_of_open_transactions_begin_with_the_body_s_own(
        self, chain, flights, monkeypatch
    ):
        options = connection.settings_dict["OPTIONS"]
        monkeypatch.setitem(options, "options", "-c idle_in_transaction_session_timeout=1min")
        connection.close()

        chain()
        connection.close()

        assert self.all_but() == kept()
        assert flights
        assert not any(flights)

    def test_division_by_zero_of_a_commit_is_the_job_s_own(self, chain, flights):
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE last_word (n int)")
            cursor.execute(
                "CREATE FUNCTION divide() RETURNS trigger LANGUAGE plpgsql AS "
                "'BEGIN PERFORM 1 / NEW.n; RETURN NEW; END'"
            )
            cursor.execute(
                "CREATE CONSTRAINT TRIGGER divides AFTER INSERT ON last_word "
                "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION divide()"
            )
        ACTIONS[8] = write_zero

        chain()

        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE last_word; DROP FUNCTION divide()")
        assert self.all_but(8) == self.kept_orders() == kept()
        [record] = JobRecord.objects.all()
        assert JobState.FAILED == record.state
        assert "division" in record.errors[0]["message"]

    def test_slot_that_is_given_up_leaves_nothing_open(self, chain, slot, flights):
        """What has begun for a body that another slot will run is undone."""
        transactions = slot.committing.transactions
        with transactions.next():
            self.ask("SELECT 1")
            transactions.is_begun = True  # as ``settle`` says where another follows

        transactions.end()

        assert not connection.in_atomic_block
        assert not transactions.is_begun
        Order.objects.create(number=1, email="a@example.com", total=1)
        assert [1] == self.kept_orders()


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

    def test_body_that_meets_a_deadlock_runs_again_like_the_others(self, run):
        """MariaDB undoes the whole transaction then, not the savepoint."""
        if connection.vendor != "mysql":
            pytest.skip("Elsewhere a deadlock undoes a savepoint.")
        row = Order.objects.create(number="row", email="a@example.com", total=1)
        other = Order.objects.create(number="other", email="a@example.com", total=1)
        holds, asks = threading.Event(), threading.Event()

        def cross():
            with transaction.atomic():
                # Has written more than the group, which is therefore the one to be undone. Not
                # before "other", where what an earlier test has deleted leaves the group a lock.
                Order.objects.bulk_create(
                    Order(number=f"z {n}", email="a@example.com", total=1) for n in range(50)
                )
                Order.objects.filter(pk=other.pk).update(total=3)
                holds.set()
                assert asks.wait(30)
                Order.objects.filter(pk=row.pk).update(total=3)
            connections.close_all()

        crossing = threading.Thread(target=cross)

        def meet():
            if crossing.ident is not None:
                return
            Order.objects.filter(pk=row.pk).update(total=2)
            crossing.start()
            assert holds.wait(30)
            asks.set()
            Order.objects.filter(pk=other.pk).update(total=2)

        ACTIONS["b"] = meet

        runs = run("a", "b", "c")
        crossing.join(30)

        assert dict.fromkeys("ab", Succeeded) == {
            number: end for number, end in runs.outcomes().items() if number != "c"
        }
        assert ["a", "b"] == kept()[:2]

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
        ACTIONS["b"] = lambda: others.extend(slot.give_up(slot.execution))

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
    given_up = [slot.execution, *slot.give_up(slot.execution)]
    for execution in given_up:
        execution.abandoned = True
        execution.end(Released())
    return [decide(each.reservation, each.outcome) for each in given_up]


def terminate(pid):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def terminate_elsewhere(pid):
    elsewhere(lambda: terminate(pid))


def write_zero():
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO last_word VALUES (0)")


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

        slot.give_up(execution)

        inbox = slot.slots.finished.__self__
        inbox.sleep(30)
        assert [execution] == inbox.take_all()


@pytest.mark.usefixtures("forget_time")
class DrainTests:
    def test_a_worker_shares_commits_among_short_jobs(self, grouped, drain):
        grouped.enqueue_many({"number": f"{number}"} for number in range(60))
        together = []

        def note():
            transaction.on_commit(lambda: None)
            together.append(len(connection.run_on_commit))

        for number in range(60):
            ACTIONS[f"{number}"] = note

        assert 60 == drain(threads=2)

        assert max(together) > 2  # one hook of the group, and one of each body

        assert 60 == Order.objects.count() == SucceededJob.objects.count()
        assert not JobRecord.objects.exists()

    @pytest.mark.parametrize(
        ("deadlocks", "met", "left_over"), [(2, 2, []), (50, 1 + TRIES, ["FAILED"])]
    )
    def test_deadlock_of_an_end_costs_no_attempt_if_another_try_meets_none(
        self, grouped, drain, monkeypatch, deadlocks, met, left_over
    ):
        engine = type(engine_for("default"))
        settle, left = engine.settle, [deadlocks]

        def meet_another(engine, endings, *now):
            if engine.connection.in_atomic_block and left[0] > 0:
                left[0] -= 1
                raise OperationalError("a deadlock")
            return settle(engine, endings, *now)

        monkeypatch.setattr(engine, "settle", meet_another)
        monkeypatch.setattr(engine, "is_undone", lambda engine, error: "deadlock" in str(error))
        monkeypatch.setattr(engine, "goes_alone", lambda engine, ending: False, raising=False)
        grouped.enqueue("a")

        drain(threads=1)

        assert met == deadlocks - left[0]
        assert left_over == [*JobRecord.objects.values_list("state", flat=True)]
        assert ([] if left_over else ["a"]) == orders() == kept()

    def test_other_kinds_stand_in_the_same_line(self, grouped, drain):
        class Plain(Job):
            def perform(self, number):
                Order.objects.create(number=number, email="a@example.com", total=1)

        for number in range(20):
            grouped.enqueue(f"g{number}")
            Plain.enqueue(f"p{number}")

        assert 40 == drain(threads=1)

        assert 40 == Order.objects.count() == SucceededJob.objects.count()

    def test_one_group_runs_at_a_time(self, grouped, drain, monkeypatch):
        monkeypatch.setattr("django_jobflow.worker.grouping.PATIENCE", 60)
        running, most = [], []

        def count():
            running.append(1)
            for _ in range(3):
                Order.objects.count()  # others may run meanwhile
            most.append(len(running))
            running.pop()

        for number in range(60):
            grouped.enqueue(f"{number}")
            ACTIONS[f"{number}"] = count

        assert 60 == drain(threads=4)

        assert 1 == max(most)

    def test_nobody_waits_behind_a_body_that_turns_out_to_be_long(self, grouped, drain):
        if not connection.features.has_select_for_update:
            pytest.skip("Nobody else writes while a group runs.")
        ran = threading.Event()
        ACTIONS["long"] = lambda: None if ran.wait(30) else pytest.fail("Nobody else ran.")
        ACTIONS["short"] = ran.set
        for number in ("long", "short"):
            grouped.enqueue(number)

        assert 2 == drain(threads=2)

        assert ["long", "short"] == orders() == kept()

    def test_other_kinds_have_their_turn_between_two_groups(self, grouped, drain, monkeypatch):
        monkeypatch.setattr("django_jobflow.worker.committing.GROUP_SIZE", 5)
        # All are handed over at once.
        monkeypatch.setattr("django_jobflow.worker.pace.Pace.ahead", 100)
        ran = []

        class Plain(Job):
            def perform(self):
                ran.append("plain")

        for number in range(20):
            grouped.enqueue(f"{number:02}")
            ACTIONS[f"{number:02}"] = lambda: ran.append("grouped")
        Plain.enqueue()

        assert 21 == drain(threads=1)

        assert 5 == ran.index("plain")


def waiting(count, since=None):
    """Return as many that were handed over at a moment."""
    handed = time.monotonic() if since is None else since
    return [SimpleNamespace(handed=handed) for _ in range(count)]


class GroupLineTests:
    @pytest.fixture
    def calls(self):
        return []

    @pytest.fixture
    def line(self, calls):
        return GroupLine(3, lambda: calls.append("call"))

    def test_first_calls_a_slot_and_the_others_none(self, line, calls):
        first, *others = waiting(3)
        for execution in (first, *others):
            line.put(execution)

        assert ["call"] == calls
        assert first is line.get()

    def test_slot_that_leaves_has_another_called_for_what_is_left(self, line, calls):
        for execution in waiting(2):
            line.put(execution)
        line.begin()
        line.get()

        line.leave()
        line.begin()
        line.get()
        line.leave()

        assert ["call"] * 2 == calls
        assert line.get() is None

    def test_all_are_called_where_the_first_waits_too_long(self, line, calls):
        line.put(*waiting(1))
        line.begin()
        for execution in waiting(7, since=time.monotonic() - 60):
            line.put(execution)
        line.get()

        line.relieve()
        line.relieve()

        assert 1 + 3 == len(calls)  # as many as there are slots, and once

    def test_nobody_else_is_called_before(self, line, calls):
        for execution in waiting(7):
            line.put(execution)

        line.relieve()

        assert ["call"] == calls
        assert line.relieves_at > time.monotonic() - 1

    def test_one_that_is_stuck_is_not_counted_on(self, line, calls):
        """Once others were called, they are called for what comes later, too."""
        line.put(*waiting(1, since=time.monotonic() - 60))
        line.begin()
        line.relieve()  # the one that has begun is stuck before it came to the first
        line.begin()
        line.get()
        line.leave()
        before = len(calls)

        line.put(*waiting(1))

        assert before + 1 == len(calls)

    def test_nobody_is_called_where_nothing_waits(self, line, calls):
        line.put(*waiting(1, since=0.0))
        line.get()

        line.relieve()

        assert ["call"] == calls
        assert float("inf") == line.relieves_at

    def test_slot_that_is_given_up_has_another_called(self, grouped, slot):
        groups = slot.slots.groups
        slot._is_called = True  # as in the middle of a group
        groups._running = 1
        grouped.enqueue("a")
        groups.put(*started(1))

        slot.give_up(None)
        slot._leave_groups()  # as when its group comes to an end after all

        inbox = slot.slots.finished.__self__
        inbox.sleep(30)
        assert ["a"] == [each.reservation.args[0] for each in inbox.take_all()]

    def test_what_is_taken_back_leaves_the_calls(self, grouped, slot):
        """The next that comes is not called for again, so the call has to stay."""
        hold = threading.Event()
        begun = threading.Event()
        ACTIONS["a"] = lambda: begun.set() or hold.wait(30)
        for number in ("a", "b", "c"):
            grouped.enqueue(number)
        first, second, third = started(3)
        slots, inbox = slot.slots, slot.slots.finished.__self__
        slots.hand_over(first)
        begun.wait(30)
        slots.groups._running = 0
        slots.hand_over(second)  # the call stands in the line, behind the first

        assert [second] == slots.take_back()

        slots.hand_over(third)
        hold.set()
        ended = []
        while len(ended) < 2:
            inbox.sleep(30)
            ended += inbox.take_all()
        assert {first, third} == {*ended}

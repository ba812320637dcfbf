"""PostgreSQL: transactions whose bodies ask for nothing go to the server several at a time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from django.db import IntegrityError, connection, connections, transaction

from django_jobflow import Job
from django_jobflow.declare import registry
from django_jobflow.exceptions import SoftTimeout
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.states import JobState
from django_jobflow.worker.coordinator import Coordinator
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.vitals import Vitals
from tests.app.models import Order
from tests.threads import elsewhere, sharing
from tests.worker import groups
from tests.worker.groups import ACTIONS, kept, started
from tests.worker.interrupting import Interrupt

if connection.vendor == "postgresql":
    from django_jobflow.engines import postgresql_direct as direct
    from django_jobflow.engines import postgresql_pipelining as pipelining
    from django_jobflow.engines import postgresql_unasked as unasked
    from django_jobflow.engines import postgresql_wholes as wholes
    from django_jobflow.engines import postgresql_withholding as withholding

    TESTED = (direct, pipelining, unasked, wholes, withholding)

COUNT = 12
FIRST = 2  # that go in the common way, until a statement is worth to be prepared
WRITE = "INSERT INTO tests_app_line (number, other) VALUES (%s, %s)"


def write(number, other=1):
    with connection.cursor() as cursor:
        cursor.execute(WRITE, [number, other])


def ask(sql, params=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


def lines():
    return [number for (number,) in ask("SELECT number FROM tests_app_line ORDER BY 1")]


def have_it(condition, what):
    """Have PostgreSQL do *what* to each row that *condition* is true of."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION tests_app_do() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$BEGIN IF {condition} THEN {what}; END IF; RETURN NEW; END$$"
        )
        cursor.execute(
            "CREATE TRIGGER does BEFORE INSERT ON tests_app_line "
            "FOR EACH ROW EXECUTE FUNCTION tests_app_do()"
        )


class EverywhereTests:
    def test_one_that_fails_leaves_nothing(self, drain):
        with registry.isolated():

            class Piped(Job):
                transactional = "pipelined"

                def perform(self, number):
                    Order.objects.create(number=number, email="a@example.com", total=1)
                    if number == 2:
                        raise ValueError("no")

            for number in range(5):
                Piped.enqueue(number)
            drain(threads=2)

        assert ["0", "1", "3", "4"] == sorted(Order.objects.values_list("number", flat=True))
        assert [0, 1, 3, 4] == kept()
        assert [JobState.FAILED] == [*JobRecord.objects.values_list("state", flat=True)]


@pytest.mark.skipif(
    connection.vendor != "postgresql",
    reason="Only PostgreSQL takes several messages in one round trip.",
)
class PipelineTests:
    @pytest.fixture(autouse=True)
    def table(self, transactional_db, monkeypatch):
        groups.forget_time(monkeypatch)
        monkeypatch.setattr("django_jobflow.engines.postgresql_pipelining.LONGEST", 60)
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE tests_app_line (number int PRIMARY KEY, "
                "other int UNIQUE DEFERRABLE INITIALLY DEFERRED)"
            )
        yield
        with connections["default"].cursor() as cursor:
            cursor.execute("DROP TABLE tests_app_line")
            cursor.execute("DROP FUNCTION IF EXISTS tests_app_do; DROP SEQUENCE IF EXISTS tries")

    @pytest.fixture
    def flights(self, monkeypatch):
        """Return how many transactions went at a time."""
        flown = []
        commit_each = wholes.commit_each

        def note(connection, several, **options):
            ends = commit_each(connection, several, **options)
            flown.append(len(several))
            return ends

        monkeypatch.setattr(wholes, "commit_each", note)
        return flown

    @pytest.fixture
    def pipe(self, drain, flights):
        """Have one slot work off a line of jobs, which do what is in ``ACTIONS``."""
        ran = []
        with registry.isolated():

            class Piped(Job):
                transactional = "pipelined"

                def perform(self, number):
                    ran.append(number)
                    if action := ACTIONS.get(number):
                        action()
                    if number not in ACTIONS.get("silent", ()):
                        write(number, number)

            def pipe(job=Piped, work=lambda: drain(threads=1)):
                ran.clear()
                for number in range(COUNT):
                    (job if number != ACTIONS.get("odd") else ACTIONS["odd job"]).enqueue(number)
                work()
                return ran

            yield pipe
        ACTIONS.clear()

    def all_but(self, *numbers):
        return sorted({*range(COUNT)} - {*numbers})

    def test_several_go_in_one_round_trip_each_in_a_transaction(self, pipe, flights):
        assert [*range(COUNT)] == pipe()

        assert self.all_but() == lines() == kept()
        assert [(COUNT,)] == ask("SELECT count(DISTINCT xmin::text) FROM tests_app_line")
        assert [COUNT - FIRST] == flights
        assert not JobRecord.objects.exists()

    def test_bodies_that_say_nothing_go_along(self, pipe, flights):
        ACTIONS["silent"] = range(COUNT)

        pipe()

        assert self.all_but() == kept()
        assert [] == lines()
        assert [COUNT - FIRST] == flights

    def test_one_that_raises_is_undone_alone(self, pipe, flights):
        def fail():
            write(100, 100)
            raise ValueError("no")

        ACTIONS[8] = fail

        pipe()

        assert self.all_but(8) == lines() == kept()
        assert [JobState.FAILED] == [*JobRecord.objects.values_list("state", flat=True)]
        assert max(flights) > 1

    def test_one_whose_statement_fails_has_run_once_and_fails_alone(self, pipe, flights):
        ACTIONS[8] = lambda: write(7)

        assert [*range(COUNT)] == pipe()

        assert self.all_but(8) == lines() == kept()
        [record] = JobRecord.objects.all()
        assert ([8], JobState.FAILED, 1) == (record.args, record.state, record.attempt)
        assert "IntegrityError" in record.errors[0]["exception"]
        assert "tests_app_line_pkey" in record.errors[0]["message"]
        assert [COUNT - FIRST, COUNT - 9] == flights

    def test_one_whose_commit_is_refused_fails_alone(self, pipe, flights):
        ACTIONS[8] = lambda: write(100, 7)

        pipe()

        assert self.all_but(8) == lines() == kept()
        [record] = JobRecord.objects.all()
        assert "IntegrityError" in record.errors[0]["exception"]
        assert [COUNT - FIRST, COUNT - 9] == flights

    def test_one_that_has_lost_its_record_is_undone_alone(self, pipe, flights, caplog):
        ACTIONS[8] = lambda: elsewhere(
            lambda: JobRecord.objects.filter(args=[8]).update(reserved_by="another")
        )

        pipe()

        assert self.all_but(8) == lines() == kept()
        assert ["another"] == [*JobRecord.objects.values_list("reserved_by", flat=True)]
        assert "reservation_lost" in caplog.text
        assert [COUNT - FIRST, COUNT - 9] == flights

    def test_division_by_zero_of_the_body_is_its_own(self, pipe, flights):
        ACTIONS[8] = lambda: connection.cursor().execute(
            "INSERT INTO tests_app_line SELECT 100, 1 / count(*) FROM tests_app_line WHERE false"
        )

        pipe()

        assert self.all_but(8) == lines() == kept()
        [record] = JobRecord.objects.all()
        assert "division" in record.errors[0]["message"]
        assert [COUNT - FIRST, COUNT - 9] == flights

    def test_one_that_asks_is_answered_behind_all_before_it(self, pipe, flights):
        seen = []

        def look():
            write(100, 100)
            seen.append((lines(), kept()))
            write(101, 101)

        ACTIONS[8] = look

        pipe()

        assert [([*range(8), 100], [*range(8)])] == seen
        assert [*self.all_but(), 100, 101] == lines()
        assert self.all_but() == kept()
        of_eight = "SELECT count(DISTINCT xmin::text) FROM tests_app_line WHERE number IN %s"
        assert [(1,)] == ask(of_eight.replace("%s", "(8, 100, 101)"))
        assert [8 - FIRST, COUNT - 10] == flights  # the next was thought to ask, too

    def test_cursor_may_be_asked_later(self, pipe):
        seen = []

        def look():
            first, second = connection.cursor(), connection.cursor()
            first.execute(WRITE, [100, 100])
            second.execute("UPDATE tests_app_line SET other = -other")
            write(101, 101)
            seen.append((second.rowcount, first.rowcount))

        ACTIONS[8] = look

        pipe()

        assert [(9, 1)] == seen
        assert [*self.all_but(), 100, 101] == lines()

    def test_one_that_asks_and_fails_leaves_nothing(self, pipe):
        def fail():
            write(100, 100)
            ask("SELECT 1")
            write(101, 101)
            raise ValueError("no")

        ACTIONS[8] = fail

        pipe()

        assert self.all_but(8) == lines() == kept()

    def test_error_that_a_body_passes_over_undoes_it_all_the_same(self, pipe):
        def pass_over():
            write(100, 100)
            write(7)
            with suppress(IntegrityError):
                ask("SELECT 1")

        ACTIONS[8] = pass_over

        pipe()

        assert self.all_but(8) == lines() == kept()

    def test_error_in_a_savepoint_of_the_body_is_known_there(self, pipe):
        def recover():
            with suppress(IntegrityError), transaction.atomic():
                write(7)
            write(100, 100)

        ACTIONS[8] = recover

        pipe()

        assert [*self.all_but(), 100] == lines()
        assert self.all_but() == kept()

    def test_hooks_run_behind_the_commit_and_before_the_next_body(self, pipe, flights):
        told = []

        def tell():
            told.append((connection.in_atomic_block, lines(), kept()))

        def fail():
            raise RuntimeError("nobody listens")

        ACTIONS[8] = lambda: transaction.on_commit(tell)
        ACTIONS[9] = lambda: transaction.on_commit(fail)

        pipe()

        assert [(False, [*range(9)], [*range(9)])] == told
        assert self.all_but() == lines() == kept()

    def test_hook_does_not_run_for_what_was_undone(self, pipe):
        told = []

        def leave_hook():
            transaction.on_commit(lambda: told.append(1))
            write(7)

        ACTIONS[8] = leave_hook

        pipe()

        assert [] == told
        assert self.all_but(8) == lines() == kept()

    def test_what_was_undone_for_another_is_sent_again(self, pipe, flights):
        with connection.cursor() as cursor:
            cursor.execute("CREATE SEQUENCE tries")
        deadlock = "RAISE EXCEPTION 'a deadlock' USING ERRCODE = '40P01'"
        have_it("NEW.number = 8 AND nextval('tries') < 3", deadlock)

        assert [*range(COUNT)] == pipe()

        assert self.all_but() == lines() == kept()
        assert [COUNT - FIRST, COUNT - 8, COUNT - 8] == flights

    def test_what_is_undone_for_another_for_ever_fails(self, pipe, flights):
        have_it("NEW.number = 8", "RAISE EXCEPTION 'a deadlock' USING ERRCODE = '40P01'")

        pipe()

        assert self.all_but(8) == lines() == kept()
        [record] = JobRecord.objects.all()
        assert "a deadlock" in record.errors[0]["message"]

    def test_one_that_costs_the_connection_costs_the_others_a_try(self, pipe, flights):
        have_it("NEW.number = 8", "PERFORM pg_terminate_backend(pg_backend_pid())")

        ran = pipe()

        assert self.all_but(8) == lines() == kept()
        [record] = JobRecord.objects.all()
        assert ([8], JobState.FAILED) == (record.args, record.state)
        assert COUNT < len(ran)
        attempts = SucceededJob.objects.values_list("attempt", flat=True)
        assert {1} == {*attempts}  # that try was none of theirs

    def test_one_that_asks_behind_it_is_not_to_blame(self, pipe, flights):
        have_it("NEW.number = 8", "PERFORM pg_terminate_backend(pg_backend_pid())")
        ACTIONS[9] = lambda: ask("SELECT 1")
        ACTIONS[10] = lambda: ask("SELECT 1")

        pipe()

        assert self.all_but(8) == lines() == kept()
        assert [[8]] == [*JobRecord.objects.values_list("args", flat=True)]

    @pytest.fixture
    def locked(self):
        """Hold a lock elsewhere until the event is set that this returns."""
        write(100, 100)
        is_held, is_over = threading.Event(), threading.Event()

        def hold():
            with transaction.atomic():
                ask("SELECT 1 FROM tests_app_line WHERE number = 100 FOR UPDATE")
                is_held.set()
                is_over.wait(60)

        with ThreadPoolExecutor(1) as pool:
            holding = pool.submit(elsewhere, hold)
            assert is_held.wait(30)
            yield is_over
            is_over.set()
            holding.result()

    @pytest.fixture
    def ran(self):
        """Return which bodies have run."""
        return []

    @pytest.fixture
    def waits(self, ran):
        """Return a job with a time limit, of which the fifth writes to what is locked."""

        class Waits(Job):
            transactional = "pipelined"
            timeout = 1

            def perform(self, number):
                ran.append(number)
                if action := ACTIONS.get(number):
                    action()
                if number == 5:
                    with connection.cursor() as cursor:
                        cursor.execute("UPDATE tests_app_line SET other = 99 WHERE number = 100")
                write(number, number)

        return Waits

    @pytest.mark.parametrize("asks", [True, False])
    def test_wait_for_a_lock_is_not_of_one_who_comes_behind_it(
        self, pipe, waits, ran, locked, asks
    ):
        """The time limit of that one strikes, and it runs again at no cost."""
        ACTIONS[5] = lambda: ran.count(5) > 1 and locked.set()
        if asks:
            ACTIONS[8] = lambda: ask("SELECT 1")

        pipe(waits)

        assert [*self.all_but(), 100] == lines()
        assert self.all_but() == kept()
        assert 2 == ran.count(8)

    def test_wait_for_a_lock_ends_no_worker_whose_bodies_are_over(self, pipe, waits, ran, locked):
        ACTIONS[5] = lambda: ran.count(5) > 1 and locked.set()
        options = WorkerOptions(database="default", drain=True, threads=1)
        coordinator = Coordinator(options, Vitals(threads=1))

        pipe(waits, coordinator.run)

        assert coordinator.drained
        assert self.all_but() == kept()

    def test_time_limits_of_others_go_on_their_own(self, pipe, waits, flights):
        ACTIONS["odd"], ACTIONS["odd job"] = 8, waits

        pipe()

        assert self.all_but() == lines() == kept()
        assert [8 - FIRST, 1, COUNT - 9] == flights

    @pytest.mark.parametrize("asks", [True, False])
    def test_one_that_waits_for_a_lock_for_ever_is_found(self, pipe, waits, ran, locked, asks):
        if asks:
            ACTIONS[8] = lambda: ask("SELECT 1")

        pipe(waits)

        assert [*self.all_but(5), 100] == lines()
        assert self.all_but(5) == kept()
        [record] = JobRecord.objects.all()
        assert ([5], JobState.FAILED, 1) == (record.args, record.state, record.attempt)
        assert "JobTimeout" in record.errors[0]["exception"]
        assert 2 == ran.count(5)

    def test_body_that_closes_the_connection_costs_nobody_else_an_attempt(self, pipe, flights):
        ACTIONS[8] = lambda: connection.close()

        pipe()

        assert self.all_but(8) == lines() == kept()
        assert [[8]] == [*JobRecord.objects.values_list("args", flat=True)]
        assert {1} == {*SucceededJob.objects.values_list("attempt", flat=True)}

    def test_thread_of_a_body_that_shares_its_connection_is_answered_there(self, pipe):
        counts = []

        def count(shared):
            with shared.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM tests_app_line")
                counts.extend(cursor.fetchone())

        def share():
            write(100, 100)
            sharing(count)
            raise ValueError("no")

        ACTIONS[8] = share

        pipe()

        assert [9] == counts
        assert self.all_but(8) == lines() == kept()

    def test_only_the_last_of_a_flight_waits_for_the_disk(self, pipe, flights):
        have_it("current_setting('synchronous_commit') = 'off'", "NEW.other := -1 - NEW.number")

        pipe()

        off = ask("SELECT number FROM tests_app_line WHERE other < 0 ORDER BY 1")
        assert [(number,) for number in range(FIRST, COUNT - 1)] == off
        assert [COUNT - FIRST] == flights

    def test_commits_before_one_that_fails_are_flushed(self, pipe, flights, monkeypatch):
        said = []
        say = direct.say
        monkeypatch.setattr(direct, "say", lambda *words: (said.append(words[1]), say(*words)))
        ACTIONS[8] = lambda: write(7)

        pipe()

        flushed = f"ROLLBACK; BEGIN; {wholes.FLUSHED}; COMMIT"
        assert [flushed] == [words for words in said if not words.startswith("NOTIFY")]
        assert self.all_but(8) == lines() == kept()

    def test_commits_that_cannot_be_flushed_are_not_believed(self, pipe, flights, monkeypatch):
        monkeypatch.setattr(wholes, "FLUSHED", "SELECT 1 / 0")
        ACTIONS[8] = lambda: write(7)

        pipe()

        assert self.all_but(8) == lines() == kept()
        [record] = JobRecord.objects.all()
        assert ([8], JobState.FAILED) == (record.args, record.state)
        assert "tests_app_line_pkey" in record.errors[0]["message"]

    def test_session_that_forgets_what_is_prepared_costs_nothing(self, pipe, flights):
        ACTIONS[8] = forget_what_is_prepared

        pipe()

        assert self.all_but() == lines() == kept()

    def test_plain_ones_in_between_are_on_their_own(self, pipe, flights):
        seen = []

        class Plain(Job):
            transactional = True

            def perform(self, number):
                write(number, number)
                with pytest.raises(IntegrityError), transaction.atomic():
                    write(number, 100)
                seen.append(kept())

        ACTIONS["odd"], ACTIONS["odd job"] = 8, Plain

        pipe()

        assert [[*range(8)]] == seen
        assert self.all_but() == lines() == kept()
        assert [8 - FIRST, COUNT - 9] == flights

    def test_isolation_that_the_project_asks_for_is_kept(self, pipe, flights, monkeypatch):
        from psycopg import IsolationLevel

        options = connection.settings_dict["OPTIONS"]
        monkeypatch.setitem(options, "isolation_level", IsolationLevel.REPEATABLE_READ)
        connection.close()

        pipe()
        connection.close()

        assert self.all_but() == lines() == kept()
        assert [] == flights

    @pytest.mark.django_db(transaction=True, databases=["default", "other"])
    def test_one_with_a_connection_to_another_database_ends_at_once(self, pipe, flights):
        ACTIONS[8] = lambda: connections["other"].ensure_connection()

        pipe()

        assert self.all_but() == lines() == kept()
        assert [1] * (COUNT - 9) == flights[1:]

    def test_first_waits_for_others_for_a_while_only(self, pipe, flights, monkeypatch):
        monkeypatch.setattr(pipelining, "LONGEST", -1.0)

        pipe()

        assert self.all_but() == lines() == kept()
        assert {1} == {*flights}

    def test_many_statements_go_in_several_flights(self, pipe, flights, monkeypatch):
        monkeypatch.setattr(pipelining, "MOST", 6)  # of an INSERT and an end each

        pipe()

        assert self.all_but() == lines() == kept()
        assert [3, 3, 3, 1] == flights

    def test_slot_that_is_given_up_hands_back_what_it_has_not_sent(self, slot, monkeypatch):
        """It is another's by the time at which the slot comes back, and undone."""
        slot.committing.is_followed = lambda: True
        slot.engine._session = "the coordinator's"
        # The thread of a test has others open, too.
        monkeypatch.setattr(slot.committing.pipeline, "_has_nothing_else", lambda connection: True)
        with registry.isolated():

            class Piped(Job):
                transactional = "pipelined"

                def perform(self, number):
                    write(number, number)

            for number in range(COUNT):
                Piped.enqueue(number)
            executions = elsewhere(lambda: started(COUNT))
            for execution in executions:
                slot._run_one(execution)

            others = slot.give_up(executions[-1])
            unsent = JobRecord.objects.filter(pk__in=[each.id for each in executions[FIRST:]])
            elsewhere(lambda: unsent.update(reserved_by="another"))
            slot._end_pending()

        assert executions[FIRST:-1] == others
        assert [*range(FIRST)] == lines() == kept()
        assert FIRST == len(slot.slots.finished.__self__.take_all())

    def test_chain_whose_connection_is_lost_ends_quietly(self, slot):
        pipeline = slot.committing.pipeline
        with pipeline.next():
            ask("SELECT 1")
            pipeline.is_begun = True  # as ``settle`` says where another follows
        pid = connection.connection.info.backend_pid
        elsewhere(lambda: ask("SELECT pg_terminate_backend(%s, 10000)", [pid]))

        slot._end_pending()

        assert not connection.in_atomic_block
        assert [] == lines()

    def test_connection_is_left_as_it_was(self, pipe, slot):
        seen = []
        ACTIONS[0] = lambda: seen.append(connection.connection)

        class Looks(Job):
            def perform(self, number):
                seen.append(connection.connection)
                seen.append(("wait" in vars(connection.connection), connection.execute_wrappers))
                seen.append("create_cursor" in vars(connection))

        ACTIONS["odd"], ACTIONS["odd job"] = COUNT - 1, Looks

        pipe()

        first, last, *rest = seen
        assert first is last
        assert [(False, []), False] == rest

    @pytest.mark.parametrize("asks", [True, False])
    def test_interrupt_at_any_place_loses_nothing(self, pipe, asks):
        """A body that goes on after one has all of its rows, or none and no success."""
        at = 1
        while True:
            interrupt = Interrupt(at, SoftTimeout, TESTED)

            def look(interrupt=interrupt):
                first = connection.cursor()
                first.execute(WRITE, [100, 100])
                write(101, 101)
                with suppress(SoftTimeout), interrupt:
                    ask("SELECT 1") if asks else first.rowcount
                write(102, 102)

            ACTIONS[8] = look

            pipe()

            more = [100, 101, 102] if 8 in kept() else []
            assert [*kept(), *more] == lines(), interrupt.place
            left = {
                args[0]: state for args, state in JobRecord.objects.values_list("args", "state")
            }
            assert self.all_but() == sorted([*kept(), *left]), interrupt.place
            assert {JobState.FAILED} >= {*left.values()}, interrupt.place
            assert {8} >= {*left}, interrupt.place
            if interrupt.place is None:
                break
            JobRecord.objects.all().delete()
            SucceededJob.objects.all().delete()
            ask("DELETE FROM tests_app_line RETURNING 1")
            at += 41  # of the bytecodes: each would take minutes


def forget_what_is_prepared():
    """Have the server forget what this session has prepared."""
    pgconn = connection.connection.pgconn
    pgconn.exec_(b"DEALLOCATE ALL")

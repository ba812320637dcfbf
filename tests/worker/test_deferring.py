"""PostgreSQL: what the bodies of a group write goes along with what somebody waits for."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from django.db import (
    IntegrityError,
    InterfaceError,
    InternalError,
    ProgrammingError,
    connection,
    connections,
    transaction,
)

from django_jobflow import Job
from django_jobflow.declare import registry
from django_jobflow.exceptions import CancelInterrupt, SoftTimeout, TimeoutInterrupt
from django_jobflow.models import SucceededJob
from django_jobflow.outcomes import Cancelled, Failed, Succeeded
from tests.app.models import Order, Receipt
from tests.threads import elsewhere, sharing
from tests.worker.groups import Runs, kept, orders, started
from tests.worker.interrupting import Interrupt

if connection.vendor == "postgresql":
    import psycopg

    from django_jobflow.engines import postgresql_deferring as deferring
    from django_jobflow.engines import postgresql_direct as direct
    from django_jobflow.engines import postgresql_unasked as unasked
    from django_jobflow.engines import postgresql_withholding as withholding

    TESTED = (deferring, direct, unasked, withholding)

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql",
    reason="Only PostgreSQL takes several messages in one round trip.",
)

WRITE = "INSERT INTO tests_app_line (number, text) VALUES (%s, %s)"


def write(number, text="it's 100 %"):
    with connection.cursor() as cursor:
        cursor.execute(WRITE, [number, text])


def lines():
    return [number for (number,) in ask("SELECT number FROM tests_app_line ORDER BY number")]


def ask(sql, params=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


def read_in_chunks(sql):
    with connection.chunked_cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def strike_while_it_waits(strike, pid, holds):
    """Call *strike* while session *pid* waits for a lock that this one *holds* until then."""
    ask("SELECT pg_advisory_lock(1)")
    holds.set()
    waits = "SELECT 1 FROM pg_locks WHERE pid = %s AND locktype = 'advisory' AND NOT granted"
    ends_at = time.monotonic() + 30
    while not ask(waits, [pid]):
        assert time.monotonic() < ends_at
    strike()


@pytest.fixture(autouse=True)
def table(transactional_db):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE tests_app_line (number int PRIMARY KEY, text text)")
    yield
    with connections["default"].cursor() as cursor:
        cursor.execute("DROP TABLE tests_app_line")


@pytest.fixture
def group(slot, monkeypatch):
    """Run bodies as one group, each with its place; return how they ended."""
    monkeypatch.setattr("django_jobflow.worker.committing.GROUP_TIME", 60)
    bodies = {}
    with registry.isolated():

        class Written(Job):
            transactional = "grouped"

            def perform(self, number):
                return bodies[number](number)

        def run(*functions):
            bodies.update(enumerate(functions))
            for number in range(len(functions)):
                Written.enqueue(number)
            return Runs(slot, elsewhere(lambda: started(len(functions))))

        yield run


@pytest.fixture
def flights(slot, monkeypatch):
    """Note each time that psycopg waits for the server while a group runs."""
    waits = []
    wait = psycopg.Connection.wait

    def count(self, *args, **options):
        if slot.group is not None:
            waits.append(self)
        return wait(self, *args, **options)

    monkeypatch.setattr(psycopg.Connection, "wait", count)
    return waits


@pytest.fixture
def said(monkeypatch):
    """Return what was sent in one go each time."""
    batches = []
    say_all = direct.say_all

    def note(connection, statements):
        batches.append([statement.decode() for statement in statements])
        say_all(connection, statements)

    monkeypatch.setattr(direct, "say_all", note)
    return batches


class SendingTests:
    def test_bodies_that_only_write_cost_no_round_trip(self, group, flights):
        costs = []
        for count in [1, 2, 20]:
            before = len(flights)
            group(*[lambda number, to=count * 100: write(to + number)] * count)
            costs.append(len(flights) - before)

        assert [100, 200, 201] == lines()[:3]
        assert 23 == len(lines())
        # It begins, sends all, settles and commits; psycopg asks itself about autocommit twice.
        assert [4 + 2] * 3 == costs

    def test_values_are_those_of_the_body(self, group):
        texts = ["it's", "100 %", "%s", 'a "b" \\', "ü\n", None]

        runs = group(*[lambda number: write(number, texts[number])] * len(texts))

        assert [*enumerate(texts)] == ask("SELECT number, text FROM tests_app_line ORDER BY 1")
        assert {Succeeded} == {*runs.outcomes().values()}

    def test_rows_whose_key_is_of_django_go_along(self, group, said):
        def body(number):
            Receipt.objects.create(text="one")
            Receipt.objects.bulk_create([Receipt(text="two")], ignore_conflicts=True)

        group(body, body)

        assert [4] == [len(batch) for batch in said]
        assert ["one", "one", "two", "two"] == [
            *Receipt.objects.order_by("text").values_list("text", flat=True)
        ]

    def test_text_without_values_is_sent_as_it_is(self, group):
        def write_percent(number):
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO tests_app_line VALUES (1, '100 %')")

        group(write_percent)

        assert [("100 %",)] == ask("SELECT text FROM tests_app_line")

    def test_text_that_comes_again_at_once_is_planned_once(self, group, tmp_path):
        def write_often(number):
            for _ in range(5):
                with connection.cursor() as cursor:
                    cursor.execute("UPDATE tests_app_line SET text = 'other'")
            write(number)

        connection.ensure_connection()
        with (tmp_path / "messages").open("w+") as file:
            connection.connection.pgconn.trace(file.fileno())
            group(write_often, write_often)
            connection.connection.pgconn.untrace()
            file.seek(0)
            parsed = [line for line in file if "\tParse\t" in line and "tests_app_line" in line]

        assert ["UPDATE", "INSERT", "UPDATE", "INSERT"] == [
            re.search("UPDATE|INSERT", line)[0] for line in parsed
        ]

    def test_constants_are_read_anew_for_each_group(self, group):
        def write_time(zone):
            def body(number):
                with connection.cursor() as cursor:
                    cursor.execute(f"SET LOCAL TIME ZONE '{zone}'")
                for _ in range(5):
                    with connection.cursor() as cursor:
                        cursor.execute("INSERT INTO tests_app_time VALUES ('2024-01-01 00:00')")

            return body

        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE tests_app_time (at timestamptz)")
        try:
            group(write_time("UTC"))
            group(write_time("Asia/Tokyo"))
            found = ask("SELECT count(*), count(DISTINCT at) FROM tests_app_time")
        finally:
            with connection.cursor() as cursor:
                cursor.execute("DROP TABLE tests_app_time")

        assert [(10, 2)] == found

    def test_values_that_are_used_anew_are_those_of_the_statement(self, group):
        def body(number):
            values = [1, "first"]
            cursor, other = connection.cursor(), connection.cursor()
            cursor.execute(WRITE, values)
            values[:] = [2, "second"]
            other.execute(WRITE, values)
            values[:] = [3, "third"]
            return cursor.rowcount + other.rowcount

        group(body)

        assert [1, 2] == lines()
        assert 2 == SucceededJob.objects.get().result

    def test_many_are_sent_in_between(self, group, said, monkeypatch):
        monkeypatch.setattr(withholding, "MOST", 10)

        group(*[lambda number: write(number)] * 25)

        writes = [sum("INSERT" in text for text in batch) for batch in said]
        assert [10, 10, 5] == writes
        assert 25 == len(lines())

    def test_long_ones_are_sent_in_between(self, group, said, monkeypatch):
        monkeypatch.setattr(withholding, "MOST_BYTES", 100)

        group(lambda number: [write(each, "long" * 30) for each in range(3)])

        assert [1, 1, 1] == [sum("INSERT" in text for text in batch) for batch in said]

    def test_one_who_waits_opens_the_savepoint_by_the_same_message(self, group, flights):
        costs = []

        def read_and_write(number):
            before = len(flights)
            assert [(number,)] == ask("SELECT %s::int", [number])
            Order.objects.create(number=number, email="a@example.com", total=1)
            costs.append(len(flights) - before)

        group(*[read_and_write] * 3)

        assert [2, 2, 2] == costs
        assert ["0", "1", "2"] == orders()

    def test_what_binds_on_the_server_is_kept_without_values_alone(self, group, said, monkeypatch):
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "server_side_binding", True)
        connection.close()

        def write_both(number):
            write(1)
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO tests_app_line VALUES (2, '')")

        group(write_both)
        connection.close()

        assert [1, 2] == lines()
        assert ["INSERT INTO tests_app_line VALUES (2, '')"] == [
            text for batch in said for text in batch if "INSERT" in text
        ]


class AskingTests:
    """Whoever waits for an answer gets it, in the order in which the body has asked."""

    def test_count_of_rows(self, group):
        def body(number):
            write(1)
            write(2)
            with connection.cursor() as cursor:
                cursor.execute("UPDATE tests_app_line SET text = 'changed'")
                assert 2 == cursor.rowcount
                cursor.execute("DELETE FROM tests_app_line WHERE number = 1")
                cursor.execute("DELETE FROM tests_app_line WHERE number = 1")
                write(3)
                return cursor.rowcount

        runs = group(body)

        assert {0: Succeeded} == runs.outcomes()
        assert [2, 3] == lines()
        assert 0 == SucceededJob.objects.get().result

    def test_cursor_that_is_closed_has_forgotten_it(self, group):
        def look():
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO tests_app_line VALUES (5), (6)")
            return cursor.closed, cursor.rowcount

        def body(number):
            return look()

        runs = group(body)

        assert {0: Succeeded} == runs.outcomes()
        assert [5, 6] == lines()
        ask("DELETE FROM tests_app_line RETURNING 1")
        assert [*look()] == SucceededJob.objects.get().result

    def test_count_after_others_were_sent(self, group):
        def body(number):
            cursor = connection.cursor()
            cursor.execute("INSERT INTO tests_app_line VALUES (5, ''), (6, '')")
            write(7)
            assert [(3,)] == ask("SELECT count(*) FROM tests_app_line")
            return cursor.rowcount

        group(body)

        assert 2 == SucceededJob.objects.get().result

    def test_returned_cursor(self, group):
        def body(number):
            return connection.cursor().execute("DELETE FROM tests_app_line").rowcount

        write(1)
        group(body)

        assert 1 == SucceededJob.objects.get().result

    def test_rows_of_what_returns_none(self, group):
        def body(number):
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM tests_app_line")
                with pytest.raises(ProgrammingError):
                    cursor.fetchall()
                with pytest.raises(ProgrammingError):
                    list(cursor)

        assert {0: Succeeded} == group(body).outcomes()

    def test_rows_of_what_returns_some(self, group):
        def body(number):
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO tests_app_line VALUES (1, 'a') RETURNING text")
                return [*cursor]

        group(body)

        assert [["a"]] == SucceededJob.objects.get().result

    def test_orm(self, group):
        def body(number):
            order = Order.objects.create(number=number, email="a@example.com", total=1)
            order.total = 2
            order.save()
            assert 1 == Order.objects.filter(pk=order.pk, total=2).update(total=3)
            assert 0 == Order.objects.filter(number="none").update(total=3)
            Order.objects.bulk_create(
                [Order(number=f"{number}b", email="", total=1)], ignore_conflicts=True
            )
            again, is_new = Order.objects.get_or_create(number=number, defaults={"total": 1})
            assert (order.pk, False) == (again.pk, is_new)
            with pytest.raises(IntegrityError), transaction.atomic():
                Order.objects.create(number=number, email="a@example.com", total=1)
            return Order.objects.filter(number__startswith=number).delete()[0]

        runs = group(body, body, body)

        assert {0: Succeeded, 1: Succeeded, 2: Succeeded} == runs.outcomes()
        assert [2, 2, 2] == [*SucceededJob.objects.values_list("result", flat=True)]
        assert [0, 1, 2] == runs.ran

    def test_savepoint_of_the_body_tells_of_an_error(self, group):
        def body(number):
            write(1)
            with pytest.raises(IntegrityError), transaction.atomic():
                write(1)
            write(2)

        runs = group(body)

        assert {0: Succeeded} == runs.outcomes()
        assert [0] == runs.ran
        assert [1, 2] == lines()

    @pytest.mark.parametrize(
        "look",
        [
            lambda: connection.connection.execute("SELECT count(*) FROM tests_app_line"),
            lambda: connection.connection.cursor().execute(
                "SELECT count(*) FROM tests_app_line WHERE number < %s", [99]
            ),
            lambda: read_in_chunks("SELECT count(*) FROM tests_app_line"),
            lambda: connection.cursor().execute("SELECT count(*) FROM tests_app_line"),
        ],
    )
    def test_past_django(self, group, look):
        def body(number):
            write(number)
            [(count,)] = look()
            write(number + 10)
            return count

        group(body, body)

        assert [1, 3] == [*SucceededJob.objects.order_by("args").values_list("result", flat=True)]
        assert [0, 1, 10, 11] == lines()

    def test_copy(self, group):
        def body(number):
            write(1)
            with (
                connection.cursor() as cursor,
                cursor.copy("COPY tests_app_line (number) FROM STDIN") as copy,
            ):
                copy.write_row([2])
            write(3)
            with (
                connection.cursor() as cursor,
                cursor.copy("COPY tests_app_line (number) TO STDOUT") as copy,
            ):
                return [row[0] for row in copy.rows()]

        group(body)

        assert [["1", "2", "3"]] == [*SucceededJob.objects.values_list("result", flat=True)]

    def test_several_at_once(self, group):
        def body(number):
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO tests_app_line VALUES (1); SELECT 5")
                assert cursor.nextset()
                assert [(5,)] == cursor.fetchall()
                cursor.execute("INSERT INTO tests_app_line VALUES (2); SELECT 6")
                cursor.executemany(WRITE, [[3, ""], [4, ""]])
                assert 2 == cursor.rowcount

        runs = group(body)

        assert {0: Succeeded} == runs.outcomes()
        assert [1, 2, 3, 4] == lines()

    def test_pipeline_of_the_body(self, group):
        def body(number):
            write(1)
            with connection.connection.pipeline():
                write(2)
                with connection.cursor() as cursor:
                    cursor.execute("SELECT count(*) FROM tests_app_line")
                    [(count,)] = cursor.fetchall()
                write(3)
            write(4)
            return count

        runs = group(body)

        assert {0: Succeeded} == runs.outcomes()
        assert [0] == runs.ran
        assert [1, 2, 3, 4] == lines()
        assert 2 == SucceededJob.objects.get().result

    def test_those_who_watch_see_what_the_body_has_written(self, group):
        seen = []

        def note(execute, sql, params, many, context):
            seen.append(sql)
            return execute(sql, params, many, context)

        def body(number):
            write(1)
            with connection.execute_wrapper(note):
                write(2)
                ask("SELECT count(*) FROM tests_app_line")

        group(body)

        assert [WRITE, "SELECT count(*) FROM tests_app_line"] == seen
        assert [1, 2] == lines()

    def test_log_of_queries_has_them(self, group):
        queries = []

        def body(number):
            connection.force_debug_cursor = True
            try:
                write(1)
                ask("SELECT 1")
                queries.extend(each["sql"] for each in connection.queries[-2:])
            finally:
                connection.force_debug_cursor = False

        group(body)

        assert "SELECT 1" == queries[1]
        assert queries[0].startswith("INSERT")

    def test_cursor_outlives_its_job(self, group):
        cursors, seen = [], []

        def body(number):
            cursor = connection.cursor()
            cursor.execute("INSERT INTO tests_app_line VALUES (1)")
            cursors.append(cursor)

            def look():
                seen.append(cursor.rowcount)
                cursor.execute("SELECT 3")
                seen.extend(cursor.fetchall())

            transaction.on_commit(look)

        def go_on(number):
            seen.append(cursors[0].rowcount)
            cursors[0].execute("INSERT INTO tests_app_line VALUES (2)")

        runs = group(body, go_on)

        assert [1, 1, (3,)] == seen
        assert {0: Succeeded, 1: Succeeded} == runs.outcomes()
        assert [1, 2] == lines()

    def test_cursor_of_a_job_that_failed_knows_nothing(self, group):
        cursors = []

        def body(number):
            cursor = connection.cursor()
            cursor.execute("INSERT INTO tests_app_line VALUES (1)")
            cursors.append(cursor)
            raise ValueError("no")

        runs = group(body, lambda number: cursors[0].rowcount)

        assert {0: Failed, 1: Succeeded} == runs.outcomes()
        assert [-1] == [*SucceededJob.objects.values_list("result", flat=True)]
        assert [] == lines()

    def test_driver_s_cursor_is_the_one_that_is_changed(self, group):
        def body(number):
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM tests_app_line")
                cursor.cursor.arraysize = 7
                cursor.execute("SELECT 1")
                return cursor.arraysize

        group(body)

        assert 7 == SucceededJob.objects.get().result

    def test_what_is_returned_is_used_as_a_cursor(self, group):
        def body(number):
            cursor = connection.cursor().execute("DELETE FROM tests_app_line")
            with cursor, pytest.raises(psycopg.ProgrammingError):
                next(cursor)
            return cursor.closed

        group(body)

        assert SucceededJob.objects.get().result is True

    def test_thread_of_the_body_that_shares_its_connection_is_answered_there(self, group):
        counts = []

        def count(shared):
            with shared.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM tests_app_line")
                counts.extend(cursor.fetchone())

        def body(number):
            write(number)
            sharing(count)

        assert {Succeeded} == {*group(body, body).outcomes().values()}
        assert [1, 2] == counts

    def test_values_are_adapted_as_the_connection_is_told_meanwhile(self, group):
        class Word(str):
            pass

        class Dumper(psycopg.adapt.Dumper):
            def dump(self, value):
                return value.upper().encode()

        def body(number):
            write(number, "before")
            connection.connection.adapters.register_dumper(Word, Dumper)
            write(number + 10, Word("behind"))

        assert {0: Succeeded} == group(body).outcomes()
        assert [(0, "before"), (10, "BEHIND")] == ask("SELECT number, text FROM tests_app_line")
        connection.close()

    def test_closed_cursor_takes_no_more(self, group):
        def body(number):
            cursor = connection.cursor()
            cursor.execute("INSERT INTO tests_app_line VALUES (1)")
            cursor.close()
            with pytest.raises(InterfaceError, match="closed"):
                cursor.execute("INSERT INTO tests_app_line VALUES (2)")

        assert {0: Succeeded} == group(body).outcomes()
        assert [1] == lines()


class FailingTests:
    @pytest.mark.parametrize("at_fault", [0, 1, 2])
    def test_one_whose_statement_fails_fails_alone(self, group, at_fault):
        write(5)

        def body(number):
            write(5 if number == at_fault else number)

        runs = group(body, body, body)

        others = sorted({0, 1, 2} - {at_fault})
        assert dict.fromkeys(others, Succeeded) | {at_fault: Failed} == runs.outcomes()
        assert [0, 1, 2, 0, 1, 2] == runs.ran
        assert [*others, 5] == lines()
        [failed] = [each for each in runs.ended if isinstance(each.outcome, Failed)]
        assert "in write" in failed.outcome.error.traceback
        assert others == kept()

    @pytest.mark.parametrize("is_open", [True, False])
    def test_one_who_waits_after_a_statement_that_fails_fails_alone(self, group, is_open):
        write(5)

        def body(number):
            if is_open:
                ask("SELECT 1")
            write(number)
            write(5)
            ask("SELECT 1")

        runs = group(write, body)

        assert {0: Succeeded, 1: Failed} == runs.outcomes()
        assert [0, 5] == lines()
        [failed] = [each for each in runs.ended if isinstance(each.outcome, Failed)]
        assert "in write" in failed.outcome.error.traceback

    def test_one_who_asks_for_a_statement_that_fails_fails_alone(self, group):
        write(5)

        def body(number):
            write(number)
            with connection.cursor() as cursor:
                cursor.execute(WRITE, [5, ""])
                write(number + 10)
                return cursor.rowcount

        runs = group(write, body, write)

        assert [0, 1, 2] == runs.ran
        assert {0: Succeeded, 1: Failed, 2: Succeeded} == runs.outcomes()
        assert [0, 2, 5] == lines()

    def test_one_that_recovers_by_a_savepoint_does_so(self, group):
        write(5)

        def leave_otherwise(number):
            with suppress(ValueError):
                try:
                    with transaction.atomic():
                        write(5)
                        raise ValueError("not reached")
                except IntegrityError:
                    write(50)

        def commit_savepoint(number):
            savepoint = connection.savepoint()
            try:
                write(5)
            except IntegrityError:
                connection.savepoint_rollback(savepoint)
                write(51)
            else:
                connection.savepoint_commit(savepoint)

        def ask_inside(number):
            cursor, other = connection.cursor(), connection.cursor()
            with suppress(IntegrityError), transaction.atomic():
                cursor.execute(WRITE, [5, ""])
                other.execute(WRITE, [6, ""])
                cursor.rowcount  # noqa: B018
            write(52)

        def write_in_failed(number):
            with transaction.atomic():
                with suppress(IntegrityError):
                    write(5)
                with suppress(InternalError):
                    write(6)
                transaction.set_rollback(True)
            write(53)

        runs = group(leave_otherwise, commit_savepoint, ask_inside, write_in_failed)

        assert [0, 1, 2, 3] == runs.ran
        assert {Succeeded} == {*runs.outcomes().values()}
        assert [5, 50, 51, 52, 53] == lines()

    def test_one_that_recovers_by_a_transaction_of_psycopg_does_so(self, group):
        write(5)

        def body(number):
            try:
                with connection.connection.transaction():
                    write(5)
            except IntegrityError:
                write(50)

        assert {0: Succeeded} == group(body).outcomes()
        assert [5, 50] == lines()

    def test_error_of_another_is_no_matter_of_one_who_waits(self, group):
        write(5)
        caught = []

        def look(number):
            try:
                ask("SELECT 1")
            except Exception as error:
                caught.append(error)
            write(number)

        runs = group(lambda number: write(5), look)

        assert {0: Failed, 1: Succeeded} == runs.outcomes()
        assert [IntegrityError] == [type(error) for error in caught]
        assert [1, 5] == lines()

    def test_groups_wait_for_each_answer_for_a_while(self, group, said):
        write(500)
        group(lambda number: write(500), write)
        said.clear()

        for each in range(deferring.PAUSE):
            group(lambda number, each=each: write(each))
        assert [] == said
        group(lambda number: write(number + 100))

        assert 1 == len(said)
        group(lambda number: write(500), lambda number: write(number + 200))
        said.clear()
        for each in range(deferring.PAUSE * 2):
            group(lambda number, each=each: write(each + 300))
        assert [] == said

    def test_one_that_fails_by_itself_takes_its_own_along(self, group, said):
        hooks = []

        def fail(number):
            write(number)
            transaction.on_commit(lambda: hooks.append(number))
            raise ValueError("no")

        def keep(number):
            write(number)
            transaction.on_commit(lambda: hooks.append(number))

        runs = group(keep, fail, keep)

        assert {0: Succeeded, 1: Failed, 2: Succeeded} == runs.outcomes()
        assert [0, 1, 2] == runs.ran
        assert [0, 2] == lines() == hooks
        assert [2] == [len(batch) for batch in said]

    @pytest.mark.parametrize("waits_first", [True, False])
    def test_one_that_fails_after_it_has_waited_does_so_too(self, group, waits_first):
        hooks = []

        def fail(number):
            if waits_first:
                ask("SELECT 1")
            write(number)
            transaction.on_commit(lambda: hooks.append(number))
            ask("SELECT 1")
            write(number + 10)
            raise ValueError("no")

        runs = group(write, fail, write, fail, write)

        assert [0, 1, 2, 3, 4] == runs.ran
        assert [0, 2, 4] == lines() == kept()
        assert [] == hooks

    def test_values_that_cannot_be_adapted_fail_their_own_body_alone(self, group):
        def fail(number):
            write(object())

        def fail_waiting(number):
            ask("SELECT %s", [object()])

        runs = group(write, fail, fail_waiting, write)

        assert [0, 1, 2, 3] == runs.ran
        assert [0, 3] == lines() == kept()
        errors = [each.outcome.error for each in runs.ended if isinstance(each.outcome, Failed)]
        assert ["cannot adapt type 'object'"] * 2 == [
            error.message.partition(" using")[0] for error in errors
        ]

    @pytest.mark.parametrize(
        ("interrupt", "end"), [(CancelInterrupt, Cancelled), (TimeoutInterrupt, Failed)]
    )
    def test_one_that_is_interrupted_ends_by_that(self, group, slot, interrupt, end):
        ran = []

        def body(number):
            ran.append(number)
            running, pid = slot.execution, connection.connection.info.backend_pid
            holds = threading.Event()

            def strike():
                slot.guard.interrupt(running, interrupt)

            with ThreadPoolExecutor(1) as pool:
                struck = pool.submit(elsewhere, lambda: strike_while_it_waits(strike, pid, holds))
                assert holds.wait(30)
                ask("SELECT pg_advisory_xact_lock(1)")
                struck.result()
            write(number)

        runs = group(write, body, write)

        assert [1] == ran
        assert {0: Succeeded, 1: end, 2: Succeeded} == runs.outcomes()
        assert [0, 2] == lines()

    @pytest.mark.parametrize("asks", [True, False])
    def test_interrupt_at_any_place_loses_nothing(self, group, slot, monkeypatch, asks):
        """A body that goes on after one keeps all whose statements had returned."""
        monkeypatch.setattr(deferring, "PAUSE", 0)

        def steps(number):
            first, second = connection.cursor(), connection.cursor()
            yield 100, lambda: first.execute(WRITE, [100, ""])
            yield 101, lambda: second.execute(WRITE, [101, ""])
            yield 102, lambda: write(102)
            yield None, lambda: first.rowcount if asks else ask("SELECT 1")
            yield 103, lambda: write(103)
            yield None, lambda: second.rowcount if asks else ask("SELECT 1")

        at = 1
        while True:
            interrupt = Interrupt(at, SoftTimeout, TESTED)
            tries = []

            def body(number, interrupt=interrupt, tries=tries):
                done, perhaps = set(), set()
                tries.append((done, perhaps))
                for value, step in steps(number):
                    try:
                        with interrupt:
                            step()
                        done.add(value)
                    except SoftTimeout:
                        perhaps.add(value)

            savepoints = slot.committing.savepoints
            savepoints._paused = savepoints._pause = 0
            runs = group(write, body, write)

            done, perhaps = tries[-1]
            ends, written = runs.outcomes(), {*lines()}
            if ends.pop(1) is Failed:  # in what an interrupt has left of the connection
                done, perhaps = set(), set()
            assert {Succeeded} == {*ends.values()}, interrupt.place
            # Where the group ended at once, the third of them is left in the line.
            assert {0} | {*ends} | done - {None} <= written, interrupt.place
            assert written <= {*ends} | done | perhaps, interrupt.place
            raw = connection.connection
            assert not raw.lock.locked()
            assert "wait" not in vars(raw)
            if interrupt.place is None:
                break
            ask("DELETE FROM tests_app_line RETURNING 1")
            at += 41  # of the bytecodes: each would take minutes

    def test_connection_is_left_as_it_was(self, group):
        connection.ensure_connection()
        raw = connection.connection
        group(write)
        group(lambda number: write(0), write)

        assert "wait" not in vars(raw)
        assert [] == connection.execute_wrappers
        assert raw is connection.connection

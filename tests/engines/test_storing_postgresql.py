import asyncio
import time
from collections import defaultdict

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import IntegrityError, InternalError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from django_jobflow import Job
from django_jobflow.declare import registry
from django_jobflow.engines import postgresql_waking, storing_postgresql
from django_jobflow.engines.postgresql_news import QUIET, Said
from django_jobflow.models import JobRecord
from tests.engines.contract import HOUR, NOON, ServedByEngines, columns, stored

if connection.vendor == "postgresql":
    from django_jobflow.engines import postgresql_direct as direct

PATIENCE = 30  # seconds after which a test gives up waiting for a notice

pytestmark = pytest.mark.skipif(
    not hasattr(connection.features, "uses_server_side_binding"),
    reason="Its driver always puts the values into the statement.",
)


@pytest.mark.django_db(transaction=True)
class ServerSideBindingTests(ServedByEngines):
    """A project may let the server bind the values, and psycopg prepare what comes often."""

    @pytest.fixture(autouse=True)
    def bound(self, served_by, transactional_db, monkeypatch):
        options = {"server_side_binding": True, "prepare_threshold": 0}
        monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
        connection.close()
        yield
        connection.close()

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"timeout": None, "priority": -100, "tags": ["a"], "meta": {"b": 1}},
            {"delay": 60, "queue_key": "q"},
            {"run_at": NOON, "expires_at": NOON + HOUR, "execution_key": "e", "partition": "p"},
        ],
    )
    def test_calls_are_stored(self, options):
        class Receipt(Job):
            def perform(self, order_id):
                pass

        enqueuer = Receipt.using(**options)

        many = enqueuer.enqueue_many([{"order_id": 1}, {"order_id": 2}])
        record = enqueuer.enqueue(order_id=1)

        assert record.duplicate is ("queue_key" in options)
        assert (record.pk in many) is record.duplicate
        assert columns(stored(record)) == columns(record)

    def test_the_server_plans_for_the_values_that_it_binds(self):
        self.engine.glance(None)  # sets the session up

        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('plan_cache_mode')")
            assert [("auto",)] == cursor.fetchall()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="Of PostgreSQL.")
@pytest.mark.django_db(transaction=True)
class PreparedInsertTests:
    """What comes often on one connection is planned once, where that can cost nobody anything."""

    OFTEN = 5

    @pytest.fixture(autouse=True)
    def own_session(self, transactional_db, monkeypatch):
        monkeypatch.setattr(storing_postgresql, "_unkept", set())
        connection.close()
        with registry.isolated():

            class Receipt(Job):
                def perform(self, order_id):
                    pass

            self.receipt = Receipt
            yield
        connection.close()

    def enqueue_often(self, **options):
        return [self.receipt.using(**options).enqueue(n) for n in range(self.OFTEN)]

    def run(self, statement):
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def executions(self):
        """Return how often each statement was executed that the session has prepared."""
        rows = self.run(
            "SELECT generic_plans + custom_plans FROM pg_prepared_statements "
            "WHERE statement LIKE 'INSERT INTO \"jobflow_job\"%'"
        )
        return [executions for (executions,) in rows]

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"timeout": None, "priority": -100, "tags": ["a"], "meta": {"b": "ü"}},
            {"timeout": 100_000.25, "queue": "a:b", "partition": "p'"},
        ],
    )
    def test_record_is_as_it_is_stored(self, options):
        records = self.enqueue_often(**options)

        assert [self.OFTEN - 3] == self.executions()
        assert self.OFTEN == JobRecord.objects.count()
        for record in records:
            assert columns(stored(record)) == columns(record)

    @pytest.mark.parametrize(
        "options",
        [{"delay": 60}, {"run_at": NOON}, {"queue_key": "q"}, {"expires_at": NOON + HOUR}],
    )
    def test_what_is_seldom_is_not_prepared(self, options):
        records = self.enqueue_often(**options)

        assert [] == self.executions()
        assert columns(stored(records[0])) == columns(records[0])

    def test_nothing_is_prepared_inside_a_transaction(self):
        with transaction.atomic():
            self.enqueue_often()

        assert [] == self.executions()
        assert self.OFTEN == JobRecord.objects.count()

    def test_nothing_is_prepared_behind_a_pooler(self, monkeypatch):
        monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)

        self.enqueue_often()

        assert [] == self.executions()

    def test_who_watches_sees_each_statement(self):
        self.enqueue_often()

        with CaptureQueriesContext(connection) as captured:
            self.receipt.enqueue(1)
        seen = []
        with connection.execute_wrapper(lambda *call: seen.append(call[1]) or call[0](*call[1:])):
            self.receipt.enqueue(1)

        assert "INSERT" == captured.captured_queries[0]["sql"].split()[0]
        assert "INSERT" == seen[0].split()[0]

    @pytest.mark.parametrize("event", ["DEALLOCATE ALL", "PREPARE"])
    def test_session_that_is_not_ours_alone_costs_no_call(self, event):
        self.enqueue_often()
        if event == "PREPARE":  # another client of the pooler was here before
            [(name,)] = self.run("SELECT name FROM pg_prepared_statements")
            connection.close()
            event = f"PREPARE {name} AS SELECT 1"
        self.run(event)

        self.enqueue_often()

        assert 2 * self.OFTEN == JobRecord.objects.count()
        assert {"default"} == storing_postgresql._unkept

    def test_error_is_one_of_django(self):
        self.enqueue_often()
        self.run("SET default_transaction_read_only = on")

        with pytest.raises(InternalError, match="read-only"):
            self.receipt.enqueue(1)

        self.run("SET default_transaction_read_only = off")
        self.receipt.enqueue(1)
        assert self.OFTEN + 1 == JobRecord.objects.count()

    def test_what_a_deadlock_undoes_is_stored_in_the_end(self):
        self.enqueue_often()
        self.run(
            "CREATE SEQUENCE tests_tries; "
            "CREATE FUNCTION tests_meet() RETURNS trigger AS $$ BEGIN "
            "IF nextval('tests_tries') = 1 THEN "
            "RAISE EXCEPTION 'a deadlock' USING ERRCODE = '40P01'; END IF; RETURN NEW; END $$ "
            "LANGUAGE plpgsql; CREATE TRIGGER tests_meet BEFORE INSERT ON jobflow_job "
            "FOR EACH ROW EXECUTE FUNCTION tests_meet()"
        )
        try:
            self.receipt.enqueue(1)
            [(tries,)] = self.run("SELECT last_value FROM tests_tries")
        finally:
            self.run(
                "DROP TRIGGER tests_meet ON jobflow_job; DROP FUNCTION tests_meet; "
                "DROP SEQUENCE tests_tries"
            )

        assert 2 == tries
        assert self.OFTEN + 1 == JobRecord.objects.count()

    def test_guard_that_others_have_put_in_the_way_is_heard(self, django_db_blocker):
        self.enqueue_often()

        with django_db_blocker.block(), pytest.raises(RuntimeError, match="not allowed"):
            self.receipt.enqueue(1)

        assert self.OFTEN == JobRecord.objects.count()

    def test_event_loop_is_not_blocked(self):
        self.enqueue_often()

        async def enqueue():
            self.receipt.enqueue(1)

        with pytest.raises(SynchronousOnlyOperation):
            asyncio.run(enqueue())

    @pytest.fixture
    def unsaid(self, monkeypatch):
        """Nothing has been told of just now."""
        monkeypatch.setattr(postgresql_waking, "_said", defaultdict(Said))

    @pytest.fixture
    def other(self):
        other = connection.copy()
        yield other
        other.close()

    def test_workers_are_told_in_the_same_round_trip(self, unsaid, other, monkeypatch):
        self.enqueue_often()
        with other.cursor() as cursor:
            cursor.execute("LISTEN jobflow")
        postgresql_waking._said.clear()
        said_apart = []
        monkeypatch.setattr(direct, "say", lambda connection, word: said_apart.append(word))

        record = self.receipt.enqueue(1)

        [notice] = other.connection.notifies(timeout=PATIENCE, stop_after=1)
        assert "default" == notice.payload
        assert columns(stored(record)) == columns(record)
        assert not said_apart

    def test_silence_that_ends_with_the_insert_is_no_round_trip_of_its_own(
        self, unsaid, monkeypatch
    ):
        self.enqueue_often()
        ends_at = time.monotonic() + postgresql_waking.STORING * 0.9
        postgresql_waking._said["default"].note(("default",), ends_at - QUIET)
        said_apart, row = [], direct.row

        def row_after_silence(*parts):
            stored = row(*parts)
            while time.monotonic() < ends_at:
                pass
            return stored

        monkeypatch.setattr(direct, "row", row_after_silence)
        monkeypatch.setattr(direct, "say", lambda connection, word: said_apart.append(word))

        self.receipt.enqueue(1)

        assert not said_apart

    def test_silence_that_ends_while_the_call_is_stored_is_broken(self, unsaid, monkeypatch):
        self.enqueue_often()
        said = postgresql_waking._said["default"]
        said.note(("default",), float("inf"))  # until the row is stored, whatever the machine does
        monkeypatch.setattr(postgresql_waking, "STORING", 0.0)
        said_apart, row = [], direct.row

        def row_until_silence_ends(*parts):
            stored = row(*parts)
            said.forget()
            return stored

        monkeypatch.setattr(direct, "row", row_until_silence_ends)
        monkeypatch.setattr(direct, "say", lambda connection, word: said_apart.append(word))

        self.receipt.enqueue(1)

        assert ["NOTIFY jobflow, 'default'"] == said_apart

    def test_who_is_interrupted_while_the_server_is_at_it_reads_no_late_answer(self):
        self.enqueue_often()
        statement = self.statement()
        session = connection.connection

        def interrupt():
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            direct.row(connection, *statement, interrupt)

        assert connection.connection is not session
        assert JobRecord.objects.count() in {self.OFTEN, self.OFTEN + 1}

    @pytest.mark.parametrize("interrupted", ["keep", "say"])
    def test_who_is_interrupted_elsewhere_reads_no_late_answer_either(
        self, monkeypatch, interrupted
    ):
        self.enqueue_often()
        session = connection.connection

        def interrupt(pgconn):
            raise KeyboardInterrupt

        monkeypatch.setattr(direct, "execute", interrupt)
        statement = direct.Prepared(b"jobflow_other", b"SELECT 1")
        with pytest.raises(KeyboardInterrupt):
            getattr(direct, interrupted)(
                connection, {"say": "SELECT 1"}.get(interrupted, statement)
            )

        assert connection.connection is not session

    @pytest.mark.parametrize(
        ("told_at", "message"), [(0.0, "enter pipeline mode"), (float("inf"), "in progress")]
    )
    def test_long_answer_that_is_being_read_is_left_alone(self, unsaid, told_at, message):
        self.enqueue_often()
        postgresql_waking._said["default"].note(("default",), told_at)
        rows = connection.connection.cursor().stream("SELECT generate_series(1, 3)")
        assert (1,) == next(rows)

        with pytest.raises(OperationalError, match=message):
            self.receipt.enqueue(1)

        assert [(2,), (3,)] == list(rows)

    def statement(self):
        """Return what the session keeps, the INSERT that it has prepared, and values for it."""
        [(name, text, types)] = self.run(
            "SELECT name, statement, parameter_types::text[] FROM pg_prepared_statements"
        )
        fitting = {"character varying": b"AVAILABLE", "jsonb": b"{}", "interval": b"1 s"}
        statement = direct.Prepared(name.encode(), text.encode())
        kept = direct.kept_for(connection.connection, statement)
        return kept, statement, [fitting.get(kind, b"1") for kind in types]

    @pytest.fixture
    def at_commit(self):
        """A table into which nothing goes that is not refused at the commit."""
        self.run("CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        self.run("INSERT INTO late VALUES (1)")
        yield
        self.run("DROP TABLE late")

    @pytest.mark.parametrize(
        "word",
        [
            "NOTIFY 'not so'",
            "INSERT INTO late VALUES (1)",
            "SELECT pg_terminate_backend(pg_backend_pid())",
        ],
    )
    def test_call_is_stored_whatever_becomes_of_its_notice(self, at_commit, word):
        self.enqueue_often()

        row, is_said = direct.row_and_word(connection, *self.statement(), word)

        assert not is_said
        assert JobRecord.objects.filter(pk=int.from_bytes(row[0])).exists()

    @pytest.fixture
    def refusal(self):
        """The live table takes nothing, which comes out at the commit."""
        self.enqueue_often()
        self.run(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'too late' USING ERRCODE = '23514'; END $$"
        )
        self.run(
            "CREATE CONSTRAINT TRIGGER refusal AFTER INSERT ON jobflow_job "
            "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
        yield
        self.run("DROP TRIGGER refusal ON jobflow_job")
        self.run("DROP FUNCTION refuse()")

    @pytest.mark.parametrize("word", [None, "NOTIFY jobflow"])
    def test_what_is_refused_at_its_commit_is_not_stored(self, refusal, word):
        store = direct.row if word is None else direct.row_and_word
        words = [] if word is None else [word]

        with pytest.raises(IntegrityError, match="too late"):
            store(connection, *self.statement(), *words)

        assert self.OFTEN == JobRecord.objects.count()

    def test_after_a_cut_the_next_call_connects_anew(self, unsaid, other):
        self.enqueue_often()
        [(pid,)] = self.run("SELECT pg_backend_pid()")
        postgresql_waking._said.clear()
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

        with pytest.raises(OperationalError):
            self.receipt.enqueue(1)

        self.receipt.enqueue(1)
        assert self.OFTEN + 1 == JobRecord.objects.count()

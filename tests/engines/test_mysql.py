"""What only the engine of MariaDB and MySQL has to see to."""

import json

import pytest
from django.db import connection

from django_jobflow.engines import engine_for, mysql_cycle
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.outcomes import ErrorInfo, Failed, Succeeded
from django_jobflow.states import JobState
from tests.engines.contract import LATER, MINUTE, ending, live, make, succeeded
from tests.engines.test_exchanging import demand, known

pytestmark = pytest.mark.skipif(connection.vendor != "mysql", reason="Of MariaDB and MySQL.")


@pytest.mark.django_db
class PieceTests:
    def test_long_values_are_sent_in_several_statements(self, monkeypatch):
        monkeypatch.setattr(mysql_cycle, "PIECE", 100)
        records = [make(JobState.IN_PROGRESS) for _ in range(8)]
        failed = Failed(ErrorInfo("E", "x" * 60))
        ends = [ending(each, Succeeded("x" * 40)) for each in records[:4]]
        ends += [ending(each, failed) for each in records[4:]]

        written = engine_for("default").settle(ends, LATER)

        assert {each.pk for each in records} == written
        assert {each.pk for each in records[:4]} == succeeded()
        assert {each.pk for each in records[4:]} == set(live())

    def test_pieces_hold_all_rows_in_their_order(self, monkeypatch):
        monkeypatch.setattr(mysql_cycle, "PIECE", 20)
        rows = [[number, "x" * number] for number in range(12)]

        pieces = list(mysql_cycle.pieces(rows))

        assert rows == [row for piece in pieces for row in json.loads(piece)]
        assert 3 < len(pieces) < 12


@pytest.mark.django_db
class OldServerTests:
    """A server that can neither skip locked rows nor make rows of a parameter."""

    def test_cycle(self, monkeypatch):
        monkeypatch.setattr(connection.features, "has_select_for_update_skip_locked", False)
        done, failing = known(state=JobState.IN_PROGRESS), known(state=JobState.IN_PROGRESS)
        following = known()
        ends = [ending(done, Succeeded(1)), ending(failing, Failed(ErrorInfo("E", "text")))]

        exchange = engine_for("default").exchange(ends, [demand()], 10, LATER)

        assert {done.pk, failing.pk} == exchange.written
        assert [following.pk] == [each.id for each in exchange.started]
        assert [1] == [each.result for each in SucceededJob.objects.all()]
        assert "E: text" == JobRecord.objects.get(pk=failing.pk).exception


@pytest.mark.django_db(transaction=True)
class SessionTests:
    """A worker reads what is committed, whatever the settings say."""

    @pytest.fixture(autouse=True)
    def fresh(self):
        connection.close()
        yield
        connection.close()

    def isolation(self):
        variable = "tx_isolation" if connection.mysql_is_mariadb else "transaction_isolation"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT @@{variable}")
            return cursor.fetchone()[0]

    @pytest.mark.parametrize("level", ["repeatable read", "serializable", None])
    def test_level_of_the_settings_comes_back_at_the_end(self, monkeypatch, level):
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "isolation_level", level)
        engine = engine_for("default")
        before = self.isolation()

        engine.exchange((), [demand()], 10)
        during = self.isolation()
        engine.end_session()

        assert (before, "READ-COMMITTED") == (self.isolation(), during)

    def test_new_connection_is_set_up_anew(self, monkeypatch):
        monkeypatch.setitem(
            connection.settings_dict["OPTIONS"], "isolation_level", "repeatable read"
        )
        engine = engine_for("default")
        engine.exchange((), [demand()], 10)
        connection.close()

        engine.exchange((), [demand()], 10)

        assert "READ-COMMITTED" == self.isolation()

    def test_connection_that_is_gone_is_left_alone(self, monkeypatch):
        monkeypatch.setitem(
            connection.settings_dict["OPTIONS"], "isolation_level", "repeatable read"
        )
        engine = engine_for("default")
        engine.exchange((), [demand()], 10)
        connection.close()

        engine.end_session()

        assert "REPEATABLE-READ" == self.isolation()

    def test_level_of_django_needs_no_statement(self):
        engine = engine_for("default")
        engine.reserve(limit=1, worker="w", queues=None, timeout=MINUTE)
        statements = []

        def note(execute, sql, params, many, context):
            statements.append(sql)
            return execute(sql, params, many, context)

        with connection.execute_wrapper(note):
            engine.exchange((), [demand()], 10)
            engine.end_session()

        assert 1 == len(statements)

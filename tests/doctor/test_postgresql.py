"""Real trouble on a real PostgreSQL."""

from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module

import pytest
from django.db import connection, connections

from django_jobflow.doctor import Severity, postgresql
from django_jobflow.doctor.schema import STORAGE
from tests import databases
from tests.doctor.test_examining import found, run
from tests.servers import Pooler

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="It is about PostgreSQL."),
]


@contextmanager
def another_session():
    """Yield a cursor of another session."""
    other = connections["default"].copy()
    try:
        with other.cursor() as cursor:
            yield cursor
    finally:
        other.close()


class SnapshotTests:
    def test_session_that_holds_one_is_named(self, monkeypatch):
        monkeypatch.setattr(postgresql, "OLD_SNAPSHOT", timedelta(0))
        with another_session() as other:
            other.execute("SET application_name = 'a report'")
            other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            other.execute("SELECT pg_backend_pid() FROM jobflow_job LIMIT 1")
            other.execute("SELECT pg_backend_pid()")
            [pid] = other.fetchone()

            [finding] = [each for each in found("old_snapshot") if each.facts["who"] == str(pid)]

            other.execute("ROLLBACK")
            assert pid not in [each.facts["who"] for each in found("old_snapshot")]

        assert Severity.WARNING == finding.severity
        assert f"session {pid} of postgres, a report (idle in transaction)" in finding.text
        assert f"End what it does, or the session: SELECT pg_terminate_backend({pid});" == (
            finding.advice
        )

    def test_old_one_is_an_error(self, monkeypatch):
        monkeypatch.setattr(postgresql, "OLD_SNAPSHOT", timedelta(0))
        monkeypatch.setattr(postgresql, "ANCIENT_SNAPSHOT", timedelta(0))
        with another_session() as other:
            other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            other.execute("SELECT 1 FROM jobflow_job")

            assert Severity.ERROR in {finding.severity for finding in found("old_snapshot")}

    def test_slot_that_nobody_reads_is_told(self):
        run("SELECT pg_create_physical_replication_slot('jobflow_forgotten', true)")
        try:
            [finding] = found("slot_unread")
        finally:
            run("SELECT pg_drop_replication_slot('jobflow_forgotten')")

        assert "If its standby is gone: SELECT pg_drop_replication_slot('jobflow_forgotten');" == (
            finding.advice
        )


class VacuumTests:
    def test_dead_rows_are_counted_until_they_are_cleared(self, monkeypatch):
        monkeypatch.setattr(postgresql, "MANY_DEAD", 500)
        run("ALTER TABLE jobflow_key_hold SET (autovacuum_enabled = off)")  # nobody is faster
        run(
            "INSERT INTO jobflow_key_hold (digest, job_id, until) "
            "SELECT n, n, now() FROM generate_series(1, 600) AS n"
        )
        run("DELETE FROM jobflow_key_hold")
        run("SELECT pg_stat_force_next_flush()")

        [finding] = self.found_of("jobflow_key_hold")

        run("ALTER TABLE jobflow_key_hold RESET (autovacuum_enabled)")
        run("VACUUM jobflow_key_hold")
        run("SELECT pg_stat_force_next_flush()")
        assert 600 <= finding.facts["dead"]
        assert finding.advice.endswith("Then: VACUUM (ANALYZE) jobflow_key_hold;")
        assert [] == self.found_of("jobflow_key_hold")

    def found_of(self, table):
        """What is found of *table*: other tests leave dead rows in others."""
        return [each for each in found("dead_rows") if table == each.facts["table"]]

    def test_table_without_autovacuum_is_an_error(self):
        run("ALTER TABLE jobflow_job SET (autovacuum_enabled = off)")
        try:
            [finding] = found("autovacuum_off")
        finally:
            run("ALTER TABLE jobflow_job RESET (autovacuum_enabled)")

        assert {"settings": [], "tables": ["jobflow_job"]} == finding.facts
        assert [] == found("autovacuum_off")

    def test_storage_parameters_that_were_reset_are_told_with_the_way_back(self):
        run("ALTER TABLE jobflow_job RESET (fillfactor)")

        [finding] = found("storage_differs")
        run(finding.advice.partition(": ")[2])

        assert "ALTER TABLE jobflow_job SET (fillfactor = 85);" in finding.advice
        assert [] == found("storage_differs")


class IndexTests:
    def test_index_that_is_not_valid_is_mended_by_the_advice(self):
        run(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'jobflow_job_due'::regclass"
        )

        [finding] = found("index_invalid")
        run(finding.advice.partition(": ")[2])

        assert "The index jobflow_job_due is not valid, and not used." == finding.text
        assert [] == found("index_invalid")

    def test_index_that_is_mostly_empty_is_told(self, monkeypatch):
        monkeypatch.setattr(postgresql, "LARGE_INDEX", 1)
        monkeypatch.setattr(postgresql, "WIDE_ENTRY", 0)

        names = {finding.facts["name"] for finding in found("index_bloated")}

        assert "jobflow_job_due" in names


class ConnectionTests:
    def test_server_that_is_nearly_full_is_told(self, monkeypatch):
        monkeypatch.setattr(postgresql, "CONNECTIONS_USED", 0)

        [finding] = found("connections_used_up")

        assert 300 == finding.facts["most"]

    def test_server_itself_is_no_pooler(self):
        assert [] == found("pooler")

    def test_pooler_is_recognized(self, pooled, settings):
        [finding] = found("pooler")
        assert Severity.WARNING == finding.severity

        settings.JOBFLOW = {"WAKE_UP": "poll"}
        [finding] = found("pooler")
        assert (Severity.NOTICE, "") == (finding.severity, finding.advice)


@pytest.fixture
def pooled(monkeypatch):
    """Have a PgBouncer between this process and the server."""
    if Pooler.program is None:
        pytest.skip("PgBouncer is not installed.")
    database = connection.settings_dict
    home = databases.run_directory() / f"doctor-{database['NAME']}"
    pooler = Pooler(
        home,
        host=database["HOST"],
        port=database["PORT"],
        user=database["USER"],
        password=database["PASSWORD"],
    )
    pooler.start()
    connection.close()
    monkeypatch.setitem(database, "HOST", str(home))
    monkeypatch.setitem(database, "PORT", "5432")
    yield
    connection.close()
    pooler.stop()


def test_parameters_are_those_of_the_migration():
    said = import_module("django_jobflow.migrations.0001_initial").STORAGE
    assert STORAGE == {
        table: dict(each.split(" = ") for each in text.split(", ")) for table, text in said.items()
    }

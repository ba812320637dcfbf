import contextlib
import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.backends.signals import connection_created
from django.utils.connection import ConnectionDoesNotExist

from django_jobflow.health import Fact, Finding, Limits, check, checking
from tests.factories import JobRecordFactory, WorkerFactory
from tests.health import broken

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 90  # seconds
AT_ONCE = timedelta(seconds=0.2)

SILENT = (Fact("database", "'default' does not answer in time", Finding.DATABASE_SILENT),)

only_with_server = pytest.mark.skipif(not broken.needs_server, reason="There is no server.")


def askers():
    return [thread for thread in threading.enumerate() if thread.name == "jobflow-health"]


@pytest.fixture(autouse=True)
def all_askers_end():
    """Leave no thread to the next test."""
    yield
    for thread in askers():
        thread.join(PATIENCE)
    checking._stuck.clear()
    assert [] == askers()


@contextlib.contextmanager
def locked_tables():
    """Keep everybody else from reading the jobs, as a migration does."""
    if connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE jobflow_job IN ACCESS EXCLUSIVE MODE")
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLES jobflow_job WRITE")
        yield
        cursor.execute("UNLOCK TABLES")


class CheckTests:
    def test_database_of_the_settings_is_asked(self, settings):
        settings.JOBFLOW = {"DATABASE": "default"}
        WorkerFactory()

        found = check()

        assert ("default", True) == (found.database, found.is_healthy)

    def test_limits_are_kept(self):
        WorkerFactory()
        JobRecordFactory()

        limits = Limits(max_wait=timedelta(0), min_workers=2)

        assert limits == check(limits=limits).limits
        assert [Finding.TOO_FEW_WORKERS, Finding.JOB_WAITS] == check(limits=limits).findings

    def test_connection_is_opened_for_it_and_closed(self):
        opened = []

        def note(connection, **_):
            opened.append(connection)

        connection_created.connect(note)
        check()
        connection_created.disconnect(note)

        assert [None] == [each.connection for each in opened]

    def test_mistake_of_the_caller_is_raised(self):
        with pytest.raises(ConnectionDoesNotExist):
            check("nowhere")


@only_with_server
class SilentDatabaseTests:
    def test_server_never_answers(self, monkeypatch):
        with broken.silent_port() as port:
            broken.use(monkeypatch, HOST="127.0.0.1", PORT=port)

            assert SILENT == check(timeout=AT_ONCE).facts

    def test_table_is_locked(self):
        with locked_tables():
            assert SILENT == check(timeout=AT_ONCE).facts

    def test_nobody_else_asks_while_one_waits_for_an_answer(self):
        with locked_tables():
            check(timeout=AT_ONCE)
            [asker] = askers()

            assert SILENT == check(timeout=timedelta(seconds=PATIENCE)).facts
            assert [asker] == askers()

    def test_database_is_asked_again_once_it_has_answered(self):
        WorkerFactory()
        with locked_tables():
            check(timeout=AT_ONCE)
            [asker] = askers()
        asker.join(PATIENCE)

        assert check().is_healthy

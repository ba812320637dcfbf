from datetime import timedelta

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_jobflow import health
from django_jobflow.engines import engine_for
from django_jobflow.engines.surveying_at_once import SurveyingAtOnce
from django_jobflow.health import Fact, Finding, Limits, asking
from django_jobflow.states import JobState
from tests.factories import JobRecordFactory, PauseFactory, WorkerFactory
from tests.health import broken

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def ask(**limits):
    return asking.ask("default", Limits(**limits))


def long_ago(state=JobState.AVAILABLE, **facts):
    """Return a record of an hour ago."""
    return JobRecordFactory(state=state, now=timezone.now() - HOUR, **facts)


class FindingTests:
    def test_worker_lives_and_nothing_waits_for_long(self):
        WorkerFactory()
        JobRecordFactory(available_at=timezone.now())

        found = ask()

        assert found.is_healthy
        assert "default" == found.database
        assert Fact("database", "'default' answers") == found.facts[0]
        assert (1, 0) == (found.seen.alive, found.seen.silent)

    def test_no_worker_lives(self):
        WorkerFactory(now=timezone.now() - HOUR)

        assert [Finding.TOO_FEW_WORKERS] == ask().findings
        assert [] == ask(min_workers=0).findings
        assert [] == ask(max_beat=DAY).findings

    def test_lease_is_how_long_a_worker_may_be_silent(self, settings):
        settings.JOBFLOW = {"LEASE": 2 * HOUR}
        WorkerFactory(now=timezone.now() - HOUR)

        assert [] == ask().findings

    def test_nobody_serves_the_queue(self):
        WorkerFactory(queues=["email"])
        JobRecordFactory(queue="reports")
        JobRecordFactory(queue="email")

        assert [Finding.QUEUE_UNSERVED] == ask().findings
        assert {"reports": None} == ask().seen.unserved
        assert [] == ask(queues=("email",)).findings

    def test_job_waits_for_too_long(self):
        WorkerFactory()
        long_ago(queue="email")

        assert [Finding.JOB_WAITS] == ask().findings
        assert [] == ask(max_wait=DAY).findings
        assert [] == ask(queues=("reports",)).findings

    @pytest.mark.parametrize("state", [JobState.SCHEDULED, JobState.RETRY])
    def test_due_job_is_not_made_available(self, state):
        WorkerFactory()
        long_ago(state, due=True)

        assert [Finding.JOB_OVERDUE] == ask().findings
        assert [] == ask(max_wait=DAY).findings

    @pytest.mark.parametrize("state", [JobState.RESERVED, JobState.IN_PROGRESS])
    def test_lapsed_job_is_not_rescued(self, state):
        WorkerFactory()
        long_ago(state, lapsed=True)

        assert [Finding.JOB_LAPSED] == ask().findings
        assert [] == ask(max_wait=DAY).findings

    def test_nobody_serves_the_partition(self):
        WorkerFactory(partitions=["acme"])
        JobRecordFactory(partition="acme")
        JobRecordFactory(partition="zoo")

        assert [Finding.QUEUE_UNSERVED] == ask().findings
        assert {"default": ("zoo",)} == ask().seen.unserved

    @pytest.mark.parametrize(("kind", "value"), [("queue", "email"), ("partition", "acme")])
    def test_paused_job_may_wait_for_ever(self, kind, value):
        WorkerFactory(queues=["reports"])
        long_ago(queue="email", partition="acme")
        pause = PauseFactory(kind=kind, value=value)

        found = ask()
        assert [] == found.findings
        assert found.seen.paused.keys() == {"email"}

        pause.until = timezone.now() - HOUR
        pause.save()
        assert [Finding.QUEUE_UNSERVED, Finding.JOB_WAITS] == ask().findings

    def test_all_at_once(self):
        long_ago()
        long_ago(JobState.RETRY, due=True)
        long_ago(JobState.IN_PROGRESS, lapsed=True)

        assert [
            Finding.TOO_FEW_WORKERS,
            Finding.QUEUE_UNSERVED,
            Finding.JOB_WAITS,
            Finding.JOB_OVERDUE,
            Finding.JOB_LAPSED,
        ] == ask().findings


class MigrationTests:
    @pytest.fixture(autouse=True)
    def worker(self):
        WorkerFactory()

    def test_migration_of_a_newer_version_is_missing(self, settings):
        settings.MIGRATION_MODULES = {"jobflow": "tests.health.later_migrations"}

        found = ask()

        assert [Finding.MIGRATIONS_MISSING] == found.findings
        assert "0002_later" == found.error
        assert found.facts == (
            Fact(
                "database",
                "'default' lacks the migrations 0002_later; "
                "run: manage.py migrate --database default",
                Finding.MIGRATIONS_MISSING,
            ),
        )

    def test_database_is_ahead_of_the_code(self):
        MigrationRecorder(connection).record_applied("jobflow", "9999_later")

        assert ask().is_healthy

    def test_project_does_without_migrations(self, settings):
        settings.MIGRATION_MODULES = {"jobflow": None}
        MigrationRecorder(connection).record_unapplied("jobflow", "0001_initial")

        assert ask().is_healthy

    def test_nothing_is_applied(self):
        MigrationRecorder(connection).record_unapplied("jobflow", "0001_initial")

        assert [Finding.TABLES_MISSING] == ask().findings


class BudgetTests:
    @pytest.mark.parametrize("count", [1, 9])
    def test_statements_are_few_however_many_jobs_there_are(self, count):
        for queue in ("a", "b"):
            JobRecordFactory.create_batch(count, queue=queue)
        WorkerFactory.create_batch(count)

        with CaptureQueriesContext(connection) as captured:
            ask()

        # What is to be asked for queue by queue: their names and an end; of each its partitions,
        # with an end, and the waits of the only one.
        by_queue = 2 if isinstance(engine_for("default"), SurveyingAtOnce) else 3 + 2 * (2 + 1)
        assert 4 + by_queue == len(captured), "\n".join(str(query) for query in captured)


@pytest.mark.django_db(transaction=True)
class BrokenDatabaseTests:
    """Asked by a thread, whose connections are new."""

    def test_server_cannot_be_reached(self, monkeypatch, tmp_path):
        with broken.unreachable(monkeypatch, tmp_path):
            found = health.check()

        [fact] = found.facts
        assert [Finding.DATABASE_UNREACHABLE] == found.findings
        assert found.seen is None
        assert found.error
        assert "\n" not in found.error
        assert f"'default' cannot be reached: {found.error}" == fact.text

    def test_database_is_empty(self, monkeypatch, tmp_path):
        broken.use_file(monkeypatch, tmp_path / "empty.sqlite3")

        found = health.check()

        [fact] = found.facts
        assert [Finding.TABLES_MISSING] == found.findings
        assert (
            "'default' has no tables of jobflow; run: manage.py migrate --database default"
        ) == fact.text

    def test_database_refuses_a_statement(self, monkeypatch, settings, tmp_path):
        settings.MIGRATION_MODULES = {"jobflow": None}
        broken.use_file(monkeypatch, tmp_path / "empty.sqlite3")

        found = health.check()

        [fact] = found.facts
        assert [Finding.DATABASE_FAILING] == found.findings
        assert "'default' refuses to say: no such table: jobflow_job" == fact.text

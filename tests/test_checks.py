import sqlite3

import pytest
from django.core.checks import Error, Warning, run_checks
from django.core.checks.registry import registry as registered
from django.db import connections
from django.db.backends.sqlite3.base import DatabaseWrapper

from django_jobflow import checks, conf, job
from django_jobflow.declare import registry


@pytest.fixture(autouse=True)
def no_jobs():
    with registry.isolated():
        registry._jobs.clear()
        registry._by_any_name.clear()
        yield


class InlineTests:
    def test_inline_is_w006_of_a_deployment(self, settings):
        settings.JOBFLOW = {"INLINE": True}
        found = [
            Warning(
                "JOBFLOW['INLINE'] is on: who enqueues a job waits for its end, and it runs "
                "inside of the transaction that is open there.",
                hint="Remove it, and run a worker. It is for tests and development.",
                id="jobflow.W006",
            )
        ]

        assert found == checks.check_inline()
        assert checks.check_inline not in registered.get_checks()
        assert checks.check_inline in registered.get_checks(include_deployment_checks=True)

    def test_nothing_is_wrong_without_it(self):
        assert [] == checks.check_inline()


class SettingsTests:
    def test_nothing_is_wrong_with_no_settings(self):
        assert [] == checks.check_settings()

    def test_unknown_setting_is_e001(self, settings):
        settings.JOBFLOW = {"POLL_INTERVALL": 1}

        assert [
            Error(
                "JOBFLOW['POLL_INTERVALL'] is not a setting. Did you mean 'POLL_INTERVAL'?",
                hint=f"The settings are {', '.join(conf.NAMES)}.",
                id="jobflow.E001",
            )
        ] == checks.check_settings()

    def test_wrong_value_is_e002(self, settings):
        settings.JOBFLOW = {"LEASE": "a minute"}

        assert [
            Error(
                "JOBFLOW['LEASE']: expected a timedelta or seconds, above 0 to 100 years, "
                "got 'a minute'.",
                hint="Correct JOBFLOW['LEASE'] or remove it to have the default.",
                id="jobflow.E002",
            )
        ] == checks.check_settings()

    def test_something_else_than_a_dict_is_e002(self, settings):
        settings.JOBFLOW = ["LEASE"]

        assert [
            Error(
                "JOBFLOW: expected a dict, got ['LEASE'].",
                hint="Set JOBFLOW = {} or remove it.",
                id="jobflow.E002",
            )
        ] == checks.check_settings()

    def test_short_lease_is_e003(self, settings):
        settings.JOBFLOW = {"LEASE": 60, "HEARTBEAT": 45}

        assert [
            Error(
                "JOBFLOW['LEASE']: expected at least twice JOBFLOW['HEARTBEAT'] (0:00:45), "
                "got 0:01:00.",
                hint="Lengthen LEASE, or leave HEARTBEAT out: it is LEASE / 4 then.",
                id="jobflow.E003",
            )
        ] == checks.check_settings()

    def test_each_mistake_has_its_message(self, settings):
        settings.JOBFLOW = {"LEASE": 60, "HEARTBEAT": 45, "RETRIES": 3, "DATABASE": "nowhere"}

        found = checks.check_settings()

        assert ["jobflow.E001", "jobflow.E002", "jobflow.E003"] == sorted(
            message.id for message in found
        )


class DefaultsTests:
    def test_wrong_default_is_e004(self, settings):
        settings.JOBFLOW = {"DEFAULTS": {"priority": 101}}

        assert [
            Error(
                "JOBFLOW['DEFAULTS']: expected priority to be a whole number from -100 to 100, "
                "got 101.",
                hint="Correct JOBFLOW['DEFAULTS']; its keys are the options of a job.",
                id="jobflow.E004",
            )
        ] == checks.check_defaults()

    def test_unknown_default_is_e004(self, settings):
        settings.JOBFLOW = {"DEFAULTS": {"max_retries": 3}}

        (found,) = checks.check_defaults()

        assert found.id == "jobflow.E004"
        assert found.msg.startswith(
            "JOBFLOW['DEFAULTS']: 'max_retries' is not an option. Did you mean 'max_attempts'? "
        )

    def test_right_defaults_are_no_error(self, settings):
        settings.JOBFLOW = {"DEFAULTS": {"priority": 10, "timeout": None}}

        assert [] == checks.check_defaults()


class AsyncTests:
    @pytest.mark.parametrize("transactional", [True, "pipelined", "grouped"])
    def test_async_job_that_is_transactional_by_default_is_e005(self, settings, transactional):
        settings.JOBFLOW = {"DEFAULTS": {"transactional": transactional}}

        @job(name="fetch")
        async def fetch(): ...

        @job(name="plain")
        def plain(): ...

        assert [
            Error(
                "fetch: expected transactional to be False for an async perform, "
                f"got {transactional!r} from JOBFLOW['DEFAULTS'].",
                hint="Set transactional = False on the job.",
                id="jobflow.E005",
            )
        ] == checks.check_async()

    def test_async_job_that_says_no_is_fine(self, settings):
        settings.JOBFLOW = {"DEFAULTS": {"transactional": True}}

        @job(transactional=False)
        async def fetch(): ...

        assert [] == checks.check_async()

    def test_async_job_is_fine_by_itself(self):
        @job
        async def fetch(): ...

        assert [] == checks.check_async()


class DatabaseTests:
    def test_database_of_another_kind_is_e006(self, monkeypatch):
        connection = connections["default"]
        monkeypatch.setattr(connection, "vendor", "oracle")
        monkeypatch.setattr(connection, "display_name", "Oracle")

        assert [
            Error(
                "JOBFLOW['DATABASE']: expected PostgreSQL, MariaDB, MySQL or SQLite behind "
                "'default', got Oracle.",
                hint="Keep the jobs in another database, by JOBFLOW['DATABASE'].",
                id="jobflow.E006",
            )
        ] == checks.check_database()

    def test_jobs_may_be_kept_beside_it(self, settings, monkeypatch):
        monkeypatch.setattr(connections["default"], "vendor", "oracle")
        settings.JOBFLOW = {"DATABASE": "other"}

        assert [] == checks.check_database()

    def test_database_of_these_tests_is_supported(self):
        assert [] == checks.check_database()


class ExecutorTests:
    def test_path_that_cannot_be_imported_is_e009(self, settings):
        settings.JOBFLOW = {"EXECUTOR": {"a": "tests.app.executors.threads", "b": "nowhere.it"}}

        assert [
            Error(
                "JOBFLOW['EXECUTOR']: 'nowhere.it' cannot be imported: No module named 'nowhere'",
                hint="Correct the path: it is of a function that returns an executor.",
                id="jobflow.E009",
            )
        ] == checks.check_executor()


class QueuesTests:
    @pytest.fixture(autouse=True)
    def declared(self, no_jobs):
        @job(name="send", queue="emial")
        def send(): ...

        @job(name="report")
        def report(): ...

    def test_job_on_a_queue_that_is_not_named_is_w001(self, settings):
        settings.JOBFLOW = {"QUEUES": {"default": {}, "email": {"concurrency": 2}}}

        assert [
            Warning(
                "send: its queue 'emial' is not in JOBFLOW['QUEUES'], so a worker may never "
                "serve it. Did you mean 'email'?",
                hint="Add the queue to JOBFLOW['QUEUES'] or correct the job's queue.",
                id="jobflow.W001",
            )
        ] == checks.check_queues()

    def test_any_queue_will_do_when_none_is_named(self):
        assert [] == checks.check_queues()

    def test_queue_of_the_settings_is_one_too(self, settings):
        settings.JOBFLOW = {"QUEUES": {"emial": {}}, "DEFAULTS": {"queue": "default"}}

        (found,) = checks.check_queues()

        assert (
            "report: its queue 'default' is not in JOBFLOW['QUEUES'], so a worker may never "
            "serve it."
        ) == found.msg


class TransactionalTests:
    @pytest.fixture
    def transactional(self):
        @job(name="report", transactional=True)
        def report():
            pass

    def test_database_of_its_own_is_w005(self, settings, transactional):
        settings.JOBFLOW = {"DATABASE": "other"}

        assert [
            Warning(
                "report: it is transactional, and its transaction is one of the database "
                "'other': what it writes to 'default' is not in it.",
                hint="Let it write to 'other' only, or set transactional = False.",
                id="jobflow.W005",
            )
        ] == checks.check_transactional()

    def test_same_database_is_fine(self, transactional):
        assert [] == checks.check_transactional()


class UseTzTests:
    def test_local_time_is_w002(self, settings):
        settings.USE_TZ = False

        assert [
            Warning(
                "USE_TZ is off: due times and leases are kept in local time, which jumps when "
                "the clocks change.",
                hint="Set USE_TZ = True.",
                id="jobflow.W002",
            )
        ] == checks.check_use_tz()

    def test_aware_time_is_fine(self):
        assert [] == checks.check_use_tz()


@pytest.fixture
def sqlite(django_db_blocker):
    """Make an SQLite connection of a path and options, to stand behind ``default``."""
    former = connections["default"]

    def connect(path, **options):
        values = former.settings_dict | {"NAME": str(path), "OPTIONS": options}
        connections["default"] = DatabaseWrapper(values, "default")
        return connections["default"]

    with django_db_blocker.unblock():
        yield connect
        connections["default"].close()
    connections["default"] = former


class SqliteTransactionsTests:
    @pytest.mark.parametrize("options", [{}, {"transaction_mode": "DEFERRED"}])
    def test_transaction_that_begins_without_the_lock_is_w003(self, sqlite, tmp_path, options):
        sqlite(tmp_path / "db.sqlite3", **options)

        assert [
            Warning(
                "DATABASES['default']: SQLite transactions begin without the write lock, so two "
                'that overlap fail with "database is locked".',
                hint="Add to DATABASES['default']['OPTIONS']: "
                '"transaction_mode": "IMMEDIATE",',
                id="jobflow.W003",
            )
        ] == checks.check_sqlite_transactions()

    @pytest.mark.parametrize("mode", ["IMMEDIATE", "immediate", "EXCLUSIVE"])
    def test_transaction_that_begins_with_the_lock_is_fine(self, sqlite, tmp_path, mode):
        sqlite(tmp_path / "db.sqlite3", transaction_mode=mode)

        assert [] == checks.check_sqlite_transactions()

    def test_other_database_has_no_such_mode(self, monkeypatch):
        monkeypatch.setattr(connections["default"], "vendor", "postgresql")

        assert [] == checks.check_sqlite_transactions()


class SqliteJournalTests:
    def test_other_journal_is_w004(self, sqlite, tmp_path):
        sqlite(tmp_path / "db.sqlite3")

        assert [
            Warning(
                "DATABASES['default']: SQLite is not in WAL mode, so a worker that writes keeps "
                "everybody else from reading.",
                hint="Add to DATABASES['default']['OPTIONS']: "
                '"init_command": "PRAGMA journal_mode=WAL;",',
                id="jobflow.W004",
            )
        ] == checks.check_sqlite_journal(databases=["default"])

    def test_mode_of_the_file_is_what_counts(self, sqlite, tmp_path):
        path = tmp_path / "db.sqlite3"
        made = sqlite3.connect(path)
        made.execute("PRAGMA journal_mode=WAL")
        made.close()
        sqlite(path)

        assert [] == checks.check_sqlite_journal(databases=["default"])

    def test_advice_of_the_hint_is_heard(self, sqlite, tmp_path):
        sqlite(tmp_path / "db.sqlite3", init_command="PRAGMA journal_mode=WAL;")

        assert [] == checks.check_sqlite_journal(databases=["default"])

    def test_database_in_memory_has_no_journal(self, sqlite):
        sqlite(":memory:")

        assert [] == checks.check_sqlite_journal(databases=["default"])

    @pytest.mark.parametrize("databases", [None, [], ["other"]])
    def test_database_is_asked_only_when_django_allows_it(self, sqlite, tmp_path, databases):
        connection = sqlite(tmp_path / "db.sqlite3")

        assert [] == checks.check_sqlite_journal(databases=databases)
        assert connection.connection is None


class AllTests:
    @pytest.mark.parametrize("check", [*checks.ALWAYS, checks.check_sqlite_journal])
    @pytest.mark.parametrize(
        "jobflow",
        [["LEASE"], {"LEASE": 0}, {"UNKNOWN": 1}, {"DATABASE": "nowhere"}, {"QUEUES": {"a": 1}}],
    )
    def test_wrong_settings_are_said_once(self, settings, check, jobflow):
        @job(queue="emial")
        async def fetch(): ...

        settings.JOBFLOW = jobflow

        ids = [message.id for message in check(databases=["default"])]

        assert ids == [] or check is checks.check_settings

    @pytest.mark.parametrize("check", [*checks.ALWAYS, checks.check_sqlite_journal])
    def test_wrong_defaults_are_said_once(self, settings, check):
        @job(queue="emial")
        async def fetch(): ...

        settings.JOBFLOW = {
            "QUEUES": {"email": {}},
            "DEFAULTS": {"transactional": True, "priority": 101},
        }

        ids = [message.id for message in check(databases=[])]

        assert ids == (["jobflow.E004"] if check is checks.check_defaults else [])

    def test_checks_are_registered_with_django(self, settings):
        settings.JOBFLOW = {"LEASES": 60}

        found = run_checks(tags=["jobflow"])

        assert "jobflow.E001" in [message.id for message in found]

"""What holds on every database; the trouble is real."""

from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection, connections, models
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from django_jobflow import doctor
from django_jobflow.doctor import Finding, Severity, clocks, examining
from django_jobflow.doctor.asking import tables
from django_jobflow.engines import engine_for
from django_jobflow.models import Pause, Worker
from tests.factories import WorkerFactory

pytestmark = pytest.mark.django_db(transaction=True)

# The server of the tests need not survive a crash.
EXPECTED = {"postgresql": ["fsync_off"], "mysql": [], "sqlite": []}
OF_A_TABLE = {"postgresql": 4, "mysql": 8, "sqlite": 45}
STATEMENTS = 30 + OF_A_TABLE[connection.vendor] * len(tables())
INDEX = next(each for each in Worker._meta.apps.get_model("jobflow.JobRecord")._meta.indexes)


def codes():
    return [finding.code for finding in doctor.examine().findings]


def usual():
    return EXPECTED[connection.vendor]


def found(code):
    """Return the findings of this code."""
    return [finding for finding in doctor.examine().findings if finding.code == code]


def run(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)


@contextmanager
def altered(statement, back):
    run(statement)
    try:
        yield
    finally:
        run(back)


def test_sound_database_has_nothing_to_do():
    found = doctor.examine()

    assert usual() == [finding.code for finding in found.findings]
    assert "default" == found.database
    assert found.server.startswith(connection.display_name)
    assert not found.is_as_bad_as(Severity.ERROR)


def test_sizes_are_of_all_tables():
    sizes = doctor.examine().sizes

    expected = ["*"] if connection.vendor == "sqlite" else tables()
    assert expected == sorted(size.table for size in sizes)
    assert 0 < sum(size.bytes for size in sizes)


def test_examination_holds_no_transaction_and_asks_no_table_of_jobs(django_assert_max_num_queries):
    doctor.examine()  # what Django asks once of a connection is not of the examination

    with django_assert_max_num_queries(STATEMENTS) as asked:
        doctor.examine()

    statements = [each["sql"] for each in asked.captured_queries]
    assert [] == [sql for sql in statements if "BEGIN" in sql or 'FROM "jobflow_job"' in sql]


class SchemaTests:
    def test_index_that_was_dropped_is_made_anew_by_the_advice(self):
        of = " ON jobflow_job" if connection.vendor == "mysql" else ""
        run(f"DROP INDEX {INDEX.name}{of}")

        [finding] = found("index_missing")
        _, _, statement = finding.advice.partition("anew: ")
        run(statement)

        assert f"jobflow_job lacks the index {INDEX.name}." == finding.text
        assert Severity.ERROR == finding.severity
        assert usual() == codes()

    def test_index_over_other_columns_is_told(self):
        of = " ON jobflow_job" if connection.vendor == "mysql" else ""
        [finding] = found_while_index_is_other(of)

        assert f"The index {INDEX.name} of jobflow_job is not over the columns of the model." == (
            finding.text
        )
        assert usual() == codes()

    def test_column_that_no_model_knows_is_a_notice(self):
        with altered(
            "ALTER TABLE jobflow_pause ADD COLUMN extra integer NULL",
            "ALTER TABLE jobflow_pause DROP COLUMN extra",
        ):
            diagnosis = doctor.examine()

        assert [*usual(), "column_unknown"] == [each.code for each in diagnosis.findings]
        assert "jobflow_pause has the column extra, which no model knows." == (
            diagnosis.findings[-1].text
        )

    def test_column_that_was_renamed_is_missing_and_the_rows_are_not_asked(self):
        with altered(
            "ALTER TABLE jobflow_worker RENAME COLUMN wake_up TO woken",
            "ALTER TABLE jobflow_worker RENAME COLUMN woken TO wake_up",
        ):
            found = codes()

        assert sorted([*usual(), "column_missing", "column_unknown"]) == sorted(found)

    def test_column_that_may_be_empty_where_it_must_not_is_told(self):
        field = Pause._meta.get_field("reason")
        other = models.CharField(max_length=field.max_length, null=True, default="")
        other.set_attributes_from_name("reason")
        other.model = Pause
        with connection.schema_editor() as editor:
            editor.alter_field(Pause, field, other)
        try:
            [finding] = found("column_differs")
        finally:
            with connection.schema_editor() as editor:
                editor.alter_field(Pause, other, field)

        assert {"table": "jobflow_pause", "name": "reason"} == finding.facts
        assert usual() == codes()

    def test_constraint_that_was_dropped_is_told(self):
        options = Pause._meta
        constraint, *others = kept = options.constraints
        options.constraints = others  # of which SQLite makes the table anew
        with connection.schema_editor() as editor:
            editor.remove_constraint(Pause, constraint)
        options.constraints = kept
        try:
            [finding] = found("constraint_missing")
        finally:
            with connection.schema_editor() as editor:
                editor.add_constraint(Pause, constraint)

        assert {"table": "jobflow_pause", "name": constraint.name} == finding.facts
        assert usual() == codes()

    def test_table_that_was_renamed_is_missing(self):
        with altered(
            "ALTER TABLE jobflow_worker RENAME TO away",
            "ALTER TABLE away RENAME TO jobflow_worker",
        ):
            assert sorted([*usual(), "table_missing"]) == sorted(codes())

    def test_migration_that_has_not_run_is_told(self):
        recorder = MigrationRecorder(connection)
        recorder.record_unapplied("jobflow", "0001_initial")
        try:
            [finding] = found("migrations_missing")
        finally:
            recorder.record_applied("jobflow", "0001_initial")

        assert "Migrations have not run: 0001_initial." == finding.text
        assert "Run manage.py migrate --database default." == finding.advice


def found_while_index_is_other(of):
    with altered(
        f"DROP INDEX {INDEX.name}{of}",
        f"DROP INDEX {INDEX.name}{of}",
    ):
        run(f"CREATE INDEX {INDEX.name} ON jobflow_job (queue)")
        [finding] = found("index_differs")
    _, _, statement = finding.advice.partition("anew: ")
    run(statement)
    return [finding]


class WorkerTests:
    @pytest.mark.parametrize(
        ("ahead", "text"),
        [
            (3, "The clock of the worker host-1:1 is 3.0 s ahead of the database's."),
            (-90, "The clock of the worker host-1:1 is 90.0 s behind the database's."),
        ],
    )
    def test_clock_of_a_worker_that_is_wrong_is_told(self, ahead, text):
        now = timezone.now()
        WorkerFactory(pid=1, now=now, clock_at=now + timedelta(seconds=ahead))
        WorkerFactory(pid=2, now=now, clock_at=now + timedelta(milliseconds=200))
        WorkerFactory(pid=3, now=now, clock_at=None)

        assert [text] == [finding.text for finding in found("clock_skew")]

    def test_clock_of_a_worker_that_is_gone_does_not_matter(self):
        long_ago = timezone.now() - timedelta(hours=1)
        WorkerFactory(now=long_ago, clock_at=timezone.now())

        assert usual() == codes()

    def test_clock_of_this_host_is_compared(self, monkeypatch):
        monkeypatch.setattr(clocks, "SKEW", timedelta(0))

        assert "this host" in {finding.facts["whose"] for finding in found("clock_skew")}

    def test_workers_that_poll_are_named_where_they_need_not(self, settings):
        WorkerFactory(pid=1, wake_up="poll")
        WorkerFactory(pid=2, wake_up="notify")
        WorkerFactory(pid=3, wake_up="")

        told = ["1 worker polls instead of being woken: host-1:1."]
        expected = told if connection.vendor == "postgresql" else []
        assert expected == [finding.text for finding in found("workers_poll")]

        settings.JOBFLOW = {"WAKE_UP": "poll"}
        assert [] == found("workers_poll")

    def test_beat_brings_the_clock_and_the_way(self):
        row = WorkerFactory(now=timezone.now() - timedelta(hours=1))

        engine_for().beat(row.pk, wake_up="changes")

        row.refresh_from_db()
        assert "changes" == row.wake_up
        assert abs(row.clock_at - timezone.now()) < timedelta(minutes=1)


class FailureTests:
    def test_question_that_is_refused_keeps_no_other_from_being_asked(self, monkeypatch):
        def wrong(patient):
            yield Finding("pooler", Severity.NOTICE, str(patient.value("SELECT nothing")))

        monkeypatch.setattr(examining, "OF_ALL", (wrong, *examining.OF_ALL))

        [finding] = found("not_answered")

        assert {"check": "wrong"} == finding.facts
        assert finding.text.startswith("The question for wrong was not answered: ")
        assert sorted([*usual(), "not_answered"]) == sorted(codes())

    def test_unknown_code_is_refused(self):
        with pytest.raises(ValueError, match="'strange' is not a valid Code"):
            Finding("strange", Severity.NOTICE, "")


@pytest.mark.skipif(connection.vendor == "sqlite", reason="A file is always reached.")
def test_database_that_cannot_be_reached_is_the_finding(monkeypatch):
    connections["default"].close()
    monkeypatch.setitem(connections["default"].settings_dict, "HOST", "127.0.0.1")
    monkeypatch.setitem(connections["default"].settings_dict, "PORT", "1")

    assert ["database_unreachable"] == codes()

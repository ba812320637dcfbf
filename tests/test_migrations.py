"""The schema that the migrations make is the one that the models describe, both ways."""

import io

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, models
from django.db.migrations.loader import MigrationLoader

from django_jobflow.models import JobRecord, Limit, Pause, SucceededJob, Worker
from django_jobflow.models.fields import PartialIndex
from tests.factories import (
    JobRecordFactory,
    LimitFactory,
    PauseFactory,
    SucceededJobFactory,
    WorkerFactory,
)

MODELS = (JobRecord, SucceededJob, Worker, Pause, Limit)
TABLES = {model._meta.db_table for model in apps.get_app_config("jobflow").get_models()}
UNIQUE = {
    "jobflow_job_queue_key": "held_queue_key",
    "jobflow_job_execution_key": "held_execution_key",
}


def tables():
    return {name for name in connection.introspection.table_names() if "jobflow" in name}


def constraints(model):
    """Return what the database says of the indexes and constraints of a table, by name."""
    with connection.cursor() as cursor:
        return connection.introspection.get_constraints(cursor, model._meta.db_table)


def migrate(name):
    call_command("migrate", "jobflow", name, verbosity=0)


def column(name):
    return JobRecord._meta.get_field(name.removeprefix("-")).column


@pytest.mark.django_db
class MakeMigrationsTests:
    def test_models_have_not_moved_on(self):
        output = io.StringIO()

        call_command("makemigrations", "jobflow", check=True, dry_run=True, stdout=output)

        assert "No changes detected in app 'jobflow'\n" == output.getvalue()

    @pytest.mark.parametrize("field", ["django.db.models.AutoField", "django.db.models.UUIDField"])
    def test_project_has_other_keys_and_the_models_have_not_moved(self, settings, field):
        settings.DEFAULT_AUTO_FIELD = field

        call_command("makemigrations", "jobflow", check=True, dry_run=True, verbosity=0)

    def test_no_setting_of_the_app_changes_a_migration(self, settings):
        settings.JOBFLOW = {"DATABASE": "other", "DEFAULTS": {"queue": "x"}}
        settings.USE_TZ = False

        call_command("makemigrations", "jobflow", check=True, dry_run=True, verbosity=0)

    def test_numbers_have_no_gap_and_no_branch(self):
        loader = MigrationLoader(None)
        names = sorted(name for app, name in loader.disk_migrations if app == "jobflow")

        assert [f"{number:04}" for number in range(1, len(names) + 1)] == [
            name[:4] for name in names
        ]
        assert 1 == len(loader.graph.leaf_nodes("jobflow"))

    def test_migrations_depend_on_no_other_app(self):
        """So that they can be applied to a database that holds the jobs alone."""
        loader = MigrationLoader(None)
        needed = {
            app
            for key, migration in loader.disk_migrations.items()
            if key[0] == "jobflow"
            for app, _ in migration.dependencies
        }

        assert {"jobflow"} >= needed


class MigrateTests:
    @pytest.fixture
    def restored(self, transactional_db):
        yield
        call_command("migrate", "jobflow", verbosity=0)

    def test_schema_goes_and_comes_back(self, restored):
        assert TABLES == tables()
        made = []
        for _ in range(2):  # what other tests have altered is no schema that migrations make
            migrate("zero")
            assert set() == tables()
            call_command("migrate", "jobflow", verbosity=0)
            assert TABLES == tables()
            made.append({model: constraints(model) for model in MODELS})

        assert made[0] == made[1]

    def test_rows_go_with_the_schema_and_new_ones_fit(self, restored):
        JobRecordFactory()
        SucceededJobFactory()
        WorkerFactory()
        PauseFactory()
        LimitFactory()

        migrate("zero")
        call_command("migrate", "jobflow", verbosity=0)

        assert [0, 0, 0, 0, 0] == [model.objects.count() for model in MODELS]
        JobRecordFactory(queue_key="q")

    def test_plan_can_be_printed_without_being_applied(self, transactional_db):
        output = io.StringIO()

        call_command("sqlmigrate", "jobflow", "0001", stdout=output)

        assert "CREATE UNIQUE INDEX" in output.getvalue()


@pytest.mark.django_db
class IndexTests:
    @pytest.mark.parametrize("index", JobRecord._meta.indexes, ids=lambda index: index.name)
    def test_index_exists_with_its_columns(self, index):
        found = constraints(JobRecord)[index.name]

        is_partial = connection.vendor == "postgresql"
        is_partial = is_partial or (connection.vendor == "sqlite" and index.on_sqlite)
        expected = index.fields if is_partial or not index.fallback else index.fallback
        assert [column(name) for name in expected] == found["columns"]
        assert found["index"]

    @pytest.mark.parametrize("name", UNIQUE)
    def test_held_keys_are_unique_everywhere(self, name):
        found = constraints(JobRecord)[name]

        assert ([UNIQUE[name]], True) == (found["columns"], found["unique"])

    def test_only_held_keys_and_the_id_are_unique(self):
        found = constraints(JobRecord).values()
        unique = {tuple(each["columns"]) for each in found if each["unique"]}

        assert {(held,) for held in UNIQUE.values()} == unique - {("id",)}

    @pytest.mark.skipif(connection.vendor != "postgresql", reason="Indexes are whole here.")
    @pytest.mark.parametrize(
        ("name", "where"),
        [
            ("jobflow_job_fetch_queue", "((state)::text = 'AVAILABLE'::text)"),
            ("jobflow_job_fetch_any", "'AVAILABLE'::text) AND (priority >= '-100'::integer)"),
            ("jobflow_job_waiting", "((state)::text = 'WAITING'::text)"),
            ("jobflow_job_due", "RETRY"),
            ("jobflow_job_lease", "IN_PROGRESS"),
            ("jobflow_job_ended", "CANCELLED"),
            ("jobflow_job_queue_key", "(held_queue_key IS NOT NULL)"),
            ("jobflow_job_execution_key", "(held_execution_key IS NOT NULL)"),
        ],
    )
    def test_index_covers_its_rows_alone(self, name, where):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_get_expr(indpred, indrelid) FROM pg_index "
                "WHERE indexrelid = %s::regclass",
                [name],
            )
            [[predicate]] = cursor.fetchall()

        assert where in predicate

    def test_order_of_the_columns_is_that_of_the_fetch(self):
        found = constraints(JobRecord)

        orders = found["jobflow_job_fetch_queue"]["orders"][-4:]
        assert ["DESC", "ASC", "ASC"] == orders[1:]

    def test_table_of_the_successes_has_the_index_of_the_prune(self):
        assert ["succeeded_at"] == constraints(SucceededJob)["jobflow_succeeded_at"]["columns"]

    def test_every_index_of_the_model_is_in_a_migration(self):
        state = MigrationLoader(connection).project_state()
        indexes = state.models["jobflow", "jobrecord"].options["indexes"]

        assert {index.name for index in JobRecord._meta.indexes} == {each.name for each in indexes}
        assert {PartialIndex} == {type(index) for index in indexes}


@pytest.mark.django_db
class ConstraintTests:
    @pytest.mark.parametrize(
        "name", [constraint.name for constraint in JobRecord._meta.constraints]
    )
    def test_constraint_exists(self, name):
        assert constraints(JobRecord)[name]["check"]

    def test_no_table_refers_to_a_record(self):
        """The engines delete rows without looking for what might refer to them."""
        related = [
            relation
            for model in apps.get_models()
            for relation in model._meta.get_fields()
            if isinstance(relation, models.ForeignKey) and relation.related_model in MODELS
        ]

        assert [] == related


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "postgresql", reason="Only PostgreSQL has parameters.")
class StorageTests:
    def parameters(self, table):
        with connection.cursor() as cursor:
            cursor.execute("SELECT reloptions FROM pg_class WHERE relname = %s", [table])
            return dict(each.split("=") for each in cursor.fetchone()[0])

    def test_the_live_table_is_vacuumed_early(self):
        found = self.parameters("jobflow_job")

        assert ("85", "0.01") == (found["fillfactor"], found["autovacuum_vacuum_scale_factor"])

    def test_history_is_vacuumed_as_it_grows(self):
        assert (
            "0.1" == self.parameters("jobflow_succeeded")["autovacuum_vacuum_insert_scale_factor"]
        )

import pytest
from django.db import connection, models

from django_jobflow.models import JobRecord, SucceededJob, Worker
from django_jobflow.models.fields import ExactCharField, PartialIndex
from tests.factories import JobRecordFactory


class ExactCharFieldTests:
    @pytest.mark.django_db
    @pytest.mark.parametrize("field", ["name", "queue", "partition", "queue_key", "execution_key"])
    @pytest.mark.parametrize("other", ["ABC", "abc ", " abc", "ábc", "ＡＢＣ", "ab"])
    def test_text_is_compared_letter_by_letter(self, field, other):
        record = JobRecordFactory(**{field: other})

        assert not JobRecord.objects.filter(**{field: "abc"}).exists()
        assert [record] == list(JobRecord.objects.filter(**{field: other}))

    def test_what_identifies_is_exact_everywhere(self):
        exact = {
            field.name
            for model in (JobRecord, SucceededJob, Worker)
            for field in model._meta.concrete_fields
            if isinstance(field, ExactCharField)
        }

        assert {
            "name",
            "queue",
            "partition",
            "state",
            "queue_key",
            "execution_key",
            "reserved_by",
            "held_queue_key",
            "held_execution_key",
            "parked_for",
            "fingerprint",
            "supervisor",
            "stops",
        } == exact


class PartialIndexTests:
    WHERE = models.Q(state="AVAILABLE")

    def sql(self, **options):
        index = PartialIndex(name="i", fields=["queue", "id"], where=self.WHERE, **options)
        editor = connection.SchemaEditorClass(connection, collect_sql=True)
        return str(index.create_sql(JobRecord, editor)).replace("`", '"')

    @pytest.fixture
    def is_partial(self):
        return connection.vendor == "postgresql"

    def test_columns_are_indexed(self, is_partial, db):
        expected = 'CREATE INDEX "i" ON "jobflow_job" ("queue", "id")'
        assert (
            f"{expected} WHERE \"state\" = 'AVAILABLE'" if is_partial else expected
        ) == self.sql()

    def test_fallback_is_for_a_database_without_partial_indexes(self, is_partial, db):
        found = self.sql(fallback=["state", "queue", "id"])

        columns = '("queue", "id") WHERE' if is_partial else '("state", "queue", "id")'
        assert columns in found

    def test_it_may_be_partial_on_sqlite_too(self, is_partial, db):
        found = self.sql(fallback=["state"], on_sqlite=True)

        assert (is_partial or connection.vendor == "sqlite") is ("WHERE" in found)

    def test_unique_index_is_unique(self, db):
        assert self.sql(unique=True).startswith('CREATE UNIQUE INDEX "i" ON "jobflow_job"')

    def test_index_is_rebuilt_from_its_parts(self):
        index = PartialIndex(
            name="i", fields=["queue"], where=self.WHERE, fallback=["state"], unique=True
        )
        path, arguments, kwargs = index.deconstruct()

        assert "django_jobflow.models.fields.PartialIndex" == path
        assert index == PartialIndex(*arguments, **kwargs)
        assert index != PartialIndex(*arguments, **(kwargs | {"unique": False}))
        assert index != PartialIndex(*arguments, **(kwargs | {"on_sqlite": True}))

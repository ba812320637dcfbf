"""Whether the tables are what the models say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.apps import apps
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import gettext as _

from django_jobflow.doctor.asking import Patient, listed
from django_jobflow.doctor.values import Finding, Severity
from django_jobflow.models import JobRecord
from django_jobflow.models.fields import PartialIndex

STORAGE = {
    "jobflow_job": {
        "fillfactor": "85",
        "autovacuum_vacuum_scale_factor": "0.01",
        "autovacuum_vacuum_threshold": "1000",
        "autovacuum_analyze_scale_factor": "0.05",
        "autovacuum_vacuum_cost_delay": "0",
    },
    "jobflow_succeeded": {
        "autovacuum_vacuum_scale_factor": "0.05",
        "autovacuum_vacuum_insert_scale_factor": "0.1",
        "autovacuum_analyze_scale_factor": "0.05",
    },
}
"""What the migrations set on PostgreSQL. Whoever sets other values there has a reason."""

COLUMNS = {
    "postgresql": "SELECT column_name::text, is_nullable::text FROM information_schema.columns "
    "WHERE table_schema = current_schema() AND table_name = %s",
    "mysql": "SELECT column_name, is_nullable FROM information_schema.columns "
    "WHERE table_schema = DATABASE() AND table_name = %s",
}

Found = Mapping[str, Mapping[str, Any]]


def migrations(patient: Patient) -> Iterator[Finding]:
    """Look for migrations of this package that have not run."""
    label = JobRecord._meta.app_label
    executor = MigrationExecutor(patient.connection)
    wanted = [node for node in executor.loader.graph.leaf_nodes() if node[0] == label]
    plan = executor.migration_plan(wanted)
    missing = [each.name for each, _backwards in plan if each.app_label == label]
    if missing:
        yield Finding(
            "migrations_missing",
            Severity.ERROR,
            _("Migrations have not run: %(names)s.") % {"names": listed(missing)},
            _("Run manage.py migrate --database %(alias)s.") % {"alias": patient.alias},
            {"migrations": missing},
        )


def drift(patient: Patient) -> Iterator[Finding]:
    """Compare tables, columns, indexes and constraints with the models."""
    connection = patient.connection
    with connection.cursor() as cursor:
        existing = set(connection.introspection.table_names(cursor))
    config = apps.get_app_config(JobRecord._meta.app_label)
    for model in config.get_models():
        if model._meta.proxy or not model._meta.managed:
            continue
        if model._meta.db_table not in existing:
            yield _missing(patient, "table", model._meta.db_table, "")
            continue
        yield from _columns(patient, model)
        yield from _named(patient, model)


def _columns(patient: Patient, model: type[models.Model]) -> Iterator[Finding]:
    table = model._meta.db_table
    found = _found_columns(patient, table)
    wanted = {field.column: field for field in model._meta.local_concrete_fields}
    for column, field in wanted.items():
        assert column is not None  # as that of a concrete field is
        if column not in found:
            yield _missing(patient, "column", column, table)
        elif found[column] != field.null and not field.primary_key:
            yield _differs(patient, "column", column, table)
    for column in sorted(found.keys() - wanted.keys()):
        yield Finding(
            "column_unknown",
            Severity.NOTICE,
            _("%(table)s has the column %(name)s, which no model knows.")
            % {"table": table, "name": column},
            _("It is in nobody's way if it may be empty or has a default; else inserts fail."),
            {"table": table, "name": column},
        )


def _found_columns(patient: Patient, table: str) -> dict[str, bool]:
    """Return the names of the columns, and whether each may be empty.

    Django's introspection would select a row, which may be behind millions of dead ones.
    """
    if statement := COLUMNS.get(patient.connection.vendor):
        return {name: may == "YES" for name, may in patient.rows(statement, [table])}
    with patient.connection.cursor() as cursor:
        rows = patient.connection.introspection.get_table_description(cursor, table)
    return {row.name: bool(row.null_ok) for row in rows}


def _named(patient: Patient, model: type[models.Model]) -> Iterator[Finding]:
    table = model._meta.db_table
    connection = patient.connection
    with connection.cursor() as cursor:
        found: Found = connection.introspection.get_constraints(cursor, table)
    for index in model._meta.indexes:
        if index.name not in found:
            yield _missing(patient, "index", index.name, table)
        elif _is_other(connection, model, index, found[index.name]):
            yield _differs(patient, "index", index.name, table)
    if not connection.features.supports_table_check_constraints:
        return
    for constraint in model._meta.constraints:
        if constraint.name not in found:
            yield _missing(patient, "constraint", constraint.name, table)


def _is_other(
    connection: BaseDatabaseWrapper,
    model: type[models.Model],
    index: models.Index,
    found: Mapping[str, Any],
) -> bool:
    fields = list(index.fields)
    if isinstance(index, PartialIndex):
        is_partial = connection.vendor == "postgresql" or (
            connection.vendor == "sqlite" and index.on_sqlite
        )
        fields = list(index.fields if is_partial else index.fallback or index.fields)
        if bool(found["unique"]) != index.unique:
            return True
    columns = [_column(model, name.removeprefix("-")) for name in fields]
    return list(found["columns"]) != columns


def _column(model: type[models.Model], name: str) -> Any:
    field: Any = model._meta.get_field(name)
    return field.column


def _missing(patient: Patient, kind: str, name: str, table: str) -> Finding:
    what = {
        "table": _("The table %(name)s is missing."),
        "column": _("%(table)s lacks the column %(name)s."),
        "index": _("%(table)s lacks the index %(name)s."),
        "constraint": _("%(table)s lacks the constraint %(name)s."),
    }
    advice = {
        "table": _("Run manage.py migrate --database %(alias)s.") % {"alias": patient.alias},
        "column": _("Somebody has altered the table. Add it again as the migration has it."),
        "index": _restoring(patient, table, name),
        "constraint": _("Somebody has altered the table. Add it again as the migration has it."),
    }
    return Finding(
        f"{kind}_missing",
        Severity.ERROR,
        what[kind] % {"name": name, "table": table},
        advice[kind],
        {"table": table or name, "name": name},
    )


def _differs(patient: Patient, kind: str, name: str, table: str) -> Finding:
    what = {
        "column": _(
            "The column %(name)s of %(table)s may be empty where it must not, or must be "
            "filled where it need not."
        ),
        "index": _("The index %(name)s of %(table)s is not over the columns of the model."),
    }
    return Finding(
        f"{kind}_differs",
        Severity.ERROR,
        what[kind] % {"name": name, "table": table},
        _restoring(patient, table, name)
        if kind == "index"
        else _("Somebody has altered the table. Alter it back to what the migration has."),
        {"table": table, "name": name},
    )


def _restoring(patient: Patient, table: str, name: str) -> str:
    """Return the statement that makes an index anew, as the migration would."""
    config = apps.get_app_config(JobRecord._meta.app_label)
    for model in config.get_models():
        for index in model._meta.indexes:
            if model._meta.db_table == table and index.name == name:
                editor = patient.connection.schema_editor(collect_sql=True)
                statement = str(index.create_sql(model, editor))
                return _("Drop it if it is there, and make it anew: %(statement)s") % {
                    "statement": statement
                }
    return ""


def storage(patient: Patient) -> Iterator[Finding]:
    """Compare what PostgreSQL keeps with the tables that change most."""
    rows = patient.rows(
        "SELECT relname, reloptions FROM pg_class WHERE relkind = 'r' "
        "AND relname = ANY(%s) AND pg_table_is_visible(oid)",
        [list(STORAGE)],
    )
    for table, options in rows:
        found = dict(option.split("=", 1) for option in options or ())
        lacking = {key: value for key, value in STORAGE[table].items() if found.get(key) != value}
        if lacking:
            setting = ", ".join(f"{key} = {value}" for key, value in lacking.items())
            yield Finding(
                "storage_differs",
                Severity.NOTICE,
                _("%(table)s has other storage parameters than the migration sets: %(names)s.")
                % {"table": table, "names": listed(sorted(lacking))},
                _("If nobody meant it: %(statement)s")
                % {"statement": f"ALTER TABLE {table} SET ({setting});"},
                {"table": table, "expected": STORAGE[table], "found": found},
            )

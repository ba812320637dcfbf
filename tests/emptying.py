"""Empties the databases after a test that has committed: only what was written to.

Django's own ``flush`` empties every table, which takes PostgreSQL a new file for each table and
index, and then writes all content types and permissions anew. They stay here.
"""

from django.apps import apps
from django.core.management.color import no_style
from django.db import connections
from django.test import TransactionTestCase

# What migrating has written, and every test needs.
KEPT = {"django_content_type", "auth_permission"}


def install() -> None:
    """Have it done in place of ``flush`` after each test."""
    TransactionTestCase._fixture_teardown = _fixture_teardown


def _fixture_teardown(case: TransactionTestCase) -> None:
    for alias in case._databases_names(include_mirrors=False):
        empty(alias)


def empty(alias: str) -> None:
    """Empty all tables of *alias* that have a row, but for those that are kept."""
    connection = connections[alias]
    tables = _written(connection)
    if tables:
        statements = connection.ops.sql_flush(
            no_style(), sorted(_with_dependents(tables)), reset_sequences=False
        )
        connection.ops.execute_sql_flush(statements)


def _written(connection) -> set[str]:
    existing = connection.introspection.django_table_names(only_existing=True, include_views=False)
    asked = [
        f"SELECT '{name}' FROM (SELECT 1 FROM {connection.ops.quote_name(name)} LIMIT 1) AS found"
        for name in sorted(set(existing) - KEPT)
    ]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(asked))
        return {name for (name,) in cursor.fetchall()}


def _with_dependents(tables: set[str]) -> set[str]:
    """Add the tables that refer to *tables*: PostgreSQL truncates them only together."""
    more = {
        model._meta.db_table
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.local_fields
        if field.remote_field and field.related_model._meta.db_table in tables
    }
    return tables if more <= tables else _with_dependents(tables | more)

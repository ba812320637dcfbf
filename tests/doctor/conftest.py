"""A database in which other tests have left nothing that the doctor would find."""

import pytest
from django.apps import apps
from django.db import connection


@pytest.fixture(autouse=True)
def no_dead_rows(transactional_db: None) -> None:
    """Clear what other tests have deleted, where it stays in the tables until then."""
    if connection.vendor == "postgresql":
        tables = [model._meta.db_table for model in apps.get_app_config("jobflow").get_models()]
        with connection.cursor() as cursor:
            cursor.execute(f"VACUUM {', '.join(sorted({*tables}))}")

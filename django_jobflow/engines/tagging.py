"""Finding rows by a tag."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.expressions import RawSQL

from django_jobflow.engines.ground import Ground


class Tagging(Ground):
    """The condition that Django has for the lists of some databases only."""

    def tagged(self, rows: models.QuerySet[Any], tag: str) -> models.QuerySet[Any]:
        """Return those of *rows*, live or not, that have *tag* among their tags."""
        if self.connection.features.supports_json_field_contains:
            return rows.filter(tags__contains=[tag])
        column = f"{rows.model._meta.db_table}.tags"
        has_tag = f"EXISTS (SELECT 1 FROM json_each({column}) AS tag WHERE tag.value = %s)"
        return rows.filter(RawSQL(has_tag, [tag], output_field=models.BooleanField()))

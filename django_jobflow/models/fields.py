"""Fields and indexes that mean the same on every database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement


class ExactCharField(models.CharField):  # type: ignore[type-arg]
    """Text that is compared letter by letter.

    The default of MySQL and MariaDB would fold case and accents and ignore trailing spaces.
    """

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        column = super().db_type(connection)
        if connection.vendor != "mysql":
            return column
        return f"{column} CHARACTER SET utf8mb4 COLLATE {exact_collation(connection)}"


def exact_collation(connection: BaseDatabaseWrapper) -> str:
    """Return the collation of ``ExactCharField`` on MariaDB or MySQL."""
    is_mariadb = connection.mysql_is_mariadb  # type: ignore[attr-defined]
    return "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"


class PartialIndex(models.Index):
    """An index over the rows that match ``where`` on PostgreSQL, its fallback elsewhere.

    ``models.Index(condition=...)`` warns on MySQL and keeps the columns as they are, led by
    the wrong one. SQLite has partial indexes, but its planner (3.40) does not use one on
    ``state IN (...)`` for a statement whose states are bound parameters, as Django's are.

    Attributes:
        where: Which rows are in the index.
        fallback: Columns of the whole-table index on a database without partial ones.
        unique: Whether two rows in the index may have the same columns. The columns have to
            be NULL outside of ``where``, so that the fallback means the same.
        on_sqlite: Whether it is partial on SQLite, too: ``where`` asks for nothing but NULL,
            and so do the statements, in words that its planner knows again.
    """

    def __init__(
        self,
        *,
        where: models.Q,
        fallback: Sequence[str] = (),
        unique: bool = False,
        on_sqlite: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.where = where
        self.fallback = tuple(fallback)
        self.unique = unique
        self.on_sqlite = on_sqlite

    def deconstruct(self) -> Any:
        path, arguments, kwargs = super().deconstruct()
        kwargs |= {"where": self.where, "fallback": self.fallback, "unique": self.unique}
        if self.on_sqlite:
            kwargs["on_sqlite"] = True
        return path, arguments, kwargs

    def create_sql(
        self,
        model: type[models.Model],
        schema_editor: BaseDatabaseSchemaEditor,
        using: str = "",
        **kwargs: Any,
    ) -> Statement:
        if self.unique:
            kwargs["sql"] = schema_editor.sql_create_index.replace("INDEX", "UNIQUE INDEX", 1)
        vendor = schema_editor.connection.vendor
        if vendor == "postgresql" or (vendor == "sqlite" and self.on_sqlite):
            index = models.Index(fields=self.fields, name=self.name, condition=self.where)
        else:
            index = models.Index(fields=self.fallback or self.fields, name=self.name)
        return index.create_sql(model, schema_editor, using, **kwargs)

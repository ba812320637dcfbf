"""Asking a database about itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.apps import apps
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_jobflow.doctor.values import Finding
from django_jobflow.engines import Engine
from django_jobflow.models import JobRecord


class Patient:
    """The database that is examined, through the connection of this thread.

    Args:
        engine: That of the database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.alias = engine.alias

    @property
    def connection(self) -> BaseDatabaseWrapper:
        return self.engine.connection

    def aside(self) -> AbstractContextManager[Any]:
        """Keep a question that fails from spoiling the transaction of the caller, if there is one.

        Otherwise there is none: an examination is to hold neither a lock nor a snapshot.
        """
        if self.connection.in_atomic_block:
            return transaction.atomic(using=self.alias)
        return nullcontext()

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return what *statement* returns."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def value(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """Return the first column of the first row of what *statement* returns."""
        return self.rows(statement, values)[0][0]


Check = Callable[[Patient], Iterator[Finding]]
"""One question, and what follows from the answer."""


def tables() -> list[str]:
    """Return the names of the tables of this package."""
    config = apps.get_app_config(JobRecord._meta.app_label)
    return sorted({model._meta.db_table for model in config.get_models() if _has_table(model)})


def _has_table(model: Any) -> bool:
    return bool(model._meta.managed) and not model._meta.proxy


def shown(size: float) -> str:
    """Return a number of bytes as text."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return the first of *names*, and how many more there are."""
    text = ", ".join(names[:most])
    return text if len(names) <= most else f"{text} (+{len(names) - most})"

"""The seam to the database: domain verbs in, plain values out.

Engines are not public and may change in any release; the verbs of ``JobRecord`` are.
"""

from __future__ import annotations

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_jobflow import conf
from django_jobflow.engines.base import Engine
from django_jobflow.engines.mysql import MySQLEngine
from django_jobflow.engines.postgresql import PostgreSQLEngine
from django_jobflow.engines.sqlite import SQLiteEngine

_BY_VENDOR: dict[str, type[Engine]] = {
    "postgresql": PostgreSQLEngine,
    "mysql": MySQLEngine,
    "sqlite": SQLiteEngine,
}


def engine_for(alias: str | None = None) -> Engine:
    """Return the engine of the database behind *alias*, or behind JOBFLOW["DATABASE"]."""
    alias = alias or conf.current().DATABASE
    return engine_of(alias, connections[alias])


def engine_of(alias: str, connection: BaseDatabaseWrapper) -> Engine:
    """Return the engine of the database behind *alias*, by the *connection* of this thread."""
    return _BY_VENDOR.get(connection.vendor, Engine)(alias)


__all__ = ["Engine", "engine_for", "engine_of"]

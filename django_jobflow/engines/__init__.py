"""The seam to the database: domain verbs in, plain values out.

Engines are not public and may change in any release; the verbs of ``JobRecord`` are.
"""

from __future__ import annotations

from typing import Any

from django.core.signals import setting_changed
from django.db import connections
from django.dispatch import receiver

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

_vendors: dict[str, str] = {}  # by alias: to look for a connection is not cheap


def engine_for(alias: str | None = None) -> Engine:
    """Return the engine of the database behind *alias*, or behind JOBFLOW["DATABASE"]."""
    alias = alias or conf.current().DATABASE
    vendor = _vendors.get(alias)
    if vendor is None:
        vendor = _vendors[alias] = connections[alias].vendor
    return _BY_VENDOR.get(vendor, Engine)(alias)


@receiver(setting_changed)
def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "DATABASES":
        _vendors.clear()


__all__ = ["Engine", "engine_for"]

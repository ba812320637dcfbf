"""What the database is asked; whatever is wrong with it is a finding."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from django.db import DatabaseError, Error
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils.translation import gettext as _

from django_jobflow.engines import Engine, engine_for
from django_jobflow.health.judging import judge, see
from django_jobflow.health.limits import Limits
from django_jobflow.health.values import Fact, Finding, Health
from django_jobflow.models import JobRecord

MOST_QUEUES = 1000  # with jobs that wait; in the order of their names
MOST_WORKERS = 10_000


def ask(alias: str, limits: Limits) -> Health:
    """Return the health of what is behind *alias*.

    Database:
        Six statements on PostgreSQL and SQLite; on MariaDB and MySQL some more for each queue
        that has work. They read the first entries of index ranges, and the workers' rows.
    """
    engine = engine_for(alias)
    try:
        engine.connection.ensure_connection()
    except Error as error:
        return failed(alias, limits, Finding.DATABASE_UNREACHABLE, _text(error))
    try:
        return _ask(engine, limits)
    except Error as error:
        return failed(alias, limits, Finding.DATABASE_FAILING, _text(error))


def _ask(engine: Engine, limits: Limits) -> Health:
    alias = engine.alias
    wanted = migration_names()
    missing = wanted - _applied(engine.connection)
    if missing:
        finding = Finding.TABLES_MISSING if missing == wanted else Finding.MIGRATIONS_MISSING
        return failed(alias, limits, finding, ", ".join(sorted(missing)))
    queues = limits.queues if limits.queues is not None else engine.waiting_queues(MOST_QUEUES)
    paused = frozenset((pause.kind, pause.value) for pause in engine.paused())
    seen = see(engine.beats(MOST_WORKERS), engine.waits(queues), paused, engine.delays(), limits)
    facts = (Fact("database", _("%(alias)r answers") % {"alias": alias}), *judge(seen, limits))
    return Health(database=alias, limits=limits, facts=facts, seen=seen)


def failed(alias: str, limits: Limits, finding: Finding, error: str | None = None) -> Health:
    """Return the health where the database could not say more than *error*."""
    texts = {
        Finding.DATABASE_UNREACHABLE: _("%(alias)r cannot be reached: %(error)s"),
        Finding.DATABASE_SILENT: _("%(alias)r does not answer in time"),
        Finding.DATABASE_FAILING: _("%(alias)r refuses to say: %(error)s"),
        Finding.TABLES_MISSING: _(
            "%(alias)r has no tables of jobflow; run: manage.py migrate --database %(alias)s"
        ),
        Finding.MIGRATIONS_MISSING: _(
            "%(alias)r lacks the migrations %(error)s; run: manage.py migrate --database %(alias)s"
        ),
    }
    fact = Fact("database", texts[finding] % {"alias": alias, "error": error}, finding)
    return Health(database=alias, limits=limits, facts=(fact,), error=error)


def migration_names() -> set[str]:
    """Return the names of the migrations of this package, without importing those of others."""
    name, _is_explicit = MigrationLoader.migrations_module(JobRecord._meta.app_label)
    if name is None:  # the project does without migrations
        return set()
    found = pkgutil.iter_modules(import_module(name).__path__)
    return {each.name for each in found if not each.ispkg and each.name[0] not in "_~"}


def _applied(connection: BaseDatabaseWrapper) -> set[str]:
    recorder = MigrationRecorder(connection)
    rows = recorder.migration_qs.filter(app=JobRecord._meta.app_label)
    try:
        return set(rows.values_list("name", flat=True))
    except DatabaseError:
        if recorder.has_table():
            raise
        return set()


def _text(error: Exception) -> str:
    """Return what *error* says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__

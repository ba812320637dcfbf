"""System checks: each has an id, and a hint that says what to type."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections

from django_jobflow import conf, middleware
from django_jobflow.declare import registry
from django_jobflow.declare.options import read_defaults
from django_jobflow.exceptions import InvalidJob
from django_jobflow.worker.remote import making

Messages = list[CheckMessage]

_SETTING_IDS = {"unknown": "jobflow.E001", "value": "jobflow.E002", "lease": "jobflow.E003"}


def register_all() -> None:
    """Register the checks with Django; called once the app is ready."""
    for check in ALWAYS:
        register(check, "jobflow")
    register(check_sqlite_journal, "jobflow", Tags.database)
    register(check_inline, "jobflow", deploy=True)


def check_settings(**_: Any) -> Messages:
    """E001 unknown setting, E002 wrong value, E003 lease shorter than two heartbeats."""
    return [
        Error(problem.message, hint=problem.hint, id=_SETTING_IDS[problem.kind])
        for problem in conf.problems(conf.raw_settings())
    ]


def check_defaults(**_: Any) -> Messages:
    """E004: JOBFLOW["DEFAULTS"] has an unknown option or a wrong value."""
    return _if_settings_are_right(_check_defaults)


def _check_defaults() -> Messages:
    try:
        read_defaults(conf.current().DEFAULTS)
    except InvalidJob as error:
        hint = "Correct JOBFLOW['DEFAULTS']; its keys are the options of a job."
        return [Error(str(error), hint=hint, id="jobflow.E004")]
    return []


def check_async(**_: Any) -> Messages:
    """E005: an async job is transactional by JOBFLOW["DEFAULTS"]."""
    return _if_settings_are_right(_check_async)


def _check_async() -> Messages:
    if not conf.current().DEFAULTS.get("transactional"):
        return []
    return [
        Error(
            f"{job._name}: expected transactional to be False for an async perform, got "
            f"{job.definition().transactional!r} from JOBFLOW['DEFAULTS'].",
            hint="Set transactional = False on the job.",
            id="jobflow.E005",
        )
        for job in registry.all_jobs()
        if inspect.iscoroutinefunction(job.perform) and job.definition().transactional
    ]


def check_middleware(**_: Any) -> Messages:
    """E007: JOBFLOW["MIDDLEWARE"] names what cannot be built. E008: or does not fit a job."""
    return _if_settings_are_right(_check_middleware)


def _check_middleware() -> Messages:
    try:
        chain = middleware.current()
    except ImproperlyConfigured as error:
        hint = "Correct the path, or the factory: it is given call_next and returns a callable."
        return [Error(str(error), hint=hint, id="jobflow.E007")]
    return [
        Error(
            f"{job._name}: JOBFLOW['MIDDLEWARE'] has {path!r}, which is not made for a body "
            f"that is {'async' if job._is_async else 'plain'}.",
            hint="Decorate it with Django's sync_and_async_middleware, and let it be both.",
            id="jobflow.E008",
        )
        for job in registry.all_jobs()
        for path in chain.unfit(is_async=job._is_async)
    ]


def check_executor(**_: Any) -> Messages:
    """E009: JOBFLOW["EXECUTOR"] names what cannot be called."""
    return _if_settings_are_right(_check_executor)


def _check_executor() -> Messages:
    messages: Messages = []
    for path in sorted(conf.current().executors):
        try:
            making.factory_of(path)
        except ImproperlyConfigured as error:
            hint = "Correct the path: it is of a function that returns an executor."
            messages.append(Error(str(error), hint=hint, id="jobflow.E009"))
    return messages


def check_queues(**_: Any) -> Messages:
    """W001: a job is declared on a queue that JOBFLOW["QUEUES"] does not name."""
    return _if_settings_are_right(_check_queues)


def _check_queues() -> Messages:
    known = conf.current().QUEUES
    return [
        Warning(
            f"{job._name}: its queue {job.definition().queue!r} is not in JOBFLOW['QUEUES'], "
            f"so a worker may never serve it.{conf.nearest(job.definition().queue, known)}",
            hint="Add the queue to JOBFLOW['QUEUES'] or correct the job's queue.",
            id="jobflow.W001",
        )
        for job in registry.all_jobs()
        if known and job.definition().queue not in known
    ]


def check_transactional(**_: Any) -> Messages:
    """W005: a transactional job while the jobs are in a database of their own."""
    return _if_settings_are_right(_check_transactional)


def _check_transactional() -> Messages:
    alias = conf.current().DATABASE
    if alias == DEFAULT_DB_ALIAS:
        return []
    return [
        Warning(
            f"{job._name}: it is transactional, and its transaction is one of the database "
            f"{alias!r}: what it writes to {DEFAULT_DB_ALIAS!r} is not in it.",
            hint=f"Let it write to {alias!r} only, or set transactional = False.",
            id="jobflow.W005",
        )
        for job in registry.all_jobs()
        if job.definition().transactional
    ]


def check_use_tz(**_: Any) -> Messages:
    """W002: USE_TZ is off, so moments are those of a clock that jumps."""
    if conf.has_time_zones():
        return []
    return [
        Warning(
            "USE_TZ is off: due times and leases are kept in local time, which jumps when the "
            "clocks change.",
            hint="Set USE_TZ = True.",
            id="jobflow.W002",
        )
    ]


def check_database(**_: Any) -> Messages:
    """E006: the jobs are in a database that is not supported."""
    return _if_settings_are_right(_check_database)


def _check_database() -> Messages:
    alias = conf.current().DATABASE
    connection = connections[alias]
    if connection.vendor not in {"postgresql", "mysql", "sqlite"}:
        return [
            Error(
                f"JOBFLOW['DATABASE']: expected PostgreSQL, MariaDB, MySQL or SQLite behind "
                f"{alias!r}, got {connection.display_name}.",
                hint="Keep the jobs in another database, by JOBFLOW['DATABASE'].",
                id="jobflow.E006",
            )
        ]
    return []


def check_sqlite_transactions(**_: Any) -> Messages:
    """W003: SQLite transactions do not begin IMMEDIATE."""
    return _if_settings_are_right(_check_sqlite_transactions)


def _check_sqlite_transactions() -> Messages:
    alias = conf.current().DATABASE
    connection = connections[alias]
    mode = connection.settings_dict["OPTIONS"].get("transaction_mode") or ""
    if connection.vendor != "sqlite" or mode.upper() in {"IMMEDIATE", "EXCLUSIVE"}:
        return []
    return [
        Warning(
            f"DATABASES[{alias!r}]: SQLite transactions begin without the write lock, so two "
            'that overlap fail with "database is locked".',
            hint=f'Add to DATABASES[{alias!r}][\'OPTIONS\']: "transaction_mode": "IMMEDIATE",',
            id="jobflow.W003",
        )
    ]


def check_sqlite_journal(*, databases: Sequence[str] | None = None, **_: Any) -> Messages:
    """W004: SQLite is not in WAL mode. Asks the database, so it runs with database checks."""
    return _if_settings_are_right(lambda: _check_sqlite_journal(databases))


def _check_sqlite_journal(databases: Sequence[str] | None) -> Messages:
    alias = conf.current().DATABASE
    connection: Any = connections[alias]
    if connection.vendor != "sqlite" or alias not in (databases or ()):
        return []
    if connection.is_in_memory_db() or _journal_mode(connection) == "wal":
        return []
    return [
        Warning(
            f"DATABASES[{alias!r}]: SQLite is not in WAL mode, so a worker that writes keeps "
            "everybody else from reading.",
            hint=f"Add to DATABASES[{alias!r}]['OPTIONS']: "
            '"init_command": "PRAGMA journal_mode=WAL;",',
            id="jobflow.W004",
        )
    ]


def check_inline(**_: Any) -> Messages:
    """W006: JOBFLOW["INLINE"] is on in a deployment."""
    return _if_settings_are_right(_check_inline)


def _check_inline() -> Messages:
    if not conf.current().INLINE:
        return []
    return [
        Warning(
            "JOBFLOW['INLINE'] is on: who enqueues a job waits for its end, and it runs inside "
            "of the transaction that is open there.",
            hint="Remove it, and run a worker. It is for tests and development.",
            id="jobflow.W006",
        )
    ]


def _journal_mode(connection: Any) -> str:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        return str(cursor.fetchone()[0]).lower()


def _if_settings_are_right(check: Callable[[], Messages]) -> Messages:
    """Run *check* unless the settings are wrong: another check says so then."""
    if conf.problems(conf.raw_settings()):
        return []
    try:
        return check()
    except InvalidJob:  # JOBFLOW["DEFAULTS"] is wrong
        return []


ALWAYS: tuple[Callable[..., Messages], ...] = (
    check_settings,
    check_defaults,
    check_async,
    check_middleware,
    check_executor,
    check_database,
    check_queues,
    check_transactional,
    check_use_tz,
    check_sqlite_transactions,
)
"""The checks that ask no database."""

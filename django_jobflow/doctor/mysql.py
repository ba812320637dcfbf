"""What MariaDB and MySQL tell of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_jobflow.doctor.asking import Patient, listed, tables
from django_jobflow.doctor.values import Finding, Severity, Size

OLD_TRANSACTION = 300  # seconds
ANCIENT_TRANSACTION = 3600  # seconds


def _of_tables() -> str:
    return f"table_schema = DATABASE() AND table_name IN ({', '.join(['%s'] * len(tables()))})"


def sizes(patient: Patient) -> list[Size]:
    """Return what the tables take, the largest first."""
    rows = patient.rows(
        "SELECT table_name, table_rows, data_length, index_length FROM information_schema.tables "
        f"WHERE {_of_tables()} ORDER BY data_length + index_length DESC",
        tables(),
    )
    return [Size(*row) for row in rows]


def standby(patient: Patient) -> Iterator[Finding]:
    """Notice a server that takes no writes."""
    if patient.value("SELECT @@read_only"):
        yield Finding(
            "read_only",
            Severity.ERROR,
            _("The server is read-only: nothing can be written."),
            _("Point DATABASES to the primary, or set read_only = OFF."),
        )


def engines(patient: Patient) -> Iterator[Finding]:
    """Notice tables without transactions."""
    rows = patient.rows(
        f"SELECT table_name, engine FROM information_schema.tables WHERE {_of_tables()} "
        "AND engine <> 'InnoDB'",
        tables(),
    )
    for table, engine in rows:
        yield Finding(
            "no_transactions",
            Severity.ERROR,
            _("%(table)s is kept by %(engine)s, which has no transactions.")
            % {"table": table, "engine": engine},
            _("Run: %(statement)s") % {"statement": f"ALTER TABLE {table} ENGINE = InnoDB;"},
            {"table": table, "engine": engine},
        )


def isolation(patient: Patient) -> Iterator[Finding]:
    """Notice another isolation than the one that the statements are made for."""
    with patient.connection.cursor() as cursor:
        cursor.execute(
            "SHOW VARIABLES WHERE variable_name IN ('tx_isolation', 'transaction_isolation')"
        )
        level = cursor.fetchone()[1]
    if level != "READ-COMMITTED":
        yield Finding(
            "isolation",
            Severity.NOTICE,
            _("Connections of this project use the isolation level %(level)s.") % {"level": level},
            _(
                "Workers set READ COMMITTED for themselves. Enqueues with keys lock less with it, "
                'too: set "isolation_level": "read committed" in OPTIONS, Django\'s default.'
            ),
            {"level": level},
        )


def durability(patient: Patient) -> Iterator[Finding]:
    """Notice a server that may forget what it has committed."""
    value = patient.value("SELECT @@innodb_flush_log_at_trx_commit")
    if value != 1:
        yield Finding(
            "commits_not_flushed",
            Severity.WARNING,
            _("innodb_flush_log_at_trx_commit is %(value)s: a crash can lose the last commits.")
            % {"value": value},
            _("Set it to 1, unless jobs of the last second may be lost."),
            {"value": value},
        )


def strictness(patient: Patient) -> Iterator[Finding]:
    """Notice a server that cuts what does not fit."""
    modes = str(patient.value("SELECT @@sql_mode")).split(",")
    if not {"STRICT_TRANS_TABLES", "STRICT_ALL_TABLES"} & {*modes}:
        yield Finding(
            "not_strict",
            Severity.ERROR,
            _("sql_mode is not strict: values that do not fit are cut without an error."),
            _("Add STRICT_TRANS_TABLES to sql_mode, as Django's documentation asks."),
            {"sql_mode": modes},
        )


def locks(patient: Patient) -> Iterator[Finding]:
    """Notice a version whose workers wait for each other."""
    if not patient.connection.features.has_select_for_update_skip_locked:
        yield Finding(
            "no_skip_locked",
            Severity.NOTICE,
            _("This version has no SKIP LOCKED: workers wait for each other when they take work."),
            _("MariaDB has it from 10.6, MySQL from 8.0.1."),
        )


def transactions(patient: Patient) -> Iterator[Finding]:
    """Notice who keeps old versions of rows, and for how long."""
    rows = patient.rows(
        """SELECT trx_mysql_thread_id, TIMESTAMPDIFF(SECOND, trx_started, NOW()), user, host,
            command
        FROM information_schema.innodb_trx
            LEFT JOIN information_schema.processlist ON id = trx_mysql_thread_id
        WHERE TIMESTAMPDIFF(SECOND, trx_started, NOW()) >= %s
            AND trx_mysql_thread_id <> CONNECTION_ID()
        ORDER BY trx_started LIMIT 5""",
        [OLD_TRANSACTION],
    )
    for row in rows:
        yield _transaction(*row)


def _transaction(thread: int, seconds: int, user: Any, host: Any, command: Any) -> Finding:
    names = listed([str(name) for name in (user, host, command) if name]) or "?"
    minutes = int(seconds // 60)
    return Finding(
        "old_transaction",
        Severity.ERROR if seconds >= ANCIENT_TRANSACTION else Severity.WARNING,
        ngettext(
            "A transaction is open for %(minutes)s minute in connection %(thread)s of %(names)s; "
            "old versions of rows pile up behind it.",
            "A transaction is open for %(minutes)s minutes in connection %(thread)s of %(names)s; "
            "old versions of rows pile up behind it.",
            minutes,
        )
        % {"minutes": f"{minutes:,}", "thread": thread, "names": names},
        _("End what it does, or the connection: %(statement)s") % {"statement": f"KILL {thread};"},
        {"thread": thread, "seconds": int(seconds), "user": user, "host": host},
    )


CHECKS = (standby, engines, isolation, durability, strictness, locks, transactions)

"""What SQLite tells of its file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from django_jobflow.doctor.asking import Patient, shown
from django_jobflow.doctor.values import Finding, Severity, Size

SHORT_TIMEOUT = 5000  # milliseconds, Python's default
LARGE = 100 * 1024 * 1024  # bytes
EMPTY_SHARE = 0.5  # of the file
OFF = 0  # of "PRAGMA synchronous"


def sizes(patient: Patient) -> list[Size]:
    """Return the size of the file; SQLite does not tell that of a table."""
    page_size = patient.value("PRAGMA page_size")
    return [Size("*", bytes=page_size * patient.value("PRAGMA page_count"))]


def journal(patient: Patient) -> Iterator[Finding]:
    """Notice a file whose readers and writers wait for each other."""
    mode = patient.value("PRAGMA journal_mode")
    if mode == "memory":
        return  # a database in memory has no other
    if mode != "wal":
        yield Finding(
            "journal_mode",
            Severity.WARNING,
            _("The journal mode is %(mode)s: those who read keep those who write waiting.")
            % {"mode": mode},
            _(
                'Add "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" to '
                "OPTIONS."
            ),
            {"mode": mode},
        )


def transactions(patient: Patient) -> Iterator[Finding]:
    """Notice transactions that fail half-way instead of waiting."""
    patient.connection.ensure_connection()
    connection: Any = patient.connection
    mode = connection.transaction_mode
    if mode not in ("IMMEDIATE", "EXCLUSIVE"):
        yield Finding(
            "transaction_mode",
            Severity.WARNING,
            _(
                "Transactions of this project take the write lock late, and may fail with "
                '"database is locked" at once.'
            ),
            _('Add "transaction_mode": "IMMEDIATE" to OPTIONS.'),
            {"mode": mode},
        )


def timeout(patient: Patient) -> Iterator[Finding]:
    """Notice those who do not wait for their turn."""
    found = patient.value("PRAGMA busy_timeout")
    if found < SHORT_TIMEOUT:
        yield Finding(
            "busy_timeout",
            Severity.WARNING,
            _("Who wants to write waits for its turn for %(ms)s ms only.") % {"ms": f"{found:,}"},
            _('Set "timeout" in OPTIONS to 5 seconds or more.'),
            {"milliseconds": found},
        )


def durability(patient: Patient) -> Iterator[Finding]:
    """Notice a file that a crash of the host may break."""
    if patient.value("PRAGMA synchronous") == OFF:
        yield Finding(
            "synchronous_off",
            Severity.WARNING,
            _("synchronous is off: a crash of the host can destroy the database."),
            _('Use "PRAGMA synchronous=NORMAL" with the journal mode WAL.'),
        )


def space(patient: Patient) -> Iterator[Finding]:
    """Notice a file that is mostly empty."""
    pages, free = patient.value("PRAGMA page_count"), patient.value("PRAGMA freelist_count")
    size = pages * patient.value("PRAGMA page_size")
    if size >= LARGE and free >= EMPTY_SHARE * pages:
        yield Finding(
            "file_empty",
            Severity.NOTICE,
            _("The file takes %(size)s, and %(share)d %% of it are free pages.")
            % {"size": shown(size), "share": 100 * free // pages},
            _("They are used again. To give them back, stop the workers and run VACUUM."),
            {"bytes": size, "free_pages": free, "pages": pages},
        )


def log(patient: Patient) -> Iterator[Finding]:
    """Notice a write-ahead log that grows: somebody reads for ever."""
    name = patient.rows("PRAGMA database_list")[0][2]
    path = Path(f"{name}-wal")
    size = path.stat().st_size if name and path.exists() else 0
    if size >= LARGE:
        yield Finding(
            "log_grows",
            Severity.WARNING,
            _("The write-ahead log takes %(size)s: a reader keeps it from being emptied.")
            % {"size": shown(size)},
            _("Look for a process with a transaction that is open for long, and end it."),
            {"bytes": size},
        )


CHECKS = (journal, transactions, timeout, durability, space, log)

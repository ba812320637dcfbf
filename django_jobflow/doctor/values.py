"""What an examination of the database returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any


class Severity(IntEnum):
    """How bad a finding is; a larger number is worse."""

    NOTICE = 1
    WARNING = 2
    ERROR = 3

    @property
    def word(self) -> str:
        """The severity as programs are told it."""
        return self.name.lower()


class Code(StrEnum):
    """What a finding is about, as programs are told it."""

    DATABASE_UNREACHABLE = "database_unreachable"
    NOT_ANSWERED = "not_answered"
    MIGRATIONS_MISSING = "migrations_missing"
    TABLE_MISSING = "table_missing"
    COLUMN_MISSING = "column_missing"
    COLUMN_DIFFERS = "column_differs"
    COLUMN_UNKNOWN = "column_unknown"
    INDEX_MISSING = "index_missing"
    INDEX_DIFFERS = "index_differs"
    CONSTRAINT_MISSING = "constraint_missing"
    CLOCK_SKEW = "clock_skew"
    WORKERS_POLL = "workers_poll"
    READ_ONLY = "read_only"
    # PostgreSQL
    STORAGE_DIFFERS = "storage_differs"
    FSYNC_OFF = "fsync_off"
    FULL_PAGE_WRITES_OFF = "full_page_writes_off"
    AUTOVACUUM_OFF = "autovacuum_off"
    OLD_SNAPSHOT = "old_snapshot"
    SLOT_UNREAD = "slot_unread"
    DEAD_ROWS = "dead_rows"
    NEVER_ANALYZED = "never_analyzed"
    INDEX_INVALID = "index_invalid"
    INDEX_BLOATED = "index_bloated"
    CONNECTIONS_USED_UP = "connections_used_up"
    POOLER = "pooler"
    # MariaDB and MySQL
    NO_TRANSACTIONS = "no_transactions"
    ISOLATION = "isolation"
    COMMITS_NOT_FLUSHED = "commits_not_flushed"
    NOT_STRICT = "not_strict"
    NO_SKIP_LOCKED = "no_skip_locked"
    OLD_TRANSACTION = "old_transaction"
    # SQLite
    JOURNAL_MODE = "journal_mode"
    TRANSACTION_MODE = "transaction_mode"
    BUSY_TIMEOUT = "busy_timeout"
    SYNCHRONOUS_OFF = "synchronous_off"
    FILE_EMPTY = "file_empty"
    LOG_GROWS = "log_grows"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the database that somebody should know.

    Attributes:
        code: The value of a ``Code``.
        text: What is so, in a sentence.
        advice: What to do about it; "" where nothing has to be done.
        facts: The numbers and names behind it, as JSON has them.
    """

    code: str
    severity: Severity
    text: str
    advice: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Code(self.code)  # or the reference would not have it

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "code": self.code,
            "severity": self.severity.word,
            "text": self.text,
            "advice": self.advice,
            "facts": dict(self.facts),
        }


@dataclass(frozen=True, slots=True)
class Size:
    """What a table takes.

    Attributes:
        table: Its name.
        rows: How many there are about, as the database guesses. None where it does not.
        bytes: Of the table itself. None where the database does not say.
        index_bytes: Of all its indexes.
        dead_rows: Rows that are deleted or replaced and not cleared away yet.
        vacuumed_at: When that was done last.
    """

    table: str
    rows: int | None = None
    bytes: int | None = None
    index_bytes: int | None = None
    dead_rows: int | None = None
    vacuumed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What an examination has found.

    Attributes:
        database: The alias of the database.
        server: What it is, and its version.
        findings: The worst first.
        sizes: The tables, the largest first; empty where the database does not say.
    """

    database: str
    server: str
    findings: tuple[Finding, ...]
    sizes: tuple[Size, ...] = ()

    @property
    def worst(self) -> Severity | None:
        """The severity of the worst finding; None where there is none."""
        return max((finding.severity for finding in self.findings), default=None)

    def is_as_bad_as(self, severity: Severity) -> bool:
        """Say whether some finding is of *severity* or worse."""
        return self.worst is not None and self.worst >= severity

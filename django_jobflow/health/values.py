"""What a check of the health returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from django_jobflow.health.limits import Limits

PARTITIONS_NAMED = 100  # of a queue, in the report


class Finding(StrEnum):
    """A reason for not being healthy, as programs are told it."""

    DATABASE_UNREACHABLE = "database_unreachable"
    DATABASE_SILENT = "database_silent"
    DATABASE_FAILING = "database_failing"
    TABLES_MISSING = "tables_missing"
    MIGRATIONS_MISSING = "migrations_missing"
    TOO_FEW_WORKERS = "too_few_workers"
    QUEUE_UNSERVED = "queue_unserved"
    JOB_WAITS = "job_waits"
    JOB_OVERDUE = "job_overdue"
    JOB_LAPSED = "job_lapsed"


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the report.

    Attributes:
        subject: What it is about, in a word.
        text: What is so.
        finding: Why that is not healthy. None where it is.
    """

    subject: str
    text: str
    finding: Finding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the tables have shown. Ages are in seconds, None where there is nothing of the kind.

    Attributes:
        alive: Workers that have shown a sign of life in time.
        silent: Those that have not, and have not said good-bye either.
        youngest_beat: The age of the last heartbeat of any of them.
        oldest_beat: The age of the oldest last heartbeat among the living.
        waits: How long the oldest available job waits that is not paused, by queue.
        paused: The same of those that a pause of their queue or partition holds back.
        unserved: The queues with jobs that are not paused and that no living worker serves:
            None, or the partitions that none of its workers serves.
        overdue: How long it is since a job was due that is not available yet.
        lapsed: How long it is since the lease lapsed of a job that is not rescued yet.
    """

    alive: int
    silent: int
    youngest_beat: float | None
    oldest_beat: float | None
    waits: Mapping[str, float] = field(default_factory=dict)
    paused: Mapping[str, float] = field(default_factory=dict)
    unserved: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    overdue: float | None = None
    lapsed: float | None = None

    @property
    def oldest_waiting(self) -> float | None:
        """How long the oldest available job waits on any queue, unless it is paused."""
        return max(self.waits.values(), default=None)

    @property
    def oldest_paused(self) -> float | None:
        """How long the oldest available job waits on any queue that is paused."""
        return max(self.paused.values(), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a check has found.

    Attributes:
        database: The alias of the database that was asked.
        limits: What it was held against.
        facts: What is so, line by line.
        seen: None when the database could not say.
        error: What the database said instead.
    """

    database: str
    limits: Limits
    facts: tuple[Fact, ...]
    seen: Seen | None = None
    error: str | None = None

    @property
    def findings(self) -> list[Finding]:
        """Why this is not healthy; empty when it is."""
        return [fact.finding for fact in self.facts if fact.finding is not None]

    @property
    def is_healthy(self) -> bool:
        return not self.findings

    def summary(self) -> dict[str, Any]:
        """Return what anybody may know, as JSON: numbers, and no names."""
        seen = self.seen
        return {
            "healthy": self.is_healthy,
            "findings": [finding.value for finding in self.findings],
            "workers": None
            if seen is None
            else {
                "alive": seen.alive,
                "silent": seen.silent,
                "youngest_beat": _rounded(seen.youngest_beat),
                "oldest_beat": _rounded(seen.oldest_beat),
            },
            "oldest_waiting": seen and _rounded(seen.oldest_waiting),
            "oldest_paused": seen and _rounded(seen.oldest_paused),
            "oldest_overdue": seen and _rounded(seen.overdue),
            "oldest_lapsed": seen and _rounded(seen.lapsed),
            "limits": {
                "max_wait": self.limits.max_wait.total_seconds(),
                "max_beat": self.limits.silence.total_seconds(),
                "min_workers": self.limits.min_workers,
            },
        }

    def report(self) -> dict[str, Any]:
        """Return all of it as JSON, names included."""
        return self.summary() | {
            "database": self.database,
            "error": self.error,
            "queues": None if self.seen is None else dict(_queues(self.seen)),
        }


def _queues(seen: Seen) -> Iterator[tuple[str, dict[str, Any]]]:
    for queue in sorted(seen.waits.keys() | seen.paused.keys()):
        partitions = seen.unserved.get(queue) or ()
        yield (
            queue,
            {
                "oldest_waiting": _rounded(seen.waits.get(queue)),
                "oldest_paused": _rounded(seen.paused.get(queue)),
                "served": queue not in seen.unserved if queue in seen.waits else None,
                "unserved_partitions": list(partitions[:PARTITIONS_NAMED]),
            },
        )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)

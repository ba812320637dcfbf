"""What a job that says ``keep_logs`` has kept of its attempts: lines of a log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from django_jobflow import conf

KEEP_LOGS = "jobflow.keep_logs"
"""The key in ``meta`` that keeps what ``using`` has said: no column, which every job would pay
for."""

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

ATTEMPTS = 20  # of a job, the latest; those that were given back count
LINES = 200  # of an attempt, the newest
BYTES = 64 * 1024  # of the messages of an attempt, in UTF-8
LINE_LENGTH = 1000  # characters of one message


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that an attempt has logged.

    Attributes:
        attempt: Number of the attempt.
        at: When, by the clock of the worker's host.
        level: Name of the level.
        logger: Name of the logger; for ``context.log`` that of the job.
        message: The text, shortened in its middle to 1,000 characters. It may have several
            lines: the traceback of a logged exception follows it.
    """

    attempt: int
    at: datetime
    level: str
    logger: str
    message: str

    def __str__(self) -> str:
        at = self.at.isoformat(" ", "milliseconds")
        return f"{at} {self.level} {self.logger}: {self.message}"


def least_level(keep_logs: bool | str, meta: Any) -> int | None:
    """Return the level from which on lines are kept; None when none are.

    Args:
        keep_logs: The option of the job.
        meta: That of the record, where the call may have said otherwise.
    """
    said: Any = keep_logs
    if meta and isinstance(meta, Mapping):
        said = meta.get(KEEP_LOGS, keep_logs)
    if said is True:
        return logging.NOTSET
    # A caller may have said anything in its meta.
    return getattr(logging, said) if isinstance(said, str) and said in LEVELS else None


def moment(created: float) -> datetime:
    """Return the moment of a stored line, as the moments of a row come."""
    at = datetime.fromtimestamp(created, UTC)
    return at if conf.has_time_zones() else timezone.make_naive(at)

"""What changes on the page of a job while it runs, as JSON for a script that looks again."""

from __future__ import annotations

from typing import Any

from django.utils import formats, timezone

from django_jobflow.engines import engine_for
from django_jobflow.models import JobLog, JobRecord


def version(record: JobRecord) -> str:
    """Return what is another once the page has to be shown anew."""
    asked = "" if record.cancel_requested_at is None else "asked"
    return f"{record.state} {record.attempt} {record.reserved_count} {asked}".rstrip()


def progress(record: JobRecord) -> str:
    """Return how far the job says that it has come; empty when it has said nothing."""
    if record.progress is None:
        return record.progress_message
    message = f" ({record.progress_message})" if record.progress_message else ""
    return f"{record.progress} %{message}"


def told(record: JobRecord, after: str) -> dict[str, Any]:
    """Return what the script shows of *record*.

    Args:
        after: How many lines of this attempt the page has.

    Database:
        One statement.
    """
    logs = engine_for(record._state.db).job_logs
    log = logs.filter(job_id=record.pk, reserved_count=record.reserved_count).first()
    return {
        "version": version(record),
        "percent": record.progress,
        "progress": progress(record),
        "log": _lines(log, int(after) if after.isdecimal() and len(after) < 10 else 0),
    }


def total(log: JobLog) -> int:
    """Return how many lines an attempt has logged, those that were left out among them."""
    return log.left_out + len(log.entries if isinstance(log.entries, list) else ())


def _lines(log: JobLog | None, after: int) -> dict[str, Any]:
    if log is None:
        return {"total": 0, "lines": []}
    new = max(total(log) - after, 0)
    lines = log.lines[-new:] if new else []
    return {
        "total": total(log),
        "lines": [
            [line.at.isoformat(), _time(line.at), line.level, line.logger, line.message]
            for line in lines
        ],
    }


def _time(at: Any) -> str:
    local = timezone.localtime(at) if timezone.is_aware(at) else at
    return formats.time_format(local, "H:i:s")

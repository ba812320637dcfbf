"""The job that runs, on every line that is logged while it does; for logging and structlog."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from django_jobflow.declare.context import current_context


def facts() -> dict[str, Any]:
    """Return what tells the job that runs in this thread or task; nothing outside of one."""
    context = current_context()
    if not context.job_id:
        return {}
    return {
        "job_id": context.job_id,
        "job_name": context.name,
        "job_queue": context.queue,
        "job_attempt": context.attempt,
    }


class JobFilter(logging.Filter):
    """Lets every record through, with the facts of the job that runs as attributes.

    They are None outside of a job, so that a format may name them. What a record says of itself
    stays: the worker's own lines tell of other jobs.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add to *record* what it does not have."""
        said = dict.fromkeys(("job_id", "job_name", "job_queue", "job_attempt")) | facts()
        for name, value in said.items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


def add_job(
    logger: Any, method_name: str, event_dict: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Add the facts of the job that runs; a processor of structlog.

    What the event says of itself stays.
    """
    for name, value in facts().items():
        event_dict.setdefault(name, value)
    return event_dict

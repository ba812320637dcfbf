"""What a running body is told about its attempt, and can tell about itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from django_jobflow.attempts import Reservation
from django_jobflow.exceptions import Cancel, JobflowError
from django_jobflow.outcomes import storable

PROGRESS_LENGTH = 200  # characters of a progress message that are kept


class Reporter(Protocol):
    """Where a context passes on what the body says; the worker has one."""

    def progress(self, job_id: int, percent: int, message: str) -> None: ...
    def log(self, job_id: int, level: int, message: str) -> None: ...
    def heartbeat(self, job_id: int) -> None: ...
    def is_cancelled(self, job_id: int) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class JobContext:
    """One attempt, as its body sees it.

    Made without arguments it serves a direct call in a test.

    Attributes:
        job_id: Key of the record; 0 in a direct call.
        name: Name of the job.
        queue: Queue that it came from.
        attempt: 1 on the first execution.
        max_attempts: Executions in all.
        deadline: Aware moment at which the time limit strikes. None means no limit.
        meta: What the caller enqueued as ``meta``.
        worker: Name of the worker that executes it; empty in a direct call.
    """

    job_id: int = 0
    name: str = ""
    queue: str = "default"
    attempt: int = 1
    max_attempts: int = 1
    deadline: datetime | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    worker: str = ""
    reporter: Reporter | None = field(default=None, repr=False, compare=False)
    reservation: Reservation | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(
        cls, reservation: Reservation, deadline: datetime | None, reporter: Reporter
    ) -> JobContext:
        """Return that of an attempt which a worker executes."""
        context = cls.__new__(cls)
        # Past __init__, which sets each by itself past the guard of a frozen class: that takes
        # three times as long.
        context.__dict__.update(
            job_id=reservation.id,
            name=reservation.name,
            queue=reservation.queue,
            attempt=reservation.attempt,
            max_attempts=reservation.max_attempts,
            deadline=deadline,
            meta=reservation.meta,
            worker=reservation.worker,
            reporter=reporter,
            reservation=reservation,
        )
        return context

    def progress(self, percent: float, message: str = "") -> None:
        """Tell how far the job is, from 0 to 100; written at most a few times a second.

        Args:
            message: Of which 200 characters are kept.
        """
        if not isinstance(percent, int | float) or not 0 <= percent <= 100:
            raise JobflowError(
                f"{self.name}: expected progress to be a number from 0 to 100, got {percent!r}."
            )
        if self.reporter is not None:
            text = storable(str(message)[:PROGRESS_LENGTH])
            self.reporter.progress(self.job_id, int(percent), text)

    def log(self, message: str, level: int = logging.INFO) -> None:
        """Have a line kept with this attempt, if the job says ``keep_logs``; else do nothing.

        It is kept whatever the project's ``LOGGING`` says, and goes to no handler of it.

        Args:
            level: One of ``logging``, such as ``logging.WARNING``.
        """
        if isinstance(level, bool) or not isinstance(level, int):
            raise JobflowError(
                f"{self.name}: expected level to be a level of logging, such as "
                f"logging.WARNING, got {level!r}."
            )
        if self.reporter is not None:
            self.reporter.log(self.job_id, level, str(message))

    def heartbeat(self) -> None:
        """Renew the lease now; the worker also does it by itself, each HEARTBEAT."""
        if self.reporter is not None:
            self.reporter.heartbeat(self.job_id)

    def is_cancelled(self) -> bool:
        """Say whether somebody cancelled this record while it runs; costs no statement."""
        return self.reporter is not None and self.reporter.is_cancelled(self.job_id)

    def raise_if_cancelled(self) -> None:
        """End the job as CANCELLED if somebody has asked for it."""
        if self.is_cancelled():
            raise Cancel("Cancelled while running.")


DETACHED = JobContext()
"""The context of a job that nobody runs: a direct call."""

_current: ContextVar[JobContext] = ContextVar("jobflow_context", default=DETACHED)


def current_context() -> JobContext:
    """Return the context of the job that runs here; outside of one, a detached context."""
    return _current.get()


def set_current(context: JobContext) -> None:
    """Make *context* the one of this thread or task."""
    _current.set(context)

"""One attempt on its way through this process."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.utils import timezone

from django_jobflow.attempts import Reservation
from django_jobflow.declare.context import JobContext
from django_jobflow.declare.job import Job
from django_jobflow.outcomes import Outcome


@dataclass(slots=True, eq=False)
class Execution:
    """A started attempt, from the hand-over to a slot until it is settled.

    Times are those of ``time.monotonic``.

    Attributes:
        handed: When it was handed over.
        begun: When a slot took it up; None while it waits for one.
        deadline: When its time limit strikes. None means no limit, or not begun.
        ended: When its body ended.
        outcome: How its body ended.
        settled: Whether the end is written already, by the job's own transaction.
        lost: Whether that transaction found the record held by another, and was undone.
        cancelled: Whether somebody asked to cancel it.
        abandoned: Whether it was settled although its body still runs.
        task: The asyncio task of an async body, once it runs.
    """

    reservation: Reservation
    job: type[Job]
    handed: float = field(default_factory=time.monotonic)
    begun: float | None = None
    deadline: float | None = None
    ended: float | None = None
    outcome: Outcome | None = None
    settled: bool = False
    lost: bool = False
    cancelled: bool = False
    abandoned: bool = False
    task: asyncio.Task[Any] | None = None

    @property
    def id(self) -> int:
        return self.reservation.id

    @property
    def seconds(self) -> float:
        """How long the body ran."""
        return 0.0 if self.begun is None else (self.ended or time.monotonic()) - self.begun

    def begin(self, reporter: Any) -> JobContext:
        """Note that a slot takes it up now, and return what the body is told."""
        self.begun = time.monotonic()
        reservation = self.reservation
        timeout: timedelta | None = reservation.timeout
        if timeout is not None:
            self.deadline = self.begun + timeout.total_seconds()
        return JobContext(
            job_id=reservation.id,
            name=reservation.name,
            queue=reservation.queue,
            attempt=reservation.attempt,
            max_attempts=reservation.max_attempts,
            deadline=None if timeout is None else timezone.now() + timeout,
            meta=reservation.meta,
            reporter=reporter,
        )

    def note_commit(self) -> None:
        """Note that the job's own transaction, with its end in it, is committed."""
        self.settled = True

    def end(self, outcome: Outcome) -> None:
        """Note how the body ended."""
        self.ended = time.monotonic()
        self.outcome = outcome

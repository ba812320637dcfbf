"""One attempt on its way through this process."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.utils import timezone

from django_jobflow.attempts import Ending, Reservation
from django_jobflow.declare.context import JobContext
from django_jobflow.declare.job import Job
from django_jobflow.declare.options import Definition
from django_jobflow.outcomes import Outcome
from django_jobflow.worker.logbook import Logbook

GROUPED = "grouped"
PIPELINED = "pipelined"
NEVER = float("inf")


@dataclass(slots=True, eq=False)
class Execution:
    """A started attempt, from the hand-over to a slot until it is settled.

    Times are those of ``time.monotonic``.

    Attributes:
        definition: That of the job when it was started.
        handed: When it was handed over.
        begun: When a slot took it up; None while it waits for one.
        deadline: When its time limit strikes. None means no limit, or not begun.
        warns_at: When the body is warned of that. None means never, or not again.
        ended: When its body ended.
        outcome: How its body ended.
        ending: What the job's own transaction writes of that.
        settled: Whether the end is written already, by the job's own transaction.
        lost: Whether the record is known to be held by another: that transaction found it so and
            was undone, or it has come back to this process.
        cancelled: Whether somebody asked to cancel it.
        abandoned: Whether it was settled although its body still runs.
        task: The asyncio task of an async body, once it runs.
        instance: What performs, once it does.
        logbook: What it has logged, if its job asks for that.
    """

    reservation: Reservation
    job: type[Job]
    definition: Definition = field(init=False)
    handed: float = field(default_factory=time.monotonic)
    begun: float | None = None
    deadline: float | None = None
    warns_at: float | None = None
    ended: float | None = None
    outcome: Outcome | None = None
    ending: Ending | None = None
    settled: bool = False
    lost: bool = False
    cancelled: bool = False
    abandoned: bool = False
    task: asyncio.Task[Any] | None = None
    instance: Job | None = None
    logbook: Logbook | None = None

    def __post_init__(self) -> None:
        self.definition = self.job.definition()

    @property
    def id(self) -> int:
        return self.reservation.id

    @property
    def shares_commit(self) -> bool:
        """Whether it may run in one transaction with others.

        One that is to be told of its end cannot: that is known only when all are committed.
        """
        return self.definition.transactional == GROUPED and not self.is_told

    @property
    def commits_alone(self) -> bool:
        """Whether it runs in a transaction of its own."""
        return bool(self.definition.transactional) and not self.shares_commit

    @property
    def is_pipelined(self) -> bool:
        """Whether its transaction may go to the server with others."""
        return self.definition.transactional == PIPELINED and not self.is_told

    @property
    def is_told(self) -> bool:
        """Whether a hook is to be told of its end."""
        return "after_run" in self.job._hooks

    @property
    def seconds(self) -> float:
        """How long the body ran."""
        return 0.0 if self.begun is None else (self.ended or time.monotonic()) - self.begun

    @property
    def strikes_at(self) -> float:
        """When the body is to be warned or stopped next."""
        deadline = NEVER if self.deadline is None else self.deadline
        return deadline if self.warns_at is None else min(self.warns_at, deadline)

    def begin(self, reporter: Any) -> JobContext:
        """Note that a slot takes it up now, and return what the body is told."""
        self.begun = time.monotonic()
        reservation = self.reservation
        timeout: timedelta | None = reservation.timeout
        if timeout is not None:
            self.deadline = self.begun + timeout.total_seconds()
        soft = self.definition.soft_timeout
        if soft is not None:
            self.warns_at = self.begun + soft.total_seconds()
        moment = None if timeout is None else timezone.now() + timeout
        return JobContext.of(reservation, moment, reporter)

    def attend(self, instance: Job) -> None:
        """Take in what is about to perform."""
        self.instance = instance

    def note_commit(self) -> None:
        """Note that the job's own transaction, with its end in it, is committed."""
        self.settled = True

    def end(self, outcome: Outcome) -> None:
        """Note how the body ended."""
        self.ended = time.monotonic()
        self.outcome = outcome
        if self.logbook is not None:
            self.logbook.close()

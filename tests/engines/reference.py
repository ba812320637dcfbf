"""The state machine once more, in plain Python: a table, and what each verb is to do to it.

It knows no database, shares no code with the package but the words for states and outcomes,
and does one thing after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django_jobflow.outcomes import (
    Cancelled,
    Discarded,
    Failed,
    Outcome,
    Released,
    Snoozed,
    Succeeded,
)
from django_jobflow.states import JobState as S

HELD = {S.RESERVED, S.IN_PROGRESS}
ENDED = {S.FAILED, S.CANCELLED}
KEYED = {S.AVAILABLE, S.RESERVED, S.IN_PROGRESS}
WAITS = {S.SCHEDULED, S.AVAILABLE, S.RETRY, S.WAITING}

FIRST_DELAY = timedelta(seconds=10)  # before the first retry; the n-th is n times as long
LOST = "django_jobflow.exceptions.WorkerLost"
POINTLESS = "django_jobflow.exceptions.Discard"


class Refused(Exception):
    """The verb is not for a record in this situation; its text is the exception's name."""


class Hold(NamedTuple):
    """What a worker believes to have of a record."""

    id: int
    attempt: int
    worker: str
    count: int


class Error(NamedTuple):
    """An entry of ``errors``, as far as it is foreseen."""

    number: int
    worker: str | None
    exception: str


@dataclass(kw_only=True)
class Job:
    """A live record."""

    id: int
    queue: str = "a"
    partition: str = ""
    priority: int = 0
    max_attempts: int = 1
    queue_key: str | None = None
    execution_key: str | None = None
    available_at: datetime
    expires_at: datetime | None = None
    state: S = S.AVAILABLE
    attempt: int = 0
    worker: str | None = None
    expires: datetime | None = None
    count: int = 0
    finished_at: datetime | None = None
    asked_at: datetime | None = None
    errors: list[Error] = field(default_factory=list)

    @property
    def order(self) -> tuple[int, datetime, int]:
        return -self.priority, self.available_at, self.id

    @property
    def hold(self) -> Hold:
        return Hold(self.id, self.attempt, self.worker or "", self.count)

    def lapsed(self, now: datetime) -> bool:
        return self.expires is not None and self.expires <= now

    def free(self, state: S) -> None:
        self.state, self.worker, self.expires = state, None, None

    def end(self, state: S, now: datetime) -> None:
        self.free(state)
        self.finished_at = now

    def become_due(self) -> None:
        self.state = S.WAITING if self.execution_key else S.AVAILABLE


class Success(NamedTuple):
    """A row of those that have succeeded."""

    attempt: int
    worker: str
    succeeded_at: datetime
    errors: tuple[Error, ...]


class Table:
    """All records, and the verbs; each returns what the package's verb returns."""

    def __init__(self) -> None:
        self.jobs: dict[int, Job] = {}
        self.succeeded: dict[int, Success] = {}

    # Keys

    def holder_of(self, partition: str, queue_key: str | None) -> Job | None:
        """Return the unfinished record that holds a queue key."""
        held = (job for job in self.jobs.values() if job.state not in ENDED and job.queue_key)
        return next(
            (j for j in held if (j.partition, j.queue_key) == (partition, queue_key)), None
        )

    def take_turns(self) -> None:
        """Give each execution key that nobody holds to the best that waits for it."""
        for job in sorted(self.jobs.values(), key=lambda job: job.order):
            if job.state == S.WAITING and not self._is_held(job.partition, job.execution_key):
                job.state = S.AVAILABLE

    def _is_held(self, partition: str, execution_key: str | None) -> bool:
        return any(
            job.state in KEYED and (job.partition, job.execution_key) == (partition, execution_key)
            for job in self.jobs.values()
        )

    # Callers

    def enqueue(self, job: Job, *, later: bool) -> None:
        job.become_due()
        if later:
            job.state = S.SCHEDULED
        self.jobs[job.id] = job
        self.take_turns()

    def replace(self, holder: Job, new: Job, *, later: bool) -> None:
        """Let *holder*, which still waits, become what *new* would have been."""
        for name in ("priority", "execution_key", "available_at", "expires_at"):
            setattr(holder, name, getattr(new, name))
        holder.become_due()
        if later:
            holder.state = S.SCHEDULED
        self.take_turns()

    # Workers

    def reserve(
        self,
        limit: int,
        worker: str,
        queues: Sequence[str] | None,
        timeout: timedelta,
        now: datetime,
        *,
        every_partition: bool = True,
    ) -> list[int]:
        able = [
            job
            for job in self.jobs.values()
            if job.state == S.AVAILABLE
            and (
                queues is None or (job.queue in queues and (every_partition or not job.partition))
            )
        ]
        found = sorted(able, key=lambda job: job.order)[:limit]
        for job in found:
            job.state, job.worker, job.expires = S.RESERVED, worker, now + timeout
            job.count += 1
        return [job.id for job in found]

    def start(self, holds: Iterable[Hold], lease: timedelta, now: datetime) -> list[int]:
        found = [job for job in self._held(holds, {S.RESERVED}) if not job.lapsed(now)]
        for job in found:
            job.state, job.expires = S.IN_PROGRESS, now + lease
            job.attempt += 1
        return [job.id for job in found]

    def extend(self, holds: Iterable[Hold], lease: timedelta, now: datetime) -> list[int]:
        found = self._held(holds, HELD)
        for job in found:
            job.expires = now + lease
        return [job.id for job in found]

    def release(self, holds: Iterable[Hold]) -> int:
        found = self._held(holds, {S.RESERVED})
        for job in found:
            job.free(S.AVAILABLE)
        return len(found)

    def cancel_requests(self, holds: Iterable[Hold]) -> list[int]:
        return [job.id for job in self._held(holds, {S.IN_PROGRESS}) if job.asked_at]

    def write_progress(self, hold: Hold) -> bool:
        return bool(self._held([hold], {S.IN_PROGRESS}))

    def holds(self, states: Iterable[S]) -> set[Hold]:
        """Return what is true of all that workers hold in one of *states*."""
        return {job.hold for job in self.jobs.values() if job.state in states}

    def _held(self, holds: Iterable[Hold], states: set[S]) -> list[Job]:
        """Return the records that are as these *holds* say: no other may write to them."""
        jobs = (self.jobs.get(hold.id) for hold in holds if self._is(hold))
        return [job for job in jobs if job and job.state in states]

    def _is(self, hold: Hold) -> bool:
        return hold.id in self.jobs and self.jobs[hold.id].hold == hold

    def settle(self, ends: Sequence[tuple[Hold, Outcome]], now: datetime) -> set[int]:
        written = {
            hold.id: outcome for hold, outcome in ends if self._held([hold], {S.IN_PROGRESS})
        }
        for pk, outcome in written.items():
            self._end(self.jobs[pk], outcome, now)
        self.take_turns()
        return {*written}

    def _end(self, job: Job, outcome: Outcome, now: datetime) -> None:
        if isinstance(outcome, Failed | Discarded | Cancelled):
            job.errors.append(Error(job.attempt, job.worker, outcome.error.exception))
        match outcome:
            case Succeeded():
                del self.jobs[job.id]
                self.succeeded[job.id] = Success(
                    job.attempt, job.worker or "", now, tuple(job.errors)
                )
            case Failed(delay=delay) if job.attempt < job.max_attempts:
                job.free(S.RETRY)
                job.available_at = now + (job.attempt * FIRST_DELAY if delay is None else delay)
            case Failed() | Discarded():
                job.end(S.FAILED, now)
            case Cancelled():
                job.end(S.CANCELLED, now)
            case Snoozed(delay=delay) | Released(delay=delay):
                job.free(S.AVAILABLE if delay is None else S.SCHEDULED)
                job.attempt -= 1
                if delay is not None:
                    job.available_at = now + delay

    def refuse(self, holds: Iterable[Hold], now: datetime) -> set[int]:
        """Fail what was reserved too late, at no attempt."""
        found = self._held(holds, {S.RESERVED})
        for job in found:
            job.errors.append(Error(job.attempt, job.worker, POINTLESS))
            job.end(S.FAILED, now)
        self.take_turns()
        return {job.id for job in found}

    def postpone(self, holds: Iterable[Hold], delay: timedelta, now: datetime) -> set[int]:
        """Put back what the worker knows no code for, at no attempt."""
        found = self._held(holds, {S.RESERVED})
        for job in found:
            job.free(S.SCHEDULED)
            job.available_at = now + delay
        self.take_turns()
        return {job.id for job in found}

    # Sweeps

    def activate(self, now: datetime) -> int:
        due = self._in({S.SCHEDULED, S.RETRY}, lambda job: job.available_at <= now)
        for job in due:
            job.become_due()
        self.take_turns()
        return len(due)

    def rescue(self, now: datetime) -> list[int]:
        lapsed = self._in(HELD, lambda job: job.lapsed(now) and not _is_spent(job))
        return self._take_over(lapsed, now)

    def fail_lost(self, now: datetime) -> list[int]:
        lapsed = self._in(HELD, lambda job: job.lapsed(now) and _is_spent(job))
        return self._take_over(lapsed, now)

    def give_back(self, worker: str, now: datetime) -> list[int]:
        return self._take_over(self._in(HELD, lambda job: job.worker == worker), now)

    def release_unknown(self, worker: str, known: Iterable[Hold]) -> int:
        known = {*known}
        found = self._in(HELD, lambda job: job.worker == worker and job.hold not in known)
        for job in found:
            job.attempt -= job.state == S.IN_PROGRESS
            job.free(S.AVAILABLE)
        return len(found)

    def _take_over(self, jobs: Sequence[Job], now: datetime) -> list[int]:
        for job in jobs:
            spent = _is_spent(job)
            if job.state == S.IN_PROGRESS:
                job.errors.append(Error(job.attempt, job.worker, LOST))
            job.free(S.AVAILABLE)
            if spent:
                job.end(S.FAILED, now)
        self.take_turns()
        return [job.id for job in jobs]

    def _in(self, states: set[S], condition: Callable[[Job], object]) -> list[Job]:
        return [job for job in self.jobs.values() if job.state in states and condition(job)]

    # Operators

    def cancel(self, pk: int, now: datetime) -> bool:
        job = self.jobs.get(pk)
        if job is None or job.state in ENDED:
            raise Refused("NotCancellable")
        if job.state == S.IN_PROGRESS:
            job.asked_at = now
            return False
        job.end(S.CANCELLED, now)
        self.take_turns()
        return True

    def retry(self, pk: int, changes: dict[str, Any], now: datetime) -> None:
        job = self.jobs.get(pk)
        if job is None or job.state not in ENDED:
            raise Refused("NotRetryable")
        if self.holder_of(job.partition, changes.get("queue_key", job.queue_key)):
            raise Refused("NotRetryable")
        _change(job, changes)
        job.become_due()
        job.attempt, job.available_at, job.finished_at, job.asked_at = 0, now, None, None
        self.take_turns()

    def run_now(self, pk: int, now: datetime) -> bool:
        job = self.jobs.get(pk)
        if job is None or job.state not in {S.SCHEDULED, S.RETRY}:
            return False
        job.become_due()
        job.available_at = now
        self.take_turns()
        return True

    def reschedule(self, pk: int, run_at: datetime) -> None:
        job = self.jobs.get(pk)
        if job is None or job.state not in WAITS:
            raise Refused("NotEditable")
        job.state, job.available_at = S.SCHEDULED, run_at
        self.take_turns()

    def update(self, pk: int, changes: dict[str, Any]) -> None:
        job = self.jobs.get(pk)
        if job is None or job.state not in WAITS:
            raise Refused("NotEditable")
        if changes.get("max_attempts", job.max_attempts) <= job.attempt:
            raise Refused("InvalidJob")
        holder = self.holder_of(job.partition, changes.get("queue_key"))
        if holder and holder is not job:
            raise Refused("NotEditable")
        is_rekeyed = changes.get("execution_key", job.execution_key) != job.execution_key
        _change(job, changes)
        if is_rekeyed and job.state in {S.AVAILABLE, S.WAITING}:
            job.become_due()
        self.take_turns()

    def delete(self, pk: int) -> int:
        if pk not in self.jobs or self.jobs[pk].state == S.IN_PROGRESS:
            return 0
        del self.jobs[pk]
        self.take_turns()
        return 1

    def prune_ended(self, older_than: datetime) -> int:
        old = self._in(ENDED, lambda job: job.finished_at and job.finished_at <= older_than)
        for job in old:
            del self.jobs[job.id]
        return len(old)

    def prune_succeeded(self, older_than: datetime) -> int:
        old = [pk for pk, row in self.succeeded.items() if row.succeeded_at <= older_than]
        for pk in old:
            del self.succeeded[pk]
        return len(old)


def _is_spent(job: Job) -> bool:
    return job.state == S.IN_PROGRESS and job.attempt >= job.max_attempts


def _change(job: Job, changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        setattr(job, name, value)

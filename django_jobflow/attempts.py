"""The values that travel from reserving to settling: no model instances on the hot path."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django_jobflow.fingerprints import Fingerprint
from django_jobflow.quotas import Quota
from django_jobflow.states import JobState


@dataclass(slots=True, eq=False)
class Reservation:
    """A record that one worker holds, as far as running and settling it asks.

    Attributes:
        attempt: Attempts counted so far; raised when the record is started.
        reserved_count: Which of the record's reservations this is, from 1.
        worker: Name of the worker that holds it.
    """

    id: int
    name: str
    queue: str
    partition: str
    priority: int
    args: list[Any] = field(repr=False)
    kwargs: dict[str, Any] = field(repr=False)
    attempt: int
    max_attempts: int
    timeout: timedelta | None
    queue_key: str | None
    execution_key: str | None
    available_at: datetime
    created_at: datetime
    errors: list[dict[str, Any]]
    tags: list[str]
    meta: dict[str, Any]
    expires_at: datetime | None
    batch_id: int | None
    reserved_count: int
    worker: str = ""

    @property
    def fence(self) -> tuple[int, str, int]:
        """What the columns of ``FENCE`` say while this reservation has its row.

        Attempts are given back and begin anew, so one worker may come to hold two of the same
        number. The count of reservations never goes back, and tells them apart.
        """
        return self.attempt, self.worker, self.reserved_count


RESERVATION_FIELDS = (
    "id",
    "name",
    "queue",
    "partition",
    "priority",
    "args",
    "kwargs",
    "attempt",
    "max_attempts",
    "timeout",
    "queue_key",
    "execution_key",
    "available_at",
    "created_at",
    "errors",
    "tags",
    "meta",
    "expires_at",
    "batch_id",
    "reserved_count",
)

FENCE = ("attempt", "reserved_by", "reserved_count")
"""The columns that tell one hold of a record from any other; each write is guarded by them."""


def reservation_of(record: Any) -> Reservation:
    """Return what *record* says of the attempt that holds it, if any does."""
    values = {name: getattr(record, name) for name in RESERVATION_FIELDS}
    return Reservation(**values, worker=record.reserved_by or "")


def waiting_since(job: Any) -> datetime:
    """Return since when a record or reservation that is due has waited.

    Who enqueues may say a moment of the past, since which nothing has waited.
    """
    since: datetime = max(job.available_at, job.created_at)
    return since


@dataclass(slots=True, eq=False, kw_only=True)
class Ending:
    """What settling one attempt is to write.

    Attributes:
        reservation: The attempt; its id, attempt, worker and count are the fence.
        origin: The state that the row has to be in.
        state: The state it goes to. None for a success, whose row leaves the table.
        attempt: The attempt count afterwards.
        delay: From now until it is due; None leaves ``available_at`` alone.
        error: What is added to ``errors``, without its time. None adds nothing.
        result: Plain JSON, for a success.
        keep: Whether a success is written to ``SucceededJob``.
        meta: Replaces ``meta`` unless None.
        event: The word for the log.
        discarded: Whether it is FAILED at once, whatever attempts are left.
        fingerprint: What kind of failure it is. None means that it is none.
    """

    reservation: Reservation
    state: JobState | None
    attempt: int
    event: str
    origin: JobState = JobState.IN_PROGRESS
    delay: timedelta | None = None
    error: dict[str, Any] | None = None
    result: Any = None
    keep: bool = True
    meta: dict[str, Any] | None = field(default=None)
    discarded: bool = False
    fingerprint: Fingerprint | None = None

    @property
    def failed_as(self) -> str | None:
        """The digest that the row keeps while it is FAILED."""
        if self.fingerprint is None or self.state != JobState.FAILED:
            return None
        return self.fingerprint.digest


@dataclass(frozen=True, slots=True)
class Range:
    """The AVAILABLE records of one queue in one partition, in order.

    Attributes:
        limit: How many of them may be taken.
    """

    queue: str
    partition: str
    limit: int


@dataclass(frozen=True, slots=True)
class Turn:
    """What one partition gets of a worker's room.

    Attributes:
        ranges: Those of its queues; what comes first of all of them is taken.
        limit: How many in all.
    """

    ranges: tuple[Range, ...]
    limit: int


def is_nothing(queues: Sequence[str] | None, turns: Sequence[Turn] | None) -> bool:
    """Say whether there is no range at all to take from."""
    return not turns if turns is not None else queues is not None and not queues


@dataclass(frozen=True, slots=True)
class Gate:
    """A job of which not every record that is due may start.

    Attributes:
        name: The job's; its records wait under it.
        names: What its records are called: its name and its former ones.
        quota: What may run of it, over all hosts. None means nothing: it is paused.
        asks: Whether to look now for those of its records that may start.
        has_parked: Whether some are known to wait.
    """

    name: str
    names: tuple[str, ...]
    quota: Quota | None
    asks: bool = False
    has_parked: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """Which queues and partitions a worker takes from.

    Attributes:
        queues: Only from these. None means from any.
        but_queues: From none of these.
        partitions: Only from these. None means from any.
        but_partitions: From none of these.
        budgets: How many of a queue at most, where that is limited.
    """

    queues: tuple[str, ...] | None = None
    but_queues: frozenset[str] = frozenset()
    partitions: tuple[str, ...] | None = None
    but_partitions: frozenset[str] = frozenset()
    budgets: Mapping[str, int] = field(default_factory=dict)

    def has_queue(self, queue: str) -> bool:
        """Say whether *queue* is served."""
        return queue not in self.but_queues and (self.queues is None or queue in self.queues)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a worker may take in one cycle.

    Attributes:
        worker: Name of the worker.
        queues: Only from the default partition of these. None means from any.
        turns: In place of ``queues``: what each partition gets. None means that there are none.
        quotas: What may run, over all hosts, of queues that the turns name. None means that
            nothing is limited.
        limit: How many at most.
        names: The jobs that it may start; a record of any other stays RESERVED.
        lease: For how long a started attempt is its own.
        timeout: For how long a promise stands that is not started.
        gates: The jobs among those that it knows of which some records have to wait.
        scope: From where it takes of these.
        gates_first: Whether they get the larger half of an odd room.
    """

    worker: str
    queues: tuple[str, ...] | None
    limit: int
    names: frozenset[str]
    lease: timedelta
    timeout: timedelta
    turns: tuple[Turn, ...] | None = None
    quotas: Mapping[str, Quota] | None = None
    gates: tuple[Gate, ...] = ()
    scope: Scope = Scope()
    gates_first: bool = True

    @property
    def admits(self) -> bool:
        """Whether some of what waits for the gates may start now, as far as is known."""
        return any(gate.asks and gate.has_parked for gate in self.gates)


@dataclass(slots=True)
class Exchange:
    """What one cycle has written and taken.

    Attributes:
        written: Ids of the ends that were written; the others are lost to someone else.
        started: IN_PROGRESS now, their attempt counted, in the order in which to run them.
        held: RESERVED, and not to be executed: an unknown job, or past its ``expires_at``.
        lost: Reserved, and gone before they could be started.
        passed_on: Of what was written, the ids of those whose execution key went to a record
            that was not taken, where the engine tells.
        passed_over: Seconds after which to look again, since this look found less than it was
            asked for and has not begun at the beginning. None means that it saw all there is.
        out_of_tokens: By queue, after how many seconds to ask for it again.
        full: The same of those with all places taken: who frees one tells.
        parked: By the name of a gate, how many records were made to wait.
        gates_without_token: Like ``out_of_tokens``, by the name of a gate.
        full_gates: Like ``full``.
        empty_gates: Of which fewer records wait than may start.
        cut_gates: Of which fewer were started than may, since their queues have no room.
    """

    written: set[int] = field(default_factory=set)
    started: list[Reservation] = field(default_factory=list)
    held: list[Reservation] = field(default_factory=list)
    lost: list[Reservation] = field(default_factory=list)
    passed_on: set[int] = field(default_factory=set)
    passed_over: float | None = None
    out_of_tokens: dict[str, float] = field(default_factory=dict)
    full: dict[str, float] = field(default_factory=dict)
    parked: dict[str, int] = field(default_factory=dict)
    gates_without_token: dict[str, float] = field(default_factory=dict)
    full_gates: dict[str, float] = field(default_factory=dict)
    empty_gates: set[str] = field(default_factory=set)
    cut_gates: set[str] = field(default_factory=set)


def key_digest(partition: str, key: str, place: int = 0) -> str:
    """Return 32 letters that stand for *key* in *partition* in a unique index.

    Databases compare text by different rules (case, trailing spaces, length); all compare
    these letters alike.

    Args:
        place: Which one, of a key that several may hold at a time.
    """
    text = f"{partition}\x00{key}" + (f"\x00{place}" if place else "")
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

"""The values that travel from reserving to settling: no model instances on the hot path."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django_jobflow.states import JobState


@dataclass(slots=True, eq=False)
class Reservation:
    """A record that one worker holds, as far as running and settling it asks.

    Attributes:
        attempt: Attempts counted so far; raised when the record is started.
        worker: Name of the worker that holds it.
    """

    id: int
    name: str
    queue: str
    partition: str
    priority: int
    args: list[Any]
    kwargs: dict[str, Any]
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
    worker: str = ""


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
)


@dataclass(slots=True, eq=False, kw_only=True)
class Ending:
    """What settling one attempt is to write.

    Attributes:
        reservation: The attempt; its id, attempt and worker are the fence.
        origin: The state that the row has to be in.
        state: The state it goes to. None for a success, whose row leaves the table.
        attempt: The attempt count afterwards.
        delay: From now until it is due; None leaves ``available_at`` alone.
        error: What is added to ``errors``, without its time. None adds nothing.
        result: Plain JSON, for a success.
        keep: Whether a success is written to ``SucceededJob``.
        meta: Replaces ``meta`` unless None.
        event: The word for the log.
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


def key_digest(partition: str, key: str) -> str:
    """Return 32 letters that stand for *key* in *partition* in a unique index.

    Databases compare text by different rules (case, trailing spaces, length); all compare
    these letters alike.
    """
    return hashlib.blake2b(f"{partition}\x00{key}".encode(), digest_size=16).hexdigest()

"""The values that travel from enqueueing to the table: no model instances on the hot path."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

from django.utils.dateparse import parse_datetime
from django.utils.duration import duration_microseconds

from django_jobflow.states import JobState

CLOCK_SKEW = timedelta(seconds=0.1)  # by which a host's clock may be behind the database's

UNSAID = (None, "", "[]", "{}", timedelta(0))
"""What a column holds that nobody has said anything about."""


class Call(NamedTuple):
    """One call to be stored, by column: what differs between the calls of one job.

    Attributes:
        args: JSON.
        kwargs: JSON.
        held_queue_key: The digest of the queue key; None without one.
    """

    args: str
    kwargs: str
    queue_key: str | None = None
    execution_key: str | None = None
    held_queue_key: str | None = None

    def __repr__(self) -> str:  # the arguments may hold what is not to be seen
        return f"<Call of {len(self.args) + len(self.kwargs)} bytes>"

    @property
    def given(self) -> dict[str, str]:
        """The columns that say something."""
        said = {"kwargs": self.kwargs}
        if self.args != "[]":
            said["args"] = self.args
        if self.execution_key is not None:
            said["execution_key"] = self.execution_key
        if self.queue_key is not None and self.held_queue_key is not None:
            said |= {"queue_key": self.queue_key, "held_queue_key": self.held_queue_key}
        return said


@dataclass(eq=False, kw_only=True)
class Terms:
    """What calls that are enqueued together have in common, as their rows will say it.

    Attributes:
        run_at: When they are due. None means now, and ``delay`` later.
        delay: From now until they are due; zero means at once.
        tags: JSON.
        meta: JSON.
        batch_id: The batch that they are members of; None for none.
    """

    name: str
    queue: str
    partition: str
    priority: int
    max_attempts: int
    timeout: timedelta | None
    expires_at: datetime | None
    run_at: datetime | None
    delay: timedelta
    tags: str
    meta: str
    batch_id: int | None = None

    @cached_property
    def given(self) -> dict[str, Any]:
        """The terms that say something."""
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in said.items() if value not in UNSAID}

    @cached_property
    def is_later(self) -> bool:
        """Whether the calls are not due at once."""
        return self.run_at is not None or bool(self.delay)

    def state_of(self, execution_key: str | None) -> JobState:
        """Return the state in which a call is stored: one with an execution key waits."""
        if self.is_later:
            return JobState.SCHEDULED
        return JobState.AVAILABLE if execution_key is None else JobState.WAITING


SPANS = ("timeout", "delay")
MOMENTS = ("expires_at", "run_at")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call that is bound, checked and encoded, and not stored yet; made by ``Job.prepared``.

    Attributes:
        database: Alias of the one that it is to be stored in.
        insists: The option that says something else of a queue key that is held than to return
            the holder. Empty for none.
    """

    terms: Terms
    call: Call
    database: str
    insists: str = ""

    def __repr__(self) -> str:  # the terms have meta, which may not be for everybody's eyes
        return f"<Prepared call of {self.terms.name}>"

    def written(self) -> dict[str, Any]:
        """Return the call as plain JSON; ``read`` makes it anew."""
        said = dict(self.terms.given)
        for name in said.keys() & SPANS:
            said[name] = duration_microseconds(said[name])
        for name in said.keys() & MOMENTS:
            said[name] = said[name].isoformat()
        return {"terms": said, "call": self.call._asdict(), "database": self.database}

    @classmethod
    def read(cls, written: dict[str, Any]) -> Prepared:
        """Return what ``written`` has returned."""
        # What a newer version may have written beside is not for this one.
        known = {field.name for field in fields(Terms)}
        said: dict[str, Any] = dict(NOTHING_SAID) | {
            name: value for name, value in written["terms"].items() if name in known
        }
        for name in SPANS:
            if isinstance(said[name], int):
                said[name] = timedelta(microseconds=said[name])
        for name in MOMENTS:
            if said[name] is not None:
                said[name] = parse_datetime(said[name])
        call = {name: written["call"].get(name) for name in Call._fields}
        return cls(Terms(**said), Call(**call), written["database"])


NOTHING_SAID = {
    "partition": "",
    "timeout": None,
    "expires_at": None,
    "run_at": None,
    "delay": timedelta(0),
    "tags": "[]",
    "meta": "{}",
}
"""What ``given`` leaves out."""

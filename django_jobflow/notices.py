"""What the ``notify`` option has told to others: a payload, on a channel of the queue."""

from __future__ import annotations

from typing import Any, Protocol

NOTIFY = "jobflow.notify"
"""The key in ``meta`` that keeps the payload: no column, which every job would pay for."""

SUFFIXES = {"job_succeeded": "completed", "job_retried": "retry", "job_failed": "failed"}
"""What follows the queue in the name of a channel, by the word of the end."""

QUEUE_LENGTH = 53  # letters of a queue in the name of a channel, of which PostgreSQL takes 63
PAYLOAD_LENGTH = 1000  # characters; PostgreSQL takes 7,999 bytes

Notice = tuple[str, str]
"""A channel and a payload."""


class Facts(Protocol):
    """What a reservation and a record both say."""

    queue: Any
    meta: Any


def notice(facts: Facts, event: str) -> Notice | None:
    """Return what is to be said of an end, if its call has asked for that."""
    if not facts.meta or event not in SUFFIXES or not isinstance(facts.meta, dict):
        return None
    payload = facts.meta.get(NOTIFY)
    if not isinstance(payload, str) or len(payload) > PAYLOAD_LENGTH:
        return None
    return f"{facts.queue[:QUEUE_LENGTH]}.{SUFFIXES[event]}", payload

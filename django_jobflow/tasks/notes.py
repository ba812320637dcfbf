"""What the ``meta`` of a record keeps of a task: our own notes, and a user's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils.dateparse import parse_datetime

NOTES = "jobflow.task"
"""The key in ``meta`` of our own notes. A record that has it is the call of a task."""

OURS = "jobflow."  # what the keys of the package begin with
RESERVED = "_"  # what those begin with that Django and others keep to themselves

Moment = datetime | timedelta | None


def visible(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the *metadata* that is a user's own."""
    return {k: deepcopy(v) for k, v in metadata.items() if not k.startswith(RESERVED)}


def merged(metadata: Mapping[str, Any], visible: Mapping[str, Any]) -> dict[str, Any]:
    """Return *metadata* with another *visible* part; keys that are reserved stay as they are."""
    kept = {k: v for k, v in metadata.items() if k.startswith(RESERVED)}
    return kept | {k: v for k, v in visible.items() if not k.startswith((RESERVED, OURS))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What is noted of one call.

    Attributes:
        is_task: Whether it is one of a task.
        backend: The alias that it came through.
        takes_context: Whether the function was called with a context.
        after: The ``run_after`` of the task; a timedelta counts from the enqueue on.
        started_at: When the first attempt began, once it has failed.
        metadata: What a user and others have added.
        others: What other parts of this package keep.
    """

    is_task: bool = True
    backend: str = ""
    takes_context: bool = False
    after: Moment = None
    started_at: datetime | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, meta: Any) -> Notes:
        """Return what *meta* of a record says; it may have been written by anybody."""
        meta = meta if isinstance(meta, dict) else {}
        said = meta.get(NOTES)
        noted = said if isinstance(said, dict) else {}
        seconds, moment = noted.get("delay"), _moment(noted.get("run_after"))
        return cls(
            is_task=isinstance(said, dict),
            backend=str(noted.get("backend", "")),
            takes_context=bool(noted.get("takes_context")),
            after=timedelta(seconds=seconds) if isinstance(seconds, int | float) else moment,
            started_at=_moment(noted.get("started_at")),
            metadata={k: v for k, v in meta.items() if not k.startswith(OURS)},
            others={k: v for k, v in meta.items() if k.startswith(OURS) and k != NOTES},
        )

    def written(self) -> dict[str, Any]:
        """Return it as the ``meta`` of a record; ``read`` makes it anew."""
        noted: dict[str, Any] = {"backend": self.backend}
        if self.takes_context:
            noted["takes_context"] = True
        if isinstance(self.after, timedelta):
            noted["delay"] = self.after.total_seconds()
        elif self.after is not None:
            noted["run_after"] = self.after.isoformat()
        if self.started_at is not None:
            noted["started_at"] = self.started_at.isoformat()
        return {**self.metadata, **self.others, NOTES: noted}

    def run_after(self, enqueued_at: datetime) -> datetime | None:
        """Return the moment before which it was not to run."""
        if isinstance(self.after, timedelta):
            return enqueued_at + self.after
        return self.after

    def but(self, **changes: Any) -> Notes:
        """Return these notes with *changes*."""
        return replace(self, **changes)


def _moment(text: Any) -> datetime | None:
    try:
        return parse_datetime(text) if isinstance(text, str) else None
    except ValueError:
        return None

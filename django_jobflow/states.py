"""The states of a record and the legal moves between them, in one table.

The guards of the statements, the CHECK constraints of the table and the diagram in the
documentation are all derived from what stands here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class JobState(TextChoices):
    """Where a record is in its life; stored as these words."""

    SCHEDULED = "SCHEDULED", _("scheduled")
    AVAILABLE = "AVAILABLE", _("available")
    RESERVED = "RESERVED", _("reserved")
    IN_PROGRESS = "IN_PROGRESS", _("in progress")
    RETRY = "RETRY", _("waiting for retry")
    FAILED = "FAILED", _("failed")
    WAITING = "WAITING", _("waiting for its turn")
    CANCELLED = "CANCELLED", _("cancelled")


S = JobState

HELD = frozenset({S.RESERVED, S.IN_PROGRESS})
"""States in which one worker holds the record: it has a holder and an expiry."""

ENDED = frozenset({S.FAILED, S.CANCELLED})
"""States in which the record is finished: it has ``finished_at`` and holds no key."""

PENDING = frozenset({S.SCHEDULED, S.RETRY})
"""States that become AVAILABLE when ``available_at`` has come."""

DUE = frozenset({S.AVAILABLE, S.WAITING})
"""States of a record that runs as soon as a worker is free, or its execution key."""

KEYED = frozenset({S.AVAILABLE, S.RESERVED, S.IN_PROGRESS})
"""States in which a record holds its execution key."""

UNFINISHED = frozenset(S) - ENDED
"""States in which a record holds its queue key."""

REPLACEABLE = frozenset({S.SCHEDULED, S.AVAILABLE, S.WAITING})
"""States in which an enqueue with the same queue key may replace the arguments."""

EDITABLE = frozenset({S.SCHEDULED, S.AVAILABLE, S.RETRY, S.WAITING})
"""States in which a record waits, so that its arguments, options and time may be changed."""

ATTEMPT_LEFT = frozenset({S.SCHEDULED, S.AVAILABLE, S.RESERVED, S.RETRY, S.WAITING})
"""States that promise another execution, so ``attempt`` is below ``max_attempts``."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One legal kind of move.

    Attributes:
        verb: Name of the verb that makes it.
        origins: States it starts from; empty for the birth of a record.
        targets: States it leads to; empty where the row leaves the live table.
        by: Who makes it: ``caller``, ``worker``, ``job``, ``sweep`` or ``operator``.
        changes: What else it changes, in a few words.
    """

    verb: str
    origins: frozenset[JobState]
    targets: frozenset[JobState]
    by: str
    changes: str


def _move(
    verb: str, origins: Iterable[JobState], targets: Iterable[JobState], by: str, changes: str
) -> Transition:
    return Transition(verb, frozenset(origins), frozenset(targets), by, changes)


TRANSITIONS: dict[str, Transition] = {
    move.verb: move
    for move in (
        _move("enqueue", (), (S.SCHEDULED, S.AVAILABLE, S.WAITING), "caller", "the row is born"),
        _move("replace", REPLACEABLE, REPLACEABLE, "caller", "arguments, priority, available_at"),
        _move("activate", PENDING, (S.AVAILABLE, S.WAITING), "sweep", "available_at has come"),
        _move("promote", (S.WAITING,), (S.AVAILABLE,), "worker", "its execution key became free"),
        _move("reserve", (S.AVAILABLE,), (S.RESERVED,), "worker", "reserved_by, expires"),
        _move("park", (S.AVAILABLE,), (S.WAITING,), "worker", "its job is paused or limited"),
        _move("admit", (S.WAITING,), (S.IN_PROGRESS,), "worker", "its job may run; attempt + 1"),
        _move("unpark", (S.WAITING,), (S.AVAILABLE,), "worker", "its job is not limited any more"),
        _move("start", (S.RESERVED,), (S.IN_PROGRESS,), "worker", "attempt + 1, started_at"),
        _move("release", HELD, (S.AVAILABLE,), "worker", "a started attempt is given back"),
        _move("postpone", (S.RESERVED,), (S.SCHEDULED,), "worker", "its code is unknown here"),
        _move("refuse", (S.RESERVED,), (S.FAILED,), "worker", "unknown for long, or too late"),
        _move("succeed", (S.IN_PROGRESS,), (), "job", "the row moves to SucceededJob"),
        _move("retry_later", (S.IN_PROGRESS,), (S.RETRY,), "job", "available_at, errors + 1"),
        _move("fail", (S.IN_PROGRESS,), (S.FAILED,), "job", "finished_at, errors + 1"),
        _move("discard", (S.IN_PROGRESS,), (S.FAILED,), "job", "finished_at, errors + 1"),
        _move("snooze", (S.IN_PROGRESS,), (S.SCHEDULED,), "job", "available_at, attempt - 1"),
        _move("rescue", HELD, (S.AVAILABLE,), "sweep", "expires has passed"),
        _move("lose", (S.IN_PROGRESS,), (S.FAILED,), "sweep", "expired, no attempt left"),
        _move("expire", EDITABLE, (S.FAILED,), "sweep", "expires_at has passed, errors + 1"),
        _move("cancel", UNFINISHED, (S.CANCELLED,), "operator", "finished_at"),
        _move("run_now", PENDING, (S.AVAILABLE, S.WAITING), "operator", "available_at"),
        _move("reschedule", EDITABLE, (S.SCHEDULED,), "operator", "available_at"),
        _move("rekey", DUE, DUE, "operator", "its execution key, by an update"),
        _move("retry", ENDED, (S.AVAILABLE, S.WAITING), "operator", "attempt 0, errors kept"),
    )
}


def origins(verb: str) -> frozenset[JobState]:
    """Return the states from which *verb* may move a record."""
    return TRANSITIONS[verb].origins


def can(verb: str, state: str) -> bool:
    """Say whether *verb* may move a record that is in *state*."""
    return state in TRANSITIONS[verb].origins

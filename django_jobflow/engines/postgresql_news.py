"""PostgreSQL: what a process has to tell idle workers, in as few words as will do.

A payload is the names of queues, separated by commas, or ``*`` for any; then, after an ``@``,
the seconds until something is due. Either part may be missing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection
from datetime import timedelta

from django_jobflow import conf

CHANNEL = "jobflow"
ENDED_CHANNEL = "jobflow_ended"  # payload: the ids of records that have ended
AWAITED = "="  # what begins a payload that names a record for whose end somebody waits
ANY = "*"

QUIET = 0.005  # seconds after which the same is said again
LONGEST = 7900  # letters; PostgreSQL takes 7999 bytes
PLAIN = re.compile(r"[A-Za-z0-9_.:,@*-]*")
MOST = 10_000  # queues to remember; more are forgotten


def payload_of(queues: Collection[str], due_in: float | None = None) -> str:
    """Return the words for work on *queues*, and for some that is due later."""
    names = ",".join(sorted(queues))
    if ANY in queues or len(names) > LONGEST or not PLAIN.fullmatch(names):
        names = ANY
    return names if due_in is None else f"{names}@{due_in:.4f}"


def notify(payload: str) -> str:
    """Return the statement that says *payload*, which holds nothing but ``PLAIN`` letters.

    The text is not bound as a parameter: NOTIFY takes none, and ``pg_notify()`` is a query
    that has to be planned.
    """
    return f"NOTIFY {CHANNEL}, '{payload}'"


def read_payload(payload: str) -> tuple[frozenset[str] | None, float | None]:
    """Return the queues that *payload* names, None for any, and the seconds it tells of."""
    names, _, due_in = payload.partition("@")
    queues = None if names == ANY else frozenset(filter(None, names.split(",")))
    return queues, float(due_in) if due_in else None


class Said:
    """What this process has just told the workers on one database.

    What was said less than ``QUIET`` ago is not said again, and no job waits for it: a worker
    that heard it looks again ``QUIET`` after, so later than whoever kept silent had committed.
    What can go along with a row is said a little sooner again.
    Nor is anything said of a due time while an earlier one lies ahead that was: a worker that
    heard of that one asks the table for the next when it has come.
    """

    def __init__(self) -> None:
        self._queues: dict[str, float] = {}
        self._due_at = 0.0

    def news(self, queues: Collection[str], due_at: float | None, now: float | None = None) -> str:
        """Return what is to be said of work on *queues* and at *due_at*, if anything.

        Args:
            due_at: By ``time.monotonic``, as *now*.
        """
        now = time.monotonic() if now is None else now
        names = self.unsaid(queues, now)
        self.note(names, now)
        return payload_of(names, None if due_at is None else self._news_of(due_at, now))

    def unsaid(self, queues: Collection[str], now: float) -> list[str]:
        """Return those of *queues* of which nothing was said just before *now*."""
        return [name for name in queues if now - self._queues.get(name, -QUIET) >= QUIET]

    def note(self, names: Collection[str], now: float) -> None:
        """Take in that since *now*, or later, work on the queues of these *names* was told of."""
        if len(self._queues) > MOST:
            self._queues.clear()
        for name in names:
            self._queues[name] = now

    def _news_of(self, due_at: float, now: float) -> float | None:
        due_at = max(due_at, now + QUIET)
        if due_at - now > learned_anyway() or now < self._due_at <= due_at:
            return None
        self._due_at = due_at
        return due_at - now

    def forget(self) -> None:
        """Take back what was said last: nobody has heard it."""
        self._queues.clear()
        self._due_at = 0.0


def learned_anyway() -> float:
    """Return the seconds within which every worker asks the table what is due next."""
    longest: timedelta = conf.current().POLL_INTERVAL
    return 2 * longest.total_seconds()

"""Telling idle workers of work, and what a worker asks of the table while it is idle."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import models

from django_jobflow.engines.ground import Ground
from django_jobflow.models import Batch, JobRecord, Limit, Pause, Worker

if TYPE_CHECKING:
    from django_jobflow.engines.postgresql_listener import Listener

Hear = Callable[[frozenset[str] | None, float | None], None]
"""Takes in on which queues there is work (None: on any), and in how many seconds (None: now)."""

Attend = Callable[[list[int]], None]
"""Takes in that somebody waits for the ends of the records of these ids."""


def ignore(ids: list[int]) -> None:
    """Take in nothing."""


@dataclass(frozen=True, slots=True)
class Glance:
    """What one look at the table has shown.

    Attributes:
        available: Whether there are AVAILABLE rows on the queues that were asked for.
        elsewhere: Whether there are any at all.
        next_due: Seconds until the earliest SCHEDULED or RETRY row is due. None means that
            there is none.
        sweeps: Whether rows have lapsed, have become pointless or wait for a key, or a batch
            has not finished, so that a sweep has work.
        controlled: Whether there are rows of pauses or limits.
        stopping: Whether a worker was asked to stop.
    """

    available: bool
    elsewhere: bool
    next_due: float | None
    sweeps: bool
    controlled: bool = False
    stopping: bool = False


class Waking(Ground):
    """Here nobody can be told: workers look for themselves."""

    def wake(
        self, queues: Collection[str] | None = None, *, delay: timedelta | None = None
    ) -> None:
        """Tell idle workers of new work, once the caller's transaction is committed.

        Args:
            queues: Where there is work. None means on any.
            delay: After what time it is due. None means that it is AVAILABLE.

        Database:
            None here; on PostgreSQL one NOTIFY after the commit, unless another has just
            said the same.
        """

    def tell(self, notices: Sequence[tuple[str, str]]) -> None:
        """Send each payload on its channel to whoever listens there.

        Database:
            None here; one statement on PostgreSQL.
        """

    def tell_ends(self, ids: Iterable[int]) -> None:
        """Tell those who wait for the records of these *ids* that they have ended."""

    def cannot_listen(self) -> str:
        """Return why a worker cannot be told of new work here; empty where it can."""
        return "this database does not wake its clients"

    def forgo_session(self) -> None:
        """Take in that nothing stays in the session: a pooler shares it out."""

    def listener(self, hear: Hear, attend: Attend = ignore) -> Listener:
        """Return what listens on this thread's connection, where ``cannot_listen`` is empty."""
        raise NotImplementedError

    def glance(self, queues: Sequence[str] | None, now: datetime | None = None) -> Glance:
        """Say what there is to do, without a lock on anything.

        Args:
            queues: Those to look at for AVAILABLE rows. None means any.

        Database:
            One statement: the first entry of some index ranges.
        """
        clock, clock_values = self._clock_sql(now)
        statement = _Glance(self.connection.ops.quote_name)
        if queues is None:
            statement.ask("EXISTS", "state = 'AVAILABLE' AND priority >= -100")
        else:
            statement.ask_any("state = 'AVAILABLE' AND queue = %s", queues)
        statement.ask("EXISTS", "state = 'AVAILABLE' AND priority >= -100")
        for state in ("SCHEDULED", "RETRY"):
            statement.ask("", f"state = '{state}' ORDER BY available_at", column="available_at")
        for state in ("RESERVED", "IN_PROGRESS"):
            statement.ask("EXISTS", f"state = '{state}' AND expires <= {clock}", clock_values)
        statement.ask("EXISTS", "state = 'WAITING'")
        pointless = f"finished_at IS NULL AND expires_at IS NOT NULL AND expires_at <= {clock}"
        statement.ask("EXISTS", pointless, clock_values)
        statement.ask("EXISTS", "finished_at IS NULL AND closed_at IS NOT NULL", of=Batch)
        for model in (Pause, Limit):
            statement.ask("EXISTS", "1 = 1", of=model)
        statement.ask("EXISTS", "stop_requested_at IS NOT NULL", of=Worker)
        sql = f"SELECT {clock}, {', '.join(statement.parts)}"
        [row] = self._read(sql, [*clock_values, *statement.values])
        moment, available, elsewhere, scheduled, retried, *sweeps, paused, limited, stopping = row
        dues = [moment_of(due) for due in (scheduled, retried) if due is not None]
        return Glance(
            available=bool(available),
            elsewhere=bool(elsewhere),
            next_due=(min(dues) - moment_of(moment)).total_seconds() if dues else None,
            sweeps=any(sweeps),
            controlled=bool(paused or limited),
            stopping=bool(stopping),
        )

    def _clock_sql(self, now: datetime | None) -> tuple[str, Sequence[Any]]:
        """Return the SQL for *now* on the database's clock, and its parameters."""
        compiler = self.records.query.get_compiler(self.alias)
        sql, values = compiler.compile(self.clock(now).resolve_expression(compiler.query))
        return sql, values

    def _read(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._returned(sql, values)


class _Glance:
    """The parts of a statement without a FROM: each the first row of a range."""

    def __init__(self, quote: Callable[[str], str]) -> None:
        self.quote = quote
        self.parts: list[str] = []
        self.values: list[Any] = []

    def ask(
        self,
        kind: str,
        condition: str,
        values: Sequence[Any] = (),
        column: str = "1",
        of: type[models.Model] = JobRecord,
    ) -> None:
        self.parts.append(self._range(kind, condition, column, of))
        self.values += values

    def ask_any(self, condition: str, values: Sequence[Any]) -> None:
        """Ask whether *condition* holds with any of *values*: a range for each."""
        ranges = [self._range("EXISTS", condition, "1", JobRecord) for _ in values]
        self.parts.append(" OR ".join(ranges) or "1 = 0")
        self.values += values

    def _range(self, kind: str, condition: str, column: str, of: type[models.Model]) -> str:
        table = self.quote(of._meta.db_table)
        return f"{kind} (SELECT {column} FROM {table} WHERE {condition} LIMIT 1)"


def moment_of(value: datetime | str) -> datetime:
    """Return a moment as the driver gives it; only differences of these count."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value

"""Telling idle workers of work, and what a worker asks of the table while it is idle."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
        available: Whether there are AVAILABLE rows on the queues that were asked for, or it is
            time for a fetch to look whether there are.
        elsewhere: Whether there are any at all, as far as is known.
        next_due: Seconds until the earliest SCHEDULED or RETRY row is due. None means that
            there is none.
        lapsed: Whether the lease of a row, or its promise, has lapsed.
        sweeps: Whether rows have lapsed, have become pointless or wait for a key, or a batch
            has not finished, so that a sweep has work.
        controlled: Whether there are rows of pauses or limits.
        stopping: Whether a worker was asked to stop.
    """

    available: bool
    elsewhere: bool
    next_due: float | None
    sweeps: bool
    lapsed: bool = True
    controlled: bool = False
    stopping: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """Which parts of the ranges a glance looks at, where it is known that the rest is empty.

    Attributes:
        cuts: Conditions for the pieces of a range that may have AVAILABLE rows; of one queue, its
            default partition. Where there are several queues, there are no pieces.
        leases: Conditions for the spans of ``expires``, as "{0}", that may have lapsed.
        moments: The same of due times, and of those after which a record is pointless.
        values: The parameters of all these.
        elsewhere: Whether to look for AVAILABLE rows on queues that were not asked for.
    """

    cuts: Sequence[str]
    leases: Sequence[str]
    moments: Sequence[str]
    values: Mapping[str, Any]
    elsewhere: bool


WHOLE = Look(cuts=("",), leases=("",), moments=("",), values={}, elsewhere=True)


class Waking(Ground):
    """Here nobody can be told: workers look for themselves."""

    has_told = False
    """Whether idle workers know of the call that was stored last; whoever asks takes it back."""

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

    def look_anew(self) -> None:
        """Let the next look for work begin at the beginning, wherever it has been before."""

    def glance(self, queues: Sequence[str] | None, now: datetime | None = None) -> Glance:
        """Say what there is to do, without a lock on anything.

        Args:
            queues: Those to look at for AVAILABLE rows. None means any.

        Database:
            One statement: the first entry of some index ranges.
        """
        return self._glance(queues, now)[0]

    def _glance(
        self, queues: Sequence[str] | None, now: datetime | None, look: Look = WHOLE
    ) -> tuple[Glance, Any]:
        """Return what a *look* shows, and its moment as the driver gives it."""
        statement = _Glance(self.connection.ops.quote_name, look)
        clock, clock_values = self._clock_sql(now)
        for value in clock_values:
            clock = clock.replace("%s", statement.mark(value), 1)
        statement.ask_for_available(queues)
        if look.elsewhere and queues is not None:
            statement.ask("EXISTS", "state = 'AVAILABLE' AND priority >= -100")
        else:
            statement.parts.append("NULL")
        statement.ask_when_due("SCHEDULED")
        statement.ask_when_due("RETRY")
        for state in ("RESERVED", "IN_PROGRESS"):
            lapsed = f"state = '{state}' AND expires <= {clock}"
            statement.ask_any(f"{lapsed} {span.format('expires')}" for span in look.leases)
        statement.ask("EXISTS", "state = 'WAITING'")
        pointless = f"finished_at IS NULL AND expires_at IS NOT NULL AND expires_at <= {clock}"
        statement.ask_any(f"{pointless} {span.format('expires_at')}" for span in look.moments)
        statement.ask("EXISTS", "finished_at IS NULL AND closed_at IS NOT NULL", of=Batch)
        for model in (Pause, Limit):
            statement.ask("EXISTS", "1 = 1", of=model)
        statement.ask("EXISTS", "stop_requested_at IS NOT NULL", of=Worker)
        sql = f"SELECT {clock}, {', '.join(statement.parts)}"
        [row] = self._read(sql, statement.values)
        moment, available, elsewhere, scheduled, retried, *sweeps, paused, limited, stopping = row
        dues = [moment_of(due) for due in (scheduled, retried) if due is not None]
        reserved, started, *others = map(bool, sweeps)
        glance = Glance(
            available=bool(available),
            elsewhere=bool(available or elsewhere),
            next_due=(min(dues) - moment_of(moment)).total_seconds() if dues else None,
            lapsed=reserved or started,
            sweeps=reserved or started or any(others),
            controlled=bool(paused or limited),
            stopping=bool(stopping),
        )
        return glance, moment

    def _clock_sql(self, now: datetime | None) -> tuple[str, Sequence[Any]]:
        """Return the SQL for *now* on the database's clock, and its parameters."""
        compiler = self.records.query.get_compiler(self.alias)
        sql, values = compiler.compile(self.clock(now).resolve_expression(compiler.query))
        return sql, values

    def _read(self, sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        return self._returned(sql, values)


class _Glance:
    """The parts of a statement without a FROM: each the first row of a range."""

    def __init__(self, quote: Callable[[str], str], look: Look) -> None:
        self.quote = quote
        self.look = look
        self.parts: list[str] = []
        self.values = {**look.values}

    def mark(self, value: Any) -> str:
        """Take a parameter, and return the mark that stands for it."""
        name = f"value{len(self.values)}"
        self.values[name] = value
        return f"%({name})s"

    def ask(self, kind: str, condition: str, of: type[models.Model] = JobRecord) -> None:
        self.parts.append(self._first(kind, condition, of=of))

    def ask_any(self, conditions: Iterable[str]) -> None:
        """Ask whether there is a row in any of some ranges."""
        self.parts.append(" OR ".join(self._first("EXISTS", each) for each in conditions))

    def ask_when_due(self, state: str) -> None:
        """Ask for the earliest time at which a row in *state* is due."""
        firsts = [
            self._first(
                "",
                f"state = '{state}' {span.format('available_at')} ORDER BY available_at",
                column="available_at",
            )
            for span in self.look.moments
        ]
        self.parts.append(firsts[0] if len(firsts) == 1 else f"LEAST({', '.join(firsts)})")

    def ask_for_available(self, queues: Sequence[str] | None) -> None:
        """Ask for an AVAILABLE row on any of *queues*: a range for each, or its pieces."""
        pieces = []
        for queue in (None,) if queues is None else queues:
            within = "priority >= -100" if queue is None else f"queue = {self.mark(queue)}"
            if len(self.look.cuts) > 1 and queue is not None:
                pieces.append(f"{within} AND partition > ''")
                within += " AND partition = ''"
            pieces += [f"{within} {cut}" for cut in self.look.cuts]
        if pieces:
            self.ask_any(f"state = 'AVAILABLE' AND {each}" for each in pieces)
        else:
            self.parts.append("1 = 0")

    def _first(
        self,
        kind: str,
        condition: str,
        column: str = "1",
        of: type[models.Model] = JobRecord,
    ) -> str:
        table = self.quote(of._meta.db_table)
        return f"{kind} (SELECT {column} FROM {table} WHERE {condition} LIMIT 1)"


def moment_of(value: datetime | str) -> datetime:
    """Return a moment as the driver gives it; only differences of these count."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value

"""SQLite: one writer at a time, and the clock of the host that it runs on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.db import models, transaction
from django.db.models import Value
from django.utils import timezone

from django_jobflow.attempts import Demand, Ending, Exchange, Reservation, Turn, is_nothing
from django_jobflow.engines.base import Engine
from django_jobflow.engines.promoting import Grant, Key
from django_jobflow.engines.settling import Holds
from django_jobflow.engines.sqlite_cycle import (
    END,
    FIRST_IN_LINE,
    HAND,
    HOLDS,
    KEEP,
    REMOVE,
    RESERVE,
    START,
    TAKE,
)
from django_jobflow.engines.statements import (
    KEYS,
    end_rows,
    first_ids,
    first_ids_of_turns,
    in_order,
    kept_rows,
    read_reservation,
)
from django_jobflow.engines.storing_sqlite import SQLiteStoring
from django_jobflow.engines.surveying_at_once import SurveyingAtOnce
from django_jobflow.states import JobState


class SQLiteEngine(SQLiteStoring, SurveyingAtOnce, Engine):
    """The engine of SQLite."""

    tells_changes = True

    def __init__(self, alias: str) -> None:
        super().__init__(alias)
        self._data_version: int | None = None

    def has_changed(self) -> bool:
        # A number in shared memory: microseconds, and no statement on the tables.
        # Past Django's cursor, which costs ten times as much: this runs while idle.
        connection: Any = self.connection
        connection.ensure_connection()
        with connection.wrap_database_errors:
            version: int = connection.connection.execute("PRAGMA data_version").fetchone()[0]
        changed: bool = version != self._data_version
        self._data_version = version
        return changed

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Open a transaction that holds the write lock from its beginning.

        A transaction that reads first and writes later fails at once with "database is
        locked" when another has written in between; one that begins IMMEDIATE waits.
        """
        connection: Any = self.connection
        if connection.in_atomic_block:
            with transaction.atomic(using=self.alias):
                yield
            return
        connection.ensure_connection()  # connecting sets the mode of the settings
        mode, connection.transaction_mode = connection.transaction_mode, "IMMEDIATE"
        try:
            with transaction.atomic(using=self.alias):
                connection.transaction_mode = mode
                yield
        finally:
            connection.transaction_mode = mode

    def clock(self, now: datetime | None, plus: timedelta = timedelta(0)) -> Any:
        # SQLite's own clock has milliseconds, and its text compares wrongly with the
        # microseconds that Django writes. The host is the same, so its clock serves.
        return Value(self.now(now) + plus, output_field=models.DateTimeField())

    def now(self, now: datetime | None = None) -> datetime:
        return timezone.now() if now is None else now

    def reserve(
        self,
        *,
        limit: int,
        worker: str,
        queues: Sequence[str] | None,
        timeout: timedelta,
        now: datetime | None = None,
    ) -> list[Reservation]:
        turns = None if queues is None else self.turn_of(queues, limit)
        if turns == ():
            return []
        moment = self.now(now)
        values = {
            "limit": limit,
            "worker": worker,
            "now": self._text(moment),
            "expires": self._text(moment + timeout),
        }
        rows = self._returned(RESERVE.format(ids=_ids(None, turns, values)), values)
        found = [read_reservation(row, worker, self.connection.timezone) for row in rows]
        found.sort(key=in_order)
        return found

    def start(
        self,
        reservations: Sequence[Reservation],
        *,
        lease: timedelta,
        now: datetime | None = None,
    ) -> list[Reservation]:
        if not reservations:
            return []
        moment = self.now(now)
        held = [[each.id, *each.fence] for each in reservations]
        values = {
            "held": json.dumps(held),
            "now": self._text(moment),
            "expires": self._text(moment + lease),
        }
        hit = {*self._returned(START, values)}
        started = [each for each in reservations if (each.id, each.reserved_count) in hit]
        for reservation in started:
            reservation.attempt += 1
        return started

    def _take(self, demand: Demand, limit: int, exchange: Exchange, now: datetime | None) -> None:
        if is_nothing(demand.queues, demand.turns):
            return
        moment = self.now(now)
        values = {
            "limit": limit,
            "worker": demand.worker,
            "names": _names(demand.names),
            "now": self._text(moment),
            "leased": self._text(moment + demand.lease),
            "promised": self._text(moment + demand.timeout),
        }
        zone = self.connection.timezone
        ids = _ids(demand.queues, demand.turns, values)
        started: list[Reservation] = []
        for *row, state in self._returned(TAKE.format(ids=ids), values):
            taken = started if state == JobState.IN_PROGRESS else exchange.held
            taken.append(read_reservation(row, demand.worker, zone))
        exchange.started += sorted(started, key=in_order)  # behind those of demands before

    def _holds(self, ids: Sequence[int]) -> Holds:
        # A transaction of ours has the whole database for itself: no row has to be locked.
        rows = self._returned(HOLDS, {"ids": json.dumps(list(ids))})
        return {pk: (state, *fence) for pk, state, *fence in rows}

    def _keep(self, successes: Sequence[Ending], now: datetime | None) -> None:
        ended = json.dumps(list(kept_rows(successes)))
        self._returned(KEEP, {"ended": ended, "now": self._text(self.now(now))})

    def _remove(self, ids: Sequence[int]) -> None:
        self._returned(REMOVE, {"ids": json.dumps(list(ids))})

    def _end(self, endings: Sequence[Ending], now: datetime | None) -> None:
        if not endings:
            return
        moment = self.now(now)
        rows = end_rows(endings, moment.isoformat(), lambda delay: self._text(moment + delay))
        self._returned(END, {"ended": json.dumps(list(rows)), "now": self._text(moment)})

    def _first_in_line(self, wanted: Sequence[tuple[Key, int]]) -> list[tuple[Any, ...]]:
        if any(count > 1 for _, count in wanted):
            return super()._first_in_line(wanted)
        return self._returned(FIRST_IN_LINE, {"keys": json.dumps([key for key, _ in wanted])})

    def _hand(self, grants: Sequence[Grant]) -> set[int]:
        rows = json.dumps([[grant.id, grant.digest] for grant in grants])
        values = {"grants": rows, "now": self._text(self.now())}
        return {pk for (pk,) in self._returned(HAND, values)}

    def _keys_in_line(self) -> list[Key]:
        return [(partition, key) for partition, key in self._returned(KEYS, [])]

    def _text(self, moment: datetime) -> str:
        """Return *moment* as Django writes it."""
        return str(self.connection.ops.adapt_datetimefield_value(moment))


def _ids(
    queues: Sequence[str] | None, turns: Sequence[Turn] | None, values: dict[str, Any]
) -> str:
    return first_ids(queues, values) if turns is None else first_ids_of_turns(turns, values)


@lru_cache(maxsize=8)
def _names(names: frozenset[str]) -> str:
    return json.dumps(sorted(names))

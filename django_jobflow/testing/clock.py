"""Moving the clock of a test: Django's, and the database's as this process asks for it.

The engines take the moment from the database in their statements, so that is where it is moved:
a wrapper around each statement of a connection, which is there only while somebody travels.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakSet

from django.db import connections
from django.db.backends.signals import connection_created
from django.test.utils import TestContextDecorator
from django.utils import timezone

from django_jobflow import conf
from django_jobflow.engines.statements import JOB
from django_jobflow.exceptions import InvalidJob

MICROSECOND = timedelta(microseconds=1)

# A row that PostgreSQL is not told the moments of gets them from the defaults of its columns,
# which no statement can move.
DEFAULTED = re.compile(rf"\s*INSERT INTO {JOB} \((?P<columns>[^)]*)\) (?P<of>VALUES \(|SELECT )")
MOMENTS = ("created_at", "updated_at", "available_at")


class Clock:
    """By how much the clock is ahead.

    Attributes:
        offset: From the real time to that of the test.
    """

    def __init__(self) -> None:
        self.offset = timedelta(0)
        self.travellers = 0
        self.real_now: Callable[[], datetime] = timezone.now

    def now(self) -> datetime:
        """Return the time of the test."""
        return self.real_now() + self.offset

    def start(self) -> None:
        self.travellers += 1
        if self.travellers == 1:
            self.real_now = timezone.now
            timezone.now = self.now
            for connection in {*connections.all(), *_seen}:
                _watch(connection)

    def stop(self) -> None:
        self.travellers -= 1
        if self.travellers == 0:
            timezone.now = self.real_now
            for connection in {*connections.all(), *_seen}:
                while _moved in connection.execute_wrappers:
                    connection.execute_wrappers.remove(_moved)


_clock = Clock()

# Those of other threads cannot be asked for: an async test runs in another one than its queries.
_seen: WeakSet[Any] = WeakSet()


class travel(TestContextDecorator):  # named as it is used
    """Be at another time inside: a context manager and a decorator of test functions.

    Moved are ``timezone.now()`` and the clock of the database as Django and django_jobflow ask
    for it in this process; both go on from there. So due times, retries, expiries, leases,
    ``unique_for``, ``rate`` and retention pass. Inside another one it adds up.

    Not moved are other processes, among them ``jobflow_worker``, ``datetime.now()``,
    ``time.time()``, and clocks in SQL of your own. It is moved for all threads of the process.

    Args:
        delta: Seconds or timedelta; less than 0 goes back.
        to: The moment to be at, aware where USE_TZ is on.

    Raises:
        InvalidJob: Not just one of them is given, or it is no such value.
    """

    def __init__(
        self, delta: float | timedelta | None = None, *, to: datetime | None = None
    ) -> None:
        super().__init__()
        self.distance = _distance(delta, to)
        self._before: list[timedelta] = []

    def enable(self) -> Clock:
        self._before.append(_clock.offset)
        _clock.start()
        _clock.offset = self.distance()
        return _clock

    def disable(self) -> None:
        _clock.offset = self._before.pop()
        _clock.stop()


def _distance(delta: float | timedelta | None, to: datetime | None) -> Callable[[], timedelta]:
    """Return what tells the offset that the clock is to have."""
    if (delta is None) == (to is None):
        raise InvalidJob(f"travel: expected delta or to, got delta={delta!r} and to={to!r}.")
    if to is not None:
        if not isinstance(to, datetime) or timezone.is_aware(to) != conf.has_time_zones():
            kind = "an aware datetime" if conf.has_time_zones() else "a naive datetime"
            raise InvalidJob(f"travel: expected to to be {kind}, got {to!r}.")
        return lambda: to - _clock.real_now()
    if isinstance(delta, bool) or not isinstance(delta, int | float | timedelta):
        raise InvalidJob(f"travel: expected delta to be seconds or a timedelta, got {delta!r}.")
    span = delta if isinstance(delta, timedelta) else timedelta(seconds=delta)
    return lambda: _clock.offset + span


def _see(*, connection: Any, **_: Any) -> None:
    _seen.add(connection)
    if _clock.travellers:
        _watch(connection)


connection_created.connect(_see, dispatch_uid="django_jobflow.testing.clock")


def _watch(connection: Any) -> None:
    if _moved not in connection.execute_wrappers:
        connection.execute_wrappers.append(_moved)


def _moved(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Execute a statement at the time of the test."""
    move = MOVES.get(context["connection"].vendor)
    if move is not None and isinstance(sql, str):
        sql = move(sql, _clock.offset // MICROSECOND)
    return execute(sql, params, many, context)


def _move_postgresql(sql: str, offset: int) -> str:
    plain = "STATEMENT_TIMESTAMP()"  # Django's Now(), and what the engine says
    moment = f"({plain} + INTERVAL '{offset} microseconds')"
    found = DEFAULTED.match(sql)
    if found and "created_at" not in found["columns"]:
        missing = [name for name in MOMENTS if name not in found["columns"]]
        columns = ", ".join([*missing, found["columns"]])
        values = f"{found['of']}{', '.join([plain] * len(missing))}, "
        sql = f"INSERT INTO {JOB} ({columns}) {values}{sql[found.end() :]}"
    return sql.replace(plain, moment)


def _move_mysql(sql: str, offset: int) -> str:
    for plain in ("UTC_TIMESTAMP(6)", "CURRENT_TIMESTAMP(6)"):
        sql = sql.replace(plain, f"({plain} + INTERVAL {offset} MICROSECOND)")
    return sql


def _move_sqlite(sql: str, offset: int) -> str:
    # The engine asks timezone.now(); this is Django's Now().
    return sql.replace("'NOW')", f"'NOW', '{offset / 1_000_000:+f} seconds')")


MOVES: dict[str, Callable[[str, int], str]] = {
    "postgresql": _move_postgresql,
    "mysql": _move_mysql,
    "sqlite": _move_sqlite,
}

"""MariaDB and MySQL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from django.db import IntegrityError, models, transaction
from django.db.models import DurationField, ExpressionWrapper, Func, Value

from django_jobflow.attempts import Demand, Ending, Exchange, Reservation, Turn, is_nothing
from django_jobflow.engines.base import Engine
from django_jobflow.engines.exchanging import is_for
from django_jobflow.engines.handing import (
    can_hand,
    grant_of,
    idle_keys,
    key_of,
    leaving_of,
    serves,
)
from django_jobflow.engines.mysql_cycle import (
    END,
    FIRST_IN_LINE,
    HAND,
    HOLD,
    IN_LINE,
    KEEP,
    LOCK,
    NEXT,
    OF_A_QUEUE,
    OF_HELD,
    REMOVE,
    STANDING,
    START,
    START_NEXT,
    first_rows,
    first_rows_of_turns,
    numbers,
    pieces,
)
from django_jobflow.engines.promoting import Grant, Key
from django_jobflow.engines.repeating import repeating
from django_jobflow.engines.settling import Holds
from django_jobflow.engines.statements import (
    MICROSECOND,
    end_rows,
    in_order,
    kept_rows,
    read_reservation,
)
from django_jobflow.engines.storing_mysql import MySQLStoring
from django_jobflow.models.fields import exact_collation
from django_jobflow.states import JobState

DEADLOCK, LOCK_WAIT_TIMEOUT = 1213, 1205
CHANGED = 1020  # where a snapshot is kept apart: another was faster than a statement that locks
READ_COMMITTED = "read committed"


class UtcNow(Func):
    """Now in UTC; ``Now()`` is in the zone of the session, which Django does not set."""

    template = "UTC_TIMESTAMP(6)"
    output_field = models.DateTimeField()


@repeating
class MySQLEngine(MySQLStoring, Engine):
    """The engine of MariaDB and MySQL."""

    by_queue = OF_A_QUEUE
    by_key = IN_LINE
    by_lease = OF_HELD
    shared = "LOCK IN SHARE MODE"

    def __init__(self, alias: str) -> None:
        super().__init__(alias)
        self._session: Any = None
        self._isolation: str | None = None

    def is_undone(self, error: Exception) -> bool:
        return bool(error.args) and error.args[0] in {DEADLOCK, LOCK_WAIT_TIMEOUT, CHANGED}

    def current(self) -> Any:
        offset = self.offset
        if not offset:
            return UtcNow()
        local = UtcNow() + Value(offset, output_field=DurationField())
        return ExpressionWrapper(local, output_field=models.DateTimeField())

    def end_session(self) -> None:
        if self._isolation is not None and self._session is self._any_connection().connection:
            self._set_isolation(self._isolation)
        self._session = self._isolation = None

    # The cycle

    def exchange(
        self,
        endings: Sequence[Ending],
        demands: Sequence[Demand] = (),
        limit: int = 0,
        now: datetime | None = None,
    ) -> Exchange:
        leaving = leaving_of(endings)
        if not leaving or not self._skip or len(demands) != 1:
            return super().exchange(endings, demands, limit, now)
        [demand] = demands
        limit = min(demand.limit, limit)
        if limit <= 0 or not can_hand(leaving, demand):
            return super().exchange(endings, demands, limit, now)
        self._set_up_session()
        with self.transaction():
            ours = self._write_ends(endings, now)
            exchange = Exchange(written={each.reservation.id for each in ours})
            self._take_next(leaving_of(ours), demand, limit, exchange, now)
            self._look_again(idle_keys(leaving, exchange))
            self._members_settled(ours)
        return exchange

    def _take_next(
        self,
        leaving: Sequence[Ending],
        demand: Demand,
        limit: int,
        exchange: Exchange,
        now: datetime | None,
    ) -> None:
        """Take what comes first, also of those who wait for the keys that *leaving* free.

        All are in one order, so that a key gives nobody a place before others. Those who wait
        and are not taken get their turn.
        """
        waiting = self._next(leaving)
        found = self._candidates(limit, demand.queues)
        moment = self._moment_for([*waiting, *found], now)
        every = [*found, *(each for each in waiting if serves(demand, each))]
        first = {each.id for each in sorted(every, key=in_order)[:limit]}
        ours = [each for each in waiting if each.id in first and is_for(demand, each, moment)]
        taken = {each.id for each in ours}
        turned = self._give([grant_of(each) for each in waiting if each.id not in taken])
        given = {grant.key for grant in turned if grant.id not in first}
        exchange.passed_on |= {
            each.reservation.id for each in leaving if key_of(each.reservation) in given
        }
        available = first & ({each.id for each in found} | {grant.id for grant in turned})
        self._begin_next(ours, demand, exchange, now)
        self._begin(
            [each for each in every if each.id in available], demand, exchange, moment, now
        )
        exchange.started.sort(key=in_order)

    def _next(self, leaving: Sequence[Ending]) -> list[Reservation]:
        """Lock and return the first that wait for the keys that *leaving* free, by id."""
        keys = sorted({key_of(each.reservation) for each in leaving})
        if not keys:
            return []
        statement = NEXT.format(collation=exact_collation(self.connection))
        rows = self._returned(statement, {"keys": json.dumps(keys)})
        zone = self.connection.timezone
        return sorted((read_reservation(row, "", zone) for row in rows), key=attrgetter("id"))

    def _begin_next(
        self,
        waiting: Sequence[Reservation],
        demand: Demand,
        exchange: Exchange,
        now: datetime | None,
    ) -> None:
        """Start those who waited for a key; one whose key is held goes the common way."""
        if not waiting:
            return
        digests = ", ".join(f"'{grant_of(each).digest}'" for each in waiting)
        statement = START_NEXT.replace("{digests}", digests)
        try:
            with transaction.atomic(using=self.alias):
                self._promise(statement, waiting, demand.worker, demand.lease, now)
        except IntegrityError:  # of a key that had more places; one by one they tell which
            if len(waiting) == 1:
                self.promote(map(key_of, waiting))
                return
            for each in waiting:
                self._begin_next([each], demand, exchange, now)
        else:
            exchange.started += _promised(waiting, demand.worker, attempts=1)

    def _take(self, demand: Demand, limit: int, exchange: Exchange, now: datetime | None) -> None:
        found = self._candidates(limit, demand.queues, demand.turns)
        self._begin(found, demand, exchange, self._moment_for(found, now), now)

    def _begin(
        self,
        found: Sequence[Reservation],
        demand: Demand,
        exchange: Exchange,
        moment: datetime | None,
        now: datetime | None,
    ) -> None:
        """Start what is for this worker, and promise it the rest of what was *found*."""
        able = [each for each in found if is_for(demand, each, moment)]
        held = [each for each in found if not is_for(demand, each, moment)]
        self._promise(START, able, demand.worker, demand.lease, now)
        self._promise(HOLD, held, demand.worker, demand.timeout, now)
        exchange.started += _promised(able, demand.worker, attempts=1)
        exchange.held += _promised(held, demand.worker, attempts=0)

    def _candidates(
        self,
        limit: int,
        queues: Sequence[str] | None,
        turns: Sequence[Turn] | None = None,
    ) -> list[Reservation]:
        if is_nothing(queues, turns):
            return []
        values: dict[str, Any] = {"limit": limit}
        zone = self.connection.timezone
        statement = (
            first_rows(queues, values, skip=self._skip)
            if turns is None
            else first_rows_of_turns(turns, values, skip=self._skip)
        )
        rows = self._returned(statement, values)
        found = [read_reservation(row, "", zone) for row in rows]
        found.sort(key=in_order)
        return found

    def _standing(
        self, reservations: Sequence[Reservation], now: datetime | None
    ) -> list[Reservation]:
        standing = self._locked([each.id for each in reservations], STANDING, now)
        return [
            each
            for each in reservations
            if standing.get(each.id) == (JobState.RESERVED, *each.fence)
        ]

    def _promise(
        self,
        statement: str,
        reservations: Sequence[Reservation],
        worker: str,
        span: timedelta,
        now: datetime | None,
    ) -> None:
        if reservations:
            values = {"worker": worker, "span": span // MICROSECOND}
            self._write(statement, values, now, ids=map(attrgetter("id"), reservations))

    def _holds(self, ids: Sequence[int]) -> Holds:
        return self._locked(ids)

    def _locked(
        self, ids: Sequence[int], condition: str = "", now: datetime | None = None
    ) -> Holds:
        """Lock the rows with these *ids*, as far as they meet *condition*."""
        if not ids:
            return {}
        values: dict[str, Any] = {}
        condition = condition.format(moment=self._moment(values, now))
        statement = LOCK.format(ids=numbers(ids), condition=condition)
        return {pk: (state, *fence) for pk, state, *fence in self._returned(statement, values)}

    def _keep(self, successes: Sequence[Ending], now: datetime | None) -> None:
        if not self._skip:
            super()._keep(successes, now)
            return
        for ended in pieces(kept_rows(successes)):
            self._write(KEEP, {"ended": ended}, now)

    def _remove(self, ids: Sequence[int]) -> None:
        self._write(REMOVE, {}, None, ids=ids)

    def _end(self, endings: Sequence[Ending], now: datetime | None) -> None:
        if not self._skip:
            super()._end(endings, now)
            return
        if not endings:
            return
        at = self.now(now).isoformat() if any(ending.error for ending in endings) else ""
        for ended in pieces(end_rows(endings, at, lambda delay: delay // MICROSECOND)):
            self._write(END, {"ended": ended}, now)

    def _first_in_line(self, wanted: Sequence[tuple[Key, int]]) -> list[tuple[Any, ...]]:
        if not self._skip or any(count > 1 for _, count in wanted):
            return super()._first_in_line(wanted)
        statement = FIRST_IN_LINE.format(collation=exact_collation(self.connection))
        return self._returned(statement, {"keys": json.dumps([key for key, _ in wanted])})

    def _hand(self, grants: Sequence[Grant]) -> set[int]:
        if not self._skip:
            return super()._hand(grants)
        rows = json.dumps([[grant.id, grant.digest] for grant in grants])
        hit = self._write(HAND, {"grants": rows}, None)
        # It does not say which rows; to look at all of their keys once more does no harm.
        return {grant.id for grant in grants} if hit == len(grants) else set()

    @property
    def _skip(self) -> str:
        """SKIP LOCKED where the server has it, and then JSON_TABLE, too; MariaDB 10.5 has not."""
        recent = self.connection.features.has_select_for_update_skip_locked
        return "SKIP LOCKED" if recent else ""

    # Statements

    def _write(
        self,
        statement: str,
        values: dict[str, Any],
        now: datetime | None,
        *,
        ids: Iterable[int] = (),
    ) -> int:
        """Write, and return how many rows it found."""
        sql = statement.format(moment=self._moment(values, now), ids=numbers(ids))
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values)
            return int(cursor.rowcount)

    def _moment(self, values: dict[str, Any], now: datetime | None) -> str:
        """Return the expression for *now*, whose parameters go into *values*."""
        if now is not None:
            values["now"] = self.connection.ops.adapt_datetimefield_value(now)
            return "CAST(%(now)s AS DATETIME(6))"
        if not (offset := self.offset):
            return "UTC_TIMESTAMP(6)"
        values["offset"] = offset // MICROSECOND
        return "(UTC_TIMESTAMP(6) + INTERVAL %(offset)s MICROSECOND)"

    # The session

    def _set_up_session(self) -> None:
        """See that the session of a worker reads what is committed, once for each connection.

        By default the server locks the gaps between the rows that a statement reads, too.
        """
        connection = self._any_connection()
        connection.ensure_connection()
        if connection.connection is self._session:
            return
        self._session, self._isolation = connection.connection, None
        if connection.isolation_level == READ_COMMITTED:  # what Django itself has set up
            return
        variable = "tx_isolation" if connection.mysql_is_mariadb else "transaction_isolation"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT @@{variable}")
            [isolation] = cursor.fetchone()
        self._isolation = isolation.replace("-", " ")
        self._set_isolation(READ_COMMITTED)

    def _set_isolation(self, level: str) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(f"SET SESSION TRANSACTION ISOLATION LEVEL {level}")

    def _any_connection(self) -> Any:
        return self.connection


def _promised(
    found: Sequence[Reservation], worker: str, *, attempts: int
) -> Sequence[Reservation]:
    """Have *found* say what has been written to their rows."""
    for reservation in found:
        reservation.worker = worker
        reservation.reserved_count += 1
        reservation.attempt += attempts
    return found

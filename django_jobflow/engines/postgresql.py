"""PostgreSQL: a cycle of a worker is one statement, and so is each of its parts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.db import IntegrityError, OperationalError

from django_jobflow.attempts import (
    RESERVATION_FIELDS,
    Demand,
    Ending,
    Exchange,
    Reservation,
    Turn,
    is_nothing,
)
from django_jobflow.engines.handing import can_hand, idle_keys, leaving_of
from django_jobflow.engines.postgresql_cycle import cycle, demand_values, take_in
from django_jobflow.engines.postgresql_ends import (
    end_values,
    fence,
    gone_alone,
    in_places,
    place,
)
from django_jobflow.engines.postgresql_handing import COLUMNS, handing
from django_jobflow.engines.postgresql_head import Start, behind
from django_jobflow.engines.postgresql_promoting import PostgreSQLPromoting
from django_jobflow.engines.postgresql_session import Served
from django_jobflow.engines.postgresql_transactions import SLOW, ChainedTransactions, Usual
from django_jobflow.engines.postgresql_waking import code_of
from django_jobflow.engines.repeating import repeating
from django_jobflow.engines.savepoints import Savepoints
from django_jobflow.engines.statements import (
    JOB,
    JSON_FIELDS,
    RESERVED_COLUMNS,
    first_ids,
    first_ids_of_turns,
    in_order,
    read_json,
)
from django_jobflow.engines.storing_postgresql import PostgreSQLStoring
from django_jobflow.engines.surveying_at_once import SurveyingAtOnce
from django_jobflow.engines.transactions import Transactions

DEADLOCK = "40P01"
CANCELLED = "57014"
SAMPLING = 1000  # milliseconds that each look at the backlog may take for the history
UNSAMPLED = 600.0  # seconds without such a look after one that took longer

# How long each statement of a transaction may take, unless the project has less patience.
AT_MOST = """
    SELECT set_config('statement_timeout', %s::text, true)
    WHERE (SELECT setting FROM pg_settings WHERE name = 'statement_timeout')::int
        NOT BETWEEN 1 AND %s"""

# The ORM has no UPDATE or DELETE that returns rows or joins a list of values. States stand
# in the statements as literals: the planner takes a partial index only for those. `moment`
# is a parameter where a test gives the time, and else the server's clock.

# A limit that the planner does not know: it then takes a tenth of the range to be asked for.
# With statistics from before a backlog it would think that the limit exceeds what waits, and
# sort the whole backlog at each call instead of reading the index in its order.
LIMIT = "(SELECT %(limit)s)"
RANGE_LIMIT = "(SELECT %({})s)"

LOCK = "FOR UPDATE SKIP LOCKED"

# ARRAY(...) evaluates the limited, locking query once; as a join it might run again.
RESERVE = f"""
    UPDATE {JOB} SET state = 'RESERVED', reserved_by = %(worker)s, reserved_at = {{moment}},
        reserved_count = reserved_count + 1, updated_at = {{moment}},
        expires = {{moment}} + %(timeout)s
    WHERE id = ANY(ARRAY({{ids}}))
    RETURNING {RESERVED_COLUMNS}"""

WORKER = f"(%(workers)s::text[])[{place('held_ids')}]"
START = f"""
    UPDATE {JOB} AS job SET state = 'IN_PROGRESS', attempt = job.attempt + 1,
        started_at = {{moment}}, expires = {{moment}} + %(lease)s, updated_at = {{moment}}
    WHERE {fence("'RESERVED'", "held", WORKER)} AND job.expires > {{moment}}
    RETURNING job.id, job.reserved_count"""


@repeating
class PostgreSQLEngine(PostgreSQLStoring, PostgreSQLPromoting, SurveyingAtOnce, Served):
    """The engine of PostgreSQL."""

    shared = "FOR SHARE"
    plan = 0
    _sample_at = 0.0

    @cached_property
    def _usual(self) -> Usual:
        return Usual(SLOW)

    @cached_property
    def suspects(self) -> set[int]:
        """Ids of what is on its way with its transaction, and of what has got no answer."""
        return set()

    def is_undone(self, error: Exception) -> bool:
        return code_of(error) == DEADLOCK

    def savepoints(self) -> Savepoints:
        # psycopg is there only where PostgreSQL is used.
        from django_jobflow.engines.postgresql_deferring import Deferring

        return Deferring(self.alias)

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
        values = {"limit": limit, "worker": worker, "timeout": timeout}
        ids = _ids(None, turns, values)
        rows = self._rows(RESERVE, values, now, ids=ids)
        found = [_reservation(row, worker) for row in rows]
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
        held = sorted(reservations, key=in_places)
        values = {
            "held_ids": [reservation.id for reservation in held],
            "held_attempts": [reservation.attempt for reservation in held],
            "held_counts": [reservation.reserved_count for reservation in held],
            "workers": [reservation.worker for reservation in held],
            "lease": lease,
        }
        hit = {*self._rows(START, values, now)}
        started = [each for each in reservations if (each.id, each.reserved_count) in hit]
        for reservation in started:
            reservation.attempt += 1
        return started

    def settle(self, endings: Sequence[Ending], now: datetime | None = None) -> set[int]:
        workers = {ending.reservation.worker for ending in endings}
        if now is None and len(endings) == 1 and self._is_alone(endings[0]):
            return self._settle_alone(endings[0])
        if len(workers) == 1 and not leaving_of(endings):
            return self._turn(workers.pop(), endings, None, 0, now).written
        with self.transaction():
            return self._settle(endings, now)

    def transactions(self) -> Transactions:
        return ChainedTransactions(self)

    def pipeline(self) -> Transactions:
        from django_jobflow.engines.postgresql_pipelining import Pipelining

        return Pipelining(self)

    def _settle(self, endings: Sequence[Ending], now: datetime | None) -> set[int]:
        written: set[int] = set()
        for worker in {ending.reservation.worker for ending in endings}:
            theirs = [each for each in endings if each.reservation.worker == worker]
            written |= self._turn(worker, theirs, None, 0, now).written
        ended = [
            each.reservation for each in leaving_of(endings) if each.reservation.id in written
        ]
        self.hand_on(ended)
        return written

    def exchange(
        self,
        endings: Sequence[Ending],
        demands: Sequence[Demand] = (),
        limit: int = 0,
        now: datetime | None = None,
    ) -> Exchange:
        # The one statement has one worker in its fence.
        workers = {each.worker for each in demands} | {each.reservation.worker for each in endings}
        limited = any(each.quotas or each.admits for each in demands)
        if len(demands) != 1 or limit <= 0 or len(workers) > 1 or limited:
            return super().exchange(endings, demands, limit, now)
        [demand] = demands
        leaving = leaving_of(endings)
        if leaving:
            handed = self._exchange_keys(endings, leaving, demand, limit, now)
            return super().exchange(endings, demands, limit, now) if handed is None else handed
        self._set_up_session()
        limit = min(demand.limit, limit)
        exchange = self._turn(demand.worker, endings, demand, limit, now)
        if demand.gates and exchange.held:
            # A transaction of its own, but only for what has just come to the head of the fetch:
            # it parks a thousand at a time, and each record once. A crash in between leaves
            # them reserved, at no cost. In the statement above, each cycle would pay for it.
            with self.transaction():
                self._park_and_admit(demand, limit, {}, exchange, now)
        return exchange

    def _exchange_keys(
        self,
        endings: Sequence[Ending],
        leaving: Sequence[Ending],
        demand: Demand,
        limit: int,
        now: datetime | None,
    ) -> Exchange | None:
        """Exchange, and give on the keys that become free; None where that takes more steps."""
        if not can_hand(leaving, demand):
            return None
        self._set_up_session()
        limit = min(demand.limit, limit)
        is_inside = self.connection.in_atomic_block
        try:
            with self.transaction() if is_inside else nullcontext():
                exchange = self._turn(demand.worker, endings, demand, limit, now, leaving)
        except IntegrityError:  # of a key that had more places, another has got one
            return None
        idle = idle_keys(leaving, exchange)
        if is_inside:
            self._look_again(idle)
        elif idle:
            self._promote(idle)
        return exchange

    def sample_backlog(self, now: datetime | None = None) -> bool:
        # Beside an old snapshot it would walk along all that was worked off since: rather the
        # history has a gap than the worker.
        if self.connection.in_atomic_block:
            return super().sample_backlog(now)
        if time.monotonic() < self._sample_at:
            return False
        try:
            with self.transaction():
                self._returned(AT_MOST, [SAMPLING, SAMPLING])
                return super().sample_backlog(now)
        except OperationalError as error:
            if code_of(error) != CANCELLED:
                raise
            self._sample_at = time.monotonic() + UNSAMPLED
            return False

    def _take(self, demand: Demand, limit: int, exchange: Exchange, now: datetime | None) -> None:
        taken = self._turn(demand.worker, (), demand, limit, now)
        exchange.started += taken.started
        exchange.held += taken.held
        if taken.passed_over is not None:
            exchange.passed_over = taken.passed_over

    def _turn(
        self,
        worker: str,
        endings: Sequence[Ending],
        demand: Demand | None,
        limit: int,
        now: datetime | None,
        leaving: Sequence[Ending] = (),
    ) -> Exchange:
        """Settle and take for one worker in one statement.

        Args:
            leaving: Those of *endings* whose execution keys are to be given on.
        """
        began = time.monotonic()
        start = self._head.start(demand, began) if demand is not None else Start()
        ends, values = end_values(endings)
        values["worker"] = worker
        ids = None
        if demand is not None and not is_nothing(demand.queues, demand.turns):
            values |= demand_values(demand, limit)
            within = behind(start.ends, values, start.piece)
            ids = _ids(demand.queues, demand.turns, values, within, COLUMNS if leaving else "id")
        exchange = Exchange()
        if ends or ids:
            parts = handing(demand, endings, values) if demand is not None and leaving else {}
            statement = cycle(
                ends,
                ids,
                moment=_moment(values, now),
                hurried=bool(ends) or self.connection.in_atomic_block,
                **parts,
            )
            take_in(exchange, self._served(statement, values), worker)
            self._members_exchanged(endings, exchange)
        if demand is not None:
            ended = time.monotonic()
            self._head.note(demand, limit, start, exchange, began, ended)
            if start.ends and len(exchange.started) + len(exchange.held) < limit:
                exchange.passed_over = self._head.seconds_left(demand.queues, ended)
        return exchange

    def _members_exchanged(self, endings: Sequence[Ending], exchange: Exchange) -> None:
        """Let batches finish as ``_members_settled`` does, but for those of what was taken.

        Whoever ends that will ask anew, so a worker that drains a batch need not ask each time.
        """
        ended = [each for each in endings if each.reservation.batch_id is not None]
        if ended:
            taken = {each.batch_id for each in exchange.started + exchange.held}
            self._members_settled(
                each
                for each in ended
                if each.reservation.id in exchange.written
                and each.reservation.batch_id not in taken
            )

    def goes_alone(self, ending: Ending) -> bool:
        """Say whether *ending* is one row of a slot that goes, with nothing else to be written."""
        return self._is_alone(ending) and ending.reservation.batch_id is None

    def _is_alone(self, ending: Ending) -> bool:
        return ending.state is None and not leaving_of([ending]) and self._serves_slots()

    def _settle_alone(self, ending: Ending) -> set[int]:
        """Settle a success by a prepared statement of a session that is the project's.

        Its planner settings are not ours to change, so a plan from when the table was empty
        may read all of it. Such a statement is noticed by its time, and planned anew.
        """
        statement, values = gone_alone(ending, self.plan)
        began = time.monotonic()
        hit = self._hits(statement, values)
        if self._usual.is_exceeded_since(began):
            self.plan += 1
        if not hit:
            return set()
        self._members_settled([ending])
        return {ending.reservation.id}

    # Cursors

    def _rows(
        self, statement: str, values: dict[str, Any], now: datetime | None, **parts: str
    ) -> list[tuple[Any, ...]]:
        sql = statement.format(moment=_moment(values, now), **parts)
        return self._returned(sql, values)


def _ids(
    queues: Sequence[str] | None,
    turns: Sequence[Turn] | None,
    values: dict[str, Any],
    within: Sequence[str] = ("",),
    columns: str = "id",
) -> str:
    if turns is not None:
        return first_ids_of_turns(turns, values, limit=RANGE_LIMIT, lock=LOCK)
    return first_ids(queues, values, limit=LIMIT, lock=LOCK, within=within, columns=columns)


def _moment(values: dict[str, Any], now: datetime | None) -> str:
    if now is None:
        return "STATEMENT_TIMESTAMP()"
    values["now"] = now
    return "%(now)s::timestamptz"


_JSON = [RESERVATION_FIELDS.index(name) for name in JSON_FIELDS]


def _reservation(row: tuple[Any, ...], worker: str) -> Reservation:
    values = [*row, worker]
    for index in _JSON:
        values[index] = read_json(values[index])
    return Reservation(*values)

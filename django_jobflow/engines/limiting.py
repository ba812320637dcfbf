"""Limits that hold over all hosts: who takes of a queue or job with one locks its row, and counts.

There is no counter of what runs that could leak: whatever ends a record, or rescues it, frees
its place. The count is a statement of its own after the lock, so it sees what every holder of
the lock before has committed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F, Value

from django_jobflow.attempts import Demand, Exchange, Range, Turn
from django_jobflow.engines.ranging import Ranging
from django_jobflow.models import Limit, LimitKind
from django_jobflow.quotas import MOST, SLACK, Quota

if TYPE_CHECKING:
    from django.db.models import QuerySet

BUSY = 0.005  # seconds after which to ask again for a row that another had locked
FULL = 0.05  # seconds after which to ask again where all places are taken, unless one is told

Bucket = tuple[float | None, timedelta | None]
"""The tokens of a rate, as they were so long ago; None means that none was taken yet."""


@dataclass(slots=True)
class Allowance:
    """How many more records of one queue or job may start.

    Attributes:
        left: That many now.
        tokens: What its bucket holds. None where there is no rate.
        elapsed: Since what was in it was written. None means that nothing was.
    """

    left: int
    tokens: float | None = None
    elapsed: timedelta | None = None


class Limiting(Ranging):
    """What is left of the quotas of a demand; inside its transaction."""

    def _allowed(
        self, demand: Demand, exchange: Exchange, now: datetime | None
    ) -> dict[str, Allowance]:
        """Return what the quotas of *demand* leave of each queue whose row could be locked.

        Database:
            One SELECT that locks the rows of the quotas but for those that another has locked,
            and one that counts what is held, along the index over what is held.
        """
        quotas = demand.quotas or {}
        rows = self._lock_limits(LimitKind.QUEUE, quotas, now)
        held = self._held_counts([queue for queue in rows if quotas[queue].concurrency])
        allowed = allowances(quotas, rows, held)
        for queue, quota in quotas.items():
            if queue not in allowed:
                exchange.out_of_tokens[queue] = BUSY
            elif not allowed[queue].left and not shut_until_token(
                exchange.out_of_tokens, queue, quota, allowed[queue]
            ):
                exchange.full[queue] = FULL
        return allowed

    def _lock_limits(
        self,
        kind: LimitKind,
        values: Iterable[str],
        now: datetime | None,
        *,
        waits: bool = False,
    ) -> dict[str, Bucket]:
        """Lock the rows of these *values*; return what is in each bucket, and since when.

        Args:
            waits: Whether to wait for those that others have locked, or else leave them out.
        """
        found = self._lockable(kind, values, now, waits=waits)
        rows = found.values_list("value", "tokens", "elapsed")
        return {value: (tokens, passed) for value, tokens, passed in rows}

    def _lockable(
        self, kind: LimitKind, values: Iterable[str], now: datetime | None, *, waits: bool
    ) -> QuerySet[Any]:
        """Return the query that locks rows, each with the time since its bucket was filled."""
        elapsed = ExpressionWrapper(self.clock(now) - F("filled_at"), DurationField())
        limits: QuerySet[Any] = self._limits(kind, values)
        rows: QuerySet[Any] = limits.annotate(elapsed=elapsed).order_by("value")
        if self.locks_rows:
            # A wait would hold up all else that this worker takes behind what is limited.
            skips = self.connection.features.has_select_for_update_skip_locked and not waits
            rows = rows.select_for_update(skip_locked=skips)
        return rows

    def _held_counts(self, queues: list[str]) -> dict[str, int]:
        if not queues:
            return {}
        marks = ", ".join("%s" for _ in queues)
        # The states as literals: a planner takes a partial index for nothing else.
        statement = (
            f"SELECT queue, COUNT(*) FROM {self._table} {self.by_queue} "
            f"WHERE state IN ('RESERVED', 'IN_PROGRESS') AND queue IN ({marks}) GROUP BY queue"
        )
        return dict.fromkeys(queues, 0) | dict(self._returned(statement, queues))

    def _spend(
        self,
        quotas: Mapping[str, Quota],
        allowed: Mapping[str, Allowance],
        exchange: Exchange,
        now: datetime | None,
    ) -> None:
        """Take the tokens of what was started; say when the next one comes.

        Database:
            One UPDATE for each queue with a rate from which something was started.
        """
        started = Counter(each.queue for each in exchange.started)
        for queue, allowance in allowed.items():
            if allowance.tokens is not None and started[queue]:
                self._take_tokens(LimitKind.QUEUE, queue, allowance, started[queue], now)
                shut_until_token(exchange.out_of_tokens, queue, quotas[queue], allowance)

    def _take_tokens(
        self,
        kind: LimitKind,
        value: str,
        allowance: Allowance,
        count: int,
        now: datetime | None,
    ) -> None:
        """Write what is left in a bucket; its row is locked."""
        assert allowance.tokens is not None
        allowance.tokens -= count
        filled_at = self.clock(now)
        if allowance.elapsed is not None:
            # Not the clock, which has gone on since the bucket was looked into.
            since = max(allowance.elapsed, timedelta(0))
            later = F("filled_at") + Value(since, output_field=DurationField())
            filled_at = ExpressionWrapper(later, output_field=DateTimeField())
        self._limits(kind, [value]).update(tokens=allowance.tokens, filled_at=filled_at)

    def _limits(self, kind: LimitKind, values: Iterable[str]) -> QuerySet[Limit]:
        rows = Limit._base_manager.using(self.alias)
        return rows.filter(kind=kind, value__in=sorted(values))


def allowances(
    quotas: Mapping[str, Quota], rows: Mapping[str, Bucket], held: Mapping[str, int]
) -> dict[str, Allowance]:
    """Return how many more may start of each whose row is among the locked *rows*."""
    found = {}
    for value, (tokens, elapsed) in rows.items():
        quota = quotas[value]
        left = [MOST if quota.concurrency is None else quota.concurrency - held[value]]
        bucket = None
        if quota.rate is not None:
            bucket = quota.tokens(tokens, elapsed)
            left.append(int(bucket + SLACK))
        found[value] = Allowance(max(min(left), 0), bucket, elapsed)
    return found


def left_of(
    demand: Demand, allowed: Mapping[str, Allowance], exchange: Exchange
) -> dict[str, int]:
    """Return how many more of each limited queue may start."""
    started = Counter(each.queue for each in exchange.started)
    return {
        queue: allowed[queue].left - started[queue] if queue in allowed else 0
        for queue in demand.quotas or ()
    }


def cut(turns: Iterable[Turn], left: dict[str, int]) -> Iterable[Turn]:
    """Yield *turns* with no more of each queue than is *left* of it, all turns together."""
    for turn in turns:
        ranges = []
        for each in turn.ranges:
            most = min(each.limit, left.get(each.queue, each.limit))
            if each.queue in left:
                left[each.queue] -= most
            if most:
                ranges.append(Range(each.queue, each.partition, most))
        if ranges:
            yield Turn(tuple(ranges), turn.limit)


def shut_until_token(
    until: dict[str, float], value: str, quota: Quota, allowance: Allowance
) -> bool:
    """Say whether the bucket of *value* is empty, and if so note in *until* when it is not."""
    tokens = allowance.tokens
    if tokens is None or tokens + SLACK >= 1:
        return False
    until[value] = (1 - tokens) * quota.pause
    return True

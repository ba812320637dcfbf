"""Limits that hold over all hosts: who takes a limited queue locks its row, and counts.

There is no counter of what runs that could leak: whatever ends a record, or rescues it, frees
its place. The count is a statement of its own after the lock, so it sees what every holder of
the lock before has committed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F, Value

from django_jobflow.attempts import Demand, Exchange, Range, Turn
from django_jobflow.engines.ranging import Ranging
from django_jobflow.models import Limit, LimitKind
from django_jobflow.quotas import SLACK, Quota

if TYPE_CHECKING:
    from django.db.models import QuerySet

BUSY = 0.005  # seconds after which to ask again for a row that another had locked
FULL = 0.05  # seconds after which to ask again where all places are taken, unless one is told


@dataclass(slots=True)
class Allowance:
    """How many more records of one queue may start.

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

    def _within_quotas(
        self, demand: Demand, exchange: Exchange, now: datetime | None
    ) -> tuple[Demand, dict[str, Allowance]]:
        """Return *demand* cut to what its quotas leave.

        Database:
            One SELECT that locks the rows of the quotas but for those that another has locked,
            and one that counts what is held, along the index over what is held.
        """
        quotas = demand.quotas or {}
        allowed = self._allowances(quotas, now)
        for queue, quota in quotas.items():
            if queue not in allowed:
                exchange.out_of_tokens[queue] = BUSY
            elif not allowed[queue].left and not _shut_until_token(
                exchange, queue, quota, allowed
            ):
                exchange.full[queue] = FULL
        left = {queue: allowed[queue].left if queue in allowed else 0 for queue in quotas}
        turns = tuple(cut(demand.turns or (), left))
        return replace(demand, turns=turns, quotas=None), allowed

    def _allowances(
        self, quotas: Mapping[str, Quota], now: datetime | None
    ) -> dict[str, Allowance]:
        rows = self._lock_limits(quotas, now)
        held = self._held_counts([queue for queue in rows if quotas[queue].concurrency])
        found = {}
        for queue, (tokens, elapsed) in rows.items():
            quota = quotas[queue]
            left = [] if quota.concurrency is None else [quota.concurrency - held[queue]]
            bucket = None
            if quota.rate is not None:
                bucket = quota.tokens(tokens, elapsed)
                left.append(int(bucket + SLACK))
            found[queue] = Allowance(max(min(left), 0), bucket, elapsed)
        return found

    def _lock_limits(
        self, quotas: Iterable[str], now: datetime | None
    ) -> dict[str, tuple[float | None, timedelta | None]]:
        """Lock the rows of *quotas*; return what is in each bucket, and since when."""
        elapsed = ExpressionWrapper(self.clock(now) - F("filled_at"), DurationField())
        rows = self._limits(quotas).order_by("value")
        if self.locks_rows:
            # A wait would hold up the other queues of this worker behind the limited one.
            skips = self.connection.features.has_select_for_update_skip_locked
            rows = rows.select_for_update(skip_locked=skips)
        found = rows.values_list("value", "tokens", elapsed)
        return {value: (tokens, passed) for value, tokens, passed in found}

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
            if allowance.tokens is None or not started[queue]:
                continue
            allowance.tokens -= started[queue]
            filled_at = self.clock(now)
            if allowance.elapsed is not None:
                # Not the clock, which has gone on since the bucket was looked into.
                since = max(allowance.elapsed, timedelta(0))
                later = F("filled_at") + Value(since, output_field=DurationField())
                filled_at = ExpressionWrapper(later, output_field=DateTimeField())
            self._limits([queue]).update(tokens=allowance.tokens, filled_at=filled_at)
            _shut_until_token(exchange, queue, quotas[queue], allowed)

    def _limits(self, queues: Iterable[str]) -> QuerySet[Limit]:
        rows = Limit._base_manager.using(self.alias)
        return rows.filter(kind=LimitKind.QUEUE, value__in=sorted(queues))


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


def _shut_until_token(
    exchange: Exchange, queue: str, quota: Quota, allowed: Mapping[str, Allowance]
) -> bool:
    """Say whether the bucket of *queue* is empty, and if so when it will not be."""
    tokens = allowed[queue].tokens
    if tokens is None or tokens + SLACK >= 1:
        return False
    exchange.out_of_tokens[queue] = (1 - tokens) * quota.pause
    return True

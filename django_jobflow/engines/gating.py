"""Holding back the records of a job that is paused or limited by its name.

They are reserved like any other, are not started, and are parked at once: WAITING, outside of
the fetch, so that it comes to the work behind them. From there they are admitted in order, as
the limit of the job lets them. Who admits locks the row of the limit, and counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import F, Q

from django_jobflow.attempts import (
    RESERVATION_FIELDS,
    Demand,
    Exchange,
    Gate,
    Reservation,
    Scope,
)
from django_jobflow.engines.ground import FREED, SWEEP_BATCH, before
from django_jobflow.engines.limiting import (
    BUSY,
    FULL,
    Allowance,
    Limiting,
    allowances,
    shut_until_token,
)
from django_jobflow.engines.reserving import Reserving
from django_jobflow.engines.statements import in_order
from django_jobflow.models import JobRecord, LimitKind
from django_jobflow.models.querysets import OF_ANY_QUEUE, RESERVE_ORDER
from django_jobflow.states import JobState

FEW = 4  # records to park in one look, above which more are looked for at once
AHEAD = 1000  # rows at the head of each range among which they are


class Gating(Reserving, Limiting):
    """What the cycle of a worker does with the gates of a demand.

    Attributes:
        by_lease: What has the planner take the index of what is held, where it has to be told.
    """

    by_lease = ""

    def _park(self, demand: Demand, exchange: Exchange, now: datetime | None) -> bool:
        """Let what was reserved of gated jobs wait for its turn; say whether there was some.

        Database:
            One UPDATE for each job of which there is some. Where there is much, one SELECT
            for each range of the demand, and for each job one SELECT and one UPDATE more.
        """
        gate_of = {name: gate.name for gate in demand.gates for name in gate.names}
        parked = Counter(gate_of[each.name] for each in exchange.held if each.name in gate_of)
        if not parked:
            return False
        for gate in parked:
            theirs = [each for each in exchange.held if gate_of.get(each.name) == gate]
            self._held(theirs, {JobState.RESERVED}).update(
                state=JobState.WAITING, parked_for=gate, updated_at=self.clock(now), **FREED
            )
        exchange.held = [each for each in exchange.held if each.name not in gate_of]
        if parked.total() > FEW:
            parked += self._park_ahead(demand, gate_of, now)
        exchange.parked = dict(parked)
        return True

    def _park_ahead(
        self, demand: Demand, gate_of: Mapping[str, str], now: datetime | None
    ) -> Counter[str]:
        """Park what else of them is at the head of the ranges, without reserving it first."""
        ids: dict[str, list[int]] = {}
        for condition in _ranges(demand):
            rows = self.records.filter(condition, state=JobState.AVAILABLE)
            for pk, name in rows.order_by(*RESERVE_ORDER).values_list("pk", "name")[:AHEAD]:
                if name in gate_of:
                    ids.setdefault(gate_of[name], []).append(pk)
        parked: Counter[str] = Counter()
        for gate, theirs in ids.items():
            rows = self.named(theirs, state=JobState.AVAILABLE).order_by("pk")
            locked = list(self.locked(rows, skip=True).values_list("pk", flat=True))
            parked[gate] = self.named(locked, state=JobState.AVAILABLE).update(
                state=JobState.WAITING, parked_for=gate, updated_at=self.clock(now)
            )
        return parked

    def _admit(
        self,
        demand: Demand,
        limit: int,
        budgets: dict[str, int],
        exchange: Exchange,
        now: datetime | None,
    ) -> None:
        """Start parked records, as many as the limits of their jobs let through.

        Args:
            budgets: How many of a queue at most, where that is limited.

        Database:
            One SELECT that locks the rows of the limits, but for those that another has locked,
            and one that counts what is held. For each job that may start any, two for each
            queue of it and one more; one UPDATE each to reserve and start what is found, and
            one for a rate.
        """
        gates = {
            gate.name: gate
            for gate in demand.gates
            if gate.asks and (gate.has_parked or gate.name in exchange.parked)
        }
        quotas = {name: gate.quota for name, gate in gates.items() if gate.quota is not None}
        if not quotas or limit <= 0:
            return
        rows = self._lock_limits(LimitKind.JOB, quotas, now)
        counted = [gates[name] for name in rows if quotas[name].concurrency]
        allowed = allowances(quotas, rows, self._held_of_gates(counted))
        for name, quota in quotas.items():
            if name not in allowed:
                exchange.gates_without_token[name] = BUSY
                continue
            allowance = allowed[name]
            room = min(allowance.left, limit)
            started = self._start_parked(name, demand, room, budgets, exchange, now)
            limit -= started
            if started and allowance.tokens is not None:
                self._take_tokens(LimitKind.JOB, name, allowance, started, now)
            _note_gate(exchange, name, quota, allowance, started)
            if limit <= 0:
                break

    def _start_parked(
        self,
        gate: str,
        demand: Demand,
        limit: int,
        budgets: dict[str, int],
        exchange: Exchange,
        now: datetime | None,
    ) -> int:
        if limit <= 0:
            return 0
        found, is_cut = self._first_parked(gate, demand.scope, limit, budgets, now)
        if len(found) < limit:
            (exchange.cut_gates if is_cut else exchange.empty_gates).add(gate)
        if not found:
            return 0
        moment = self.clock(now)
        self.named([each.id for each in found], state__in=before("admit")).update(
            state=JobState.RESERVED,
            parked_for=None,
            reserved_by=demand.worker,
            reserved_at=moment,
            reserved_count=F("reserved_count") + 1,
            expires=self.clock(now, demand.timeout),
            updated_at=moment,
        )
        for reservation in found:
            reservation.worker = demand.worker
            reservation.reserved_count += 1
        started = self.start(found, lease=demand.lease, now=now)
        exchange.started += started
        return len(started)

    def _first_parked(
        self,
        gate: str,
        scope: Scope,
        limit: int,
        budgets: dict[str, int],
        now: datetime | None,
    ) -> tuple[list[Reservation], bool]:
        """Lock and return the first of those that wait for *gate*, within the *budgets*.

        Returns:
            Them, and whether the budgets may have left some out.
        """
        found: list[Reservation] = []
        is_cut = False
        parked = self._parked_in(gate, scope).filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=self.clock(now))
        )
        for queue in filter(scope.has_queue, self._skip_parked("queue", gate)):
            most = min(limit, budgets.get(queue, limit))
            is_cut = is_cut or most < limit
            if most > 0:
                rows = parked.filter(queue=queue).order_by(*RESERVE_ORDER)
                locked = self.locked(rows, skip=True).values_list(*RESERVATION_FIELDS)[:most]
                found += [Reservation(*row) for row in locked]
        found = sorted(found, key=in_order)[:limit]
        for each in found:
            if each.queue in budgets:
                budgets[each.queue] -= 1
        return found, is_cut

    def _parked_in(self, gate: str, scope: Scope) -> models.QuerySet[JobRecord]:
        """Return the query of what waits for *gate* in the partitions of *scope*."""
        parked = self.records.filter(state=JobState.WAITING, parked_for=gate)
        if scope.partitions is not None:
            parked = parked.filter(partition__in=scope.partitions)
        if scope.but_partitions:
            parked = parked.exclude(partition__in=sorted(scope.but_partitions))
        return parked

    def _held_of_gates(self, gates: Sequence[Gate]) -> dict[str, int]:
        """Return how many records of each gate some worker holds."""
        gate_of = {name: gate.name for gate in gates for name in gate.names}
        if not gate_of:
            return {}
        marks = ", ".join("%s" for _ in gate_of)
        # The states as literals: a planner takes a partial index for nothing else.
        statement = (
            f"SELECT name, COUNT(*) FROM {self._table} {self.by_lease} "
            f"WHERE state IN ('RESERVED', 'IN_PROGRESS') AND name IN ({marks}) GROUP BY name"
        )
        held = dict.fromkeys((gate.name for gate in gates), 0)
        for name, count in self._returned(statement, [*gate_of]):
            held[gate_of[name]] += count
        return held

    # What nothing holds back any more

    def parked_gates(self) -> list[str]:
        """Return the names of the jobs for which records are parked, in order.

        Database:
            One statement, and one for each name.
        """
        return list(self._skip_parked("parked_for"))

    def has_parked(self, gate: str, scope: Scope) -> bool:
        """Say whether records wait for *gate* in a queue and partition of *scope*."""
        parked = self._parked_in(gate, scope)
        return any(
            parked.filter(queue=queue).exists()
            for queue in filter(scope.has_queue, self._skip_parked("queue", gate))
        )

    def unpark(self, gates: Collection[str], now: datetime | None = None) -> int:
        """Make up to 1,000 records that are parked for *gates* AVAILABLE; return how many.

        Database:
            One SELECT that locks the rows and one UPDATE.
        """
        with self.transaction():
            parked = self.records.filter(state__in=before("unpark"), parked_for__in=sorted(gates))
            locked = self.locked(parked.order_by(), skip=True)
            ids = list(locked.values_list("pk", flat=True)[:SWEEP_BATCH])
            if not ids:
                return 0
            changed = self.records.filter(pk__in=ids).update(
                state=JobState.AVAILABLE, parked_for=None, updated_at=self.clock(now)
            )
        return changed

    def _skip_parked(self, column: str, *gate: str) -> Iterator[str]:
        of_gate = "parked_for IS NOT NULL" + (" AND parked_for = %s" if gate else "")
        return self._each_value(column, f"FROM {self._table} WHERE {of_gate}", *gate)


def _ranges(demand: Demand) -> Iterator[Q]:
    """Yield what *demand* takes from, a condition for each index range."""
    if demand.turns is not None:
        for turn in demand.turns:
            for each in turn.ranges:
                yield Q(queue=each.queue, partition=each.partition)
    elif demand.queues is None:
        yield OF_ANY_QUEUE
    else:
        for queue in demand.queues:
            yield Q(queue=queue, partition="")


def _note_gate(
    exchange: Exchange, name: str, quota: Any, allowance: Allowance, started: int
) -> None:
    """Say when to ask for more of a gate."""
    if shut_until_token(exchange.gates_without_token, name, quota, allowance):
        return
    if started >= allowance.left:
        exchange.full_gates[name] = FULL

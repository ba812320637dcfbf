"""One cycle of a worker: hand in ends, and take new work, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from django_jobflow.attempts import Demand, Ending, Exchange, Reservation, is_nothing
from django_jobflow.engines.gating import Gating
from django_jobflow.engines.limiting import Allowance, cut, left_of
from django_jobflow.engines.settling import Settling


class Exchanging(Gating, Settling):
    """The verb of the coordinator."""

    def exchange(
        self,
        endings: Sequence[Ending],
        demands: Sequence[Demand] = (),
        limit: int = 0,
        now: datetime | None = None,
    ) -> Exchange:
        """Write the ends of attempts, then reserve and start what is next.

        Args:
            endings: Settled as ``settle`` does.
            demands: From where to take, first things first.
            limit: How many to take from all of them together.

        Database:
            What ``settle`` costs, and for each demand one UPDATE on SQLite, one SELECT and
            one UPDATE on MariaDB and MySQL, ``reserve`` and ``start`` the common way. On
            PostgreSQL one statement for all, also where successes free execution keys; there
            MariaDB and MySQL take one SELECT and one UPDATE more, and SQLite three. One look
            more on each where nobody waited for one of these keys. Quotas cost a SELECT that
            locks their rows, one that counts, and an UPDATE for each rate; gates what ``_park``
            and ``_admit`` say.
        """
        self._set_up_session()
        with self.transaction():
            exchange = Exchange(written=self._settle(endings, now) if endings else set())
            for demand in demands:
                room = min(demand.limit, limit - len(exchange.started) - len(exchange.held))
                if room > 0 and (demand.quotas or demand.gates):
                    self._take_limited(demand, room, exchange, now)
                elif room > 0:
                    self._take(demand, room, exchange, now)
        return exchange

    def _take_limited(
        self, demand: Demand, limit: int, exchange: Exchange, now: datetime | None
    ) -> None:
        allowed = self._allowed(demand, exchange, now) if demand.quotas else {}
        before = len(exchange.started)
        # What is parked gets half of the room, and of an odd one in turn the larger half: so
        # neither side waits for the other to have nothing left.
        share = (limit + demand.gates_first) // 2
        self._admit_within(demand, share, allowed, exchange, now)
        room = limit - (len(exchange.started) - before)
        rest = demand
        if demand.quotas:
            turns = cut(demand.turns or (), left_of(demand, allowed, exchange))
            rest = replace(demand, turns=tuple(turns))
        if room > 0 and not is_nothing(rest.queues, rest.turns):
            self._take(rest, room, exchange, now)
        self._park_and_admit(demand, before + limit, allowed, exchange, now)
        self._spend(demand.quotas or {}, allowed, exchange, now)

    def _park_and_admit(
        self,
        demand: Demand,
        limit: int,
        allowed: Mapping[str, Allowance],
        exchange: Exchange,
        now: datetime | None,
    ) -> None:
        """Park what was not to be started, and start of it what may, up to *limit* in all."""
        if demand.gates and self._park(demand, exchange, now):
            room = limit - len(exchange.started) - len(exchange.held)
            self._admit_within(demand, room, allowed, exchange, now)

    def _admit_within(
        self,
        demand: Demand,
        limit: int,
        allowed: Mapping[str, Allowance],
        exchange: Exchange,
        now: datetime | None,
    ) -> None:
        """Start parked records within the quotas of their queues, too."""
        if not demand.gates:
            return
        budgets = dict(demand.scope.budgets)
        for queue, left in left_of(demand, allowed, exchange).items():
            budgets[queue] = min(left, budgets.get(queue, left))
        self._admit(demand, limit, budgets, exchange, now)

    def _take(self, demand: Demand, limit: int, exchange: Exchange, now: datetime | None) -> None:
        found = self._reserve(
            limit, demand.worker, demand.queues, demand.turns, demand.timeout, now
        )
        if not found:
            return
        moment = self._moment_for(found, now)
        able = [each for each in found if is_for(demand, each, moment)]
        started = self.start(able, lease=demand.lease, now=now) if able else []
        ours = {each.id for each in started}
        able_ids = {each.id for each in able}
        exchange.started += started
        exchange.held += [each for each in found if each.id not in able_ids]
        exchange.lost += [each for each in able if each.id not in ours]

    def _moment_for(self, found: Iterable[Reservation], now: datetime | None) -> datetime | None:
        """Return what time it is, if any that was *found* may be too late."""
        return self.now(now) if any(each.expires_at is not None for each in found) else None


def is_for(demand: Demand, reservation: Reservation, moment: datetime | None) -> bool:
    """Say whether the worker of *demand* may start *reservation* at *moment*."""
    expires_at = reservation.expires_at
    if expires_at is not None and moment is not None and expires_at <= moment:
        return False
    return reservation.name in demand.names

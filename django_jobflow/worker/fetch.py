"""From which queues and partitions to reserve, and how many from each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import timedelta

from django_jobflow import conf
from django_jobflow.attempts import Demand, Exchange, Reservation, Scope, Turn
from django_jobflow.engines import Engine
from django_jobflow.engines.controlling import Controls, Named
from django_jobflow.engines.ground import SWEEP_BATCH
from django_jobflow.engines.ranging import Lanes
from django_jobflow.engines.waking import Glance
from django_jobflow.quotas import Quota
from django_jobflow.worker.gates import Gates
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.shutters import Shutters
from django_jobflow.worker.turns import Turns

FRESH = 1.0  # seconds for which what an operator has said is known well enough
SOON = 0.005  # seconds after which to ask for a token again at the earliest
LIST_SHARE = 20  # looking for partitions may take a part of the time that is one in so many
PARTITIONS_SHARE = 100  # the same where all queues are looked through for that
IN_USE = 5.0  # seconds for which a job of a partition tells that there are others


class Fetch:
    """Says what one process may take, within its options, the settings and what operators say.

    Args:
        engine: The database.
        options: Those of the process.
    """

    def __init__(self, engine: Engine, options: WorkerOptions) -> None:
        settings = conf.current()
        self.engine = engine
        self.options = options
        self.lease = settings.LEASE
        self.timeout = settings.RESERVATION_TIMEOUT
        self.limits = {
            name: queue.concurrency
            for name, queue in settings.QUEUES.items()
            if queue.concurrency is not None
        }
        if not isinstance(settings.EXECUTOR, str):
            # Short jobs are started ahead of the slots, and would be with an executor, too.
            served = filter(self.serves, settings.EXECUTOR)
            self.limits = dict.fromkeys(served, options.threads) | self.limits
        self.declared = {
            name: queue.quota for name, queue in settings.QUEUES.items() if not queue.quota.is_open
        }
        self.controls = Controls()
        self.quotas: dict[str, Quota] = {}
        self._pause = min(settings.POLL_INTERVAL, timedelta(seconds=FRESH)).total_seconds()
        self._known_until = 0.0
        self._turns = Turns()
        self._lanes: Lanes = []
        self._listed_until = 0.0
        self._partitions_until = 0.0
        self._partitions_spent = 0.0
        self._found_partitions = False
        # From all queues, jobs of a partition are fetched anyway, if not in fair turns; from
        # some, only once it is known that there are any.
        self._share = PARTITIONS_SHARE if options.queues is None else LIST_SHARE
        self._is_list_new = True
        self._shutters = Shutters()
        self._ended: Counter[str] = Counter()
        self._has_room = False
        self.gates = Gates()
        self._gates_first = False
        self._released: set[str] = set()
        self._rated_at: dict[str, float] = {}
        self._has_learnt = False

    # What operators say

    @property
    def is_outdated(self) -> bool:
        """Whether operators may have said something else since ``learn``."""
        return time.monotonic() >= self._known_until

    def learn(self, glance: Glance) -> None:
        """Read what operators have said, if *glance* has seen any of it.

        Database:
            None but for those who use it: two statements for pauses and limits, and on MariaDB
            one for each queue that has work. One INSERT for limits that are new in the settings.
        """
        partitions = glance.elsewhere and self._has_partitions()
        self.controls = (
            self.engine.controls(partitions=partitions)
            if glance.controlled
            else Controls(partitions=partitions)
        )
        quotas = self.declared | self.controls.limits_of("queue")
        quotas = {name: quota for name, quota in quotas.items() if not quota.is_open}
        self._prepare({("queue", name) for name in quotas})
        if quotas != self.quotas:
            self._shutters.clear()
        self.quotas = quotas
        self._known_until = time.monotonic() + self._pause
        self._learn_gates(glance)
        rated = [key for key, quota in self.controls.limits_of("key").items() if quota.rate]
        self._rated_at = {key: self._rated_at.get(key, 0.0) for key in rated}
        self._listed_until = 0.0

    def _has_partitions(self) -> bool:
        """Say whether there was work in another partition when that was last looked for."""
        if (now := time.monotonic()) >= self._partitions_until:
            self._found_partitions = self.engine.has_partitions(self.options.queues)
            ended = time.monotonic()
            spent, self._partitions_spent = self._partitions_spent, ended - now
            # By the shorter of two: one may have taken long by accident.
            self._partitions_until = ended + self._share * min(spent, ended - now)
        return self._found_partitions

    def _learn_gates(self, glance: Glance) -> None:
        self._released |= self.gates.learn(self.controls, waits=glance.sweeps)
        self._prepare({("job", name) for name, quota in self.gates.quotas.items() if quota})
        if not self._has_learnt and glance.sweeps:
            self.release_forgotten()
        self._has_learnt = True
        if self._released:
            self._unpark()

    def _prepare(self, limited: set[Named]) -> None:
        """See that there are the rows to lock, also if somebody has deleted some."""
        if new := limited - self.controls.rows:
            self.engine.prepare_limits(new)

    def tend_keys(self) -> float | None:
        """Give turns to those who wait for a key with a rate, as it has tokens again.

        Returns:
            In how many seconds to do it again; None means that there is no such key.

        Database:
            What ``promote_key`` costs, for each such key that is due.
        """
        if not self._rated_at:
            return None
        now = time.monotonic()
        for key, due_at in self._rated_at.items():
            if due_at <= now:
                pause = self.engine.promote_key(key)
                self._rated_at[key] = now + (FRESH if pause is None else max(pause, SOON))
        return max(min(self._rated_at.values()) - now, 0.0)

    def release_forgotten(self) -> None:
        """Let go what was parked for jobs that nothing holds back any more.

        Database:
            One statement, and one for each job for which something is parked; one more if
            this process does not know one of these.
        """
        known, unknown = self.gates.forgotten(self.engine.parked_gates())
        self._released |= known
        if unknown:
            self._released |= unknown - self.engine.known_names()

    def _unpark(self) -> None:
        self._released -= self.gates.quotas.keys()
        count = self.engine.unpark(self._released) if self._released else 0
        if count:
            self.engine.wake()
        if count < SWEEP_BATCH:
            self._released.clear()
        else:
            self._known_until = 0.0  # the next look is for more of them

    def serves(self, queue: str, partition: str | None = None) -> bool:
        """Say whether this process takes work from *queue*, in *partition* if one is given."""
        named, partitions = self.options.queues, self.options.partitions
        if queue in self.options.exclude or (named is not None and queue not in named):
            return False
        return partition is None or partitions is None or partition in partitions

    def _may_take(self, queue: str, partition: str) -> bool:
        pauses = self.controls.pauses
        return self.serves(queue, partition) and not (
            pauses("queue", queue) or pauses("partition", partition)
        )

    def has_work(self) -> bool:
        """Say whether something waits that this process could take, now or later.

        Database:
            One statement on PostgreSQL and SQLite.
        """
        self._partitions_until = 0.0  # what waits may be in one that has just come up
        # First, since they may make something AVAILABLE.
        if self._released:
            self._unpark()
        pauses = [self.engine.promote_key(key) for key in self._rated_at]
        if any(self._may_take(*lane) for lane in self.engine.waiting_lanes()):
            return True
        scope = self._scope({})
        limited = [name for name, quota in self.gates.quotas.items() if quota]
        return any(pause is not None for pause in pauses) or any(
            self.engine.has_parked(name, scope) for name in limited
        )

    # What to take

    @property
    def is_plain(self) -> bool:
        """Whether all that waits on the queues of this process may be taken as it comes."""
        return not (
            self.limits
            or self.quotas
            or self.options.exclude
            or self.options.partitions is not None
            or self.controls.partitions
            or self.controls.paused
        )

    def demands(self, limit: int, running: Counter[str]) -> list[Demand]:
        """Return from where to take up to *limit* records.

        Args:
            running: How many of each queue this process has already.

        Database:
            One statement that lists the queues and partitions with work, unless all may be
            taken as it comes.
        """
        if self.is_plain:
            return [self._demand(limit, {}, queues=self.options.queues)]
        now = time.monotonic()
        budgets = {queue: most - running[queue] for queue, most in self.limits.items()}
        budgets |= dict.fromkeys(self._shutters.shut_names(now), 0)
        turns = self._turns.share(self._waiting(now), limit, budgets)
        demand = self._demand(limit, budgets, turns=turns)
        asks = demand.admits
        named = {each.queue for turn in turns for each in turn.ranges}
        if asks:
            named |= {queue for queue in self.quotas if budgets.get(queue, 1) > 0}
        quotas = {queue: self.quotas[queue] for queue in sorted(named & self.quotas.keys())}
        return [replace(demand, quotas=quotas or None)] if turns or asks else []

    def _waiting(self, now: float) -> Lanes:
        self._is_list_new = now >= self._listed_until
        if self._is_list_new:
            lanes = self.engine.waiting_lanes(self.options.queues)
            self._lanes = [lane for lane in lanes if self._may_take(*lane)]
            ended = time.monotonic()
            self._listed_until = ended + LIST_SHARE * (ended - now)
        return self._lanes

    def _demand(self, limit: int, budgets: dict[str, int], **where: object) -> Demand:
        if self.gates:
            self._gates_first = not self._gates_first
            where |= {
                "gates": self.gates.asked(),
                "gates_first": self._gates_first,
                "scope": self._scope(budgets),
            }
        return Demand(
            worker=self.options.name,
            limit=limit,
            names=self.gates.names(),
            lease=self.lease,
            timeout=self.timeout,
            **{"queues": None} | where,  # type: ignore[arg-type]
        )

    def _scope(self, budgets: dict[str, int]) -> Scope:
        paused = self.controls.paused
        queues, partitions = self.options.queues, self.options.partitions
        return Scope(
            queues=queues and tuple(queues),
            but_queues=frozenset(self.options.exclude)
            | {value for kind, value in paused if kind == "queue"},
            partitions=partitions and tuple(partitions),
            but_partitions=frozenset(value for kind, value in paused if kind == "partition"),
            budgets=budgets,
        )

    # What came of it

    def took(self, demands: Iterable[Demand], exchange: Exchange) -> bool:
        """Take in what was found; say whether there is more where something was left out."""
        self._shutters.shut(exchange.full, exchange.out_of_tokens)
        demands = list(demands)
        if not self.controls.partitions and any(each.partition for each in exchange.started):
            self._found_partitions = True
            self._partitions_until = time.monotonic() + IN_USE
            self.controls = replace(self.controls, partitions=True)
        gates = [gate for demand in demands for gate in demand.gates]
        more_parked = bool(gates) and self.gates.took(gates, exchange)
        turns = [turn for demand in demands for turn in demand.turns or ()]
        return self._took_turns(turns, exchange) or more_parked or bool(exchange.parked)

    def _took_turns(self, turns: list[Turn], exchange: Exchange) -> bool:
        if not turns:
            return False
        found = Counter(each.partition for each in (*exchange.started, *exchange.held))
        short = [turn for turn in turns if found[turn.ranges[0].partition] < turn.limit]
        if short:
            self._listed_until = 0.0
            return len(short) < len(turns) or self._turns.left_out or not self._is_list_new
        return False

    def opens_in(self) -> float | None:
        """Return after how many seconds to look for what had no token; None means never."""
        pauses = [self._shutters.opens_in(), self.gates.opens_in() if self.gates else None]
        return min((pause for pause in pauses if pause is not None), default=None)

    def note_end(self, reservation: Reservation) -> None:
        """Take in that a record has ended here, so that its place is free."""
        if reservation.queue in self.quotas:
            self._ended[reservation.queue] += 1
            self._shutters.open(reservation.queue)
        if reservation.queue in self.quotas or reservation.queue in self.limits:
            self.gates.note_room()
            self._has_room = True
        if self.gates:
            self.gates.note_end(reservation)

    @property
    def has_freed(self) -> bool:
        """Whether places under a limit have become free here since the last ``freed``."""
        return bool(self._ended or self.gates.freed or self._has_room)

    def freed(self, exchange: Exchange) -> list[str]:
        """Return the queues with places that this process has freed and not taken."""
        self._has_room = False
        if not self.has_freed:
            return []
        taken = Counter(each.queue for each in (*exchange.started, *exchange.held))
        freed = [queue for queue, count in self._ended.items() if taken[queue] < count]
        self._ended.clear()
        return sorted({*freed} | self.gates.left_over(exchange))

    def hear(self, queues: Collection[str] | None) -> None:
        """Take in that there is work, or room for some, on *queues* (None: on any)."""
        self._listed_until = 0.0
        self.gates.hear()
        if queues is None:
            self._shutters.open_full()
        else:
            for queue in queues:
                self._shutters.open(queue)

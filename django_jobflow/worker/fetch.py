"""From which queues and partitions to reserve, and how many from each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import timedelta

from django_jobflow import conf
from django_jobflow.attempts import Demand, Exchange
from django_jobflow.declare import registry
from django_jobflow.engines import Engine
from django_jobflow.engines.controlling import Controls
from django_jobflow.engines.ranging import Lanes
from django_jobflow.engines.waking import Glance
from django_jobflow.quotas import Quota
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.turns import Turns

FRESH = 1.0  # seconds for which what an operator has said is known well enough
LIST_SHARE = 20  # listing the partitions may take a part of the time that is one in so many


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
        self.declared = {
            name: queue.quota for name, queue in settings.QUEUES.items() if not queue.quota.is_open
        }
        self.controls = Controls()
        self.quotas: dict[str, Quota] = {}
        self._pause = min(settings.POLL_INTERVAL, timedelta(seconds=FRESH)).total_seconds()
        self._known_until = 0.0
        self._prepared: set[str] = set()
        self._turns = Turns()
        self._lanes: Lanes = []
        self._listed_until = 0.0
        self._is_list_new = True
        self._shut_until: dict[str, float] = {}
        self._opens_at: dict[str, float] = {}
        self._ended: Counter[str] = Counter()

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
        partitions = glance.elsewhere and self.engine.has_partitions()
        self.controls = (
            self.engine.controls(partitions=partitions)
            if glance.controlled
            else Controls(partitions=partitions)
        )
        quotas = self.declared | self.controls.limits_of("queue")
        quotas = {name: quota for name, quota in quotas.items() if not quota.is_open}
        if new := quotas.keys() - self._prepared:
            self.engine.prepare_limits({("queue", name) for name in new})
            self._prepared |= new
        if quotas != self.quotas:
            self._shut_until.clear()
            self._opens_at.clear()
        self.quotas = quotas
        self._known_until = time.monotonic() + self._pause
        self._listed_until = 0.0

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
        return any(self._may_take(*lane) for lane in self.engine.waiting_lanes())

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
            return [self._demand(limit, queues=self.options.queues)]
        now = time.monotonic()
        budgets = {queue: most - running[queue] for queue, most in self.limits.items()}
        shut = self._shut_until | self._opens_at
        budgets |= {queue: 0 for queue, until in shut.items() if until > now}
        turns = self._turns.share(self._waiting(now), limit, budgets)
        named = {each.queue for turn in turns for each in turn.ranges}
        quotas = {queue: self.quotas[queue] for queue in sorted(named & self.quotas.keys())}
        return [self._demand(limit, turns=turns, quotas=quotas or None)] if turns else []

    def _waiting(self, now: float) -> Lanes:
        self._is_list_new = now >= self._listed_until
        if self._is_list_new:
            lanes = self.engine.waiting_lanes(self.options.queues)
            self._lanes = [lane for lane in lanes if self._may_take(*lane)]
            ended = time.monotonic()
            self._listed_until = ended + LIST_SHARE * (ended - now)
        return self._lanes

    def _demand(self, limit: int, **where: object) -> Demand:
        return Demand(
            worker=self.options.name,
            limit=limit,
            names=registry.names(),
            lease=self.lease,
            timeout=self.timeout,
            **{"queues": None} | where,  # type: ignore[arg-type]
        )

    # What came of it

    def took(self, demands: Iterable[Demand], exchange: Exchange) -> bool:
        """Take in what was found; say whether there is more where something was left out."""
        now = time.monotonic()
        self._shut_until |= {queue: now + pause for queue, pause in exchange.full.items()}
        self._opens_at |= {queue: now + pause for queue, pause in exchange.out_of_tokens.items()}
        turns = [turn for demand in demands for turn in demand.turns or ()]
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
        now = time.monotonic()
        self._opens_at = {queue: at for queue, at in self._opens_at.items() if at > now}
        return min(self._opens_at.values()) - now if self._opens_at else None

    def note_end(self, queue: str) -> None:
        """Take in that a record of *queue* has ended here, so that its place is free."""
        if queue in self.quotas:
            self._ended[queue] += 1
            self._shut_until.pop(queue, None)

    def freed(self, exchange: Exchange) -> list[str]:
        """Return the limited queues with places that this process has freed and not taken."""
        if not self._ended:
            return []
        taken = Counter(each.queue for each in (*exchange.started, *exchange.held))
        freed = [queue for queue, count in self._ended.items() if taken[queue] < count]
        self._ended.clear()
        return freed

    def hear(self, queues: Collection[str] | None) -> None:
        """Take in that there is work, or room for some, on *queues* (None: on any)."""
        self._listed_until = 0.0
        for queue in [*self._shut_until] if queues is None else queues:
            self._shut_until.pop(queue, None)

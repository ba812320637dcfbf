"""How each queue is doing now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django_jobflow.engines import Engine, engine_for
from django_jobflow.engines.counting import FIRST_COLUMNS
from django_jobflow.history import EVERY_QUEUE, RUN, WAIT, Numbers, quantile
from django_jobflow.observe.counting import MOST_QUEUES, Count, Counts
from django_jobflow.observe.declared import declared_queues
from django_jobflow.observe.past import RATED, Period, rates, recent
from django_jobflow.observe.workforce import WorkerFacts, workers
from django_jobflow.service import Service
from django_jobflow.states import JobState

MOST = 5_000  # rows of each state that are counted, and of what is available, of each queue
MEASURED = 15  # minutes before now of which waiting and running times are shown
NONE = Count(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFigures:
    """How one queue is doing, or all of them together.

    Attributes:
        queue: Its name; empty stands for all.
        waiting: Jobs that are due and wait for a worker.
        running: Jobs that workers execute.
        retrying: Jobs that have failed and are to be tried again.
        scheduled: Jobs whose time has not come.
        failed: Jobs that have failed for good.
        oldest: For how many seconds the one that waits for the longest has waited.
        waits: How long jobs waited of late: the median and the 95th percentile, in seconds.
        runs: The same of how long their bodies ran.
        rate_in: Attempts a second that became due of late. None means that it is not known.
        rate_out: Attempts a second that ended of late.
        workers: Living worker processes that serve it.
        slots: How many jobs these can execute at a time.
    """

    queue: str
    waiting: Count
    running: Count
    retrying: Count
    scheduled: Count
    failed: Count
    oldest: float | None
    waits: tuple[float | None, float | None]
    runs: tuple[float | None, float | None]
    rate_in: float | None
    rate_out: float
    workers: int
    slots: int


@dataclass(frozen=True, slots=True)
class Overview:
    """How everything is doing.

    Attributes:
        total: All queues together.
        queues: Each of them, by name.
        workers: The worker processes.
        has_more_queues: Whether jobs wait in queues that are not among these.
        now: When that was, by the database's clock.
    """

    total: QueueFigures
    queues: list[QueueFigures]
    workers: list[WorkerFacts]
    has_more_queues: bool
    now: datetime


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was read."""

    by_state: Mapping[tuple[str, ...], Count]
    in_all: Mapping[tuple[str, ...], Count]
    waits: Mapping[str, float]
    past: Mapping[str, Sequence[Period]]
    workers: Sequence[WorkerFacts]
    now: datetime

    def facts(self, queue: str) -> QueueFigures:
        past = self.past.get(queue, ())
        numbers = Numbers()
        for period in past:
            numbers.update(period.numbers)
        served = [each for each in self.workers if each.is_alive and _serves(each, queue)]
        rate_in, rate_out = rates(past[-RATED:], self.now)
        return QueueFigures(
            queue=queue,
            waiting=self.count(queue, JobState.AVAILABLE),
            running=self.count(queue, JobState.IN_PROGRESS),
            retrying=self.count(queue, JobState.RETRY),
            scheduled=self.count(queue, JobState.SCHEDULED),
            failed=self.count(queue, JobState.FAILED),
            oldest=self.oldest(queue),
            waits=(quantile(numbers, WAIT, 0.5), quantile(numbers, WAIT, 0.95)),
            runs=(quantile(numbers, RUN, 0.5), quantile(numbers, RUN, 0.95)),
            rate_in=rate_in,
            rate_out=rate_out,
            workers=len(served),
            slots=sum(each.slots for each in served),
        )

    def count(self, queue: str, state: JobState) -> Count:
        if queue == EVERY_QUEUE:
            return self.in_all.get((state,), NONE)
        return self.by_state.get((queue, state), NONE)

    def oldest(self, queue: str) -> float | None:
        if queue == EVERY_QUEUE:
            return max(self.waits.values(), default=None)
        return self.waits.get(queue)


def overview(alias: str | None = None, now: datetime | None = None) -> Overview:
    """Return how each queue and each worker is doing.

    Args:
        alias: None means JOBFLOW["DATABASE"].

    Database:
        A statement for each of seven states, two for the queues with available rows and one for
        each of them, one for the past, two for the workers, and one for the clock but on SQLite;
        on MariaDB and MySQL some more for each queue with available rows. Each reads at most
        5,000 entries of an index, the rows of the last minutes, or the workers.
    """
    engine = engine_for(alias)
    moment = engine.now(now)
    waiting = engine.waiting_queues(MOST_QUEUES + 1)
    counted = waiting[:MOST_QUEUES]
    counts = Counts(
        (
            *(engine.tally_queue(queue, MOST) for queue in counted),
            *(engine.tally_state(state, MOST) for state in FIRST_COLUMNS),
        ),
        has_more_queues=len(waiting) > MOST_QUEUES,
    )
    by_state = counts.by("queue", "state")
    past = recent(MEASURED, engine.alias, moment)
    seen = _Seen(
        by_state,
        counts.by("state"),
        _waits(engine, counted, moment),
        past,
        workers(engine.alias, moment),
        moment,
    )
    queues = {queue for queue, _ in by_state} | {*past} | {*declared_queues()}
    return Overview(
        total=seen.facts(EVERY_QUEUE),
        queues=[seen.facts(queue) for queue in sorted(queues - {EVERY_QUEUE})],
        workers=list(seen.workers),
        has_more_queues=counts.has_more_queues,
        now=moment,
    )


def _waits(engine: Engine, queues: Sequence[str], now: datetime | None) -> dict[str, float]:
    """Return for how many seconds the oldest of each queue has waited, in any partition."""
    found: dict[str, float] = {}
    for (queue, _), seconds in engine.waits(queues, now).items() if queues else ():
        found[queue] = max(seconds, found.get(queue, 0.0))
    return found


def _serves(worker: WorkerFacts, queue: str) -> bool:
    service = Service(queues=worker.queues, excluded=worker.excluded)
    return queue == EVERY_QUEUE or service.serves(queue)

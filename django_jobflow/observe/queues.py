"""The queues: what waits in each, what holds it back, and who serves it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django_jobflow import conf
from django_jobflow.engines import Engine, engine_for
from django_jobflow.engines.counting import FIRST_COLUMNS, Tally
from django_jobflow.history import EVERY_QUEUE
from django_jobflow.models import LimitKind, Pause, PauseKind, Worker
from django_jobflow.observe.allowing import LimitFacts, limits
from django_jobflow.observe.counting import MOST, MOST_QUEUES, Count
from django_jobflow.observe.declared import declared_queues
from django_jobflow.observe.past import RATED, rates, recent
from django_jobflow.states import JobState

NONE = Count(0)
STILL = None, 0.0
"""The rates of a queue in which nothing has happened of late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFacts:
    """A queue, as what waits and runs in it tell of it.

    Attributes:
        counts: Jobs in each state, as far as they were counted.
        oldest: For how long the oldest available job has waited. None means that none waits.
        pause: What holds back all of it. None means that it is not paused.
        limit: What may run of it over all hosts. None means that it has no limit.
        workers: Living processes that serve it.
        slots: How many jobs these execute at a time, of all that they serve.
        rate_in: Attempts a second that became due of late. None means that it is not known.
        rate_out: Attempts a second that ended of late.
    """

    name: str
    counts: dict[JobState, Count] = field(default_factory=dict)
    oldest: timedelta | None = None
    pause: Pause | None = None
    limit: LimitFacts | None = None
    workers: int = 0
    slots: int = 0
    rate_in: float | None = None
    rate_out: float = 0.0

    def count(self, state: JobState) -> Count:
        """Return how many jobs are in *state*."""
        return self.counts.get(state, NONE)

    @property
    def has_no_worker(self) -> bool:
        """Whether jobs wait and nobody serves it."""
        return not self.workers and self.count(JobState.AVAILABLE).number > 0


@dataclass(frozen=True, slots=True)
class Queues:
    """The queues of a database.

    Attributes:
        all: Each that is declared, controlled, has jobs among those that were read, or of which
            some have ended in the last minutes.
        has_more: Whether there are queues with available jobs that were not read.
    """

    all: list[QueueFacts]
    has_more: bool = False


def queues(
    alias: str | None = None,
    most: int = MOST,
    *,
    only: str | None = None,
    now: datetime | None = None,
) -> Queues:
    """Return the queues, in the order of their names.

    Args:
        alias: None means JOBFLOW["DATABASE"].
        most: How many rows are read of each state, and of what is available, of each queue.
        only: The name of the one queue that is wanted.

    Database:
        One statement for each state, and one for each queue with available rows, which read at
        most *most* rows each along an index; one that finds those queues, and one that finds
        how long they wait, where it is not more; one for the pauses, one for the workers, one
        for the past, and up to four for the limits.
    """
    engine = engine_for(alias)
    moment = engine.now(now)
    waiting = engine.waiting_queues(MOST_QUEUES + 1) if only is None else [only]
    counted = _counts(engine, waiting[:MOST_QUEUES], most)
    pauses = {pause.value: pause for pause in engine.paused(now) if pause.kind == PauseKind.QUEUE}
    limited = {
        limit.name: limit
        for limit in limits(engine.alias, now=now)
        if limit.kind == LimitKind.QUEUE
    }
    past = recent(RATED, engine.alias, moment, only=only)
    names = {*declared_queues(), *counted, *pauses, *limited, *past} - {EVERY_QUEUE}
    oldest = _oldest(engine, waiting[:MOST_QUEUES], now)
    living = _living(engine, moment)
    rated = {name: rates(periods, moment) for name, periods in past.items()}
    found = [
        QueueFacts(
            name=name,
            counts=counted.get(name, {}),
            oldest=oldest.get(name),
            pause=pauses.get(name),
            limit=limited.get(name),
            **_served(name, living),
            rate_in=rated.get(name, STILL)[0],
            rate_out=rated.get(name, STILL)[1],
        )
        for name in (sorted(names) if only is None else [only])
    ]
    return Queues(found, has_more=len(waiting) > MOST_QUEUES)


def purgeable(
    queue: str,
    states: Collection[str],
    *,
    job: str | None = None,
    partition: str | None = None,
    alias: str | None = None,
    most: int = MOST,
) -> dict[JobState, Count]:
    """Return how many jobs ``control.purge`` would delete, by state, as far as it counts them.

    Args:
        states: Those that are wanted; a state that has no such job is there, too.
        job: Only those of the job of this name.
        partition: Only those of this partition.

    Database:
        One statement for each state; each reads at most *most* rows along an index.
    """
    engine = engine_for(alias)
    tallies = [
        engine.tally_queue(queue, most)
        if state == JobState.AVAILABLE
        else engine.tally_state(state, most)
        for state in JobState
        if state in states
    ]
    return {
        tally.state: Count(
            sum(
                count
                for its_queue, name, its_partition, count in tally.groups
                if its_queue == queue
                and job in (None, name)
                and partition in (None, its_partition)
            ),
            tally.is_cut,
        )
        for tally in tallies
        if tally.state is not None
    }


def _counts(engine: Engine, waiting: list[str], most: int) -> dict[str, dict[JobState, Count]]:
    tallies: list[Tally] = [engine.tally_queue(name, most) for name in waiting]
    tallies += [engine.tally_state(state, most) for state in FIRST_COLUMNS]
    found: dict[str, dict[JobState, Count]] = defaultdict(dict)
    for tally in tallies:
        assert tally.state is not None
        for queue, _, _, count in tally.groups:
            before = found[queue].get(tally.state, NONE)
            found[queue][tally.state] = before + Count(count, tally.is_cut)
    return found


def _oldest(engine: Engine, waiting: list[str], now: datetime | None) -> dict[str, timedelta]:
    found: dict[str, timedelta] = {}
    for (queue, _), seconds in engine.waits(waiting, now).items() if waiting else ():
        found[queue] = max(found.get(queue, timedelta(0)), timedelta(seconds=seconds))
    return found


def _living(engine: Engine, now: datetime) -> list[Worker]:
    since = now - conf.current().LEASE
    rows = Worker._base_manager.using(engine.alias).filter(heartbeat_at__gte=since)
    return list(rows.only("name", "queues", "excluded", "partitions", "threads"))


def _served(name: str, living: list[Worker]) -> dict[str, int]:
    serving = [each.threads for each in living if each.service.serves(name)]
    return {"workers": len(serving), "slots": sum(serving)}

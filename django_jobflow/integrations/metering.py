"""Counting what the processes of one worker have done, so that the counts add up.

Each process writes its own to a file in a folder that they share. The files of processes that
have ended stay, since a counter never goes back; where there are many, they are put together.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from django_jobflow.attempts import Ending, waiting_since

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
"""Seconds up to which a bucket of a histogram goes; one more has all beyond."""

MOST_FILES = 32  # of processes that have ended, before they are put together
TOGETHER = 0  # stands for the number of a process in the name of a file of several

Key = tuple[str, str, str]
"""The name of a job, its queue, and how an attempt ended."""

Series = tuple[list[int], float]
"""How many were in each bucket, and the sum of all."""


class Tally:
    """How long bodies ran and jobs waited, by key.

    Attributes:
        ran: Of each key, how long its bodies ran.
        waited: Of each key, how long its jobs waited from when they were due to their start.
    """

    def __init__(self) -> None:
        self.ran: dict[Key, Series] = {}
        self.waited: dict[Key, Series] = {}

    def add(self, key: Key, ran: float, waited: float) -> None:
        """Take in one attempt."""
        _add(self.ran, key, ran)
        _add(self.waited, key, waited)

    def merge(self, other: Tally) -> None:
        """Take in all of another."""
        for mine, its in ((self.ran, other.ran), (self.waited, other.waited)):
            for key, (counts, total) in its.items():
                before = mine.get(key, ([0] * len(counts), 0.0))
                added = [sum(pair) for pair in zip(before[0], counts, strict=True)]
                mine[key] = added, before[1] + total

    def written(self) -> dict[str, Any]:
        """Return it as plain JSON; ``read`` makes it anew."""
        return {
            name: [[*key, *series] for key, series in by_key.items()]
            for name, by_key in (("ran", self.ran), ("waited", self.waited))
        }

    @classmethod
    def read(cls, written: dict[str, Any]) -> Tally:
        """Return what ``written`` has returned."""
        tally = cls()
        for name, by_key in (("ran", tally.ran), ("waited", tally.waited)):
            for job, queue, outcome, counts, total in written[name]:
                by_key[job, queue, outcome] = counts, total
        return tally


def _add(by_key: dict[Key, Series], key: Key, value: float) -> None:
    counts, total = by_key.get(key) or ([0] * (len(BOUNDS) + 1), 0.0)
    counts[bisect_left(BOUNDS, value)] += 1
    by_key[key] = counts, total + value


class Meter:
    """What one process has done, in memory and in its file.

    Args:
        folder: Where the processes of a worker leave their files.
    """

    def __init__(self, folder: Path) -> None:
        self.tally = Tally()
        self.path = folder / f"{os.getpid()}-{secrets.token_hex(4)}.json"
        self._lock = threading.Lock()
        self._has_news = False

    def __call__(
        self, endings: Sequence[Ending], written: set[int], seconds: dict[int, float]
    ) -> None:
        """Take in what a cycle has settled."""
        now = time.time()
        with self._lock:
            for ending in endings:
                reservation = ending.reservation
                if reservation.id not in written:
                    continue
                ran = seconds.get(reservation.id, 0.0)
                since = waiting_since(reservation).timestamp()
                waited = max(now - ran - since, 0.0)
                outcome = ending.event.removeprefix("job_")
                self.tally.add((reservation.name, reservation.queue, outcome), ran, waited)
            self._has_news = True

    def write(self) -> None:
        """Write it to its file, if there is something new."""
        with self._lock:
            if not self._has_news:
                return
            self._has_news = False
            said = self.tally.written()
        _write(self.path, said)


def total(folder: Path) -> Tally:
    """Return what all processes have done together."""
    found = Tally()
    for _, said in _files(folder):
        found.merge(Tally.read(said))
    return found


def put_together(folder: Path) -> None:
    """Make one file of those of processes that have ended, once they are many.

    To be called by one process at a time. One that dies in between leaves nothing that counts
    twice: the new file says which others it has taken in.
    """
    dead = [(path, said) for path, said in _files(folder) if not _is_alive(path)]
    if len(dead) <= MOST_FILES:
        return
    found = Tally()
    for _, said in dead:
        found.merge(Tally.read(said))
    of = [path.name for path, _ in dead]
    _write(folder / f"{TOGETHER}-{secrets.token_hex(4)}.json", found.written() | {"of": of})
    for path, _ in dead:
        path.unlink(missing_ok=True)


def _files(folder: Path) -> Iterable[tuple[Path, dict[str, Any]]]:
    found: dict[Path, dict[str, Any]] = {}
    for path in folder.glob("*.json"):
        try:
            found[path] = json.loads(path.read_text())
        except FileNotFoundError:  # put together with others just now
            continue
    taken_in = {name for said in found.values() for name in said.get("of", ())}
    return [(path, said) for path, said in found.items() if path.name not in taken_in]


def _is_alive(path: Path) -> bool:
    pid = int(path.name.partition("-")[0])
    if pid == TOGETHER:
        return False
    try:
        os.kill(pid, 0)
    except OSError:  # it has ended, and its number may be that of another user's process
        return False
    return True


def _write(path: Path, said: dict[str, Any]) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(said))
    new.replace(path)

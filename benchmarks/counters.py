"""What every job body does alike: count in memory that the benchmark reads.

One file is mapped by all processes of a worker. Each takes a slot of 64-bit numbers: its process,
how many bodies it ran, when the first and the last of them ran, and samples of a time. So to
measure costs a body far less than a microsecond, and no statement.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

PATH = "BENCHMARK_COUNTERS"  # the environment variable that names the file
SLOTS = 64  # processes
SAMPLES = 4096  # of one process; later ones overwrite the first
HEAD = 4  # numbers before the samples
SIZE = SLOTS * (HEAD + SAMPLES) * 8


@dataclass(frozen=True, slots=True)
class Tally:
    """How many bodies have run, and when the first and the last did, in monotonic seconds."""

    count: int
    first: float
    last: float

    @property
    def rate(self) -> float:
        """Bodies a second between the first and the last."""
        return (self.count - 1) / (self.last - self.first) if self.last > self.first else 0.0


class Counters:
    """The benchmark's view of the file *path*, which is made anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.unlink(missing_ok=True)
        with path.open("wb") as file:
            file.truncate(SIZE)
        path.chmod(0o666)
        self.numbers = _map(path)

    def tally(self) -> Tally:
        """Sum up the slots."""
        heads = [self.numbers[at : at + HEAD] for at in range(0, SIZE // 8, HEAD + SAMPLES)]
        used = [head for head in heads if head[1]]
        if not used:
            return Tally(0, 0.0, 0.0)
        return Tally(
            sum(head[1] for head in used),
            min(head[2] for head in used) / 1e9,
            max(head[3] for head in used) / 1e9,
        )

    def samples(self) -> list[int]:
        """Return the samples of all slots, in no order."""
        found: list[int] = []
        for at in range(0, SIZE // 8, HEAD + SAMPLES):
            count = min(self.numbers[at + 1], SAMPLES)
            found += self.numbers[at + HEAD : at + HEAD + count]
        return found


class Slot:
    """One process's own place in the file."""

    def __init__(self, path: Path) -> None:
        self.numbers = _map(path)
        self.lock = threading.Lock()
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # two processes may come here together
            self.at = self._free()
            self.numbers[self.at] = os.getpid()

    def _free(self) -> int:
        for at in range(0, SIZE // 8, HEAD + SAMPLES):
            if not self.numbers[at]:
                return at
        raise RuntimeError(f"The counters have room for {SLOTS} processes.")

    def count(self, sample: int = 0) -> None:
        """Count one body."""
        with self.lock:
            at = self.at
            number = self.numbers[at + 1]
            self.numbers[at + HEAD + number % SAMPLES] = sample
            self.numbers[at + 1] = number + 1
            self.numbers[at + 3] = now = time.monotonic_ns()
            if not number:
                self.numbers[at + 2] = now


def bump() -> None:
    """Be the whole body of a job that does nothing."""
    (_slot or _take_slot()).count()


def stamp(moment: int) -> None:
    """Be the body of a job that says how long after *moment*, in ns of the clock, it ran."""
    passed = time.time_ns() - moment
    (_slot or _take_slot()).count(passed)


_slot: Slot | None = None
_taking = threading.Lock()


def _take_slot() -> Slot:
    global _slot
    with _taking:
        _slot = _slot or Slot(Path(os.environ[PATH]))
    return _slot


def _forget_slot() -> None:
    global _slot, _taking
    _slot, _taking = None, threading.Lock()


os.register_at_fork(after_in_child=_forget_slot)


def _map(path: Path) -> memoryview:
    with path.open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), SIZE)).cast("q")

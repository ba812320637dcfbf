"""The processes of a worker: started, watched from outside, stopped."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.client import REPOSITORY, last_lines

PATIENCE = 20.0  # seconds to stop in, before it is killed
# Waits for the end of the benchmark, however it comes, and lets no process outlive it.
GUARD = """
read -r _
kill -KILL "$@" 2>/dev/null
"""
TICKS = os.sysconf("SC_CLK_TCK")  # of CPU time, a second


class WorkerEnded(Exception):
    """A worker's process ended before it was asked to; says why."""


class Worker:
    """The processes that *commands* start, and all that these start."""

    def __init__(
        self, commands: Sequence[Sequence[str]], environment: Mapping[str, str], log: Path
    ) -> None:
        self.log = log
        with log.open("a") as output:
            self.processes = [
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=dict(environment),
                    cwd=REPOSITORY,
                    start_new_session=True,  # a group of its own
                )
                for command in commands
            ]
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "guard", *(f"-{each.pid}" for each in self.processes)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def check(self) -> None:
        """Raise WorkerEnded if a process is no more."""
        for process in self.processes:
            if process.poll() is not None:
                raise WorkerEnded(
                    f"The worker ended with {process.returncode}. {last_lines(self.log)}"
                )

    def stop(self) -> None:
        """Stop it as an operator does; kill what has not ended in time."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)  # does nothing to one that has ended
        deadline = time.monotonic() + PATIENCE
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(deadline - time.monotonic(), 0))
        self._guard.communicate()
        for process in self.processes:
            process.wait()

    def family(self) -> list[int]:
        """Return the ids of its processes and of their descendants."""
        children: dict[int, list[int]] = {}
        for pid, parent in _parents():
            children.setdefault(parent, []).append(pid)
        found = [process.pid for process in self.processes]
        for pid in found:  # grows while it is read
            found += children.get(pid, [])
        return found

    def memory(self) -> float:
        """Return its proportional share of memory, in MiB."""
        sizes = (_number(pid, "smaps_rollup", r"^Pss: +(\d+) kB") for pid in self.family())
        return sum(sizes) / 1024

    def cpu(self) -> float:
        """Return the seconds of CPU that its processes have used."""
        return sum(_cpu_ticks(pid) for pid in self.family()) / TICKS


def _parents() -> Iterator[tuple[int, int]]:
    for directory in Path("/proc").iterdir():
        if directory.name.isdecimal() and (fields := _stat(int(directory.name))):
            yield int(directory.name), int(fields[1])


def _cpu_ticks(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[11]) + int(fields[12]) if fields else 0


def _stat(pid: int) -> list[str]:
    """Return the fields after the program's name, which may hold anything; none when it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _number(pid: int, file: str, pattern: str) -> int:
    try:
        found = re.search(pattern, Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(found[1]) if found else 0

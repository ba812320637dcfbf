"""When a worker process has served its time, and another is to take its place."""

from __future__ import annotations

import os
import random
import sys
import time
from datetime import timedelta
from pathlib import Path

from django_jobflow.worker.clockwork import Timer
from django_jobflow.worker.options import WorkerOptions

SPREAD = 0.1  # of an age; so that the processes of a worker do not all end at once
LOOKS = timedelta(seconds=1)  # between two looks at the memory
STATM = Path("/proc/self/statm")


class Recycling:
    """Follows how old and how big this process is.

    Args:
        options: Those of the process.
    """

    def __init__(self, options: WorkerOptions) -> None:
        self.max_memory = options.max_memory
        self._look = Timer(LOOKS)
        self._ends_at = float("inf")
        if options.max_age is not None:
            share = random.uniform(1 - SPREAD, 1)
            self._ends_at = time.monotonic() + options.max_age.total_seconds() * share

    def reason(self) -> str:
        """Return why this process should end now; empty if it should not."""
        if time.monotonic() >= self._ends_at:
            return "--max-age"
        if self.max_memory is not None and self._look.is_due() and memory() > self.max_memory:
            return "--max-memory"
        return ""

    def next_at(self) -> float:
        """Return when to ask again at the latest, by ``time.monotonic``."""
        looks_at = float("inf") if self.max_memory is None else self._look.due_at
        return min(self._ends_at, looks_at)


def memory() -> int:
    """Return how many bytes of memory this process has; where nobody tells, its peak."""
    if STATM.exists():
        pages = int(STATM.read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    import resource  # there is none on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

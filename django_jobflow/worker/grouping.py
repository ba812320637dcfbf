"""The line of the jobs that share commits: one slot at a time works on it, as a rule."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from django_jobflow.worker.execution import Execution
from django_jobflow.worker.pace import AHEAD

PATIENCE = 2 * AHEAD  # seconds that one waits for the slot that was called


class GroupLine:
    """Executions that wait for a group, and how many slots are called to run one.

    Bodies that are short wait for the interpreter more than for the database: several groups
    at a time would only be in each other's way, and each of them would be smaller.

    Args:
        most: How many slots there are.
        call: Has the next free slot run a group.
    """

    def __init__(self, most: int, call: Callable[[], object]) -> None:
        self.most = most
        self._call_slot = call
        self._line: deque[Execution] = deque()
        self._called = 0  # slots that have not begun yet
        self._running = 0  # slots that have, and are thought to come to the next soon
        self._relieved_at = 0.0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._line)

    def put(self, execution: Execution) -> None:
        """Let *execution* join a group; a slot is called unless one is."""
        with self._lock:
            self._line.append(execution)
            self._call_unless_served()

    def begin(self) -> None:
        """Take in that a slot has heard its call."""
        with self._lock:
            self._called -= 1
            self._running += 1

    def get(self) -> Execution | None:
        """Return the next one, for the slot that asks; None if there is none."""
        try:
            return self._line.popleft()
        except IndexError:
            return None

    def leave(self) -> None:
        """Take in that a slot has run its group, and stands behind what else waits."""
        with self._lock:
            self._running = max(self._running - 1, 0)
            self._call_unless_served()

    def relieve(self) -> None:
        """Call all slots if the first has waited too long for those that were called."""
        if self.relieves_at > time.monotonic():
            return
        with self._lock:
            self._relieved_at = time.monotonic()
            self._running = 0  # whoever is stuck in a long body is not waited for
            self._call(min(len(self._line), self.most - self._called))

    @property
    def relieves_at(self) -> float:
        """When others have to be called, in the time of ``time.monotonic``."""
        with suppress(IndexError):
            return max(self._line[0].handed, self._relieved_at) + PATIENCE
        return float("inf")

    def take_back(self) -> list[Execution]:
        """Return what waits; it will not be executed."""
        return list(iter(self.get, None))

    def _call_unless_served(self) -> None:
        if self._line and not self._called and not self._running:
            self._call(1)

    def _call(self, count: int) -> None:
        for _ in range(count):
            self._called += 1
            self._call_slot()

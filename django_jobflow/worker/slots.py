"""The threads that execute plain bodies."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from django_jobflow.engines import Engine
from django_jobflow.exceptions import JobInterrupt
from django_jobflow.worker.committing import Group, Turn
from django_jobflow.worker.connections import (
    check_connections,
    close_connections,
    tidy_connections,
)
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.reports import Reports
from django_jobflow.worker.seat import Seat
from django_jobflow.worker.vitals import Unwatched, Vitals
from django_jobflow.worker.watch import Watch

LOOK_INTERVAL = 0.01  # seconds, at least, between two looks at whether connections were cut
IDLE_CHECK = 5.0  # seconds without a job after which servers are asked before the next
IDLE_CLOSE = 60.0  # seconds without a job after which connections are closed


class Slots:
    """A number of threads that take executions from one line.

    Args:
        threads: How many.
        engine: The database in which transactional jobs are settled.
        reports: What the bodies report to.
        vitals: What a supervisor sees of the bodies.
        finished: Called in the slot's thread with each execution that has ended.
    """

    def __init__(
        self,
        threads: int,
        engine: Engine,
        reports: Reports,
        vitals: Vitals | Unwatched,
        finished: Callable[[Execution], None],
    ) -> None:
        self.engine = engine
        self.reports = reports
        self.vitals = vitals
        self.finished = finished
        self.line: queue.SimpleQueue[Execution | None] = queue.SimpleQueue()
        self.troubles = 0
        self.group_turn = Turn()
        self._slots: list[_Slot] = []
        self.watch = Watch(lambda: [slot.guard for slot in list(self._slots)])
        self.watch.start()
        for _ in range(threads):
            self._add()

    def hand_over(self, execution: Execution) -> None:
        """Let the next free slot execute it."""
        self.line.put(execution)

    def take_back(self) -> list[Execution]:
        """Return what waits for a slot; it will not be executed."""
        waiting: list[Execution] = []
        while True:
            try:
                execution = self.line.get_nowait()
            except queue.Empty:
                return waiting
            if execution is not None:
                waiting.append(execution)

    def distrust_connections(self) -> None:
        """Have each slot connect anew for its next job.

        A connection that works may still be of no use: to a server that was the primary.
        """
        self.troubles += 1

    def interrupt(self, execution: Execution, exception: type[JobInterrupt]) -> None:
        """Raise *exception* in the body of *execution*, if it runs."""
        for slot in list(self._slots):
            if slot.guard.interrupt(execution, exception):
                return

    def replace(self, execution: Execution) -> list[Execution]:
        """Give up the slot that is stuck in *execution*, and open another in its place.

        Returns:
            What else it has run in the same transaction, which will not be committed.
        """
        for slot in self._slots:
            if slot.execution is execution:
                self._slots.remove(slot)
                self._add()
                return slot.give_up()
        return []  # its body has ended just now

    def stop(self, timeout: float) -> None:
        """Let idle slots end; those inside a body are left to the end of the process."""
        self.watch.stop()
        for _ in self._slots:
            self.line.put(None)
        deadline = time.monotonic() + timeout
        for slot in self._slots:
            if slot.execution is None:
                slot.join(max(deadline - time.monotonic(), 0))

    def _add(self) -> None:
        slot = _Slot(self, len(self._slots) + 1)
        self._slots.append(slot)
        slot.start()


class _Slot(Seat, threading.Thread):
    def __init__(self, slots: Slots, number: int) -> None:
        threading.Thread.__init__(self, name=f"jobflow-slot-{number}", daemon=True)
        trace = slots.vitals.trace()
        Seat.__init__(self, slots.engine, slots.reports, trace, slots.watch.notice)
        self.slots = slots
        self.execution: Execution | None = None
        self.group: Group | None = None
        self.is_given_up = False
        self._set_aside: list[Execution | None] = []
        self._troubles = 0
        self._looked_at = 0.0

    def run(self) -> None:
        while (execution := self._next()) is not None:
            if execution.shares_commit:
                self._run_group(execution)
            else:
                self._run_one(execution)
            self.execution = None
            tidy_connections()
            if self.is_given_up:  # another slot has taken this one's place
                break
        close_connections()

    def _run_one(self, execution: Execution) -> None:
        self.execution = execution
        self.run_one(execution)
        self._finish(execution)

    def _run_group(self, first: Execution) -> None:
        self.group = Group(first, self._following, self._set_current, self._finish)
        try:
            self.committing.together(self.group, self.slots.group_turn)
        finally:
            self.group = None

    def _following(self) -> Execution | None:
        """Return what can join the group: the next in the line, if it is of that kind."""
        try:
            execution = self.slots.line.get_nowait()
        except queue.Empty:
            return None
        if execution is not None and execution.shares_commit:
            return execution
        self._set_aside.append(execution)
        return None

    def _set_current(self, execution: Execution) -> None:
        self.execution = execution

    def _finish(self, execution: Execution) -> None:
        if not execution.abandoned:
            self.slots.finished(execution)

    def give_up(self) -> list[Execution]:
        """Keep what it runs from being committed; return the others of its group."""
        self.is_given_up = True
        while self._set_aside:
            self.slots.line.put(self._set_aside.pop())
        if self.group is None:
            return []
        self.group.is_given_up = True
        return [each for each in self.group.members if each is not self.execution]

    def _next(self) -> Execution | None:
        if self._set_aside:
            return self._set_aside.pop()
        since = time.monotonic()
        try:
            execution = self.slots.line.get(timeout=IDLE_CLOSE)
        except queue.Empty:
            close_connections()
            execution = self.slots.line.get()
        self._see_to_connections(time.monotonic() - since)
        return execution

    def _see_to_connections(self, idle: float) -> None:
        """Close what a job should not be given, after *idle* seconds without one."""
        if self._troubles != self.slots.troubles:
            self._troubles = self.slots.troubles
            close_connections()
        elif (now := time.monotonic()) - self._looked_at > LOOK_INTERVAL:
            check_connections(thoroughly=idle > IDLE_CHECK)
            self._looked_at = now

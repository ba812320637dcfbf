"""The threads that execute plain bodies."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto

from django_jobflow.engines import Engine
from django_jobflow.exceptions import JobInterrupt
from django_jobflow.worker.committing import Group
from django_jobflow.worker.connections import (
    check_connections,
    close_connections,
    tidy_connections,
)
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.grouping import GroupLine
from django_jobflow.worker.reports import Reports
from django_jobflow.worker.seat import Seat
from django_jobflow.worker.vitals import Unwatched, Vitals
from django_jobflow.worker.watch import Watch

LOOK_INTERVAL = 0.01  # seconds, at least, between two looks at whether connections were cut
IDLE_CHECK = 5.0  # seconds without a job after which servers are asked before the next
IDLE_CLOSE = 60.0  # seconds without a job after which connections are closed


class Call(Enum):
    """What stands in the line of the slots beside executions."""

    GROUP = auto()  # run one of those that share commits
    END = auto()


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
        self.line: queue.SimpleQueue[Execution | Call] = queue.SimpleQueue()
        self.troubles = 0
        self.groups = GroupLine(threads, lambda: self.line.put(Call.GROUP))
        self._slots: list[_Slot] = []
        self.watch = Watch(lambda: [slot.guard for slot in list(self._slots)])
        self.watch.start()
        for _ in range(threads):
            self._add()

    def hand_over(self, execution: Execution) -> None:
        """Let the next free slot execute it."""
        if execution.shares_commit:
            self.groups.put(execution)
        else:
            self.line.put(execution)

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return self.line.qsize() + len(self.groups)

    def take_back(self) -> list[Execution]:
        """Return what waits for a slot; it will not be executed."""
        waiting = self.groups.take_back()
        for _ in range(self.line.qsize()):
            with suppress(queue.Empty):
                item = self.line.get_nowait()
                if isinstance(item, Execution):
                    waiting.append(item)
                else:
                    self.line.put(item)
        return waiting

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

    def waits_for_others(self, execution: Execution) -> bool:
        """Say whether it is for what was sent with it that *execution* does not get on."""
        return any(
            slot.execution is execution and slot.committing.waits_for_others(execution)
            for slot in self._slots
        )

    def replace(self, execution: Execution) -> list[Execution]:
        """Give up the slot that is stuck in *execution*, and open another in its place.

        Returns:
            What else it has run in the same transaction, which will not be committed.
        """
        for slot in self._slots:
            if slot.execution is execution:
                self._slots.remove(slot)
                others = slot.give_up(execution)
                self._add()
                return others
        return []  # its body has ended just now

    def stop(self, timeout: float) -> None:
        """Let idle slots end; those inside a body are left to the end of the process."""
        self.watch.stop()
        for _ in self._slots:
            self.line.put(Call.END)
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
        self._is_called = False
        self._leaving = threading.Lock()
        self._set_aside: list[Execution | Call] = []
        self._troubles = 0
        self._looked_at = 0.0

    def run(self) -> None:
        while (item := self._next()) is not Call.END:
            if item is Call.GROUP:
                self._run_group()
            else:
                self._run_one(item)
            self.execution = None
            if not self.committing.is_begun:
                tidy_connections(quickly=True)
            if self.is_given_up:  # another slot has taken this one's place
                self._put_back()
                break
        self._end_pending()
        close_connections()

    def _run_one(self, execution: Execution) -> None:
        if execution.abandoned:
            return  # it was put back into the line, and released there
        self.execution = execution
        self.run_one(execution)
        for each in self.committing.ended(execution):
            self._finish(each)

    def _run_group(self) -> None:
        self._is_called = True
        self.slots.groups.begin()
        if (first := self.slots.groups.get()) is not None:
            self.group = Group(
                first, self.slots.groups.get, self._set_current, self._finish, self._leave_groups
            )
            try:
                self.committing.together(self.group)
            finally:
                self.group = None
        self._leave_groups()

    def _leave_groups(self) -> None:
        """Let another be called; this one may have been given up, and another called already."""
        with self._leaving:
            is_called, self._is_called = self._is_called, False
        if is_called:
            self.slots.groups.leave()

    def _is_followed(self) -> bool:
        if self._distrusts or self.is_given_up or self.group is not None:
            return False
        present, following = self.execution, self._look_ahead()
        if present is None or not isinstance(following, Execution) or not following.commits_alone:
            return False
        if not present.is_pipelined:
            return not following.is_pipelined
        # The time limit of the last is that of all which are sent with it.
        is_alike = following.reservation.timeout == present.reservation.timeout
        goes_alone = self.committing.pipeline.goes_alone
        return (
            following.is_pipelined
            and is_alike
            and not goes_alone(present.reservation)
            and not goes_alone(following.reservation)
        )

    def _look_ahead(self) -> Execution | Call | None:
        """Set the next in the line aside and return it; None if there is none, or no more."""
        with suppress(queue.Empty):
            if not self._set_aside:
                self._set_aside.append(self.slots.line.get_nowait())
        with suppress(IndexError):
            return self._set_aside[0]
        return None  # the coordinator has put it back just now

    def _set_current(self, execution: Execution) -> None:
        self.execution = execution

    def _finish(self, execution: Execution) -> None:
        if not execution.abandoned:
            self.slots.finished(execution)

    def give_up(self, execution: Execution) -> list[Execution]:
        """Keep what it runs from being committed.

        Returns:
            The others in the group of *execution*, or what was to be sent with it.
        """
        self.is_given_up = True
        group = self.group
        members = self.committing.give_up() if group is None else group.give_up()
        self._put_back()
        self._leave_groups()
        return [each for each in members if each is not execution]

    def _put_back(self) -> None:
        with suppress(IndexError):
            while True:
                self.slots.line.put(self._set_aside.pop())

    def _next(self) -> Execution | Call:
        if self._set_aside:  # mostly not, and an exception for that is not cheap
            with suppress(IndexError):  # the coordinator has put it back just now
                return self._set_aside.pop()
        self._end_pending()  # what it had begun for was put back into the line
        since = time.monotonic()
        try:
            item = self.slots.line.get(timeout=IDLE_CLOSE)
        except queue.Empty:
            close_connections()
            item = self.slots.line.get()
        self._see_to_connections(time.monotonic() - since)
        return item

    def _end_pending(self) -> None:
        for each in self.committing.end():
            self._finish(each)

    @property
    def _distrusts(self) -> bool:
        return self._troubles != self.slots.troubles

    def _see_to_connections(self, idle: float) -> None:
        """Close what a job should not be given, after *idle* seconds without one."""
        if self._distrusts:
            self._troubles = self.slots.troubles
            close_connections()
        elif (now := time.monotonic()) - self._looked_at > LOOK_INTERVAL:
            check_connections(thoroughly=idle > IDLE_CHECK)
            self._looked_at = now

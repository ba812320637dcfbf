"""The threads that execute plain bodies."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import transaction

from django_jobflow.endings import decide
from django_jobflow.engines import Engine, engine_for
from django_jobflow.exceptions import JobInterrupt, ReservationLost
from django_jobflow.execute import execute, interrupted, outcome_of
from django_jobflow.outcomes import Outcome, Succeeded
from django_jobflow.worker.connections import (
    check_connections,
    close_connections,
    tidy_connections,
)
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.watch import Guard, Watch

logger = logging.getLogger("django_jobflow.worker")

IDLE_CHECK = 5.0  # seconds without a job after which connections are checked before the next
IDLE_CLOSE = 60.0  # seconds without a job after which connections are closed


class Slots:
    """A number of threads that take executions from one line.

    Args:
        threads: How many.
        database: Alias in which transactional jobs are settled.
        reporter: What the bodies' contexts report to.
        finished: Called in the slot's thread with each execution that has ended.
    """

    def __init__(
        self,
        threads: int,
        database: str,
        reporter: Any,
        finished: Callable[[Execution], None],
    ) -> None:
        self.database = database
        self.reporter = reporter
        self.finished = finished
        self.line: queue.SimpleQueue[Execution | None] = queue.SimpleQueue()
        self.troubles = 0
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
        """Have each slot check its connections before its next job: one was cut."""
        self.troubles += 1

    def interrupt(self, execution: Execution, exception: type[JobInterrupt]) -> None:
        """Raise *exception* in the body of *execution*, if it runs."""
        for slot in list(self._slots):
            if slot.guard.interrupt(execution, exception):
                return

    def replace(self, execution: Execution) -> None:
        """Give up the slot that is stuck in *execution*, and open another in its place."""
        self._slots = [slot for slot in self._slots if slot.execution is not execution]
        self._add()

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


class _Slot(threading.Thread):
    def __init__(self, slots: Slots, number: int) -> None:
        super().__init__(name=f"jobflow-slot-{number}", daemon=True)
        self.slots = slots
        self.guard = Guard()
        self.execution: Execution | None = None
        self._troubles = 0

    def run(self) -> None:
        while (execution := self._next()) is not None:
            self.execution = execution
            execution.end(self._perform(execution))
            self.execution = None
            tidy_connections()
            if execution.abandoned:  # another slot has taken this one's place
                break
            self.slots.finished(execution)
        close_connections()

    def _next(self) -> Execution | None:
        since = time.monotonic()
        try:
            execution = self.slots.line.get(timeout=IDLE_CLOSE)
        except queue.Empty:
            close_connections()
            execution = self.slots.line.get()
        if time.monotonic() - since > IDLE_CHECK or self._troubles != self.slots.troubles:
            self._troubles = self.slots.troubles
            check_connections()
        return execution

    def _perform(self, execution: Execution) -> Outcome:
        if execution.job.definition().transactional:
            return self._perform_in_transaction(execution)
        return self._call_body(execution)

    def _call_body(self, execution: Execution) -> Outcome:
        """Run the body inside the guard; an interrupt that comes at its edge changes nothing."""
        outcome: Outcome | None = None
        try:
            try:
                context = execution.begin(self.slots.reporter)
                self.guard.enter(execution)
                if execution.deadline is not None:
                    self.slots.watch.notice(execution.deadline)
                outcome = execute(execution.job, execution.reservation, context)
            finally:
                self.guard.leave()
        except JobInterrupt as interrupt:
            self.guard.leave()
            return outcome or interrupted(execution.reservation, interrupt)
        except BaseException as error:  # a body's own KeyboardInterrupt: no Ctrl-C comes here
            return outcome_of(error)
        return outcome

    def _perform_in_transaction(self, execution: Execution) -> Outcome:
        """Run the body and write its end in one transaction: both are kept, or neither is."""
        engine = engine_for(self.slots.database)
        try:
            with engine.transaction():
                # The first of its hooks: one that the body adds may raise after the commit.
                transaction.on_commit(execution.note_commit, using=self.slots.database)
                outcome = self._call_body(execution)
                if not isinstance(outcome, Succeeded):
                    raise _Undo(outcome)
                self._settle_inside(engine, execution, outcome)
        except _Undo as undo:
            return undo.outcome
        except ReservationLost:
            execution.lost = True
            return outcome
        except Exception as error:
            if not execution.settled:  # the commit failed: a constraint, or the database
                return outcome_of(error)
            logger.exception("on_commit_failed name=%s", execution.reservation.name)
        return outcome

    def _settle_inside(self, engine: Engine, execution: Execution, outcome: Outcome) -> None:
        if not engine.settle([decide(execution.reservation, outcome)]):
            raise ReservationLost(f"Job {execution.id} is held by another.")


class _Undo(Exception):
    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

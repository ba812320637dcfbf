"""What this process has started and not yet settled, and where it is executed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

from django_jobflow import conf
from django_jobflow.attempts import Reservation
from django_jobflow.engines import Engine
from django_jobflow.exceptions import CancelInterrupt
from django_jobflow.execute import timed_out
from django_jobflow.outcomes import Outcome, Released
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.inbox import Inbox
from django_jobflow.worker.lane import Lane
from django_jobflow.worker.pace import Pace
from django_jobflow.worker.remote.dispatch import Dispatch
from django_jobflow.worker.reports import Reports
from django_jobflow.worker.slots import Slots
from django_jobflow.worker.vitals import Unwatched, Vitals

WAIT_LIMIT = 0.1  # seconds that a started job may wait for a slot before it is given back


class Running:
    """The executions of this process by the id of their record.

    Args:
        threads: Slots; also the number of async bodies at a time.
        engine: The database in which transactional jobs are settled.
        inbox: Where executions come back when they have ended.
        vitals: What a supervisor sees of them.

    Attributes:
        away: What executors have of them. None where the settings name no executor.
    """

    def __init__(
        self, threads: int, engine: Engine, inbox: Inbox, vitals: Vitals | Unwatched
    ) -> None:
        self.threads = threads
        self.pace = Pace(threads)
        self.executions: dict[int, Execution] = {}
        self.superseded: set[Execution] = set()
        self.by_queue: Counter[str] = Counter()
        self.reports = Reports(inbox.wake)
        self.slots = Slots(threads, engine, self.reports, vitals, inbox.put)
        self.lane = Lane(threads, self.reports, vitals, inbox.put)
        has_executor = bool(conf.current().EXECUTOR)
        self.away = Dispatch(engine, inbox.wake) if has_executor else None

    def __len__(self) -> int:
        return len(self.executions)

    @property
    def room(self) -> int:
        """How many jobs can be started now."""
        return max(self.capacity - len(self.executions) - len(self.superseded), 0)

    @property
    def capacity(self) -> int:
        """How many jobs may be started and not ended at a time."""
        return self.threads + self.pace.ahead

    @property
    def supply(self) -> float:
        """For how many seconds what waits for a slot keeps the slots busy, as far as known."""
        waiting = self.slots.waiting + len(self.lane.line)
        return waiting * self.pace.seconds / self.pace.abreast

    def hand_over(self, executions: Iterable[Execution]) -> None:
        """Let the slots and the loop execute them, or an executor."""
        on_loop: list[Execution] = []
        for execution in executions:
            self.add(execution)
            if self.away is not None and self.away.takes(execution):
                continue
            if execution.job._is_async:
                on_loop.append(execution)
            else:
                self.slots.hand_over(execution)
        if on_loop:
            self.lane.hand_over(on_loop)

    def add(self, execution: Execution) -> None:
        """Count an execution in; an older one of the same record has lost its reservation."""
        if former := self.executions.pop(execution.id, None):
            former.lost = True
            self.superseded.add(former)  # until it ends it has its slot
            self.by_queue[former.reservation.queue] -= 1
        self.executions[execution.id] = execution
        self.by_queue[execution.reservation.queue] += 1

    def forget(self, execution: Execution) -> None:
        """Let go of an execution that has ended."""
        self.superseded.discard(execution)
        execution.instance = None  # it knows of the execution: a cycle, left for the collector
        if self.executions.get(execution.id) is execution:
            del self.executions[execution.id]
            self.by_queue[execution.reservation.queue] -= 1
        if self.away is not None and self.away.forget(execution):
            return
        if execution.begun is not None:
            self.pace.note(execution.seconds, in_turn=execution.shares_commit)

    def reservations(self) -> list[Reservation]:
        """Return what the executions hold their records by."""
        return [each.reservation for each in self.executions.values()]

    def take_back(self, *, all_of_them: bool = False) -> list[Execution]:
        """End, as released, what has waited for a slot too long or, on request, at all."""
        if not all_of_them and not self._waits_too_long():
            return []
        waiting = self.slots.take_back() + self.lane.take_back()
        for execution in waiting:
            execution.end(Released("No slot took it up in time."))
        return waiting

    def _waits_too_long(self) -> bool:
        if not self._has_waiting():
            return False
        # They stand in the order in which they were handed over.
        waiting = (each for each in self.executions.values() if each.begun is None)
        first = next(waiting, None)
        return first is not None and first.handed <= time.monotonic() - WAIT_LIMIT

    def _has_waiting(self) -> bool:
        return bool(self.lane.line or self.slots.waiting)

    def overdue(self, grace: float) -> list[Execution]:
        """Return those that have not reacted to their time limit for so many seconds."""
        limit = time.monotonic() - grace
        return [
            execution
            for execution in self.executions.values()
            if execution.deadline is not None
            and execution.deadline <= limit
            and execution.ended is None
        ]

    def give_up(self, overdue: Iterable[Execution]) -> list[Execution]:
        """Settle as timed out those that are stuck; return all that ends by it."""
        return [
            ended
            for execution in overdue
            if execution.ended is None  # not undone with another by now
            for ended in self.abandon(execution, timed_out(execution.reservation))
        ]

    def waits_for_others(self, execution: Execution) -> bool:
        """Say whether the body of *execution* is over, and what was sent with it has no answer."""
        return execution.ending is not None and self.slots.waits_for_others(execution)

    def abandon(self, execution: Execution, outcome: Outcome) -> list[Execution]:
        """Settle an execution without waiting for its body, which runs on to no effect.

        Returns:
            It, and what is undone with it: the others of its transaction are released.
        """
        execution.abandoned = True
        if self.away is not None and execution in self.away.trips:
            return self.away.abandon(execution, outcome)
        execution.end(outcome)
        if execution.job._is_async:
            self.lane.give_up(execution)
            return [execution]
        if self.slots.waits_for_others(execution):
            execution.outcome = Released("Others that were sent with it got no answer.")
        others = self.slots.replace(execution)
        for other in others:
            other.abandoned = True
            if other.settled:
                continue  # it was run again alone, and is committed
            other.end(Released("Undone with another job of its transaction."))
        return [execution, *others]

    def abandon_all(self, reason: str) -> list[Execution]:
        """Give up all that still runs: it is released with its attempt."""
        running = [each for each in self.executions.values() if each.ended is None]
        for execution in running:
            execution.abandoned = True  # so that no slot takes up what another puts back
        return [ended for each in running for ended in self.abandon(each, Released(reason))]

    def cancel(self, reservations: Iterable[Reservation]) -> None:
        """Stop the bodies of *reservations*, since somebody cancelled their records."""
        for reservation in reservations:
            execution = self.executions.get(reservation.id)
            if execution is None or execution.cancelled:
                continue
            execution.cancelled = True
            if self.away is not None and execution in self.away.trips:
                continue  # it is brought back, or stopped where it runs
            if execution.job._is_async:
                self.lane.cancel(execution)
            else:
                self.slots.interrupt(execution, CancelInterrupt)

    def next_event(self, grace: float) -> float:
        """Return when something has to be looked at: a body that may be stuck, or a long wait.

        Bodies that are overdue already have been looked at, and wait for others to end.
        """
        overdue = time.monotonic() - grace
        deadlines = [each.deadline for each in self.executions.values()]
        moments = [
            deadline + grace
            for deadline in deadlines
            if deadline is not None and deadline > overdue
        ]
        if self._has_waiting():
            moments.append(time.monotonic() + WAIT_LIMIT)
        moments.append(self.slots.groups.relieves_at)
        if self.away is not None:
            moments.append(self.away.next_at())
        return min(moments, default=float("inf"))

    def stop(self) -> None:
        """End the idle slots and the loop."""
        if self.away is not None:
            self.away.stop(timeout=2)
        self.lane.stop(timeout=1)
        self.slots.stop(timeout=1)

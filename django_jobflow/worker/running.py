"""What this process has started and not yet settled, and where it is executed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable

from django_jobflow.exceptions import CancelInterrupt
from django_jobflow.execute import timed_out
from django_jobflow.outcomes import Outcome, Released
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.inbox import Inbox
from django_jobflow.worker.lane import Lane
from django_jobflow.worker.pace import Pace
from django_jobflow.worker.reports import Reports
from django_jobflow.worker.slots import Slots

WAIT_LIMIT = 0.1  # seconds that a started job may wait for a slot before it is given back


class Running:
    """The executions of this process by the id of their record.

    Args:
        threads: Slots; also the number of async bodies at a time.
        database: Alias in which transactional jobs are settled.
        inbox: Where executions come back when they have ended.
    """

    def __init__(self, threads: int, database: str, inbox: Inbox) -> None:
        self.threads = threads
        self.pace = Pace(threads)
        self.executions: dict[int, Execution] = {}
        self.by_queue: Counter[str] = Counter()
        self.reports = Reports(self.executions.get, inbox.wake)
        self.slots = Slots(threads, database, self.reports, inbox.put)
        self.lane = Lane(self.reports, inbox.put)

    def __len__(self) -> int:
        return len(self.executions)

    @property
    def room(self) -> int:
        """How many jobs can be started now."""
        return max(self.threads + self.pace.ahead - len(self.executions), 0)

    def hand_over(self, executions: Iterable[Execution]) -> None:
        """Let the slots and the loop execute them."""
        for execution in executions:
            self.executions[execution.id] = execution
            self.by_queue[execution.reservation.queue] += 1
            if execution.job._is_async:
                self.lane.hand_over(execution)
            else:
                self.slots.hand_over(execution)

    def forget(self, execution: Execution) -> None:
        """Let go of an execution that has ended."""
        # A record whose lease was lost may have come back as another execution.
        if self.executions.get(execution.id) is execution:
            del self.executions[execution.id]
            self.by_queue[execution.reservation.queue] -= 1
        if execution.begun is not None:
            self.pace.note(execution.seconds)

    def ids(self) -> list[int]:
        return sorted(self.executions)

    def take_back(self, *, all_of_them: bool = False) -> list[Execution]:
        """End, as released, what has waited for a slot too long or, on request, at all."""
        if not all_of_them and not self._waits_too_long():
            return []
        waiting = self.slots.take_back()
        for execution in waiting:
            execution.end(Released("No slot took it up in time."))
        return waiting

    def _waits_too_long(self) -> bool:
        limit = time.monotonic() - WAIT_LIMIT
        return not self.slots.line.empty() and any(
            execution.begun is None and execution.handed <= limit
            for execution in self.executions.values()
        )

    def stuck(self, grace: float) -> list[Execution]:
        """Give up those that do not react to their time limit; they end as timed out."""
        limit = time.monotonic() - grace
        return [
            self.abandon(execution, timed_out(execution.reservation))
            for execution in list(self.executions.values())
            if execution.deadline is not None
            and execution.deadline <= limit
            and execution.ended is None
        ]

    def abandon(self, execution: Execution, outcome: Outcome) -> Execution:
        """Settle an execution without waiting for its body, which runs on to no effect."""
        execution.abandoned = True
        execution.end(outcome)
        if execution.job._is_async:
            self.lane.cancel(execution)
        else:
            self.slots.replace(execution)
        return execution

    def abandon_all(self, reason: str) -> list[Execution]:
        """Give up all that still runs: it is released with its attempt."""
        running = [each for each in self.executions.values() if each.ended is None]
        return [self.abandon(execution, Released(reason)) for execution in running]

    def cancel(self, ids: Collection[int]) -> None:
        """Stop the bodies of *ids*, since somebody cancelled their records."""
        for job_id in ids:
            execution = self.executions.get(job_id)
            if execution is None or execution.cancelled:
                continue
            execution.cancelled = True
            if execution.job._is_async:
                self.lane.cancel(execution)
            else:
                self.slots.interrupt(execution, CancelInterrupt)

    def next_event(self, grace: float) -> float:
        """Return when something has to be looked at: a body that may be stuck, or a long wait."""
        deadlines = [each.deadline for each in self.executions.values()]
        moments = [deadline + grace for deadline in deadlines if deadline is not None]
        if not self.slots.line.empty():
            moments.append(time.monotonic() + WAIT_LIMIT)
        return min(moments, default=float("inf"))

    def stop(self) -> None:
        """End the idle slots and the loop."""
        self.lane.stop(timeout=1)
        self.slots.stop(timeout=1)

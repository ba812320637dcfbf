"""The time limits of async bodies: one timer of their loop for all of them."""

from __future__ import annotations

import asyncio
import time

from django_jobflow.worker.execution import NEVER, Execution


class Deadlines:
    """Cancels tasks whose executions run into their deadlines; used on the loop alone.

    Most bodies end long before, so that a timer for each would be made for nothing.
    """

    def __init__(self) -> None:
        self._tasks: dict[Execution, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = NEVER

    def follow(self, execution: Execution, task: asyncio.Task[None]) -> None:
        """Cancel *task* at the deadline of *execution*, if there is one."""
        if execution.deadline is None:
            return
        self._tasks[execution] = task
        if execution.deadline < self._rings_at:
            self._ring_at(execution.deadline)

    def leave(self, execution: Execution) -> bool:
        """Let go of a body that has ended; say whether it was cancelled for its deadline."""
        return execution.deadline is not None and self._tasks.pop(execution, None) is None

    def _ring_at(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = moment
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(moment - time.monotonic(), 0), self._ring)

    def _ring(self) -> None:
        self._timer, self._rings_at = None, NEVER
        now, following = time.monotonic(), NEVER
        for execution, task in [*self._tasks.items()]:
            assert execution.deadline is not None
            if execution.deadline <= now:
                del self._tasks[execution]
                task.cancel()
            else:
                following = min(following, execution.deadline)
        if following < NEVER:
            self._ring_at(following)

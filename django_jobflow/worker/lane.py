"""The event loop that executes async bodies, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async

from django_jobflow import hooks
from django_jobflow.arguments import TAG, decode
from django_jobflow.declare.context import JobContext
from django_jobflow.declare.job import Job
from django_jobflow.exceptions import CancelInterrupt, SoftTimeout
from django_jobflow.execute import aexecute, interrupted, outcome_of, timed_out
from django_jobflow.outcomes import Outcome, Released
from django_jobflow.worker.connections import close_connections, read_arguments
from django_jobflow.worker.deadlines import Deadlines
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.reports import Reports
from django_jobflow.worker.softly import warned
from django_jobflow.worker.vitals import NoTrace, Trace, Unwatched, Vitals


class Lane:
    """One event loop, started with the first async job.

    Args:
        limit: How many bodies run at a time; the others wait in ``line``.
        reports: What the bodies report to.
        vitals: What a supervisor sees of the bodies.
        finished: Called with each execution that has ended.
    """

    def __init__(
        self,
        limit: int,
        reports: Reports,
        vitals: Vitals | Unwatched,
        finished: Callable[[Execution], None],
    ) -> None:
        self.limit = limit
        self.reports = reports
        self.vitals = vitals
        self._traces: list[Trace | NoTrace] = []
        self.finished = finished
        self.line: deque[Execution] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._given_up: set[asyncio.Task[None]] = set()
        self._deadlines = Deadlines()

    def hand_over(self, executions: Sequence[Execution]) -> None:
        """Execute them on the loop, each as soon as there is room."""
        self.line.extend(executions)
        self._started_loop().call_soon_threadsafe(self._fill)

    def take_back(self) -> list[Execution]:
        """Return what waits for room; it will not be executed."""
        waiting: list[Execution] = []
        with suppress(IndexError):
            while True:
                waiting.append(self.line.popleft())
        return waiting

    def cancel(self, execution: Execution) -> None:
        """Cancel the task of *execution*, if it runs."""
        if self._loop is not None and (task := execution.task) is not None:
            self._loop.call_soon_threadsafe(task.cancel)

    def give_up(self, execution: Execution) -> None:
        """Cancel the task of *execution*, and let another have its place at once."""
        if self._loop is not None and (task := execution.task) is not None:
            self._loop.call_soon_threadsafe(self._give_up, task)

    def stop(self, timeout: float) -> None:
        """Cancel what runs and end the loop."""
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout)

    def _started_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._run, name="jobflow-loop", daemon=True)
            self._thread.start()
        return self._loop

    def _run(self) -> None:
        assert self._loop is not None
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            for task in self._tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def _fill(self) -> None:
        with suppress(IndexError):
            while self._has_room():
                execution = self.line.popleft()
                if not execution.abandoned:
                    self._begin(execution)

    def _begin(self, execution: Execution) -> None:
        assert self._loop is not None
        task = self._loop.create_task(self._perform(execution))
        execution.task = task
        self._tasks.add(task)
        task.add_done_callback(self._end)

    def _has_room(self) -> bool:
        """Say whether fewer bodies run than may, those left out that were given up."""
        return len(self._tasks) - len(self._given_up) < self.limit

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._given_up.discard(task)
        self._fill()

    def _give_up(self, task: asyncio.Task[None]) -> None:
        if task in self._tasks:
            self._given_up.add(task)
            task.cancel()
            self._fill()

    async def _perform(self, execution: Execution) -> None:
        trace = self._traces.pop() if self._traces else self.vitals.trace()
        outcome = await self._outcome(execution, trace)
        trace.end()
        instance = execution.instance
        if instance is not None and "after_run" in instance._hooks:
            await self._call_after_run(instance, outcome)
        if not execution.abandoned:
            execution.end(outcome)
        self._traces.append(trace)
        execution.task = None
        if not execution.abandoned:
            self.finished(execution)

    async def _call_after_run(self, instance: Job, outcome: Outcome) -> None:
        with suppress(asyncio.CancelledError):  # it comes too late to change the outcome
            async with ThreadSensitiveContext() as threads:
                await hooks.acall(instance, "after_run", outcome)
                if threads in SyncToAsync.context_to_thread_executor:  # it has used one
                    await sync_to_async(close_connections)()

    def _body(self, execution: Execution, context: JobContext) -> Coroutine[Any, Any, Outcome]:
        body = aexecute(execution.job, execution.reservation, context, _decoding, execution.attend)
        soft = execution.definition.soft_timeout
        if soft is None:
            return body
        return warned(body, soft.total_seconds(), SoftTimeout())

    async def _outcome(self, execution: Execution, trace: Trace | NoTrace) -> Outcome:
        context = execution.begin(self.reports.of(execution))
        trace.begin(execution)
        task = execution.task
        assert task is not None
        self._deadlines.follow(execution, task)
        stopped: BaseException | None = None
        try:
            # Threads, and so connections, of their own: on a shared one, a job's transaction
            # would take in the statements of all others.
            async with ThreadSensitiveContext() as threads:
                try:
                    outcome = await self._body(execution, context)
                finally:
                    if threads in SyncToAsync.context_to_thread_executor:  # it has used one
                        await asyncio.shield(sync_to_async(close_connections)())
        except asyncio.CancelledError as error:
            stopped, outcome = error, _cancelled(execution)
        except BaseException as error:
            outcome = outcome_of(error)
        if not self._deadlines.leave(execution):
            return outcome
        # Asked to end by somebody else, too, it did not end for its deadline alone.
        others = task.uncancel()
        return outcome if stopped and others else timed_out(execution.reservation, stopped)


def _cancelled(execution: Execution) -> Outcome:
    if execution.cancelled:
        return interrupted(execution.reservation, CancelInterrupt("Cancelled while running."))
    return Released("The worker stopped.")


async def _decoding(args: Any, kwargs: Any, **options: Any) -> Any:
    if _names_a_row(args) or _names_a_row(kwargs):
        return await sync_to_async(read_arguments)(args, kwargs, **options)
    return decode(args, kwargs, **options)


def _names_a_row(stored: Any) -> bool:
    """Say whether decoding *stored* asks the database."""
    if isinstance(stored, dict):
        return stored.get(TAG) == "model" or any(map(_names_a_row, stored.values()))
    return isinstance(stored, list) and any(map(_names_a_row, stored))

"""The event loop that executes async bodies, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async

from django_jobflow.arguments import TAG, decode
from django_jobflow.exceptions import CancelInterrupt
from django_jobflow.execute import aexecute, interrupted, outcome_of, timed_out
from django_jobflow.outcomes import Outcome, Released
from django_jobflow.worker.connections import close_connections
from django_jobflow.worker.execution import Execution


class Lane:
    """One event loop, started with the first async job."""

    def __init__(self, reporter: Any, finished: Callable[[Execution], None]) -> None:
        self.reporter = reporter
        self.finished = finished
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def hand_over(self, execution: Execution) -> None:
        """Execute it, beside all others on the loop."""
        self._started_loop().call_soon_threadsafe(self._begin, execution)

    def cancel(self, execution: Execution) -> None:
        """Cancel the task of *execution*, if it runs."""
        if self._loop is not None and execution.task is not None:
            self._loop.call_soon_threadsafe(execution.task.cancel)

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

    def _begin(self, execution: Execution) -> None:
        assert self._loop is not None
        task = self._loop.create_task(self._perform(execution))
        execution.task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _perform(self, execution: Execution) -> None:
        execution.end(await self._outcome(execution))
        execution.task = None
        if not execution.abandoned:
            self.finished(execution)

    async def _outcome(self, execution: Execution) -> Outcome:
        context = execution.begin(self.reporter)
        limit = execution.reservation.timeout
        seconds = limit.total_seconds() if limit is not None else None
        timeout = asyncio.timeout(seconds)
        try:
            # Threads, and so connections, of their own: on a shared one, a job's transaction
            # would take in the statements of all others.
            async with timeout, ThreadSensitiveContext():
                try:
                    outcome = await aexecute(
                        execution.job, execution.reservation, context, _decoding
                    )
                finally:
                    await asyncio.shield(sync_to_async(close_connections)())
        except TimeoutError as error:
            return timed_out(execution.reservation, error)
        except asyncio.CancelledError:
            return _cancelled(execution)
        except BaseException as error:
            return outcome_of(error)
        return timed_out(execution.reservation) if timeout.expired() else outcome


def _cancelled(execution: Execution) -> Outcome:
    if execution.cancelled:
        return interrupted(execution.reservation, CancelInterrupt("Cancelled while running."))
    return Released("The worker stopped.")


async def _decoding(args: Any, kwargs: Any, *, name: str) -> Any:
    if _names_a_row(args) or _names_a_row(kwargs):
        return await sync_to_async(decode)(args, kwargs, name=name)
    return decode(args, kwargs, name=name)


def _names_a_row(stored: Any) -> bool:
    """Say whether decoding *stored* asks the database."""
    if isinstance(stored, dict):
        return stored.get(TAG) == "model" or any(map(_names_a_row, stored.values()))
    return isinstance(stored, list) and any(map(_names_a_row, stored))

"""Waiting for the end of a record, from wherever its result is wanted."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async

from django_jobflow.declare import registry
from django_jobflow.engines.waking import Waking
from django_jobflow.exceptions import JobCancelled, JobFailed, NoResult, checked_delay
from django_jobflow.models import JobRecord
from django_jobflow.states import ENDED, JobState

FIRST_PAUSE = 0.005  # seconds between the first two looks; each pause is twice the one before
LONGEST_PAUSE = 1.0  # seconds
EARLY = 0.05  # seconds in which nobody asks to be woken: most jobs end before that is arranged

Leave = Callable[[], None]


@dataclass(frozen=True, slots=True)
class End:
    """How a record has ended.

    Attributes:
        state: None for a success, or when the record is gone.
    """

    state: JobState | None
    result: Any = None
    is_kept: bool = True


class Patience:
    """When somebody who waits for a record looks at it next, and when it is enough."""

    def __init__(self, timeout: timedelta | None) -> None:
        self._began = time.monotonic()
        self._until = None if timeout is None else self._began + timeout.total_seconds()
        self._pause = FIRST_PAUSE
        self.timeout = timeout

    @property
    def is_over(self) -> bool:
        return self._until is not None and time.monotonic() >= self._until

    @property
    def is_long(self) -> bool:
        """Whether it takes so long that it is worth while to be woken."""
        return time.monotonic() - self._began >= EARLY

    def pause(self) -> float:
        """Return for how many seconds to wait now."""
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        if self._until is not None:
            pause = min(pause, self._until - time.monotonic())
        return max(pause, 0.0)


class Awaiting(Waking):
    """The verbs of those who wait for a result."""

    def result_of(self, record: JobRecord, timeout: float | timedelta | None) -> Any:
        """Wait for the end of *record*; see ``JobRecord.result``."""
        patience = self._patience(record, timeout)
        called, leave = threading.Event(), None
        try:
            while (end := self._look(record, patience, announces=leave is not None)) is None:
                if leave is None and patience.is_long:
                    leave = self.listen_for(record.pk, called.set)
                    if leave is not None:
                        continue  # it may have ended before anybody could be asked to say so
                called.wait(patience.pause())
                called.clear()
        finally:
            if leave is not None:
                leave()
        return _value_of(record, end)

    async def aresult_of(self, record: JobRecord, timeout: float | timedelta | None) -> Any:
        """Do what ``result_of`` does, and let others run meanwhile."""
        patience = self._patience(record, timeout)
        called, loop = asyncio.Event(), asyncio.get_running_loop()
        leave: Leave | None = None

        def call() -> None:
            loop.call_soon_threadsafe(called.set)

        look, listen_for = sync_to_async(self._look), sync_to_async(self.listen_for)
        try:
            while (end := await look(record, patience, announces=leave is not None)) is None:
                if leave is None and patience.is_long:
                    leave = await listen_for(record.pk, call)
                    if leave is not None:
                        continue
                with suppress(TimeoutError):
                    await asyncio.wait_for(called.wait(), patience.pause())
                called.clear()
        finally:
            if leave is not None:
                await asyncio.shield(sync_to_async(leave)())
        return _value_of(record, end)

    def listen_for(self, pk: int, call: Callable[[], object]) -> Leave | None:
        """Have *call* called when the record of this id may have ended.

        Returns:
            What ends that. None where the database tells nobody.
        """
        return None

    def announce_wait(self, pk: int) -> None:
        """Ask the workers to tell of the end of this record; for a few seconds only."""

    def _patience(self, record: JobRecord, timeout: float | timedelta | None) -> Patience:
        subject = f"Job {record.pk}"
        limit = None if timeout is None else checked_delay(subject, timeout, "timeout")
        job = registry.find(record.name)
        if job is not None and job.definition().retain_succeeded == timedelta(0):
            raise NoResult(
                f"{subject} ({record.name}) will have no result: its retain_succeeded is 0.",
                record,
            )
        return Patience(limit)

    def _look(self, record: JobRecord, patience: Patience, *, announces: bool) -> End | None:
        """Return how *record* has ended, or None while it is worth while to wait."""
        if announces:
            self.announce_wait(record.pk)
        is_over = patience.is_over  # before the look, so that there is one after the last pause
        end = self._end_of(record)
        if end is not None:
            return end
        if is_over:
            assert patience.timeout is not None
            raise TimeoutError(
                f"Job {record.pk} ({record.name}) has not ended within "
                f"{patience.timeout.total_seconds():g} s: it is {record.state}."
            )
        if self.connection.in_atomic_block:
            raise NoResult(
                f"Job {record.pk} ({record.name}) cannot be waited for inside a transaction: "
                "it begins only after the commit of the one that has enqueued it, and another "
                "may not see its end. Wait after the commit.",
                record,
            )
        return None

    def _end_of(self, record: JobRecord) -> End | None:
        states = self.records.filter(pk=record.pk).values_list("state", flat=True)
        for state in states:
            if state not in ENDED:
                record.state = state
                return None
            with suppress(JobRecord.DoesNotExist):
                record.refresh_from_db(using=self.alias)
                return End(JobState(record.state)) if record.state in ENDED else None
        for result in self.succeeded.filter(pk=record.pk).values_list("result", flat=True):
            return End(None, result)
        return End(None, is_kept=False)


def _value_of(record: JobRecord, end: End) -> Any:
    subject = f"Job {record.pk} ({record.name})"
    if end.state == JobState.FAILED:
        raise JobFailed(f"{subject} has FAILED: {record.exception or 'no error is kept'}", record)
    if end.state == JobState.CANCELLED:
        why = f": {record.errors[-1]['message']}" if record.exception else "."
        raise JobCancelled(f"{subject} is CANCELLED{why}", record)
    if not end.is_kept:
        raise NoResult(
            f"{subject} has left nothing: it was deleted, or has succeeded and is not kept any "
            "more.",
            record,
        )
    return end.result

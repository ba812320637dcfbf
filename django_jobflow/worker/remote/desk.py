"""Where the attempts for one executor are handed in, in a thread that may wait for it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django_jobflow import events
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.remote import making
from django_jobflow.worker.remote.entry import run
from django_jobflow.worker.remote.parcel import Answer, Parcel
from django_jobflow.worker.trouble import Trouble

logger = logging.getLogger("django_jobflow.worker")

GONE = (BrokenExecutor, CancelledError, OSError)
"""What a future says whose executor is of no use any more; a scheduler cancels what it loses."""


@dataclass(slots=True, eq=False)
class Made:
    """An executor that was made, and what is on its way there.

    Attributes:
        is_retired: Whether nothing more is handed in.
        is_dead: Whether all of its processes were killed.
    """

    executor: Executor
    trips: set[Trip] = field(default_factory=set)
    is_retired: bool = False
    is_dead: bool = False


@dataclass(slots=True, eq=False)
class Trip:
    """An attempt on its way to an executor and back.

    Attributes:
        made: Where it was handed in; None before that.
        has_begun: Whether its body is known to have begun.
        deadline: When its time limit has passed; None means none, or not begun.
        failure: What has come in place of an answer.
        is_stale: Whether its row may have a progress of an earlier attempt; not handed in yet.
        gone_at: When its row was found to be gone.
    """

    execution: Execution
    parcel: Parcel
    desk: Desk
    sent_at: float = field(default_factory=time.monotonic)
    made: Made | None = None
    future: Future[Answer] | None = None
    has_begun: bool = False
    deadline: float | None = None
    failure: str = ""
    is_stale: bool = field(init=False)
    gone_at: float | None = None

    def __post_init__(self) -> None:
        self.is_stale = self.execution.reservation.reserved_count > 1

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for its answer any more."""
        return self.execution.ended is not None


Arrive = Callable[[Trip, Answer | BaseException], None]
"""Takes in what has come back; from any thread."""


class Desk:
    """Makes an executor when it is needed, anew when it is lost, and hands attempts in.

    Args:
        path: Of what makes it.
        arrive: Called with each answer.
    """

    def __init__(self, path: str, arrive: Arrive) -> None:
        self.path = path
        self.trouble = Trouble()
        self._arrive = arrive
        self._line: queue.SimpleQueue[Trip | Made | None] = queue.SimpleQueue()
        self._made: Made | None = None
        self._again_at = 0.0
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="jobflow-desk", daemon=True)
        self._thread.start()

    def hand_in(self, trip: Trip) -> None:
        """Send *trip* on its way soon."""
        self._line.put(trip)

    def distrust(self, made: Made) -> None:
        """Hand nothing more in there: the next goes to a new executor, after a pause."""
        with self._lock:
            if self._made is not made:
                return
            self._made = None
            self._again_at = time.monotonic() + self.trouble.begin()
        self.retire(made)

    def retire(self, made: Made) -> None:
        """Let go of *made* once nothing is on its way there."""
        with self._lock:
            if self._made is made:
                self._made = None
            made.is_retired = True
        self._let_go_of(made)

    def forget(self, trip: Trip) -> None:
        """Take in that nobody waits for *trip* any more."""
        if (made := trip.made) is not None:
            made.trips.discard(trip)
            self._let_go_of(made)

    def kill(self, made: Made) -> bool:
        """End all bodies there for sure, if they are on this host; say whether that was done."""
        if not made.is_dead and making.processes_of(made.executor):
            made.is_dead = True
            self.retire(made)
            making.end(made.executor, at_once=True)
        return made.is_dead

    def stop(self, timeout: float) -> None:
        """Let go of the executor."""
        self._stopped.set()
        self._line.put(None)
        self._thread.join(timeout)

    def _let_go_of(self, made: Made) -> None:
        if made.is_retired and not made.trips:
            self._line.put(made)

    # In its thread

    def _run(self) -> None:
        while (item := self._line.get()) is not None:
            if isinstance(item, Made):
                self._end(item, at_once=True)
            else:
                self._submit(item)
        if self._made is not None:
            self._end(self._made, at_once=bool(self._made.trips))

    def _submit(self, trip: Trip) -> None:
        made = self._at_hand(trip)
        if made is None or trip.is_over:
            return
        trip.made = made
        made.trips.add(trip)
        try:
            trip.future = made.executor.submit(run, trip.parcel)
        except Exception as error:
            self.distrust(made)
            self._arrive(trip, error)
            return
        trip.future.add_done_callback(partial(self._done, trip))

    def _at_hand(self, trip: Trip) -> Made | None:
        """Return the executor; None if it cannot be had as long as *trip* is wanted."""
        while self._made is None and not trip.is_over:
            if self._stopped.wait(max(self._again_at - time.monotonic(), 0)):
                return None
            try:
                made = Made(making.make(self.path))
            except Exception as error:
                self._log("executor_not_made", error)
                self._again_at = time.monotonic() + self.trouble.begin()
                continue
            with self._lock:
                self._made = made
        return self._made

    def _end(self, made: Made, *, at_once: bool) -> None:
        try:
            making.end(made.executor, at_once=at_once)
        except Exception as error:
            self._log("executor_not_ended", error)

    # In any thread

    def _done(self, trip: Trip, future: Future[Answer]) -> None:
        answer: Any
        try:
            answer = future.result()
        except BaseException as error:  # whatever an executor makes of its troubles
            answer = error
        made = trip.made
        assert made is not None
        if isinstance(answer, Answer):
            self.trouble.end()
        elif not trip.is_over:
            is_gone = isinstance(answer, GONE)
            if not (is_gone and made.is_retired):  # that is said of an executor once
                self._log("executor_failed", answer)
            if is_gone:
                self.distrust(made)
        self._arrive(trip, answer)

    def _log(self, event: str, error: BaseException) -> None:
        events.log(logger, logging.ERROR, event, executor=self.path, error=repr(error))

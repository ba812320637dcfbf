"""What a worker has handed to executors: until it is answered for, or brought back."""

from __future__ import annotations

import logging
import os
import random
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta

from django_jobflow import conf, events
from django_jobflow.engines import Engine
from django_jobflow.engines.elsewhere import Standing
from django_jobflow.exceptions import CancelInterrupt
from django_jobflow.execute import interrupted, timed_out
from django_jobflow.outcomes import ErrorInfo, Failed, Outcome, Released
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.logbook import Logbook
from django_jobflow.worker.remote import making
from django_jobflow.worker.remote.desk import Desk, Trip
from django_jobflow.worker.remote.parcel import Answer, Parcel

logger = logging.getLogger("django_jobflow.worker")

PAUSE = 1.0  # seconds, more or less, before what was brought back is tried again
STOPPED = "The worker stopped."
UNBEGUN = "No process of the executor took it up in time."


class Dispatch:
    """The attempts of this process that executors have.

    All is decided in the coordinator's thread. What an executor says of an attempt counts only
    as far as the row agrees: one whose body has begun is never given back at no cost.

    Args:
        engine: The database of the jobs.
        wake: Called, from any thread, when something has come back.
    """

    def __init__(self, engine: Engine, wake: Callable[[], None]) -> None:
        settings = conf.current()
        self.engine = engine
        self.settings = settings
        self.trips: dict[Execution, Trip] = {}
        self.grace = settings.TIMEOUT_GRACE.total_seconds()
        self.patience = settings.RESERVATION_TIMEOUT.total_seconds()
        self.interval = settings.POLL_INTERVAL.total_seconds()
        self._wake = wake
        self._desks: dict[str, Desk] = {}
        self._arrived: deque[tuple[Trip, Answer | BaseException]] = deque()
        self._ended: list[Execution] = []  # kept if the database fails meanwhile
        self._look_at = 0.0

    # What is handed in and comes back

    def takes(self, execution: Execution) -> bool:
        """Hand *execution* to the executor of its queue; False if it has none."""
        path = self.settings.executor_of(execution.reservation.queue)
        if path is None:
            return False
        if path not in self._desks:
            self._desks[path] = Desk(path, self._arrive)
        execution.begun = time.monotonic()
        module = os.environ.get("DJANGO_SETTINGS_MODULE", "")
        parcel = Parcel.of(execution.reservation, self.engine.alias, module)
        trip = self.trips[execution] = Trip(execution, parcel, self._desks[path])
        if not self._look_at:
            self._look_at = trip.sent_at + self.interval
        if not trip.is_stale:
            trip.desk.hand_in(trip)
        return True

    def forget(self, execution: Execution) -> bool:
        """Let go of an execution that has ended; False if it was not here."""
        if not self.trips.pop(execution, None):
            return False
        if not self.trips:
            self._look_at = 0.0
        return True

    def next_at(self) -> float:
        """Return when to look after them next."""
        return self._look_at or float("inf")

    def stop(self, timeout: float) -> None:
        """Let go of the executors."""
        for desk in self._desks.values():
            desk.stop(timeout)

    def _arrive(self, trip: Trip, answer: Answer | BaseException) -> None:
        self._arrived.append((trip, answer))
        self._wake()

    # What becomes of them

    def tend(self, *, stops: bool) -> list[Execution]:
        """Take in answers, and bring back what is not to begin any more; return what has ended.

        Args:
            stops: Whether nothing more is to begin.

        Database:
            One SELECT each JOBFLOW["POLL_INTERVAL"]; one UPDATE by key for what runs again, and
            one for each attempt that is brought back.
        """
        self._take_arrivals()
        if self.trips:
            if not stops:
                self._hand_in_stale()
            self._bring_back(stops)
            if time.monotonic() >= self._look_at:
                self._look_after()
        ended, self._ended = self._ended, []
        return ended

    def _take_arrivals(self) -> None:
        while self._arrived:
            trip, answer = self._arrived.popleft()
            if trip.is_over:
                events.log(logger, logging.INFO, "late_answer", job_id=trip.execution.id)
            elif not isinstance(answer, Answer):
                trip.failure = repr(answer)
            elif answer.outcome is None:
                trip.failure = answer.refusal
            else:
                self._take(trip, answer, answer.outcome)

    def _take(self, trip: Trip, answer: Answer, outcome: Outcome) -> None:
        execution = trip.execution
        execution.settled = answer.settled
        execution.lost = execution.lost or answer.lost
        execution.begun = time.monotonic() - answer.seconds
        if answer.pages is not None:
            execution.logbook = Logbook.of(answer.pages)
        self._end(trip, outcome)

    def _hand_in_stale(self) -> None:
        """Hand in what has a progress of an earlier attempt, once that is gone."""
        if stale := [trip for trip in self.trips.values() if trip.is_stale and not trip.is_over]:
            self.engine.reset_progress([trip.execution.reservation for trip in stale])
            for trip in stale:
                trip.is_stale = False
                trip.desk.hand_in(trip)

    def _bring_back(self, stops: bool) -> None:
        late = time.monotonic() - self.patience
        for trip in list(self.trips.values()):
            if trip.is_over:
                continue
            if trip.failure:
                self._end(trip, self._unanswered(trip))
            elif not trip.has_begun and (
                stops or trip.execution.cancelled or trip.sent_at <= late
            ):
                if self._is_ours_to_begin(trip):
                    self._end(trip, _unbegun(trip, STOPPED if stops else UNBEGUN, stops))
                else:
                    self._note_begun(trip)

    def _unanswered(self, trip: Trip) -> Outcome:
        """Return the outcome of an attempt whose executor has failed."""
        if not trip.has_begun and self._is_ours_to_begin(trip):
            return _unbegun(trip, f"The executor has failed: {trip.failure}")
        return _lost(f"The executor has failed: {trip.failure}")

    def _is_ours_to_begin(self, trip: Trip) -> bool:
        """Keep its body from beginning anywhere; False if it has begun."""
        return trip.is_stale or self.engine.begin(trip.execution.reservation)

    def _note_begun(self, trip: Trip) -> None:
        trip.has_begun = True
        timeout = trip.execution.reservation.timeout
        if timeout is not None:
            trip.deadline = time.monotonic() + timeout.total_seconds()

    def _look_after(self) -> None:
        """Find out which bodies have begun, which are past their limit, and which have no row."""
        now = time.monotonic()
        open_trips = [trip for trip in self.trips.values() if not trip.is_over]
        standing = self.engine.standing([trip.execution.reservation for trip in open_trips])
        self._look_at = now + self.interval
        for trip in open_trips:
            self._judge(trip, standing.get(trip.execution.id), now)

    def _judge(self, trip: Trip, found: Standing | None, now: float) -> None:
        if found is None:
            # Its own transaction may have written its end: then the answer is on its way.
            trip.gone_at = trip.gone_at or now
            if now - trip.gone_at >= self.grace:
                trip.execution.lost = True
                self._end(trip, Released("Another has the record."))
        elif found.has_begun and not trip.has_begun and not trip.is_stale:
            self._note_begun(trip)
        elif trip.deadline is not None and now - trip.deadline >= self.grace:
            self._end(trip, timed_out(trip.execution.reservation))
            if trip.made is not None and making.processes_of(trip.made.executor):
                trip.desk.retire(trip.made)  # the body may be stuck there

    def _end(self, trip: Trip, outcome: Outcome) -> None:
        trip.execution.end(outcome)
        trip.desk.forget(trip)
        if trip.future is not None:
            trip.future.cancel()
        self._ended.append(trip.execution)

    def abandon(self, execution: Execution, outcome: Outcome) -> list[Execution]:
        """End an execution without waiting for its answer, which will have no effect.

        It ends with *outcome* if its body is dead for sure. Otherwise that may run on, so the
        attempt is spent.
        """
        trip = self.trips[execution]
        is_dead = trip.made is None or trip.desk.kill(trip.made)
        execution.end(outcome if is_dead else _lost(f"{STOPPED} The body may run on."))
        trip.desk.forget(trip)
        return [execution]


def _unbegun(trip: Trip, reason: str, at_once: bool = False) -> Outcome:
    if trip.execution.cancelled:
        error = CancelInterrupt("Cancelled before it began.")
        return interrupted(trip.execution.reservation, error)
    delay = timedelta(seconds=PAUSE * random.uniform(0.5, 1.5))
    if trip.failure:
        delay = max(delay, timedelta(seconds=trip.desk.trouble.begin()))
    return Released(reason, None if at_once else delay)


def _lost(message: str) -> Failed:
    return Failed(ErrorInfo("django_jobflow.exceptions.WorkerLost", message))

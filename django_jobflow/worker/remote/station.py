"""What runs the bodies in one process of an executor, in the threads that call it."""

from __future__ import annotations

import os
import sys
import threading

from django.db import Error, close_old_connections

from django_jobflow.attempts import Reservation
from django_jobflow.declare import registry
from django_jobflow.engines import Engine, engine_for
from django_jobflow.exceptions import CancelInterrupt
from django_jobflow.worker.connections import check_connections, tidy_connections
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.lane import Lane
from django_jobflow.worker.remote.attendant import Attendant
from django_jobflow.worker.remote.parcel import Answer
from django_jobflow.worker.seat import Seat
from django_jobflow.worker.vitals import NoTrace, Unwatched
from django_jobflow.worker.watch import Watch


class Station:
    """Executes attempts as a worker does, time limits and transactions included.

    Args:
        engine: The database of the jobs.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.attendant = Attendant(engine, self._stop)
        self._seats: list[Seat] = []
        self._free: list[Seat] = []
        self._ended: dict[Execution, threading.Event] = {}
        self.watch = Watch(lambda: [seat.guard for seat in list(self._seats)])
        self.watch.start()
        self.lane = Lane(sys.maxsize, self.attendant.reports, Unwatched(), self._tell_end)

    def run(self, reservation: Reservation) -> Answer:
        """Execute an attempt, unless it has begun before or is not to run any more.

        Database:
            One UPDATE by key, and what the body does; each JOBFLOW["POLL_INTERVAL"] one SELECT
            for all that run here.
        """
        job = registry.find(reservation.name)
        if job is None:
            return Answer(refusal=f"No job is registered under {reservation.name!r} there.")
        check_connections(thoroughly=True)
        try:
            if not self.engine.begin(reservation):
                return Answer(refusal="It has begun before, in a process that is gone.")
            execution = Execution(reservation, job)
            with self.attendant.at(execution):
                self._execute(execution)
            return _answer(execution)
        except Error as error:  # of the first statement: a body's own is in its outcome
            return Answer(refusal=f"It found no database there: {error!r}")
        finally:
            tidy_connections()
            close_old_connections()

    def _execute(self, execution: Execution) -> None:
        if execution.job._is_async:
            ended = self._ended[execution] = threading.Event()
            self.lane.hand_over([execution])
            ended.wait()
            return
        seat = self._seat()
        try:
            seat.run_one(execution)
        finally:
            self._free.append(seat)

    def _seat(self) -> Seat:
        """Return a free seat: as many are there as bodies have run at a time."""
        try:
            return self._free.pop()
        except IndexError:
            seat = Seat(self.engine, self.attendant.reports, NoTrace(), self.watch.notice)
            self._seats.append(seat)
            return seat

    def _tell_end(self, execution: Execution) -> None:
        self._ended.pop(execution).set()

    def _stop(self, execution: Execution) -> None:
        if execution.job._is_async:
            self.lane.cancel(execution)
            return
        for seat in list(self._seats):
            if seat.guard.interrupt(execution, CancelInterrupt):
                return


def _answer(execution: Execution) -> Answer:
    book = execution.logbook
    execution.instance = None  # it knows of the execution: a cycle, left for the collector
    return Answer(
        outcome=execution.outcome,
        settled=execution.settled,
        lost=execution.lost,
        seconds=execution.seconds,
        pages=None if book is None else book.pages(),
    )


_stations: dict[tuple[int, str], Station] = {}
_opening = threading.Lock()


def station_of(alias: str) -> Station:
    """Return the station of this process for the database behind *alias*."""
    place = os.getpid(), alias
    with _opening:
        if place not in _stations:
            _stations[place] = Station(engine_for(alias))
        return _stations[place]

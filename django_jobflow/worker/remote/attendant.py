"""The thread that speaks with the database for the bodies of an executor's process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from django.db import Error

from django_jobflow import conf, events
from django_jobflow.engines import Engine
from django_jobflow.worker.connections import close_connections
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.reports import Reports

logger = logging.getLogger("django_jobflow.worker")

IDLE = 10.0  # seconds without a body after which the thread ends


class Attendant:
    """Writes what bodies report, and stops those that are cancelled or have lost their row.

    A body that ends within JOBFLOW["POLL_INTERVAL"] costs no statement.

    Args:
        engine: The database of the jobs.
        stop: Called with each execution that is to be stopped.

    Attributes:
        reports: What the bodies report to.
    """

    def __init__(self, engine: Engine, stop: Callable[[Execution], None]) -> None:
        self.engine = engine
        self.reports = Reports(self.wake)
        self._stop = stop
        self._executions: set[Execution] = set()
        self._changed = threading.Condition()
        self._is_woken = False
        self._has_asked = False
        self._pause = 0.0
        self._thread: threading.Thread | None = None

    @contextmanager
    def at(self, execution: Execution) -> Iterator[None]:
        """Attend to *execution* while it runs."""
        pause = conf.current().POLL_INTERVAL.total_seconds()
        with self._changed:
            self._pause = pause
            self._executions.add(execution)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="jobflow-attendant", daemon=True
                )
                self._thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._executions.discard(execution)
                if self._has_asked and not self._executions:
                    self._is_woken = True  # to let go of its connection
                    self._changed.notify()

    def wake(self) -> None:
        """Do soon what is asked for; from any thread."""
        with self._changed:
            self._is_woken = True
            self._changed.notify()

    def _run(self) -> None:
        idle_since = time.monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_woken, self._pause)
                self._is_woken = False
                executions = list(self._executions)
                now = time.monotonic()
                if not executions and now - idle_since > IDLE:
                    self._thread = None
                    break
            if executions:
                idle_since = now
                self._attend(executions)
            elif self._has_asked:
                self._has_asked = False
                close_connections()

    def _attend(self, executions: Sequence[Execution]) -> None:
        self._has_asked = True
        try:
            self._look_after(executions)
            self._write_progress(executions)
            if self.reports.beat_wanted:
                self.reports.beat_wanted = False
                reservations = [each.reservation for each in executions]
                self.engine.extend(reservations, lease=conf.current().LEASE)
        except Error as error:
            events.log(logger, logging.WARNING, "attendant_without_database", error=repr(error))
            close_connections()

    def _look_after(self, executions: Sequence[Execution]) -> None:
        standing = self.engine.standing([each.reservation for each in executions])
        for execution in executions:
            found = standing.get(execution.id)
            has_ended = execution.settled or execution.ended is not None
            if (found is None or found.is_cancelled) and not has_ended and not execution.cancelled:
                execution.cancelled = True
                self._stop(execution)

    def _write_progress(self, executions: Sequence[Execution]) -> None:
        for execution, (percent, message) in self.reports.take_progress().items():
            if execution in executions:
                self.engine.write_progress(execution.reservation, percent, message)

"""What bodies say about themselves, kept until the coordinator writes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from django_jobflow.logs import least_level
from django_jobflow.worker import logbook
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.logbook import Logbook

WRITE_INTERVAL = 0.5  # seconds between two writes of progress


class Reports:
    """What the bodies of this process say; called from any thread.

    Args:
        wake: Called when something should be done soon.

    Attributes:
        keeps_logs: Whether there has been a body whose lines are kept.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._progress: dict[Execution, tuple[int, str]] = {}
        self._written_at = 0.0
        self.beat_wanted = False
        self.keeps_logs = False

    def of(self, execution: Execution) -> Report:
        """Return the ``Reporter`` for the context of *execution*, which begins here.

        From now on its book takes what this thread or task logs, if the job asks for that.
        """
        logbook.use(self._opened_book(execution))
        return Report(self, execution)

    def _opened_book(self, execution: Execution) -> Logbook | None:
        level = least_level(execution.definition.keep_logs, execution.reservation.meta)
        if level is None:
            return None
        self.keeps_logs = True
        if execution.logbook is None:
            execution.logbook = Logbook(level)
        execution.logbook.open()  # anew, where a body that was undone with others is run again
        return execution.logbook

    def progress(self, execution: Execution, percent: int, message: str) -> None:
        with self._lock:
            self._progress[execution] = percent, message

    def heartbeat(self) -> None:
        self.beat_wanted = True
        self._wake()

    def take_progress(self) -> dict[Execution, tuple[int, str]]:
        """Return what is to be written now: the last word of each, not too often."""
        if not self._progress or time.monotonic() - self._written_at < WRITE_INTERVAL:
            return {}
        self._written_at = time.monotonic()
        with self._lock:
            taken, self._progress = self._progress, {}
        return taken


@dataclass(slots=True, eq=False)
class Report:
    """What one body says of its own attempt.

    Not of its record, which may have come back to this process as another attempt.
    """

    reports: Reports
    execution: Execution

    def progress(self, job_id: int, percent: int, message: str) -> None:
        self.reports.progress(self.execution, percent, message)

    def log(self, job_id: int, level: int, message: str) -> None:
        if self.execution.logbook is not None:
            self.execution.logbook.note(level, self.execution.reservation.name, message)

    def heartbeat(self, job_id: int) -> None:
        self.reports.heartbeat()

    def is_cancelled(self, job_id: int) -> bool:
        return self.execution.cancelled

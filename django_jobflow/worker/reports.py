"""What bodies say about themselves, kept until the coordinator writes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from django_jobflow.worker.execution import Execution

WRITE_INTERVAL = 0.5  # seconds between two writes of progress


class Reports:
    """The ``Reporter`` of this process's contexts; called from any thread.

    Args:
        execution_of: Returns the execution of a job id, or None.
        wake: Called when something should be done soon.
    """

    def __init__(
        self, execution_of: Callable[[int], Execution | None], wake: Callable[[], None]
    ) -> None:
        self._execution_of = execution_of
        self._wake = wake
        self._lock = threading.Lock()
        self._progress: dict[int, tuple[int, str]] = {}
        self._written_at = 0.0
        self.beat_wanted = False

    def progress(self, job_id: int, percent: int, message: str) -> None:
        with self._lock:
            self._progress[job_id] = percent, message

    def heartbeat(self, job_id: int) -> None:
        self.beat_wanted = True
        self._wake()

    def is_cancelled(self, job_id: int) -> bool:
        execution = self._execution_of(job_id)
        return execution is not None and execution.cancelled

    def take_progress(self) -> dict[int, tuple[int, str]]:
        """Return what is to be written now: the last word of each, not too often."""
        if not self._progress or time.monotonic() - self._written_at < WRITE_INTERVAL:
            return {}
        self._written_at = time.monotonic()
        with self._lock:
            taken, self._progress = self._progress, {}
        return taken

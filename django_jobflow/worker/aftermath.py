"""The thread that calls the hooks of what has ended, after the commit that says so.

They are the project's code, and may be slow: the coordinator must not wait for them, nor may
they use its connection.
"""

from __future__ import annotations

import logging
import queue
import threading

from django_jobflow import events
from django_jobflow.hooks import Due
from django_jobflow.worker.connections import close_connections, tidy_connections

logger = logging.getLogger("django_jobflow.worker")

MOST = 10_000  # hooks that wait for their turn
PATIENCE = 10.0  # seconds that a worker that ends gives to those that wait
IDLE_CLOSE = 60.0  # seconds without a hook after which connections are closed


class Aftermath:
    """Calls hooks one after the other, in a thread that is started with the first of them."""

    def __init__(self) -> None:
        self._line: queue.SimpleQueue[Due | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def add(self, due: Due) -> None:
        """Have *due* called soon."""
        if self._line.qsize() >= MOST:  # one of them does not come to its end
            events.log(
                logger,
                logging.ERROR,
                "hook_dropped",
                job_id=due.facts.id,
                job_name=due.facts.name,
                hook=due.hook,
            )
            return
        self._line.put(due)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="jobflow-hooks", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Let those that wait have their turn, if it does not take too long."""
        if self._thread is not None:
            self._line.put(None)
            self._thread.join(PATIENCE)
            self._thread = None

    def _run(self) -> None:
        while (due := self._next()) is not None:
            due()
            tidy_connections()
        close_connections()

    def _next(self) -> Due | None:
        try:
            return self._line.get(timeout=IDLE_CLOSE)
        except queue.Empty:
            close_connections()
            return self._line.get()

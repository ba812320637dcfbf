"""How a supervisor stops a worker process, alive or by dying."""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable

from django_jobflow import events

logger = logging.getLogger("django_jobflow.worker")

STOP = 1  # take no new work, and let what runs end
STOP_AT_ONCE = 2


class Brake:
    """Stops a worker, however many ask for it: asked for the same twice, it does it once.

    A system that stops a service often sends SIGTERM to each of its processes; together with
    the supervisor's own word that must not count as a second request.
    """

    def __init__(self) -> None:
        # Reentrant: a signal handler may come in while its own thread is inside.
        self._lock = threading.RLock()
        self._asked = 0
        self._passed_on = 0
        self._request_stop: Callable[[], object] | None = None

    def ask(self, what: int = STOP) -> None:
        """Ask for STOP or STOP_AT_ONCE; from any thread or signal handler."""
        with self._lock:
            self._asked = max(self._asked, what)
            self._pass_on()

    def connect(self, request_stop: Callable[[], object]) -> None:
        """Let *request_stop* be called once for each step that was or will be asked for."""
        with self._lock:
            self._request_stop = request_stop
            self._pass_on()

    def _pass_on(self) -> None:
        while self._request_stop is not None and self._passed_on < self._asked:
            self._passed_on += 1
            self._request_stop()


class Leash:
    """A pipe from the supervisor to one worker: each byte is a step of stopping.

    Its end is a message as well: no process but the supervisor may have the writing end open,
    so the worker reads the end of the file when the supervisor is gone, however it died.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()

    # In the supervisor

    def hold(self) -> None:
        """Close the worker's end, once the worker is forked."""
        os.close(self._reader)

    def pull(self) -> None:
        """Ask the worker to stop, or, the second time, to stop at once."""
        try:
            os.write(self._writer, b"\0")
        except BrokenPipeError:  # it has ended, and we are about to hear of it
            return

    def let_go(self) -> None:
        """Close the supervisor's end: after the worker's end, or in another worker."""
        os.close(self._writer)

    # In the worker

    def follow(self, brake: Brake, beat: Callable[[], object], pause: float) -> None:
        """Listen in a thread of its own, and use *brake* as the supervisor says.

        Args:
            beat: Called each *pause* seconds, as long as this process runs Python.
        """
        os.close(self._writer)
        threading.Thread(
            target=self._listen, args=(brake, beat, pause), name="jobflow-leash", daemon=True
        ).start()

    def _listen(self, brake: Brake, beat: Callable[[], object], pause: float) -> None:
        step = 0
        while True:
            if select.select([self._reader], [], [], pause)[0]:
                if not os.read(self._reader, 1):
                    break
                step += 1
                brake.ask(min(step, STOP_AT_ONCE))
            beat()
        events.log(logger, logging.WARNING, "supervisor_lost")
        brake.ask(STOP)

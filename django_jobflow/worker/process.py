"""One worker process: the coordinator, and the signals that stop it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from django_jobflow.worker import handlers
from django_jobflow.worker.coordinator import Coordinator
from django_jobflow.worker.heartbeat_file import HeartbeatFile
from django_jobflow.worker.leash import Brake, Leash
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.vitals import Unwatched, Vitals

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
STOP_AT_ONCE_SIGNALS = (signal.SIGQUIT,) if hasattr(signal, "SIGQUIT") else ()

RECYCLED = 65
"""Exit status of a worker that has had its time: another is to take its place."""


def work(options: WorkerOptions) -> int:
    """Work in this process until there is a reason to end; return how many were executed."""
    file = HeartbeatFile(options.heartbeat_file) if options.heartbeat_file else None
    coordinator = Coordinator(options, Unwatched(file.touch) if file else None)
    with stopping(coordinator):
        coordinator.run()
    if file:
        file.remove()
    return coordinator.executed


def work_on_leash(
    options: WorkerOptions, leash: Leash, brake: Brake, vitals: Vitals, pause: float
) -> int | None:
    """Work in this process, forked by a supervisor, until that says to end or is gone.

    Args:
        pause: Seconds between two beats.

    Returns:
        An exit status other than the usual one.
    """
    coordinator = Coordinator(options, vitals)
    brake.connect(coordinator.request_stop)
    leash.follow(brake, vitals.beat, pause)
    coordinator.run()
    return RECYCLED if coordinator.stop.is_leaving else None


@contextmanager
def stopping(coordinator: Coordinator) -> Iterator[None]:
    """Let SIGTERM, SIGINT and SIGQUIT stop *coordinator*, if this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    at_once = partial(coordinator.request_stop, at_once=True)
    reactions = dict.fromkeys(STOP_SIGNALS, coordinator.request_stop)
    reactions |= dict.fromkeys(STOP_AT_ONCE_SIGNALS, at_once)
    former = {number: handlers.handle(number, react) for number, react in reactions.items()}
    try:
        yield
    finally:
        for number, before in former.items():
            handlers.restore(number, before)

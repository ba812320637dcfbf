"""One worker process: the coordinator, and the signals that stop it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django_jobflow.worker.coordinator import Coordinator
from django_jobflow.worker.options import WorkerOptions

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def work(options: WorkerOptions) -> int:
    """Work in this process until there is a reason to end; return how many were executed."""
    coordinator = Coordinator(options)
    with stopping(coordinator):
        coordinator.run()
    return coordinator.executed


@contextmanager
def stopping(coordinator: Coordinator) -> Iterator[None]:
    """Let SIGTERM and SIGINT stop *coordinator*, if this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        coordinator.request_stop()

    former = {number: signal.signal(number, stop) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)

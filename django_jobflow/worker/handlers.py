"""Signal handlers of a worker, which the processes that its jobs fork do not keep.

A job may use ``multiprocessing``, which ends its processes by SIGTERM. They are copies of the
worker, handlers included, and would take the signal for a word to the worker.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

DEFAULTS: dict[signal.Signals, Any] = {
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
}
if hasattr(signal, "SIGQUIT"):
    DEFAULTS[signal.SIGQUIT] = signal.SIG_DFL
"""The signals that a worker handles, and what Python does with them otherwise."""

_handled: set[signal.Signals] = set()


def handle(number: signal.Signals, react: Callable[[], object]) -> Any:
    """Call *react* at signal *number*; return the former handler, for ``restore``."""
    _handled.add(number)
    return signal.signal(number, lambda *_: react())


def restore(number: signal.Signals, former: Any) -> None:
    """Let signal *number* be handled as before."""
    signal.signal(number, former)
    _handled.discard(number)


def _leave_behind() -> None:
    while _handled:
        number = _handled.pop()
        signal.signal(number, DEFAULTS[number])


if hasattr(os, "register_at_fork"):
    # Not in the handlers: CPython 3.13 may call them late in a process forked from a thread.
    os.register_at_fork(after_in_child=_leave_behind)

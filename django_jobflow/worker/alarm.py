"""Signals as something to wait for."""

from __future__ import annotations

import os
import select
import signal
from types import TracebackType
from typing import Any


class Alarm:
    """Turns signals into numbers that ``wait`` returns, between ``with`` and its end.

    The handlers do nothing: the interpreter writes each number to a pipe before it calls them,
    so none is missed between two waits, and none strikes in the middle of anything.

    Args:
        numbers: The signals.
    """

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers
        self._former: dict[int, Any] = {}

    def __enter__(self) -> Alarm:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._former_fd = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._former = {number: signal.signal(number, _ignore) for number in self.numbers}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._former_fd)
        self.leave()

    def leave(self) -> None:
        """Give the pipe back; all that a process has to do that was forked meanwhile."""
        os.close(self._reader)
        os.close(self._writer)

    def wait(self, seconds: float) -> list[int]:
        """Return the signals that have come, at the latest after *seconds*."""
        if not select.select([self._reader], [], [], seconds)[0]:
            return []
        return [number for number in os.read(self._reader, 4096) if number in self.numbers]


def _ignore(number: int, frame: Any) -> None:
    pass

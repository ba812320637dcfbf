"""Where slots leave what they have finished, and where the coordinator sleeps."""

from __future__ import annotations

import os
import selectors
from collections import deque
from typing import Any


class Inbox:
    """Messages from any thread or signal handler to the coordinator.

    ``put`` writes to a pipe only while the coordinator sleeps: it appends first and looks
    second, the coordinator announces its sleep first and looks second, so that one of the
    two always sees the other.
    """

    def __init__(self) -> None:
        self._messages: deque[Any] = deque()
        self._sleeping = False
        self._closed = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._reader, selectors.EVENT_READ)

    def put(self, message: Any) -> None:
        """Leave *message*, and wake the coordinator if it sleeps."""
        self._messages.append(message)
        if self._sleeping:
            self.wake()

    def wake(self) -> None:
        """End the coordinator's sleep; safe in a signal handler."""
        if self._closed:
            return
        try:
            os.write(self._writer, b"\0")
        except BlockingIOError:  # the pipe is full of wake-ups already
            return

    def take_all(self) -> list[Any]:
        """Return what has come, oldest first."""
        messages = []
        while self._messages:
            messages.append(self._messages.popleft())
        return messages

    def __bool__(self) -> bool:
        return bool(self._messages)

    def sleep(self, seconds: float) -> None:
        """Return when a message is there, or after *seconds*."""
        self._sleeping = True
        try:
            if not self._messages and self._selector.select(max(seconds, 0)):
                self._empty_pipe()
        finally:
            self._sleeping = False

    def close(self) -> None:
        """Give the pipe back. A slot that ends later still may ``put``, to no effect."""
        self._closed = True
        self._selector.close()
        os.close(self._reader)
        os.close(self._writer)

    def _empty_pipe(self) -> None:
        try:
            while len(os.read(self._reader, 4096)) == 4096:
                continue
        except BlockingIOError:
            return

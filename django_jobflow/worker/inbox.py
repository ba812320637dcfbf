"""Where slots leave what they have finished, and where the coordinator sleeps."""

from __future__ import annotations

import os
import selectors
from collections import deque
from collections.abc import Iterable
from typing import Any


class Inbox:
    """Messages from any thread or signal handler to the coordinator.

    ``put`` writes to a pipe only while the coordinator sleeps: it appends first and looks
    second, the coordinator announces its sleep first and looks second, so that one of the
    two always sees the other. Once for each sleep: who writes takes the announcement back, since
    it may take long until the coordinator is given the interpreter to do so. Beside the pipe,
    one socket can end the sleep.

    Attributes:
        socket_called: Whether the last sleep ended since the socket can be read.
    """

    def __init__(self) -> None:
        self._messages: deque[Any] = deque()
        self._sleeping = False
        self._closed = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._selector = selectors.DefaultSelector()
        self._pipe_selector = selectors.DefaultSelector()
        for selector in (self._selector, self._pipe_selector):
            selector.register(self._reader, selectors.EVENT_READ)
        self._socket: int | None = None
        self.socket_called = False

    def put(self, message: Any) -> None:
        """Leave *message*, and wake the coordinator if it sleeps."""
        self._messages.append(message)
        if self._sleeping:
            self._sleeping = False  # first: behind the wake it may be the next sleep's
            self.wake()

    def watch(self, socket: int | None) -> None:
        """End the sleep also when *socket* can be read, in place of the former one.

        Whoever watches has to read it then, or to stop watching: it calls until it is empty.
        """
        if self._socket is not None:
            self._selector.unregister(self._socket)
        self._socket = socket
        if socket is not None:
            self._selector.register(socket, selectors.EVENT_READ)

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
        """Return when a message is there or the socket calls, or after *seconds*."""
        self._sleeping = True
        self.socket_called = False
        try:
            if not self._messages:
                self._note(key.fd for key, _ in self._selector.select(max(seconds, 0)))
        finally:
            self._sleeping = False

    def rest(self, seconds: float) -> None:
        """Return after *seconds*, whatever comes; only ``wake`` ends it sooner."""
        if self._pipe_selector.select(max(seconds, 0)):
            self._empty_pipe()

    def _note(self, ready: Iterable[int]) -> None:
        for fd in ready:
            if fd == self._reader:
                self._empty_pipe()
            else:
                self.socket_called = True

    def close(self) -> None:
        """Give the pipe back. A slot that ends later still may ``put``, to no effect."""
        self._closed = True
        self._selector.close()
        self._pipe_selector.close()
        os.close(self._reader)
        os.close(self._writer)

    def _empty_pipe(self) -> None:
        try:
            while len(os.read(self._reader, 4096)) == 4096:
                continue
        except BlockingIOError:
            return

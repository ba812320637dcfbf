"""Time limits of plain bodies: an exception is raised in the thread when it is time."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable, Iterable

from django_jobflow.exceptions import JobInterrupt, SoftTimeout, TimeoutInterrupt
from django_jobflow.worker.execution import Execution

LONGEST_SLEEP = 1.0  # seconds; a body with a shorter limit wakes the watch itself
ALL_LOOK = sys.version_info < (3, 13)  # all threads for what is on its way to one of them

_set = ctypes.pythonapi.PyThreadState_SetAsyncExc


class Guard:
    """Lets exceptions into a thread while it is inside a body, and at no other time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._struck = False
        self.execution: Execution | None = None

    def enter(self, execution: Execution) -> None:
        """Open: the calling thread goes into the body of *execution*."""
        with self._lock:
            self._thread = threading.get_ident()
            self.execution = execution

    def leave(self) -> None:
        """Close: no exception arrives after this, not even one that is on its way."""
        with self._lock:
            thread, struck = self._thread, self._struck
            self._thread = self.execution = None
            self._struck = False
        if struck and thread is not None:
            _intercept(thread)

    def warn(self, execution: Execution) -> None:
        """Raise ``SoftTimeout`` inside the body of *execution*, if it still runs."""
        with self._lock:
            if self.execution is execution and self._thread is not None:
                execution.warns_at = None
                _send(self._thread, SoftTimeout)
                self._struck = True

    def interrupt(self, execution: Execution, exception: type[JobInterrupt]) -> bool:
        """Raise *exception* inside the body of *execution*, if it still runs."""
        with self._lock:
            if self.execution is not execution or self._thread is None:
                return False
            _send(self._thread, exception)
            self.execution = None  # one interrupt for one execution
            self._struck = True
            return True


class Watch:
    """A thread that warns bodies of their end, and stops those that reach their deadline.

    Args:
        guards: Returns the guards to watch; there is one for each slot.
    """

    def __init__(self, guards: Callable[[], Iterable[Guard]]) -> None:
        self._guards = guards
        self._changed = threading.Condition()
        self._wakes_at = 0.0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="jobflow-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def notice(self, deadline: float) -> None:
        """Take care of a body with this *deadline*; costs a comparison unless it is near."""
        if deadline < self._wakes_at:
            with self._changed:
                self._changed.notify()

    def _run(self) -> None:
        while not self._stopped:
            now = time.monotonic()
            with self._changed:
                # Set before the guards are looked at: a body that enters now notifies.
                self._wakes_at = now + LONGEST_SLEEP
                nearest = self._strike(now)
                self._wakes_at = min(nearest, self._wakes_at)
                self._changed.wait(max(self._wakes_at - time.monotonic(), 0))

    def _strike(self, now: float) -> float:
        """Interrupt what is due; return the next deadline."""
        nearest = float("inf")
        for guard in self._guards():
            execution = guard.execution
            if execution is None:
                continue
            if execution.deadline is not None and execution.deadline <= now:
                guard.interrupt(execution, TimeoutInterrupt)
                continue
            if execution.warns_at is not None and execution.warns_at <= now:
                guard.warn(execution)
            nearest = min(nearest, execution.strikes_at)
        return nearest


def _send(thread: int, exception: type[BaseException]) -> None:
    """Raise *exception* in another *thread*, as soon as that runs Python code again.

    Before CPython 3.13 all threads look for it until then, at each call, and those of 3.11 that
    are traced (debugger, coverage) do nothing else: a body that waits in C would stop all the
    others. One that the calling thread sends itself and catches ends that; the first is announced
    again when its thread comes back. No function in Python may be called in between.
    """
    own = ctypes.c_ulong(threading.get_ident())
    # In the main thread it might end the handler of a signal.
    hushes = ALL_LOOK and threading.current_thread() is not threading.main_thread()
    try:
        _set(ctypes.c_ulong(thread), ctypes.py_object(exception))
        while hushes:
            _set(own, ctypes.py_object(JobInterrupt))
            time.sleep(0)
    except JobInterrupt:
        pass


def _intercept(thread: int) -> None:
    """Take the exception that may still be on its way to the calling *thread*.

    Another one is sent in its place and caught here. Clearing it with NULL would leave CPython
    3.11 and 3.12 looking for it for ever, and 3.11 stuck while it is traced (debugger, coverage).
    """
    try:
        _set(ctypes.c_ulong(thread), ctypes.py_object(JobInterrupt))
        while True:
            time.sleep(0)
    except JobInterrupt:
        pass

"""Processes that run one function, forked from a process with one thread."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from django_jobflow import events
from django_jobflow.worker import handlers

logger = logging.getLogger("django_jobflow.worker")

WELL = 64  # exit status; not 0, so that a job's own os._exit(0) is no good end of its worker
FAILED = 1  # exit status after an exception

BLOCKED = (
    {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD}
    if hasattr(signal, "SIGCHLD")
    else set()
)
"""Signals that wait while there is no telling which of the two processes handles them."""


def fork(body: Callable[[], int | None], on_stop: Callable[[], object]) -> int:
    """Run *body* in a new process; return its id.

    The process ends with what *body* returned, or else with ``WELL``; with ``FAILED`` if it
    raised. It ignores SIGINT and SIGQUIT: on Ctrl-C a terminal sends that to a whole family of
    processes, whose head decides.

    Args:
        on_stop: Called in the new process at SIGTERM.

    Raises:
        OSError: The system has no room for another process.
    """
    _flush()  # or both processes would write what is still in the buffers
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    try:
        pid = os.fork()
        if pid == 0:
            _run(body, on_stop, mask)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def ended(pid: int) -> int | None:
    """Return the exit code of a forked process, None while it runs.

    That of one that was killed is minus the signal.
    """
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def cause_of(code: int) -> str:
    """Return in words how a process ended, to follow its name."""
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"was killed by signal {-code}"


def _run(body: Callable[[], int | None], on_stop: Callable[[], object], mask: Any) -> NoReturn:
    """Be the new process: nothing of the stack that led here runs in it again."""
    status = FAILED
    try:
        signal.set_wakeup_fd(-1)
        # No SIG_IGN, which programs that jobs start would inherit.
        for number in (signal.SIGINT, signal.SIGQUIT):
            handlers.handle(number, lambda: None)
        handlers.handle(signal.SIGTERM, on_stop)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # Before there are threads: they inherit the mask, and the programs that they start, too.
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        status = body() or WELL
    except SystemExit:  # it has said why
        pass
    except BaseException as error:
        events.log(logger, logging.CRITICAL, "process_failed", pid=os.getpid(), exc_info=error)
    finally:
        # No atexit: its functions were registered for the process that this one is forked from.
        logging.shutdown()
        _flush()
        os._exit(status)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # there is none, or nobody reads it
            continue

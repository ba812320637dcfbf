"""How many worker processes there may be, and how many there are when nobody says."""

from __future__ import annotations

import os
import sys
import threading

from django_jobflow.engines import engine_for

MOST = 2  # by default; a third asks for memory and connections that few projects need


def obstacle() -> str | None:
    """Return where we are that processes cannot be forked, or None."""
    if not hasattr(os, "fork"):
        return "on a system without fork()"
    if threading.current_thread() is not threading.main_thread():
        return "outside the main thread"
    return None


def default_processes(alias: str) -> int:
    """Return how many processes are to work on the database behind *alias* by default.

    None beside this one where processes cannot be forked, and on macOS, whose own libraries may
    not survive it. One where a second would only wait: on a single core, and where the database
    has one writer at a time, as SQLite has. Two otherwise, so that the work goes on in one when
    the other dies, or holds the interpreter.
    """
    if obstacle() or sys.platform == "darwin":
        return 0
    return min(MOST, cores()) if engine_for(alias).locks_rows else 1


def cores() -> int:
    """Return on how many cores this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

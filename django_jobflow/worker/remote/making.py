"""Making the executors that JOBFLOW["EXECUTOR"] names, and letting go of them."""

from __future__ import annotations

import time
from concurrent.futures import Executor, ProcessPoolExecutor
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

SUBJECT = "JOBFLOW['EXECUTOR']"
LAST_SECONDS = 1.0  # that the processes of a pool get to end by themselves


def factory_of(path: str) -> Any:
    """Return what makes the executor that *path* names.

    Raises:
        ImproperlyConfigured: It cannot be imported, or cannot be called.
    """
    try:
        factory = import_string(path)
    except Exception as error:
        raise ImproperlyConfigured(f"{SUBJECT}: {path!r} cannot be imported: {error}") from error
    if not callable(factory):
        raise ImproperlyConfigured(
            f"{SUBJECT}: expected {path!r} to be a callable that returns a "
            f"concurrent.futures.Executor, got {factory!r}."
        )
    return factory


def make(path: str) -> Executor:
    """Return a new executor.

    Raises:
        ImproperlyConfigured: It is none.
    """
    executor = factory_of(path)()
    if not isinstance(executor, Executor):
        raise ImproperlyConfigured(
            f"{SUBJECT}: expected {path!r} to return a concurrent.futures.Executor, "
            f"got {executor!r}."
        )
    return executor


def processes_of(executor: Executor) -> list[Any]:
    """Return the processes of a pool on this host; none of any other executor."""
    if not isinstance(executor, ProcessPoolExecutor):
        return []
    return list((getattr(executor, "_processes", None) or {}).values())


def end(executor: Executor, *, at_once: bool) -> None:
    """Let go of an executor, and see that nothing of a pool on this host stays behind.

    Args:
        at_once: Whether its processes are not to come to the end of what they run.
    """
    processes = processes_of(executor)  # it does not know them afterwards
    executor.shutdown(wait=False)
    deadline = time.monotonic() + (0 if at_once else LAST_SECONDS)
    for process in processes:
        process.join(max(deadline - time.monotonic(), 0))
        if process.is_alive():
            process.kill()
    for process in processes:
        process.join()

"""Executors that are ready for JOBFLOW["EXECUTOR"]: a pool of processes, and Dask.

Their paths are ``"django_jobflow.executors.process_pool"`` and
``"django_jobflow.executors.dask"``.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Collection
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing.connection import wait

from django.core.exceptions import ImproperlyConfigured

from django_jobflow.worker import affinity
from django_jobflow.worker.remote.entry import set_up


def process_pool(max_workers: int | None = None) -> Executor:
    """Return a pool of processes on this host, which end with the worker that has them.

    Args:
        max_workers: How many processes. None means as many as there are cores, also those to
            which the worker itself does not keep. Each worker process has a pool of its own.
    """
    cores = affinity.before() or ()
    return ProcessPoolExecutor(
        max_workers if max_workers is not None else len(cores) or None,
        # A worker has threads, so a fork of it may find a lock that nobody will open.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(os.environ.get("DJANGO_SETTINGS_MODULE", ""), cores),
    )


def _begin(settings: str, cores: Collection[int]) -> None:
    """Prepare a new process of a pool, which runs on *cores* if there are any."""
    if cores:
        with suppress(OSError):  # it has less room then, and works
            os.sched_setaffinity(0, cores)
    if hasattr(os, "setsid"):
        os.setsid()  # a Ctrl-C is for the worker, which lets what runs end
    threading.Thread(target=_follow_parent, name="jobflow-parent", daemon=True).start()
    set_up(settings)


def _follow_parent() -> None:
    """End this process when its worker has, however it died: nobody waits for the body."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def dask() -> Executor:
    """Return the executor of the Dask cluster whose scheduler the environment names.

    Raises:
        ImproperlyConfigured: There is no Dask, or no address of a scheduler.
        OSError: The scheduler does not answer.
    """
    try:
        from django_jobflow.worker.remote.dask import connect
    except ImportError as error:
        raise ImproperlyConfigured(
            "django_jobflow.executors.dask needs the package distributed. "
            'Install "django-jobflow[dask]".'
        ) from error
    return connect()

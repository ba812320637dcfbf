"""The database connections that bodies leave behind in a thread."""

from __future__ import annotations

import logging
import random
import select
import time
from datetime import timedelta
from typing import Any

from django.db import Error, InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_jobflow import events
from django_jobflow.arguments import decode
from django_jobflow.engines.opened import opened
from django_jobflow.execute import Unready
from django_jobflow.outcomes import Released
from django_jobflow.worker.trouble import shut

logger = logging.getLogger("django_jobflow.worker")

SLOT_PAUSE = 0.5  # seconds, at most, before a slot that found no database takes the next job
PAUSE = 1.0  # seconds, more or less, before a job is tried again that found no database


def read_arguments(args: Any, kwargs: Any, **options: Any) -> Any:
    """Do what ``decode`` does.

    Raises:
        Unready: The database of an instance among them cannot be reached.
    """
    try:
        return decode(args, kwargs, **options)
    except (OperationalError, InterfaceError) as error:
        if not _is_cut_off():
            raise
        raise Unready(unreached(error)) from error


def unreached(error: Error) -> Released:
    """Return the outcome of a job that did not begin, since its slot found no database.

    Waits a little: the next job would find none either, and is better left where it is.
    """
    events.log(logger, logging.WARNING, "slot_without_database", error=repr(error))
    time.sleep(random.uniform(0, SLOT_PAUSE))
    delay = timedelta(seconds=PAUSE * random.uniform(0.5, 1.5))
    return Released(f"Its slot found no database: {error!r}", delay)


def _is_cut_off() -> bool:
    """Say whether one of this thread's connections does not work, or cannot be had."""
    return any(
        connection.connection is None or not connection.is_usable()
        for connection in connections.all(initialized_only=True)
    )


def tidy_connections(*, quickly: bool = False) -> None:
    """Make this thread's connections fit for the next job.

    As Django does around a request, but for CONN_MAX_AGE: a worker keeps its connections,
    since one that connects for each job would spend most of its time on that.

    Args:
        quickly: Whether those will do that were there at the last look, if none was opened since.
    """
    for connection in opened.all() if quickly else opened.look():
        connection.queries_log.clear()
        if connection.in_atomic_block:  # even if it is closed: Django would not connect again
            _forget(connection)
        elif connection.connection is None:
            continue
        elif not connection.autocommit:
            _forget(connection)
        elif connection.errors_occurred:
            _close_unless_usable(connection)


def check_connections(*, thoroughly: bool) -> None:
    """Close this thread's connections that died while no job used them.

    Args:
        thoroughly: Whether to ask each server. Otherwise only those are asked whose socket has
            something to read though nobody has asked anything: mostly that it is closed.
    """
    for connection in opened.look():
        if connection.connection is not None and (thoroughly or _is_called(connection)):
            _close_unless_usable(connection)


def _is_called(connection: BaseDatabaseWrapper) -> bool:
    if not hasattr(connection.connection, "fileno"):  # SQLite: there is no other end
        return False
    try:
        return _is_readable(connection.connection.fileno())
    except Exception:  # whatever a driver says of a connection that it has lost
        return True


def _is_readable(descriptor: int) -> bool:
    """Say whether there is something to read, without a descriptor more as epoll takes one.

    Not by ``selectors``, which takes longer for it than all else that is seen to between jobs.
    """
    if not hasattr(select, "poll"):  # on Windows, or taken away by eventlet
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def close_connections() -> None:
    """Close this thread's connections."""
    for connection in connections.all(initialized_only=True):
        shut(connection)


def _forget(connection: BaseDatabaseWrapper) -> None:
    """Drop a connection whose job left a transaction open; the server rolls it back."""
    events.log(logger, logging.WARNING, "transaction_left_open", database=connection.alias)
    shut(connection)
    if connection in opened.look():  # or else the body has dropped it itself
        del connections[connection.alias]
        opened.forget()


def _close_unless_usable(connection: BaseDatabaseWrapper) -> None:
    if connection.is_usable():
        connection.errors_occurred = False
    else:
        shut(connection)

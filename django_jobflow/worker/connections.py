"""The database connections that bodies leave behind in a thread."""

from __future__ import annotations

import logging

from django.db import Error, connections, reset_queries
from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("django_jobflow.worker")


def tidy_connections() -> None:
    """Make this thread's connections fit for the next job.

    As Django does around a request, but for CONN_MAX_AGE: a worker keeps its connections,
    since one that connects for each job would spend most of its time on that.
    """
    reset_queries()
    for connection in connections.all(initialized_only=True):
        if connection.connection is None:
            continue
        if connection.in_atomic_block or not connection.autocommit:
            _forget(connection)
        elif connection.errors_occurred:
            _close_unless_usable(connection)


def check_connections() -> None:
    """Close this thread's connections that died while no job used them."""
    for connection in connections.all(initialized_only=True):
        if connection.connection is not None:
            _close_unless_usable(connection)


def close_connections() -> None:
    """Close this thread's connections."""
    for connection in connections.all(initialized_only=True):
        _close(connection)


def _forget(connection: BaseDatabaseWrapper) -> None:
    """Drop a connection whose job left a transaction open; the server rolls it back."""
    logger.warning(
        "transaction_left_open database=%s",
        connection.alias,
        extra={"event": "transaction_left_open"},
    )
    _close(connection)
    del connections[connection.alias]


def _close_unless_usable(connection: BaseDatabaseWrapper) -> None:
    if connection.is_usable():
        connection.errors_occurred = False
    else:
        _close(connection)


def _close(connection: BaseDatabaseWrapper) -> None:
    try:
        connection.close()
    except Error:  # it is gone already
        connection.connection = None

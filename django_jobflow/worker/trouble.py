"""Surviving a database that goes away for a while."""

from __future__ import annotations

import random
import time

from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    ProgrammingError,
    connections,
)
from django.db.backends.base.base import BaseDatabaseWrapper

REFUSED = (DataError, IntegrityError, ProgrammingError)
"""What a database says of a statement that it will never take, however often one asks."""

TROUBLE = (DatabaseError, InterfaceError)
"""What it says when another try may succeed, but for ``REFUSED``."""

FIRST_PAUSE = 0.1  # seconds; doubles with each failure
LONGEST_PAUSE = 10.0  # seconds
PATIENCE = 1.0  # seconds of trouble after which whoever is to stop may give up


class Trouble:
    """How long to pause before the next try; spread, so that workers do not come together.

    Args:
        longest: Seconds that a pause does not exceed, but for half of it by its spread.
    """

    def __init__(self, longest: float = LONGEST_PAUSE) -> None:
        self._longest = longest
        self._next = FIRST_PAUSE
        self._since = 0.0
        self.lasts = False

    @property
    def is_long(self) -> bool:
        """Whether it lasts longer than one should wait who is to stop."""
        return self.lasts and time.monotonic() - self._since > PATIENCE

    def begin(self) -> float:
        """Note a failure; return the seconds to pause."""
        if not self.lasts:
            self._since = time.monotonic()
        self.lasts = True
        pause = min(self._next, self._longest) * random.uniform(0.5, 1.5)
        self._next = min(self._next * 2, self._longest)
        return pause

    def end(self) -> bool:
        """Note a success; say whether there was trouble before."""
        lasted, self.lasts = self.lasts, False
        self._next = FIRST_PAUSE
        return lasted


def shut(connection: BaseDatabaseWrapper) -> None:
    """Close *connection*, also one that is gone already."""
    try:
        connection.close()
    except TROUBLE:
        connection.connection = None


def close(alias: str) -> None:
    """Close this thread's connection to *alias*, however broken it is."""
    connection = connections[alias]
    shut(connection)
    if connection.in_atomic_block and not connection.atomic_blocks:
        # Opening a block has failed half way: Django believes to be inside of it, and would
        # not connect again for ever.
        del connections[alias]

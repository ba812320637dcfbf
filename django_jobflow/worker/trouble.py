"""Surviving a database that goes away for a while."""

from __future__ import annotations

import random

from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    ProgrammingError,
    connections,
)

REFUSED = (DataError, IntegrityError, ProgrammingError)
"""What a database says of a statement that it will never take, however often one asks."""

TROUBLE = (DatabaseError, InterfaceError)
"""What it says when another try may succeed, but for ``REFUSED``."""

FIRST_PAUSE = 0.1  # seconds; doubles with each failure
LONGEST_PAUSE = 10.0  # seconds
PATIENCE = 2.0  # seconds of pause beyond which a worker that is to stop gives up


class Trouble:
    """How long to pause before the next try; spread, so that workers do not come together."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE
        self.lasts = False

    @property
    def is_long(self) -> bool:
        """Whether several tries have failed."""
        return self._next > PATIENCE

    def begin(self) -> float:
        """Note a failure; return the seconds to pause."""
        self.lasts = True
        pause = self._next * random.uniform(0.5, 1.5)
        self._next = min(self._next * 2, LONGEST_PAUSE)
        return pause

    def end(self) -> bool:
        """Note a success; say whether there was trouble before."""
        lasted, self.lasts = self.lasts, False
        self._next = FIRST_PAUSE
        return lasted


def close(alias: str) -> None:
    """Close this thread's connection to *alias*, however broken it is."""
    try:
        connections[alias].close()
    except TROUBLE:
        connections[alias].connection = None

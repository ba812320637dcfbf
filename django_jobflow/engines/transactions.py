"""The transactions of one thread, one after the other: each has the end of a job in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django_jobflow.attempts import Ending

if TYPE_CHECKING:
    from django_jobflow.engines.settling import Settling


def never() -> bool:
    """Return False."""
    return False


class Transactions:
    """Those of the connection that a thread has to one database.

    Args:
        engine: That of the database.

    Attributes:
        is_begun: Whether the next one has begun already.
    """

    is_begun = False

    def __init__(self, engine: Settling) -> None:
        self.engine = engine

    @contextmanager
    def next(self) -> Iterator[None]:
        """Open one; whatever is raised inside undoes it."""
        with self.engine.transaction():
            yield

    def settle(self, ending: Ending, is_followed: Callable[[], bool] = never) -> bool:
        """Write the end of the job, the last that is done in the transaction.

        Args:
            is_followed: Says whether the same thread is about to open another. It is asked
                only where that makes a difference: who says so has to keep to it.

        Returns:
            Whether the job was still its own; if not, the transaction is to be undone.

        Database:
            What ``settle`` costs. On PostgreSQL the commit goes along, and so does the begin
            of the one that follows.
        """
        return bool(self.engine.settle([ending]))

    def end(self) -> None:
        """Undo what has begun already: nothing follows after all."""

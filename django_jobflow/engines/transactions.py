"""The transactions of one thread, one after the other: each has the end of a job in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import OperationalError

from django_jobflow.attempts import Ending, Reservation

if TYPE_CHECKING:
    from django_jobflow.engines.settling import Settling


def never() -> bool:
    """Return False."""
    return False


class Unanswered(OperationalError):
    """The connection was lost with others, before there was an answer to this one."""


@dataclass(slots=True, eq=False)
class Pending:
    """A transaction that has ended as far as its body goes, and what has come of it since.

    Attributes:
        ending: The end of the job, which is in it.
        is_lost: Whether the job was not its own any more, so that it was undone.
        error: What kept it from being committed. None means that nothing has.
    """

    ending: Ending
    is_lost: bool = False
    error: Exception | None = None


class Transactions:
    """Those of the connection that a thread has to one database.

    Args:
        engine: That of the database.

    Attributes:
        is_begun: Whether the next one has begun already.
        is_cut: Whether the present one has not come to its end since others that were pending
            have not.
        waits_for_others: Whether others are being sent just now, with it or before it.
    """

    is_begun = False
    is_cut = False
    waits_for_others = False

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

    @property
    def has_pending(self) -> bool:
        """Whether there are some of which is not known what comes of them."""
        return False

    def pending(self, ending: Ending) -> bool:
        """Say whether it is not known yet what comes of the transaction with *ending*."""
        return False

    def goes_alone(self, reservation: Reservation) -> bool:
        """Say whether *reservation* must not be sent with others: it may cost them theirs."""
        return False

    def take_over(self) -> list[Pending]:
        """Return what has become of those that were pending, in their order."""
        return []

    def end(self) -> None:
        """End what is pending, and what has begun already: nothing follows after all."""

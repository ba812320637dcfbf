"""Emptying a queue: however much waits in it, by short transactions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from django.db import models

from django_jobflow.engines.ground import batched
from django_jobflow.engines.operating import Operating
from django_jobflow.models import JobRecord
from django_jobflow.states import JobState

PURGE_BATCH = 1000  # records that one transaction deletes
PURGE_READ = 100_000  # ids that one statement reads

PURGED = (
    JobState.FAILED,
    JobState.CANCELLED,
    JobState.SCHEDULED,
    JobState.RETRY,
    JobState.WAITING,
    JobState.RESERVED,
    JobState.AVAILABLE,
)
"""What can be purged, in the order in which it is.

A record that waits moves from a state that stands here before to one that stands behind, so that
none gets away. And who waits for a key goes before who holds it, so that no key is handed on to
one that is about to go.
"""


class Purging(Operating):
    """The verb that deletes all that waits."""

    def purge(
        self,
        rows: models.QuerySet[JobRecord],
        states: Collection[str],
        delete: Callable[[models.QuerySet[JobRecord]], int] | None = None,
        most: int | None = None,
    ) -> int:
        """Delete those of *rows* that are in *states*; return how many.

        Those that a worker starts meanwhile are left to it, and those that are enqueued
        meanwhile stay. What was deleted stays deleted if this is interrupted.

        Args:
            delete: Deletes some of the rows, in place of the verb of this name.
            most: No more than so many. None means all.

        Database:
            For each state, one SELECT for 100,000 ids along its index; for each 1,000, a
            transaction of what ``delete`` costs.
        """
        delete = delete or self.delete
        wanted = rows.filter(state__in=sorted(states))
        return sum(delete(wanted.filter(pk__in=ids)) for ids in _in_turn(rows, states, most))

    def purgeable(self, rows: models.QuerySet[JobRecord], states: Collection[str]) -> int:
        """Return how many ``purge`` would delete now.

        Database:
            One statement for each state, that counts along its index.
        """
        return sum(
            rows.filter(state=state).order_by().count() for state in PURGED if state in states
        )


def _in_turn(
    rows: models.QuerySet[JobRecord], states: Collection[str], most: int | None
) -> Iterator[Sequence[int]]:
    """Yield the ids of those of *rows* that are in *states*, by the thousand."""
    left = most
    for state in PURGED:
        if state in states and (left is None or left > 0):
            for ids in _newest_first(rows.filter(state=state), left):
                yield ids
                left = None if left is None else left - len(ids)


def _newest_first(rows: models.QuerySet[JobRecord], most: int | None) -> Iterator[Sequence[int]]:
    """Yield the ids of *rows*, by the thousand, and of *most* of them if that is given."""
    ids = rows.order_by("-pk").values_list("pk", flat=True)
    size = PURGE_READ if most is None else min(most, PURGE_READ)
    read, count = list(ids[:size]), 0
    while read:
        yield from batched(read, PURGE_BATCH)
        count += len(read)
        is_enough = len(read) < size or (most is not None and count >= most)
        read = [] if is_enough else list(ids.filter(pk__lt=read[-1])[:size])

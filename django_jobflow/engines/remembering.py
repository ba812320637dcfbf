"""The sums of the past: written by each worker, folded and pruned by any of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.db import models
from django.db.models import Count, Q

from django_jobflow import states
from django_jobflow.engines.surveying import Surveying
from django_jobflow.history import (
    AS_WRITTEN,
    CUT,
    EVERY_QUEUE,
    HELD,
    LEVELS,
    MINUTE,
    WAITING,
    Numbers,
    beginning,
)
from django_jobflow.models import History

FOLD_BATCH = 1000  # rows of workers that one transaction folds
SAMPLED_QUEUES = 100  # with waiting jobs that a sample counts
SAMPLED_ROWS = 100_000  # waiting jobs that it counts, in all queues together

Key = tuple[int, datetime, str]
"""Length, beginning and queue."""


class Remembering(Surveying):
    """The verbs on ``History``."""

    @property
    def history(self) -> models.QuerySet[History]:
        return History._base_manager.using(self.alias)

    def write_history(
        self, moment: datetime, numbers: Mapping[str, Mapping[str, int]], samples: int = 0
    ) -> None:
        """Add *numbers*, by queue, to what happened in the minute of *moment*.

        Args:
            samples: How often they say what waits.

        Database:
            One INSERT.
        """
        start = beginning(moment, MINUTE)
        self.history.bulk_create(
            History(
                length=AS_WRITTEN,
                start=start,
                queue=queue,
                samples=samples,
                numbers=dict(found),
            )
            for queue, found in numbers.items()
        )

    def sample_backlog(self, now: datetime | None = None) -> bool:
        """Write how much waits and is held, unless somebody has in this minute; say whether.

        Two that come at once both write it; what is shown is their mean.

        Database:
            One statement, and if nobody has two more, one for each queue with waiting jobs, and
            one INSERT. They read at most 100,000 entries of an index, and what workers hold. On
            PostgreSQL in a transaction with one statement more, and if one of them takes more
            than a second, nothing is written for ten minutes.
        """
        moment = self.now(now)
        taken = self.history.filter(
            length__in=(AS_WRITTEN, MINUTE),
            queue=EVERY_QUEUE,
            start=beginning(moment, MINUTE),
            samples__gt=0,
        )
        if taken.exists():
            return False
        self.write_history(moment, self._backlog(), samples=1)
        return True

    def _backlog(self) -> dict[str, Numbers]:
        found: dict[str, Numbers] = defaultdict(Numbers)
        found[EVERY_QUEUE] = Numbers()
        left = SAMPLED_ROWS
        for queue in self.waiting_queues(SAMPLED_QUEUES):
            first = f"SELECT 1 {self._from_available} AND queue = %s LIMIT %s"
            statement = f"SELECT COUNT(*) FROM ({first}) AS first_rows"
            [(count,)] = self._returned(statement, [queue, left + 1])
            found[queue][WAITING] = min(count, left)
            if count > left:
                found[queue][CUT] = found[EVERY_QUEUE][CUT] = 1
            left = max(left - count, 0)
        held = self.records.filter(state__in=sorted(states.HELD)).order_by()
        for queue, count in held.values_list("queue").annotate(Count("pk")):
            found[queue][HELD] = count
        return found

    def fold_history(self) -> int:
        """Add what workers have written to the sums of its periods; return how many rows.

        Rows that another folds at the same time are left to it. Whatever happens, each number is
        either in a row of a worker or in the sums.

        Database:
            One statement when there is nothing to fold. For each 1,000 rows else a transaction
            of one or two SELECTs, a DELETE and an INSERT.
        """
        written = self.history.filter(length=AS_WRITTEN)
        folded = 0
        while written.exists() and (count := self._fold_history_batch(written)):
            folded += count
            if count < FOLD_BATCH:
                break
        return folded

    def _fold_history_batch(self, written: models.QuerySet[History]) -> int:
        with self.transaction():
            rows = list(self.locked(written.order_by("pk"), skip=True)[:FOLD_BATCH])
            if not rows:
                return 0
            sums: dict[Key, History] = {}
            for row in rows:
                for key in _keys(row):
                    _add(sums, key, row)
            replaced = [row for row in self._sums_like(sums) if _key(row) in sums]
            for row in replaced:
                _add(sums, _key(row), row)
            gone = [row.pk for row in (*rows, *replaced)]
            self.history.filter(pk__in=gone)._raw_delete(self.alias)
            self.history.bulk_create(sums.values())
        return len(rows)

    def _sums_like(self, keys: Iterable[Key]) -> list[History]:
        """Return the rows that have the sums of these periods, and some others, locked."""
        starts: dict[int, set[datetime]] = defaultdict(set)
        for length, start, _ in keys:
            starts[length].add(start)
        periods = (Q(length=length, start__in=found) for length, found in starts.items())
        return list(self.locked(self.history.filter(reduce(or_, periods)), skip=True))

    def prune_history(self, most: timedelta | None, now: datetime | None = None) -> int:
        """Delete the sums of periods that ended too long ago; return how many.

        Args:
            most: For how long any of them is kept. None means that the days are kept for ever.

        Database:
            One DELETE.
        """
        moment = self.now(now)
        old = (
            Q(length=length, start__lt=moment - (kept if most is None else min(kept, most)))
            for length, kept in {AS_WRITTEN: LEVELS[MINUTE], **LEVELS}.items()
        )
        return int(self.history.filter(reduce(or_, old))._raw_delete(self.alias) or 0)


def _key(row: History) -> Key:
    return row.length, row.start, row.queue


def _keys(row: History) -> Iterable[Key]:
    """Yield the keys of all sums that what a worker has written goes into."""
    for length in LEVELS:
        start = beginning(row.start, length)
        yield length, start, EVERY_QUEUE
        if row.queue != EVERY_QUEUE:
            yield length, start, row.queue


def _add(sums: dict[Key, History], key: Key, row: History) -> None:
    length, start, queue = key
    if key not in sums:
        sums[key] = History(length=length, start=start, queue=queue, numbers={})
    total: Any = Numbers(sums[key].numbers)
    total.update(row.numbers)
    sums[key].numbers = dict(total)
    # A sample has one row for each queue, and one of its own for all of them.
    if queue == row.queue:
        sums[key].samples += row.samples

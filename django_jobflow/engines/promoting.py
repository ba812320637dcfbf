"""Giving those that wait for an execution key their turn.

A key has as many places as its job's ``concurrency`` says. Who holds one has the digest of its
number in ``held_execution_key``, and the unique index on that column decides. All keys that
become free at once are given on together, in as many statements as one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from django.db import IntegrityError, models, transaction

from django_jobflow.attempts import Reservation, key_digest
from django_jobflow.declare import registry
from django_jobflow.engines.ground import batched
from django_jobflow.engines.waking import Waking
from django_jobflow.models import JobRecord, Limit
from django_jobflow.states import JobState

PROMOTE_BATCH = 100  # keys whose first in line one statement reads
TRIES = 5  # times that others may be faster

Key = tuple[str, str]
"""A partition and an execution key in it."""


class Grant(NamedTuple):
    """A WAITING row that is to have a place of its key."""

    id: int
    digest: str
    key: Key


@dataclass(slots=True)
class Line:
    """Those who wait for one key, as far as they have been read.

    Attributes:
        ids: The first ones, in order.
        places: The digests of the key's places: as many as the job of the first one says.
        is_limited: Whether an operator has set a limit, which wins over the job.
    """

    key: Key
    ids: list[int]
    places: list[str]
    is_limited: bool


class Promoting(Waking):
    """The verbs of execution keys.

    Attributes:
        by_key: What has the planner take the index of those who wait, where it has to be told.
    """

    by_key = ""

    def promote(self, keys: Iterable[tuple[str, str | None]]) -> None:
        """Make the next WAITING rows of the places that are free AVAILABLE.

        Two workers may arrive here together; the unique index lets one through. And one may
        see a holder that another is about to end, while that other does not see the row that
        the one is about to make WAITING. So keys that gave fewer a turn than they could are
        looked at again after the commit.

        Args:
            keys: Each as often as a place of it became free, or a row began to wait for it.

        Database:
            For each 100 keys, one SELECT for those who wait; where there are any, one for the
            holders and one UPDATE, which on the common way is one for each row.
        """
        wanted = Counter((partition, key) for partition, key in keys if key)
        if not wanted:
            return
        self._look_again(self._promote(wanted))

    def hand_on(self, ended: Sequence[Reservation]) -> None:
        """Let the next have the places of attempts that this transaction has *ended*."""
        self.promote((each.partition, each.execution_key) for each in ended)

    def _look_again(self, idle: Mapping[Key, int]) -> None:
        """Promote once more after the commit, where others may write until then."""
        if idle and self.connection.in_atomic_block and self.locks_rows:
            self.after_commit(lambda: self._promote(idle))

    def promote_waiting(self) -> None:
        """Promote for every key that has WAITING rows and free places; heals after crashes."""
        self._promote(dict.fromkeys(self._keys_in_line(), most_places()))

    @property
    def _waiting(self) -> models.QuerySet[JobRecord]:
        """Those who wait for an execution key; what is parked has its own, if it has one."""
        return self.records.filter(state=JobState.WAITING, parked_for__isnull=True)

    def _keys_in_line(self) -> list[Key]:
        """Return the keys that rows wait for."""
        waiting = self._waiting.filter(execution_key__isnull=False)
        keys = waiting.order_by().values_list("partition", "execution_key").distinct()
        return [(partition, key) for partition, key in keys if key]

    def _pass_on(self, keys: Iterable[tuple[str, str | None]]) -> None:
        """Let the next of each key have their turn, and idle workers know of it."""
        freed = [(partition, key) for partition, key in keys if key]
        if freed:
            self.promote(freed)
            self.wake()

    def _promote(self, wanted: Mapping[Key, int], tries: int = TRIES) -> dict[Key, int]:
        """Give up to so many rows of each key their turn; return what was left of that."""
        left = dict(wanted)
        lost: set[Key] = set()
        for keys in batched(sorted(wanted), PROMOTE_BATCH):
            lines = self._lines([(key, wanted[key]) for key in keys])
            for line in lines:
                if line.is_limited:
                    del left[line.key]
                    self._promote_later(line.key)
            lines = [line for line in lines if not line.is_limited]
            grants = self._grants(lines)
            given = Counter(grant.key for grant in self._give(grants))
            lost |= (Counter(grant.key for grant in grants) - given).keys()
            for line in lines:
                if given[line.key] >= min(wanted[line.key], len(line.places)):
                    del left[line.key]
        if lost and tries > 1:  # another gave the same row a turn; there may be more places
            left |= self._promote({key: left.pop(key) for key in sorted(lost)}, tries - 1)
        return left

    def _lines(self, wanted: Sequence[tuple[Key, int]]) -> list[Line]:
        """Read the first WAITING rows of each key, as many as *wanted*."""
        most = most_places() if any(count > 1 for _, count in wanted) else 1
        rows = self._first_in_line([(key, min(count, most)) for key, count in wanted])
        lines = []
        for number, group in groupby(sorted(rows), key=itemgetter(0)):
            [*first] = group
            partition, key = wanted[number][0]
            *_, name, limit = first[0]
            places = [key_digest(partition, key, place) for place in range(places_of(name))]
            ids = [pk for *_, pk, _, _ in first]
            lines.append(Line((partition, key), ids, places, limit is not None))
        return lines

    def _promote_later(self, key: Key) -> None:
        """Promote for a key with a limit of its own, when the caller's transaction is over.

        Its row is locked for that, and must not be for as long as that transaction lasts.
        """
        self.after_commit(lambda: self.promote_limited(key))

    def promote_limited(self, key: Key) -> float | None:
        """Give those their turn whom a limit that an operator has set for *key* lets through."""
        raise NotImplementedError

    def _first_in_line(self, wanted: Sequence[tuple[Key, int]]) -> list[tuple[Any, ...]]:
        """Return of each key its number, and order, id and name of the first rows, and its limit.

        The limit is the id of the row in which an operator has set one.
        """
        quoted = self.connection.ops.quote_name
        # Each range has its own limit; the state is a literal, for the partial index.
        ranges = " UNION ALL ".join(
            f"SELECT * FROM (SELECT {number} AS number, -priority AS place, available_at, id, "
            f"name, (SELECT id FROM {quoted(Limit._meta.db_table)} WHERE kind = 'key' "
            f"AND value = %s AND is_override) AS limited "
            f"FROM {quoted(JobRecord._meta.db_table)} {self.by_key} WHERE state = 'WAITING' "
            f"AND parked_for IS NULL AND {quoted('partition')} = %s AND execution_key = %s "
            f"ORDER BY priority DESC, available_at, id LIMIT {count}) AS line{number}"
            for number, (_, count) in enumerate(wanted)
        )
        return self._returned(
            ranges, [value for (part, key), _ in wanted for value in (key, part, key)]
        )

    def _grants(self, lines: Sequence[Line]) -> list[Grant]:
        """Give the free places to the first in each line; return who has got which, by id."""
        if not lines:
            return []
        places = [place for line in lines for place in line.places]
        held = self.records.filter(held_execution_key__in=places)
        taken = set(held.values_list("held_execution_key", flat=True))
        return sorted(
            Grant(pk, place, line.key)
            for line in lines
            for pk, place in zip(
                line.ids, (each for each in line.places if each not in taken), strict=False
            )
        )

    def _give(self, grants: Sequence[Grant]) -> list[Grant]:
        """Write *grants*; return those that nobody else was faster with."""
        if not grants:
            return []
        try:
            with transaction.atomic(using=self.alias):
                hit = self._hand(grants)
        except IntegrityError:  # one by one they tell which place has a holder already
            alone = len(grants) == 1
            return [] if alone else [grant for grant in grants if self._give([grant])]
        return [grant for grant in grants if grant.id in hit]

    def _hand(self, grants: Sequence[Grant]) -> set[int]:
        """Make the rows of *grants* AVAILABLE that still wait; return their ids."""
        return {grant.id for grant in grants if self._hand_one(grant)}

    def _hand_one(self, grant: Grant) -> bool:
        changed = self._waiting.filter(pk=grant.id).update(
            state=JobState.AVAILABLE, held_execution_key=grant.digest, updated_at=self.clock(None)
        )
        return changed == 1


def places_of(name: str) -> int:
    """Return how many records may hold a key whose first in line is one of the job *name*."""
    job = registry.find(name)
    return 1 if job is None else job.definition().concurrency or 1


def most_places() -> int:
    """Return the most places that a key has here."""
    return max((job.definition().concurrency or 1 for job in registry.all_jobs()), default=1)

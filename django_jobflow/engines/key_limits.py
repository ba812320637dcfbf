"""Limits of execution keys that operators have set; they win over the ``concurrency`` of jobs.

Whoever gives turns locks the row of the limit in a short transaction of its own, and counts the
holders of the key. A partition has its own places; the tokens of a rate are for all of them.
"""

from __future__ import annotations

from functools import lru_cache

from django_jobflow.attempts import key_digest
from django_jobflow.engines.controlling import quota_of
from django_jobflow.engines.limiting import Limiting, allowances
from django_jobflow.engines.promoting import PROMOTE_BATCH, Grant, Key, Promoting
from django_jobflow.models import LimitKind
from django_jobflow.models.querysets import RESERVE_ORDER
from django_jobflow.quotas import MOST_PLACES, SLACK


class KeyLimiting(Limiting, Promoting):
    """The verbs of keys with a limit of their own."""

    def promote_limited(self, key: Key) -> float | None:
        """Give those their turn whom the limit of *key* lets through, at most 100 at a time.

        Returns:
            In how many seconds there is a token for the next. None means that nobody waits
            for one.

        Database:
            One SELECT for the limit, one that locks its row, one for the holders, one for those
            who wait, and what it costs to give them turns; for a rate one UPDATE, and one SELECT
            without a token.
        """
        partition, name = key
        with self.transaction():
            [row] = self._limits(LimitKind.KEY, [name]).filter(is_override=True) or [None]
            if row is None:  # cleared meanwhile
                return None
            quota = quota_of(row)
            locked = self._lock_limits(LimitKind.KEY, [name], None, waits=True)
            places = _places(partition, name)
            held = self.records.filter(held_execution_key__in=places)
            taken = set(held.values_list("held_execution_key", flat=True))
            allowed = allowances({name: quota}, locked, {name: len(taken)})
            if name not in allowed:
                return None
            allowance = allowed[name]
            free = [place for place in places if place not in taken]
            waiting = self._waiting.filter(partition=partition, execution_key=name)
            most = min(allowance.left, len(free), PROMOTE_BATCH)
            ids = list(waiting.order_by(*RESERVE_ORDER).values_list("pk", flat=True)[:most])
            grants = [Grant(pk, place, key) for pk, place in sorted(zip(ids, free, strict=False))]
            given = self._give(grants)
            if given and allowance.tokens is not None:
                self._take_tokens(LimitKind.KEY, name, allowance, len(given), None)
            self._look_again_for(key, len(ids), allowance.left)
            if given:
                self.wake()
            if allowance.tokens is None or allowance.tokens + SLACK >= 1:
                return None
            return (1 - allowance.tokens) * quota.pause if waiting.exists() else None

    def _look_again_for(self, key: Key, found: int, left: int) -> None:
        """Go on after this transaction where more could have a turn than it has given."""
        if found == PROMOTE_BATCH and left > found:
            self._promote_later(key)

    def promote_key(self, name: str) -> float | None:
        """Promote for the key *name* in every partition where somebody waits.

        Returns:
            In how many seconds there is a token for the next; None as ``promote_limited``.

        Database:
            One statement, two for each partition with WAITING rows, and what
            ``promote_limited`` costs.
        """
        pauses = [self.promote_limited((partition, name)) for partition in self._parts()]
        return min((pause for pause in pauses if pause is not None), default=None)

    def _parts(self) -> list[str]:
        """Return the partitions in which rows are WAITING."""
        return list(
            self._each_value(self._partition, f"FROM {self._table} WHERE state = 'WAITING'")
        )


@lru_cache(maxsize=8)
def _places(partition: str, name: str) -> tuple[str, ...]:
    """Return the digests of all places that a key may have, or have had before its limit."""
    return tuple(key_digest(partition, name, place) for place in range(MOST_PLACES))

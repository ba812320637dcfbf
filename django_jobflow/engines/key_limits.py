"""Limits of execution keys that operators have set; they win over the ``concurrency`` of jobs.

Whoever gives turns locks the row of the limit in a short transaction of its own, and counts the
holders of the key. A partition has its own places; the tokens of a rate are for all of them.
"""

from __future__ import annotations

from functools import lru_cache

from django_jobflow.attempts import key_digest
from django_jobflow.engines.controlling import quota_of
from django_jobflow.engines.limiting import Bucket, Limiting, allowances
from django_jobflow.engines.promoting import PROMOTE_BATCH, Grant, Key, Promoting
from django_jobflow.models import LimitKind
from django_jobflow.models.querysets import RESERVE_ORDER
from django_jobflow.quotas import MOST_PLACES, SLACK, Quota


class KeyLimiting(Limiting, Promoting):
    """The verbs of keys with a limit of their own."""

    def promote_limited(self, key: Key) -> float | None:
        """Give those their turn whom the limit of *key* lets through, at most 100 at a time.

        Returns:
            In how many seconds there is a token for the next. None means that nobody waits
            for one.

        Database:
            One SELECT that locks the row of the limit; with a token, one for the holders, and
            with a free place one for those who wait and what it costs to give them turns; for
            a rate one UPDATE, and one SELECT without a token.
        """
        partition, name = key
        with self.transaction():
            locked = self._locked_limit(name)
            if locked is None:  # cleared meanwhile
                return None
            quota, bucket = locked
            waiting = self._waiting.filter(partition=partition, execution_key=name)
            taken = self._places_taken(key) if _has_token(quota, bucket) else set()
            [allowance] = allowances({name: quota}, {name: bucket}, {name: len(taken)}).values()
            most = min(allowance.left, MOST_PLACES - len(taken), PROMOTE_BATCH)
            ids = list(waiting.order_by(*RESERVE_ORDER).values_list("pk", flat=True)[:most])
            free = (place for place in _places(*key) if place not in taken)
            pairs = sorted(zip(ids, free, strict=False))
            given = self._give([Grant(pk, place, key) for pk, place in pairs])
            if given and allowance.tokens is not None:
                self._take_tokens(LimitKind.KEY, name, allowance, len(given), None)
            if len(ids) == PROMOTE_BATCH < allowance.left:
                self._promote_later(key)
            if given:
                self.wake()
            if allowance.tokens is None or allowance.tokens + SLACK >= 1:
                return None
            return (1 - allowance.tokens) * quota.pause if waiting.exists() else None

    def _locked_limit(self, name: str) -> tuple[Quota, Bucket] | None:
        """Lock the row of a limit; return what it says now, and what is in its bucket.

        In one statement: an operator may set another limit while this waits for the lock, and
        what is read after it is what all holders of the lock before have left.
        """
        rows = self._lockable(LimitKind.KEY, [name], None, waits=True).filter(is_override=True)
        for row in rows:
            return quota_of(row), (row.tokens, row.elapsed)
        return None

    def _places_taken(self, key: Key) -> set[str]:
        """Return the digests of the places of *key* that have a holder."""
        held = self.records.filter(held_execution_key__in=_places(*key))
        return {str(place) for place in held.values_list("held_execution_key", flat=True)}

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


def _has_token(quota: Quota, bucket: Bucket) -> bool:
    return quota.rate is None or quota.tokens(*bucket) + SLACK >= 1


@lru_cache(maxsize=8)
def _places(partition: str, name: str) -> tuple[str, ...]:
    """Return the digests of all places that a key may have, or have had before its limit."""
    return tuple(key_digest(partition, name, place) for place in range(MOST_PLACES))

"""What an operator has said: pauses and limits, written and read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import Q

from django_jobflow.engines.waking import Waking
from django_jobflow.models import Limit, LimitKind, Pause
from django_jobflow.quotas import Quota

Named = tuple[str, str]
"""A kind and a value of that kind."""


@dataclass(frozen=True, slots=True)
class Controls:
    """What is in force.

    Attributes:
        paused: What is paused now.
        limits: What operators have set; it wins over settings and code.
        partitions: Whether there is work in another partition than the default one.
        rows: What has a row that is locked by those who take it, with or without a limit.
    """

    paused: frozenset[Named] = frozenset()
    limits: Mapping[Named, Quota] = field(default_factory=dict)
    partitions: bool = False
    rows: frozenset[Named] = frozenset()

    def pauses(self, kind: str, value: str) -> bool:
        """Say whether *value* is paused."""
        return (kind, value) in self.paused

    def limits_of(self, kind: str) -> dict[str, Quota]:
        """Return the limits of one *kind*."""
        return {value: quota for (each, value), quota in self.limits.items() if each == kind}


class Controlling(Waking):
    """The verbs of the rows of ``Pause`` and ``Limit``."""

    @property
    def pauses(self) -> models.QuerySet[Pause]:
        return Pause._base_manager.using(self.alias)

    @property
    def limits(self) -> models.QuerySet[Limit]:
        return Limit._base_manager.using(self.alias)

    def pause(
        self,
        kind: str,
        value: str,
        *,
        until: datetime | timedelta | None,
        reason: str,
        by: str,
        now: datetime | None = None,
    ) -> bool:
        """Pause *value*, or pause it anew; idle workers are told.

        Returns:
            Whether that changed anything: an end that has passed pauses nothing, and leaves
            no row.

        Database:
            One UPDATE or INSERT, and two or three SELECTs.
        """
        if isinstance(until, timedelta):
            until = self.clock(now, until)
        said = {"until": until, "reason": reason, "by": by, "created_at": self.clock(now)}
        with self.transaction():
            lasting = self._lasting(now).filter(kind=kind, value=value)
            has_lasted = lasting.exists()
            self.pauses.update_or_create(kind=kind, value=value, defaults=said)
            if not (lasts := until is None or lasting.exists()):
                self.pauses.filter(kind=kind, value=value).delete()
            self.wake()
        return has_lasted or lasts

    def resume(self, kind: str, value: str, now: datetime | None = None) -> bool:
        """End a pause; say whether there was one that had not ended by itself."""
        with self.transaction():
            lasted = self._lasting(now).filter(kind=kind, value=value).exists()
            self.pauses.filter(kind=kind, value=value).delete()
            self.wake()
        return lasted

    def paused(self, now: datetime | None = None) -> list[Pause]:
        """Return the pauses that last."""
        return list(self._lasting(now).order_by("kind", "value"))

    def _lasting(self, now: datetime | None) -> models.QuerySet[Pause]:
        return self.pauses.filter(Q(until__isnull=True) | Q(until__gt=self.clock(now)))

    def set_limit(
        self, kind: str, value: str, quota: Quota, by: str, now: datetime | None = None
    ) -> None:
        """Let *quota* win over what settings and code say; the bucket of a rate stays."""
        said: dict[str, Any] = {
            "concurrency": quota.concurrency,
            "rate": quota.rate,
            "period": quota.period,
            "burst": quota.burst,
            "by": by,
            "is_override": True,
            "updated_at": self.clock(now),
        }
        with self.transaction():
            self.limits.update_or_create(kind=kind, value=value, defaults=said)
            self.wake()

    def clear_limit(self, kind: str, value: str, now: datetime | None = None) -> bool:
        """Let settings and code decide again; say whether somebody had set a limit.

        A queue or job keeps its row, which others may have read of and want to lock. Nobody
        asks for that of a key without a limit, and there may be any number of keys.
        """
        said = dict.fromkeys(("concurrency", "rate", "period", "burst"))
        with self.transaction():
            rows = self.limits.filter(kind=kind, value=value, is_override=True)
            if kind == LimitKind.KEY:
                cleared = int(rows._raw_delete(self.alias) or 0)
            else:
                cleared = rows.update(**said, by="", is_override=False, updated_at=self.clock(now))
            self.wake()
        return cleared == 1

    def controls(self, *, partitions: bool, now: datetime | None = None) -> Controls:
        """Read what is in force.

        Database:
            One statement for the pauses and one for the rows of limits.
        """
        paused = self._lasting(now).values_list("kind", "value")
        limits = list(self.limits)
        return Controls(
            paused=frozenset((kind, value) for kind, value in paused),
            limits={(row.kind, row.value): quota_of(row) for row in limits if row.is_override},
            partitions=partitions,
            rows=frozenset((row.kind, row.value) for row in limits),
        )

    def prepare_limits(self, named: Collection[Named]) -> None:
        """See that each of *named* has a row, which those who take it lock.

        Database:
            One SELECT; one INSERT if some have none.
        """
        has = set(self.limits.values_list("kind", "value")) if named else set()
        rows = [Limit(kind=kind, value=value) for kind, value in sorted(set(named) - has)]
        if rows:
            self.limits.bulk_create(rows, ignore_conflicts=True)


def quota_of(row: Limit) -> Quota:
    """Return what *row* says."""
    return Quota(row.concurrency, row.rate, row.period, row.burst)

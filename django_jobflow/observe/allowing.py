"""The limits that hold over all hosts: what they are, and how much of them is used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django_jobflow import conf
from django_jobflow.engines import engine_for
from django_jobflow.engines.controlling import quota_of
from django_jobflow.models import Limit, LimitKind
from django_jobflow.observe.held import held_in_queues
from django_jobflow.quotas import SLACK, Quota

Named = tuple[str, str]
"""A kind and a name of that kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitFacts:
    """A limit that is in force.

    Attributes:
        kind: What it is of: ``queue``, ``job`` or ``key``.
        name: The name of that.
        quota: What it allows. It may be no limit at all, where an operator has lifted that of
            the settings.
        is_override: Whether an operator has set it; otherwise the settings have.
        by: Who that was, as far as it was said.
        running: How many records have a place of its concurrency. None where it has none, or
            is of something else than a queue.
        next_at: When the next record may start. None where it has no rate, or one may start
            now.
    """

    kind: str
    name: str
    quota: Quota
    is_override: bool
    by: str
    running: int | None = None
    next_at: datetime | None = None

    @property
    def is_full(self) -> bool:
        """Whether all places of its concurrency are taken."""
        most = self.quota.concurrency
        return most is not None and self.running is not None and self.running >= most


def limits(
    alias: str | None = None, *, only: Named | None = None, now: datetime | None = None
) -> list[LimitFacts]:
    """Return the limits that operators or the settings have set, by kind and name.

    Args:
        alias: None means JOBFLOW["DATABASE"].
        only: Only that of this kind and name.

    Database:
        One statement. Where there are limits, one more that counts what is held, and one for
        the clock but on SQLite.
    """
    engine = engine_for(alias)
    rows = engine.limits if only is None else engine.limits.filter(kind=only[0], value=only[1])
    by_name = {(row.kind, row.value): row for row in rows}
    declared = {named: quota for named, quota in _declared() if only in {None, named}}
    found = {
        named: quota_of(row) if row.is_override else declared[named]
        for named, row in by_name.items()
        if row.is_override or named in declared
    }
    found = declared | found
    if not found:
        return []
    moment = engine.now(now)
    held = held_in_queues(_counted(found), engine.alias)
    return [
        _facts(named, found[named], by_name.get(named), held, moment) for named in sorted(found)
    ]


def _declared() -> Iterable[tuple[Named, Quota]]:
    for name, queue in conf.current().QUEUES.items():
        if not queue.quota.is_open:
            yield (LimitKind.QUEUE.value, name), queue.quota


def _counted(found: dict[Named, Quota]) -> list[str]:
    return [
        name
        for (kind, name), quota in found.items()
        if kind == LimitKind.QUEUE and quota.concurrency is not None
    ]


def _facts(
    named: Named, quota: Quota, row: Limit | None, held: dict[str, int], now: datetime
) -> LimitFacts:
    kind, name = named
    return LimitFacts(
        kind=kind,
        name=name,
        quota=quota,
        is_override=row is not None and row.is_override,
        by="" if row is None else row.by,
        running=held.get(name) if kind == LimitKind.QUEUE else None,
        next_at=None if row is None or quota.rate is None else _next_at(quota, row, now),
    )


def _next_at(quota: Quota, row: Limit, now: datetime) -> datetime | None:
    elapsed = None if row.filled_at is None else now - row.filled_at
    missing = 1 - quota.tokens(row.tokens, elapsed)
    return now + timedelta(seconds=missing * quota.pause) if missing > SLACK else None

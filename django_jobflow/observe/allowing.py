"""The limits that hold over all hosts: what they are, and how much of them is used."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_

from django.db import models
from django.db.models import Q

from django_jobflow import conf
from django_jobflow.declare import registry
from django_jobflow.engines import Engine, engine_for
from django_jobflow.engines.controlling import quota_of
from django_jobflow.models import Limit, LimitKind
from django_jobflow.observe.held import held_with
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
        is_override: Whether an operator has set it; otherwise the settings have, or the code
            of the job.
        by: Who that was, as far as it was said.
        running: How many records have a place of its concurrency. None where it has none, or
            is of a key.
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
    alias: str | None = None,
    *,
    only: Collection[Named] | None = None,
    now: datetime | None = None,
) -> list[LimitFacts]:
    """Return the limits that operators, the settings or the code have set, by kind and name.

    Args:
        alias: None means JOBFLOW["DATABASE"].
        only: Only those of these kinds and names.

    Database:
        One statement. Where there are limits, one for the clock but on SQLite, and one more
        that counts what is held of queues, and one of jobs.
    """
    engine = engine_for(alias)
    rows = {(row.kind, row.value): row for row in _rows(engine, only)}
    found = {
        named: quota for named, quota in declared_limits().items() if only is None or named in only
    }
    found |= {named: quota_of(row) for named, row in rows.items() if row.is_override}
    if not found:
        return []
    moment = engine.now(now)
    running = _running(found, engine.alias)
    return [
        _facts(named, found[named], rows.get(named), running.get(named), moment)
        for named in sorted(found)
    ]


def declared_limits() -> dict[Named, Quota]:
    """Return what the settings say of queues, and the code of jobs; asks no table."""
    queues = {name: queue.quota for name, queue in conf.current().QUEUES.items()}
    jobs = {each.name: each.quota for each in (job.definition() for job in registry.all_jobs())}
    declared = [(LimitKind.QUEUE, queues), (LimitKind.JOB, jobs)]
    return {
        (kind.value, name): quota
        for kind, quotas in declared
        for name, quota in quotas.items()
        if not quota.is_open
    }


def names_of(name: str) -> tuple[str, ...]:
    """Return what the records of a job are called: its name, and those that it had."""
    job = registry.find(name)
    return (name,) if job is None else (job.definition().name, *job.definition().aliases)


def _rows(engine: Engine, only: Collection[Named] | None) -> models.QuerySet[Limit]:
    if only is None:
        return engine.limits
    return engine.limits.filter(reduce(or_, (Q(kind=kind, value=name) for kind, name in only)))


def _running(found: dict[Named, Quota], alias: str) -> dict[Named, int]:
    """Return how many records have the places of each queue and job with a concurrency."""
    counted = [named for named, quota in found.items() if quota.concurrency is not None]
    queues = [name for kind, name in counted if kind == LimitKind.QUEUE]
    jobs = {name: names_of(name) for kind, name in counted if kind == LimitKind.JOB}
    of_queues = held_with("queue", queues, alias)
    of_names = held_with("name", {name for names in jobs.values() for name in names}, alias)
    return {(LimitKind.QUEUE.value, queue): of_queues[queue] for queue in queues} | {
        (LimitKind.JOB.value, job): sum(of_names[name] for name in names)
        for job, names in jobs.items()
    }


def _facts(
    named: Named, quota: Quota, row: Limit | None, running: int | None, now: datetime
) -> LimitFacts:
    kind, name = named
    return LimitFacts(
        kind=kind,
        name=name,
        quota=quota,
        is_override=row is not None and row.is_override,
        by="" if row is None else row.by,
        running=running,
        next_at=None if row is None or quota.rate is None else _next_at(quota, row, now),
    )


def _next_at(quota: Quota, row: Limit, now: datetime) -> datetime | None:
    elapsed = None if row.filled_at is None else now - row.filled_at
    missing = 1 - quota.tokens(row.tokens, elapsed)
    return now + timedelta(seconds=missing * quota.pause) if missing > SLACK else None

"""The keys: who holds which, who waits for it, and until when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from django_jobflow.attempts import key_digest
from django_jobflow.declare import registry
from django_jobflow.engines import Engine, engine_for
from django_jobflow.models import JobRecord, KeyHold, Limit, LimitKind
from django_jobflow.observe.counting import Count
from django_jobflow.quotas import MOST_PLACES
from django_jobflow.states import HELD, JobState

READ = 10_000  # rows that wait for a key, of those that are read to find which keys these are
SHOWN = 100  # keys, holders and waiters that are named

HOLDER = ("id", "name", "queue", "state", "partition", "queue_key", "execution_key", "started_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitedFor:
    """An execution key that jobs wait for.

    Attributes:
        key: The key.
        partition: The partition that it is of.
        places: How many may hold it at a time.
        holders: The jobs that hold it, as far as they are named.
        waiting: How many jobs wait for it.
    """

    key: str
    partition: str
    places: int
    holders: list[JobRecord]
    waiting: Count


@dataclass(frozen=True, slots=True)
class Waits:
    """The execution keys that jobs wait for.

    Attributes:
        keys: The first of them, in the order of partitions and keys.
        has_more: Whether there are others.
    """

    keys: list[WaitedFor]
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """What a word is as a key, in one partition.

    Attributes:
        queue_key_holder: The unfinished job that has it as its queue key.
        held_until: Until when it is held as a queue key, whatever becomes of its job.
        held_for: The number of that job.
        places: How many may hold it as their execution key at a time.
        holders: The jobs that do.
        waiting: How many jobs wait for that.
        waiters: The first of these, in their order.
    """

    key: str
    partition: str
    queue_key_holder: JobRecord | None
    held_until: datetime | None
    held_for: int | None
    places: int
    holders: list[JobRecord]
    waiting: Count
    waiters: list[JobRecord]

    @property
    def is_free(self) -> bool:
        """Whether nobody holds it or waits for it."""
        return not (
            self.queue_key_holder or self.held_until or self.holders or self.waiting.number
        )


def waited_for(alias: str | None = None, read: int = READ, shown: int = SHOWN) -> Waits:
    """Return the execution keys that jobs wait for, with their holders.

    Args:
        alias: None means JOBFLOW["DATABASE"].
        read: How many rows that wait are read.
        shown: How many keys are named.

    Database:
        Three statements: the first rows of the index over what waits, the limits of their keys,
        and the holders by the index over what is held.
    """
    engine = engine_for(alias)
    groups = _waiting_groups(engine, read)
    totals: dict[tuple[str, str], int] = {}
    names: dict[tuple[str, str], set[str]] = {}
    for partition, key, name, count in groups:
        totals[partition, key] = totals.get((partition, key), 0) + count
        names.setdefault((partition, key), set()).add(name)
    is_cut = sum(totals.values()) >= read
    keys = sorted(totals)[:shown]
    limited = _limits_of(engine, {key for _, key in keys})
    places = {each: _places(limited, each[1], names[each]) for each in keys}
    holders = _holders(engine, places)
    last = keys[-1] if keys else None
    found = [
        WaitedFor(
            key=key,
            partition=partition,
            places=places[partition, key],
            holders=holders.get((partition, key), []),
            # They were read in this order: of all but the last, none was left out.
            waiting=Count(totals[partition, key], is_cut and (partition, key) == last),
        )
        for partition, key in keys
    ]
    return Waits(found, has_more=is_cut or len(totals) > shown)


def key_facts(
    key: str, partition: str = "", alias: str | None = None, shown: int = SHOWN
) -> KeyFacts:
    """Return who holds *key* and who waits for it.

    Database:
        Six statements: by unique indexes, by the primary key of what is held for a time, and
        the first rows of one range of the index over what waits.
    """
    engine = engine_for(alias)
    digest = key_digest(partition, key)
    records = engine.records
    holder = records.filter(held_queue_key=digest).only(*HOLDER).first()
    hold = (
        KeyHold._base_manager.using(engine.alias)
        .filter(pk=digest, until__gt=engine.clock(None))
        .first()
    )
    waiting = records.filter(
        state=JobState.WAITING.value, partition=partition, execution_key=key, parked_for=None
    ).order_by("-priority", "available_at", "id")
    number = waiting.values("priority")[: READ + 1].count()
    waiters = list(waiting.only(*HOLDER)[:shown])
    digests = [key_digest(partition, key, place) for place in range(MOST_PLACES)]
    held = _by_id(engine, records.filter(held_execution_key__in=digests).only(*HOLDER))[:shown]
    names = {each.name for each in (*held, *waiters)}
    return KeyFacts(
        key=key,
        partition=partition,
        queue_key_holder=holder,
        held_until=None if hold is None else hold.until,
        held_for=None if hold is None else hold.job_id,
        places=_places(_limits_of(engine, {key}), key, names),
        holders=held,
        waiting=Count(min(number, READ), number > READ),
        waiters=waiters,
    )


def held_while_running(alias: str | None = None, shown: int = SHOWN) -> list[JobRecord]:
    """Return jobs that workers have and that hold a key, those whose lease ends first.

    Database:
        One statement. It reads what is held, along ``jobflow_job_lease``.
    """
    rows = engine_for(alias).records.filter(
        Q(held_queue_key__isnull=False) | Q(held_execution_key__isnull=False),
        state__in=sorted(state.value for state in HELD),
    )
    return list(rows.only(*HOLDER).order_by("state", "expires", "id")[:shown])


def held_for_a_time(alias: str | None = None, shown: int = SHOWN) -> list[KeyHold]:
    """Return queue keys that are held until a moment, those that are free soonest first.

    Database:
        One statement that follows the index over that moment.
    """
    engine = engine_for(alias)
    rows = KeyHold._base_manager.using(engine.alias).filter(until__gt=engine.clock(None))
    return list(rows.order_by("until")[:shown])


def _waiting_groups(engine: Engine, read: int) -> list[tuple[str, str, str, int]]:
    """Return how many of the first *read* rows that wait have which partition, key and name."""
    quote = engine.connection.ops.quote_name
    table, partition = quote(JobRecord._meta.db_table), quote("partition")
    first = (
        f"SELECT {partition}, execution_key, name, parked_for FROM {table} "
        f"WHERE state = 'WAITING' ORDER BY {partition}, execution_key LIMIT %s"
    )
    # The ORM has no form for the groups of the first rows.
    statement = (
        f"SELECT {partition}, execution_key, name, COUNT(*) FROM ({first}) AS first_rows "
        f"WHERE parked_for IS NULL AND execution_key IS NOT NULL "
        f"GROUP BY {partition}, execution_key, name"
    )
    with engine.connection.cursor() as cursor:
        cursor.execute(statement, [read])
        return list(cursor.fetchall())


def _limits_of(engine: Engine, keys: Iterable[str]) -> dict[str, int]:
    rows = Limit._base_manager.using(engine.alias).filter(
        kind=LimitKind.KEY, value__in=sorted(keys), is_override=True
    )
    return {key: most or MOST_PLACES for key, most in rows.values_list("value", "concurrency")}


def _places(limited: dict[str, int], key: str, names: Iterable[str]) -> int:
    """Return how many may hold *key* at a time, by its limit or by the jobs of these *names*."""
    if key in limited:
        return limited[key]
    jobs = [job for job in map(registry.find, names) if job is not None]
    return max((job.definition().concurrency or 1 for job in jobs), default=1)


def _holders(
    engine: Engine, places: dict[tuple[str, str], int]
) -> dict[tuple[str, str], list[JobRecord]]:
    """Return who holds each of these keys, as far as that can be asked in one statement."""
    digests: dict[str, tuple[str, str]] = {}
    for named, most in places.items():
        left = max(MOST_PLACES - len(digests), 0)
        digests |= {key_digest(*named, place): named for place in range(min(most, left))}
    rows = engine.records.filter(held_execution_key__in=list(digests))
    found: dict[tuple[str, str], list[JobRecord]] = {}
    for record in _by_id(engine, rows.only(*HOLDER, "held_execution_key")) if digests else ():
        held = digests[str(record.held_execution_key)]
        found.setdefault(held, []).append(record)
    return found


def _by_id(engine: Engine, holders: QuerySet[JobRecord]) -> list[JobRecord]:
    """Return *holders* of execution keys, of which there are few, in the order of their ids.

    Asked for the first by id, PostgreSQL would walk along all ids until it has found them: to
    the end of the table where nobody holds what is looked for.
    """
    if engine.connection.vendor == "sqlite":  # or else it reads the whole table, not the index
        holders = holders.order_by("held_execution_key")
    return sorted(holders, key=lambda record: record.pk)

"""What stands around a record that does not run: workers, pauses, keys, what is before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobflow import conf
from django_jobflow.attempts import key_digest
from django_jobflow.declare import registry
from django_jobflow.endings import UNKNOWN_LIMIT, UNKNOWN_PAUSE, UNKNOWN_SINCE
from django_jobflow.models import JobRecord, Worker
from django_jobflow.models.controls import LimitKind, Pause, PauseKind
from django_jobflow.observe.allowing import LimitFacts, limits, names_of
from django_jobflow.observe.counting import Count
from django_jobflow.quotas import MOST_PLACES, rate_text
from django_jobflow.states import JobState

FOR_EVER = datetime.max.replace(tzinfo=UTC)
MOST_AHEAD = 10_000  # jobs before one that are counted


@dataclass
class Scene:
    """A record, and what is asked about it when it matters.

    Attributes:
        now: What the clock of the database says.
    """

    record: JobRecord
    alias: str
    now: datetime

    @property
    def is_of_unknown_code(self) -> bool:
        """Whether a worker has put it back that did not know its code."""
        meta = self.record.meta if isinstance(self.record.meta, dict) else {}
        try:
            since = datetime.fromisoformat(meta[UNKNOWN_SINCE])
            return self.record.available_at <= since + UNKNOWN_LIMIT + 2 * UNKNOWN_PAUSE
        except (KeyError, TypeError, ValueError):  # a caller may have said anything in its meta
            return False

    @cached_property
    def living(self) -> list[Worker]:
        """The workers that have shown a sign of life within JOBFLOW["LEASE"]."""
        since = self.now - conf.current().LEASE
        rows = Worker._base_manager.using(self.alias).filter(heartbeat_at__gte=since)
        return list(rows.order_by("name"))

    @property
    def serving_queue(self) -> list[Worker]:
        """The living workers of its queue."""
        queue = self.record.queue
        return [each for each in self.living if each.service.serves(queue)]

    @property
    def serving(self) -> list[Worker]:
        """Those of them that serve its partition, too."""
        lane = self.record.queue, self.record.partition
        return [each for each in self.living if each.service.serves(*lane)]

    @property
    def knowing(self) -> list[Worker]:
        """Those of them that know its job, or have not said what they know."""
        name = self.record.name
        return [each for each in self.serving if each.names is None or name in each.names]

    def pauses(self) -> list[Pause]:
        """Return the pauses that hold it back, the longest first."""
        record = self.record
        of_it = (
            Q(kind=PauseKind.QUEUE, value=record.queue)
            | Q(kind=PauseKind.JOB, value__in=names_of(record.name))
            | Q(kind=PauseKind.PARTITION, value=record.partition)
        )
        rows = Pause._base_manager.using(self.alias).filter(of_it)
        active = [each for each in rows if each.until is None or each.until > self.now]
        return sorted(active, key=lambda each: each.until or FOR_EVER, reverse=True)

    def limits(self) -> list[LimitFacts]:
        """Return the limits of its queue and of its job."""
        jobs = [(LimitKind.JOB.value, name) for name in names_of(self.record.name)]
        queue = (LimitKind.QUEUE.value, self.record.queue)
        found = limits(self.alias, only=[queue, *jobs], now=self.now)
        return sorted(found, key=lambda limit: limit.kind == LimitKind.JOB)

    @cached_property
    def key_limit(self) -> LimitFacts | None:
        """The limit that an operator has set for its execution key."""
        key = (LimitKind.KEY.value, self.record.execution_key or "")
        return next(iter(limits(self.alias, only=[key], now=self.now)), None)

    @property
    def places(self) -> int:
        """How many may hold its execution key at a time."""
        if self.key_limit is not None:
            return self.key_limit.quota.concurrency or MOST_PLACES
        job = registry.find(self.record.name)
        return 1 if job is None else job.definition().concurrency or 1

    def key_holders(self) -> list[JobRecord]:
        """Return the records that hold the places of its execution key."""
        key = self.record.partition, self.record.execution_key or ""
        most = self.places if self.key_limit is None else MOST_PLACES
        digests = [key_digest(*key, place) for place in range(most)]
        rows = JobRecord._base_manager.using(self.alias).filter(held_execution_key__in=digests)
        return list(rows.only("id", "state").order_by("pk"))

    def ahead(self) -> Count:
        """Return how many AVAILABLE records of its queue are taken before it."""
        record = self.record
        due = Q(available_at__lt=record.available_at) | Q(
            available_at=record.available_at, pk__lt=record.pk
        )
        before = Q(priority__gt=record.priority) | Q(Q(priority=record.priority) & due)
        rows = JobRecord._base_manager.using(self.alias).filter(
            before, state=JobState.AVAILABLE, queue=record.queue
        )
        number = rows.order_by("-priority").values("priority")[: MOST_AHEAD + 1].count()
        return Count(min(number, MOST_AHEAD), number > MOST_AHEAD)


def paused(pause: Pause, shown: Callable[[datetime | None], str]) -> str:
    """Return what *pause* says in a sentence."""
    texts = {
        PauseKind.QUEUE: _("Queue %(name)r is paused"),
        PauseKind.JOB: _("Job %(name)r is paused"),
        PauseKind.PARTITION: _("Partition %(name)r is paused"),
    }
    text = texts[PauseKind(pause.kind)] % {"name": pause.value}
    if pause.by:
        text += _(" by %(by)s") % {"by": pause.by}
    if pause.until is not None:
        text += _(" until %(until)s") % {"until": shown(pause.until)}
    return f"{text}: {pause.reason}." if pause.reason else f"{text}."


def limited(limit: LimitFacts, shown: Callable[[datetime | None], str]) -> str:
    """Return in a sentence how *limit* holds back the next one."""
    quota = limit.quota
    texts = FULL if limit.is_full else AT_RATE
    facts: dict[str, Any] = {"name": limit.name, "running": limit.running}
    if quota.rate is not None and quota.period is not None:
        facts |= {"rate": rate_text(quota.rate, quota.period), "at": shown(limit.next_at)}
    return str(texts[LimitKind(limit.kind)]) % (facts | {"most": quota.concurrency})


FULL = {
    LimitKind.QUEUE: gettext_lazy("Queue %(name)r is at its limit: %(running)d of %(most)d run."),
    LimitKind.JOB: gettext_lazy("Job %(name)r is at its limit: %(running)d of %(most)d run."),
}
AT_RATE = {
    LimitKind.QUEUE: gettext_lazy(
        "Queue %(name)r is at its rate of %(rate)s: the next may start at %(at)s."
    ),
    LimitKind.JOB: gettext_lazy(
        "Job %(name)r is at its rate of %(rate)s: the next may start at %(at)s."
    ),
    LimitKind.KEY: gettext_lazy(
        "Execution key %(name)r is at its rate of %(rate)s: the next may start at %(at)s."
    ),
}

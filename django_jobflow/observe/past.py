"""What has happened, period by period, from the sums that workers have left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q

from django_jobflow.engines import Engine, engine_for
from django_jobflow.history import (
    AS_WRITTEN,
    CUT,
    EVERY_QUEUE,
    HELD,
    MINUTE,
    WAITING,
    Numbers,
    beginning,
    ends,
    quantile,
)
from django_jobflow.models import History

RATED = 5  # minutes before now of which rates are shown
ROWS_READ = 50_000  # of one question at most, the latest; for projects with very many queues


@dataclass(frozen=True, slots=True)
class Span:
    """A time before now, and into how many periods of what length it is cut.

    Attributes:
        length: Of a period, in seconds.
        count: How many periods, the present one included.
    """

    length: int
    count: int


SPANS = {"hour": Span(MINUTE, 60), "day": Span(600, 144), "week": Span(3600, 168)}
"""The spans that can be asked for."""


@dataclass(slots=True)
class Period:
    """What happened in one period, of one queue or of all.

    Attributes:
        start: When it began.
        length: Its seconds.
        numbers: By the words of ``django_jobflow.history``.
        samples: How often what waits was counted in it.
    """

    start: datetime
    length: int
    numbers: Numbers = field(default_factory=Numbers)
    samples: int = 0

    @property
    def ends(self) -> int:
        """How many attempts ended."""
        return ends(self.numbers)

    @property
    def waiting(self) -> float | None:
        """How many jobs waited for a worker, in the mean of the samples; None without any."""
        return self.numbers[WAITING] / self.samples if self.samples else None

    @property
    def held(self) -> float | None:
        """How many jobs workers held, in the mean of the samples; None without any."""
        return self.numbers[HELD] / self.samples if self.samples else None

    @property
    def is_cut(self) -> bool:
        """Whether more may have waited than was counted."""
        return self.numbers[CUT] > 0

    def quantile(self, kind: str, share: float) -> float | None:
        """Return the seconds that *share* of the attempts did not exceed.

        Args:
            kind: ``"wait"``, from when a job was due until it began, or ``"run"``.
        """
        return quantile(self.numbers, kind, share)


def history(
    span: str,
    queue: str = EVERY_QUEUE,
    alias: str | None = None,
    now: datetime | None = None,
) -> list[Period]:
    """Return what happened in the periods of a span, the oldest first.

    Args:
        span: One of ``SPANS``.
        queue: Only this. Empty means all of them together.
        alias: None means JOBFLOW["DATABASE"].

    Database:
        One statement, and one for the clock but on SQLite. It reads two rows of each period, and
        what no worker has folded yet.
    """
    engine = engine_for(alias)
    length, count = SPANS[span].length, SPANS[span].count
    starts = _starts(engine.now(now), length, count)
    wanted = Q(length=length, queue__in={queue, EVERY_QUEUE}) | Q(length=AS_WRITTEN)
    return _sorted(_rows(engine, wanted, starts[0]), starts, length, {queue})[queue]


def recent(
    minutes: int,
    alias: str | None = None,
    now: datetime | None = None,
    *,
    only: str | None = None,
) -> dict[str, list[Period]]:
    """Return what happened in the last *minutes*, by queue; the sums of all are under ``""``.

    Args:
        alias: None means JOBFLOW["DATABASE"].
        only: The name of the one queue that is wanted; the sums are then not those of all.

    Database:
        One statement, and one for the clock but on SQLite. It reads a row for each minute and
        queue, and what no worker has folded yet.
    """
    engine = engine_for(alias)
    starts = _starts(engine.now(now), MINUTE, minutes)
    wanted = Q(length__in=(AS_WRITTEN, MINUTE))
    if only is not None:
        wanted &= Q(queue__in={only, EVERY_QUEUE})
    rows = list(_rows(engine, wanted, starts[0]))
    return _sorted(rows, starts, MINUTE, {EVERY_QUEUE} | {row.queue for row in rows})


def rates(past: Sequence[Period], now: datetime) -> tuple[float | None, float]:
    """Return how many attempts a second became due, and how many ended.

    Nobody counts what becomes due. It is what has ended and what there is more of than before,
    of that which waits or is held; so it is known only where all that waits was counted, at two
    moments.

    Args:
        past: The periods, the last of which goes on.
    """
    if not past:
        return None, 0.0
    elapsed = max((now - past[0].start).total_seconds(), 1.0)
    rate_out = sum(period.ends for period in past) / elapsed
    sampled = [period for period in past if period.samples]
    if len(sampled) < 2 or any(period.is_cut for period in sampled):
        return None, rate_out
    first, last = sampled[0], sampled[-1]
    growth = (_depth(last) - _depth(first)) / (last.start - first.start).total_seconds()
    return max(rate_out + growth, 0.0), rate_out


def _depth(period: Period) -> float:
    return (period.waiting or 0.0) + (period.held or 0.0)


def _starts(now: datetime, length: int, count: int) -> list[datetime]:
    """Return when the last *count* periods began."""
    last = beginning(now, length)
    return [last - timedelta(seconds=length * back) for back in reversed(range(count))]


def _rows(engine: Engine, wanted: Q, since: datetime) -> Iterable[History]:
    rows: models.QuerySet[History] = engine.history.filter(wanted, start__gte=since)
    return rows.order_by("-start")[:ROWS_READ]


def _sorted(
    rows: Iterable[History], starts: Sequence[datetime], length: int, queues: Iterable[str]
) -> dict[str, list[Period]]:
    """Return the periods of each of *queues*, with what *rows* say of them."""
    periods = {queue: {start: Period(start, length) for start in starts} for queue in queues}
    samples: Counter[datetime] = Counter()
    for row in rows:
        start = beginning(row.start, length)
        if row.queue == EVERY_QUEUE:
            samples[start] += row.samples
        # What is not folded is not in a sum of all queues yet.
        for queue in {row.queue, EVERY_QUEUE} if row.length == AS_WRITTEN else {row.queue}:
            if (period := periods.get(queue, {}).get(start)) is not None:
                period.numbers.update(row.numbers)
    for of_queue in periods.values():
        for start, period in of_queue.items():
            period.samples = samples[start]
    return {queue: [*of_queue.values()] for queue, of_queue in periods.items()}

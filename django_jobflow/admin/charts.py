"""What the charts of the overview show: numbers for the picture, and the same as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import formats, timezone
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobflow import conf
from django_jobflow.admin import cells
from django_jobflow.history import EDGES, RUN, WAIT
from django_jobflow.observe import Period, spans

Value = int | float | None
NOTHING = "-"  # in place of a number that there is not


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart, or one part of its bars.

    Attributes:
        name: For its colour.
        label: What it is called.
        of: What it shows of a period; None for nothing.
    """

    name: str
    label: str | Promise
    of: Callable[[Period], Value]


@dataclass(frozen=True, slots=True)
class Chart:
    """What one chart shows.

    Attributes:
        name: For addresses and styles.
        title: What stands above it.
        unit: ``"count"`` or ``"seconds"``.
        is_stacked: Whether it has bars whose parts stand on each other.
        lines: What it shows.
    """

    name: str
    title: str | Promise
    unit: str
    is_stacked: bool
    lines: tuple[Line, ...]


def _counts(*words: str) -> Callable[[Period], Value]:
    return lambda period: sum(period.numbers[word] for word in words)


def _quantile(kind: str, share: float) -> Callable[[Period], Value]:
    return lambda period: period.quantile(kind, share)


def _percentiles(kind: str) -> tuple[Line, ...]:
    return (
        Line("p50", gettext_lazy("median"), _quantile(kind, 0.5)),
        Line("p95", gettext_lazy("95th percentile"), _quantile(kind, 0.95)),
    )


CHARTS = (
    Chart(
        "throughput",
        gettext_lazy("Throughput"),
        "count",
        True,
        (
            Line("succeeded", gettext_lazy("succeeded"), _counts("succeeded")),
            Line("retried", gettext_lazy("to be retried"), _counts("retried")),
            Line("failed", gettext_lazy("failed"), _counts("failed", "discarded")),
            Line("cancelled", gettext_lazy("cancelled"), _counts("cancelled")),
            Line("returned", gettext_lazy("put off"), _counts("snoozed", "released")),
        ),
    ),
    Chart(
        "backlog",
        gettext_lazy("Backlog"),
        "count",
        False,
        (
            Line("waiting", gettext_lazy("waiting"), lambda period: period.waiting),
            Line("held", gettext_lazy("held by workers"), lambda period: period.held),
        ),
    ),
    Chart("waits", gettext_lazy("Waiting time"), "seconds", False, _percentiles(WAIT)),
    Chart("runs", gettext_lazy("Running time"), "seconds", False, _percentiles(RUN)),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One period of a chart's table.

    Attributes:
        start: When it began.
        cells: What was in it.
    """

    start: SafeString | None
    cells: list[str]


def series(chart: Chart, past: Sequence[Period]) -> dict[str, list[Value]]:
    """Return what *chart* draws of each period, by line."""
    return {line.name: [_short(line.of(period)) for period in past] for line in chart.lines}


def rows(chart: Chart, past: Sequence[Period]) -> list[Row]:
    """Return the table behind *chart*, the latest period first; without those of nothing."""
    found = []
    for period in reversed(past):
        values = [line.of(period) for line in chart.lines]
        if any(value is not None for value in values) and (not chart.is_stacked or any(values)):
            texts = [said(value, chart.unit) for value in values]
            found.append(Row(_moment(period), texts))
    return found


def said(value: Value, unit: str) -> str:
    """Return *value* as people read it."""
    if value is None:
        return NOTHING
    if unit == "seconds":
        return percentile(value)
    number, places = (int(value), None) if value == int(value) else (value, 1)
    return str(formats.number_format(number, places, force_grouping=True))


def duration(seconds: float | None) -> str:
    """Return so many seconds in words."""
    return NOTHING if seconds is None else spans.length(timedelta(seconds=seconds))


def percentile(seconds: float | None) -> str:
    """Return a percentile in words: how long the longest of all were is not known."""
    if seconds is None or seconds <= EDGES[-1]:
        return duration(seconds)
    return _("more than %(number)s") % {"number": duration(EDGES[-1])}


def rate(per_second: float | None) -> str:
    """Return a rate by the second, or by the minute where that is less than ten."""
    if per_second is None:
        return NOTHING
    if per_second >= 10:
        return _("%(count)s/s") % {"count": said(round(per_second, 1), "count")}
    return _("%(count)s/min") % {"count": said(round(per_second * 60, 1), "count")}


def _short(value: Value) -> Value:
    return value if value is None or isinstance(value, int) else float(f"{value:.4g}")


def _moment(period: Period) -> SafeString | None:
    start: Any = period.start
    local = timezone.localtime(start) if conf.has_time_zones() else start
    text = formats.time_format(local, "TIME_FORMAT")
    if period.length > 600:
        text = f"{formats.date_format(local, 'SHORT_DATE_FORMAT')} {text}"
    return cells.moment(local, text)

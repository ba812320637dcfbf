"""The links of a date hierarchy, from the first and the last row alone.

Django's own asks the whole table for its least and greatest moment, and groups all rows by
year, month or day. Here a link may lead to a day without rows.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.utils import formats, timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from django_jobflow import observe

PARTS = ("year", "month", "day")


@dataclass(frozen=True, slots=True)
class Link:
    """A link to a year, a month or a day; the chosen day itself has no address."""

    title: str
    link: str = ""


class Hierarchy:
    """What ``admin/date_hierarchy.html`` shows.

    Args:
        changelist: The list, whose model admin says in ``hierarchy_order`` which field to
            find the first and last row by.

    Database:
        Two statements of one row each, over all rows of the list without its filters.
    """

    def __init__(self, changelist: Any) -> None:
        self.changelist = changelist
        self.field: str = changelist.date_hierarchy
        self.field_name = changelist.lookup_opts.get_field(self.field).verbose_name
        self.chosen = _chosen(self.field, changelist.params)
        span = observe.first_and_last(
            changelist.root_queryset, self.field, by=changelist.model_admin.hierarchy_order
        )
        self.first: date | None = _day(span[0]) if span else None
        self.last: date | None = _day(span[1]) if span else None

    @property
    def show(self) -> bool:
        """Whether there is anything to choose from."""
        return self.first is not None

    @property
    def back(self) -> Link | None:
        """The link to the level above."""
        match self.chosen:
            case (year, month, _day_of_month):
                return self._link(year, month)
            case (year, _month):
                return self._link(year)
            case (_year,):
                return Link(_("All dates"), self._address())
        return None

    @property
    def choices(self) -> list[Link]:
        """The links to the level below, or the chosen day."""
        if len(self.chosen) == len(PARTS):
            return [Link(_title(self.chosen))]
        return [self._link(*parts) for parts in self._below()]

    def _below(self) -> Iterator[tuple[int, ...]]:
        if self.first is None or self.last is None:
            return
        match self.chosen or _common(self.first, self.last):
            case ():
                yield from ((year,) for year in range(self.first.year, self.last.year + 1))
            case (year,):
                months = ((year, month) for month in range(1, 13))
                yield from (parts for parts in months if self._overlaps(*parts))
            case (year, month, *_):
                days = range(1, calendar.monthrange(year, month)[1] + 1)
                yield from (
                    (year, month, day)
                    for day in days
                    if self.first <= date(year, month, day) <= self.last
                )

    def _overlaps(self, year: int, month: int) -> bool:
        assert self.first is not None
        assert self.last is not None
        first, last = (self.first.year, self.first.month), (self.last.year, self.last.month)
        return first <= (year, month) <= last

    def _link(self, *parts: int) -> Link:
        return Link(_title(parts), self._address(*parts))

    def _address(self, *parts: int) -> str:
        chosen = {f"{self.field}__{part}": n for part, n in zip(PARTS, parts, strict=False)}
        return str(self.changelist.get_query_string(chosen, [f"{self.field}__"]))


def _chosen(field: str, params: Mapping[str, str]) -> tuple[int, ...]:
    """Return year, month and day as far as they are chosen; they make a date."""
    chosen: list[int] = []
    for part in PARTS:
        value = params.get(f"{field}__{part}")
        if value is None:
            break
        chosen.append(int(value))  # the list has checked them before
    return tuple(chosen)


def _common(first: date, last: date) -> tuple[int, ...]:
    """Return the year, and the month, that both days are in."""
    if first.year != last.year:
        return ()
    return (first.year,) if first.month != last.month else (first.year, first.month)


def _title(parts: tuple[int, ...]) -> str:
    match parts:
        case (year, month, day):
            return str(capfirst(formats.date_format(date(year, month, day), "MONTH_DAY_FORMAT")))
        case (year, month):
            return str(capfirst(formats.date_format(date(year, month, 1), "YEAR_MONTH_FORMAT")))
    return str(parts[0])


def _day(moment: datetime) -> date:
    return (timezone.localtime(moment) if timezone.is_aware(moment) else moment).date()

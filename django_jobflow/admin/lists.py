"""Lists that cost the same with a hundred rows and with ten million."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.text import capfirst

from django_jobflow import observe
from django_jobflow.admin.hierarchy import Hierarchy

LIST_LIMIT = 10_000  # rows of one list that are counted and can be paged through


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Pages over the first rows; it does not count what lies behind them."""

    limit = LIST_LIMIT

    @cached_property
    def count(self) -> int:
        return min(self._found, self.limit)

    @property
    def has_more(self) -> bool:
        """Whether there are rows behind the last page."""
        return self._found > self.limit

    @cached_property
    def _found(self) -> int:
        return observe.count_up_to(self.object_list, self.limit + 1)  # type: ignore[arg-type]


class TitledChangeList(ChangeList):
    """A list that is called what the sidebar and the overview call it, not "Select … to view"."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = str(capfirst(self.opts.verbose_name_plural))


class BoundedChangeList(TitledChangeList):
    """A list in an order that an index has, with a date hierarchy from two cheap statements."""

    def get_filters(self, request: HttpRequest) -> Any:
        try:
            found = super().get_filters(request)
        except (ValueError, OverflowError) as error:  # the year 9999 has no next one
            raise IncorrectLookupParameters(error) from error
        # What is left when each filter has taken its own, Django asks the database for.
        left: Any = found[2].values()
        if any("\0" in str(value) for values in left for value in values):
            raise IncorrectLookupParameters("NUL")
        return found

    def get_ordering(self, request: HttpRequest, queryset: Any) -> Any:
        """Return the order that follows from the filters; headers do not sort."""
        return self.model_admin.get_ordering(request)

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> Any:
        rows = super().get_queryset(request, exclude_parameters)
        return self.model_admin.with_list_columns(rows)  # type: ignore[attr-defined]

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.hierarchy = Hierarchy(self) if self.date_hierarchy else None

"""The search of the lists of jobs, and the filters beside it, which are parts of one search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import path
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from django_jobflow import conf, observe
from django_jobflow.admin import desk, saved
from django_jobflow.admin.base import ReadOnlyAdmin
from django_jobflow.admin.filters import Choices, ColumnFilter
from django_jobflow.models import JobRecord, SucceededJob, Worker
from django_jobflow.observe.searching import chosen_states, find_rows
from django_jobflow.search import KEYS, Search, SearchError, Term, Text, parse
from django_jobflow.search.keys import SUCCEEDED, Mistake
from django_jobflow.states import JobState

MOST_WORKERS = 100  # that are known by name
COMMON = '""'
"""In an address, the common partition: what is empty was not filled in."""
AGES = {
    "1h": ("age<1h", _("The last hour")),
    "1d": ("age<1d", _("The last day")),
    "7d": ("age<7d", _("The last seven days")),
    "older": ("age>7d", _("Older than seven days")),
}


class TermFilter(ColumnFilter):
    """A filter that is a term of the search; the list asks for it by ``term``."""

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> Any:
        return queryset


class StateFilter(TermFilter):
    """Jobs in one state, in the order of that state's index."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        known = [(value, str(capfirst(label))) for value, label in JobState.choices]
        return [*known, (SUCCEEDED, str(capfirst(_("succeeded"))))]


class QueueFilter(TermFilter):
    """Jobs of one queue, of those that jobs and settings name."""

    title = _("queue")
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return self.with_chosen(observe.declared_queues())


class JobFilter(TermFilter):
    """Jobs of one name, of those that are declared."""

    title = _("job")
    parameter_name = "name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return self.with_chosen(observe.declared_names())


class AgeFilter(TermFilter):
    """Jobs of a time: enqueued, or ended, so long ago."""

    title = _("time")
    parameter_name = "age"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(value, str(label)) for value, (_term, label) in AGES.items()]


def worker_names(alias: str) -> list[str]:
    """Return the names of workers; not of very many."""
    rows = Worker._base_manager.using(alias).order_by("name")
    return list(rows.values_list("name", flat=True)[:MOST_WORKERS])


def _column(key: str) -> Callable[[str], Search]:
    return lambda value: Search((Term(key, (Text(value),)),))


def _typed(key: str) -> Callable[[str], Search]:
    """Return what reads a field: nothing if it is empty, else as the search language would."""

    def read(value: str) -> Search:
        if not value.strip():
            return Search()
        if value == COMMON:
            return Search((Term(key, (Text(""),)),))
        try:
            return Search((Term(key, (KEYS[key].read(value.strip(), False),)),))
        except Mistake:  # a star alone
            return Search((Term(key, (Text(value.strip()),)),))

    return read


def _state(value: str) -> Search:
    return parse(f"state:{value}")


def _batch(value: str) -> Search:
    return parse(f"batch:{value}")


def _age(value: str) -> Search:
    return parse(AGES[value][0]) if value in AGES else parse(f"age:{value}")


FILTERS: dict[str, Callable[[str], Search]] = {
    "state": _state,
    "queue": _column("queue"),
    "name": _column("name"),
    "age": _age,
    "batch_id": _batch,
    **{key: _typed(key) for key in ("worker", "partition", "tag", "error")},
}
"""What each parameter of the address means as a search."""


OF_A_LIST = frozenset({"q", "p", "all", "e", "_changelist_filters"})
"""Parameters that say nothing of which jobs are meant."""


def search_of(request: HttpRequest, term: str | None = None) -> Search:
    """Return all that *request* asks of a list: the filters, and what was typed.

    Raises:
        SearchError: It is no search.
    """
    asked = Search()
    for name, read in FILTERS.items():
        value = request.GET.get(name)
        if value is not None and "\0" not in value:
            asked += read(value)
    return asked + parse(request.GET.get("q", "") if term is None else term)


def _has_nul(request: HttpRequest) -> bool:
    """Say whether something is asked for that no database has in a text."""
    return any("\0" in value for value in request.GET.values())


class Searching(ReadOnlyAdmin):
    """A list whose search is the language of ``django_jobflow.search``.

    Attributes:
        always: What holds for every row of this list.
    """

    always = Search()

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """Find by the language; what is wrong with it is shown in place of rows."""
        asked: Any = request
        # Django takes a term with a NUL for an empty one.
        term = None if "\0" in request.GET.get("q", "") else search_term
        try:
            search = search_of(request, term)
        except SearchError as error:
            asked.jobflow_search_error = error
            return queryset.none(), False
        if _has_nul(request):
            return queryset.none(), False
        found = find_rows(self.always + search, rows=queryset)
        asked.jobflow_found = found
        return found.rows, False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if (elsewhere := self._list_elsewhere(request)) is not None:
            return HttpResponseRedirect(elsewhere)
        response = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", None) or {}
        if (changelist := context.get("cl")) is not None:
            changelist.search_error = getattr(request, "jobflow_search_error", None)
            changelist.found = getattr(request, "jobflow_found", None)
            changelist.completions_url = self._address(self.model, "completions")
            self._offer(request, changelist)
        return response

    def _offer(self, request: HttpRequest, changelist: Any) -> None:
        """Offer saved views, to save one, and to act on all that the list shows."""
        if changelist.search_error is not None:
            return
        search = self.whole_search(request)
        changelist.saved_views = [] if self.model is SucceededJob else saved.offered(request)
        if not search:
            return
        query = urlencode({"q": str(search)})
        user: Any = request.user
        if user.has_perm("jobflow.start_bulkoperation"):
            start = desk.address(request, "jobflow_bulkoperation_start")
            changelist.bulk_url = start and f"{start}?{query}"
        if user.has_perm("jobflow.add_savedview") and request.GET.get("q"):
            add = desk.address(request, "jobflow_savedview_add")
            changelist.save_url = add and f"{add}?{urlencode({'search': str(search)})}"

    def whole_search(self, request: HttpRequest) -> Search | None:
        """Return the search for all that the list shows; None if no search says that."""
        if not set(request.GET) <= {*FILTERS, *OF_A_LIST} or _has_nul(request):
            return None
        return self.always + search_of(request)

    def _list_elsewhere(self, request: HttpRequest) -> str | None:
        """Return the address of the list that has what is asked for, if it is another one.

        What has succeeded is in a table of its own.
        """
        try:
            search = search_of(request)
        except SearchError:
            return None
        chosen = chosen_states(search) or []
        has_succeeded, is_here = SUCCEEDED in chosen, self.model is SucceededJob
        wanted: Any = SucceededJob if has_succeeded and len(chosen) == 1 else JobRecord
        if not chosen or has_succeeded == is_here or not self.may_view(request, wanted):
            return None
        address = self._address(wanted, "changelist")
        return f"{address}?{urlencode({'q': str(search)})}"

    # Completion

    def get_urls(self) -> list[Any]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_completions"
        view = self.admin_site.admin_view(self.completions_view)
        return [path("completions/", view, name=name), *super().get_urls()]

    def completions_view(self, request: HttpRequest) -> HttpResponse:
        """Return what can be typed."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return JsonResponse(completions())


def completions() -> dict[str, Any]:
    """Return what can be typed: the keys, and the values that are known of some."""
    return {
        "keys": [
            {"name": key.name, "signs": list(key.signs), "member": key.has_members}
            for key in KEYS.values()
        ],
        "values": {
            "state": [word.lower() for word in (*JobState.values, SUCCEEDED)],
            "queue": observe.declared_queues(),
            "name": observe.declared_names(),
            "worker": worker_names(conf.current().DATABASE),
        },
    }

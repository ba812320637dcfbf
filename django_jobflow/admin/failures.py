"""Failures that are alike, a row for each kind: how often, since when, and of which jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import path
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobflow import conf, observe, tracebacks
from django_jobflow.admin import cells, group_verbs
from django_jobflow.admin.base import ReadOnlyAdmin
from django_jobflow.admin.facts import Fact
from django_jobflow.admin.group_filters import AttentionFilter, NewFilter
from django_jobflow.admin.group_verbs import GROUP_VERBS, GroupVerb
from django_jobflow.admin.lists import BoundedChangeList
from django_jobflow.admin.operating import Button
from django_jobflow.admin.trend import trend
from django_jobflow.engines import engine_for
from django_jobflow.models import FailureGroup, JobRecord, Release
from django_jobflow.models.failures import read_counts

FAILED_SHOWN = 10  # failed jobs that the page of a group names
FAILED_COUNTED = 10_000  # and that it counts
DAY = 24  # hours
DAYS = 7
BAR = 6  # hours of a bar on the page of a group
NAMES_SHOWN = 3  # in a list
TITLE_SHOWN = 80  # characters of a title


class FailureChangeList(BoundedChangeList):
    """Groups, each with whether it is new since the last release."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        release = engine_for(conf.current().DATABASE).last_release()
        groups: Any = list(self.result_list)
        for group in groups:
            group.release = release
        self.result_list = groups


class FailureGroupAdmin(ReadOnlyAdmin):
    """Groups of failures, the one that was seen last first."""

    list_display = ("kind", "trend", "how_often", "last_seen", "first_seen", "jobs", "seen_in")
    list_display_links = ("kind",)
    list_filter = (AttentionFilter, NewFilter)
    ordering = ("-last_seen_at", "-fingerprint")
    search_help_text = gettext_lazy("A part of the class, the message or the place.")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BoundedChangeList]:
        return FailureChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """Find by a part of what is shown: there are only as many rows as kinds of failures."""
        term = search_term.strip()
        columns = ("exception", "message", "place")
        told = Q(*((f"{column}__icontains", term) for column in columns), _connector=Q.OR)
        return (queryset.filter(told) if term else queryset), False

    # Columns

    @admin.display(description=gettext_lazy("failure"))
    def kind(self, group: Any) -> SafeString:
        return render_to_string(
            "jobflow/_failure_kind.html",
            {
                "group": group,
                "kind": cells.short_kind(group.exception),
                "badges": badges(group, group.release),
            },
        )

    @admin.display(description=gettext_lazy("last 24 hours"))
    def trend(self, group: FailureGroup) -> SafeString:
        return _trend(group.by_hour(DAY, timezone.now()), "hours")

    @admin.display(description=gettext_lazy("failures"))
    def how_often(self, group: FailureGroup) -> str:
        return cells.number(group.count)

    @admin.display(description=gettext_lazy("last seen"))
    def last_seen(self, group: FailureGroup) -> SafeString | None:
        return cells.moment(group.last_seen_at)

    @admin.display(description=gettext_lazy("first seen"))
    def first_seen(self, group: FailureGroup) -> SafeString | None:
        return cells.moment(group.first_seen_at)

    @admin.display(description=gettext_lazy("jobs"))
    def jobs(self, group: FailureGroup) -> str:
        names = group.most_frequent
        more = "" if len(names) <= NAMES_SHOWN else ", …"
        return ", ".join(names[:NAMES_SHOWN]) + more

    @admin.display(description=gettext_lazy("releases"))
    def seen_in(self, group: FailureGroup) -> str:
        return ", ".join(list(read_counts(group.releases))[-NAMES_SHOWN:])

    # Pages

    def page(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        now = timezone.now()
        failed = observe.failed_like(row.pk, database=row._state.db)
        newest = list(failed.only("id", "name", "queue", "finished_at", "errors")[:FAILED_SHOWN])
        count = observe.count_up_to(failed, FAILED_COUNTED + 1) if newest else 0
        hours = row.by_hour(DAYS * DAY, now)
        offered = [verb for verb in GROUP_VERBS.values() if verb.is_allowed(request)]
        return {
            "title": Truncator(str(row)).chars(TITLE_SHOWN),
            "badges": badges(row, engine_for(row._state.db).last_release()),
            "facts": _facts(row),
            "week": _trend(_sums(hours, BAR), "week"),
            "days": list(_days(hours, now)),
            "failed": [self._failed(request, record) for record in newest],
            "failed_count": min(count, FAILED_COUNTED),
            "has_more": count > FAILED_COUNTED,
            "parts": _newest_parts(newest) if self.may_view(request, JobRecord) else [],
            "buttons": list(self._buttons(row, offered)),
            "offers": self._offers(request, row) if newest else [],
            "mute_url": self._mute_url(row, offered),
            "spans": group_verbs.SPAN_LABELS,
        }

    def _failed(self, request: HttpRequest, record: JobRecord) -> dict[str, Any]:
        may_open = self.may_view(request, JobRecord)
        return {
            "record": record,
            "at": cells.moment(record.finished_at),
            "url": self.page_url(JobRecord, record.pk) if may_open else "",
        }

    def _buttons(self, group: FailureGroup, offered: list[GroupVerb]) -> Iterator[Button]:
        for verb in offered:
            if verb.name == "unmute" and group.muted_at is not None:
                yield Button(verb.name, verb.label, self._address(self.model, verb.name, group.pk))

    def _offers(self, request: HttpRequest, group: FailureGroup) -> list[dict[str, Any]]:
        """Return what can be done to all its failed jobs, which whoever may see jobs is asked."""
        if not self.may_view(request, JobRecord):
            return []
        found = group_verbs.offers(group, request)
        return [{"action": action, "label": label, "url": url} for action, label, url in found]

    def _mute_url(self, group: FailureGroup, offered: list[GroupVerb]) -> str:
        if group.is_muted() or GROUP_VERBS["mute"] not in offered:
            return ""
        return self._address(self.model, "mute", group.pk)

    # Verbs

    def get_urls(self) -> list[Any]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [
            path(f"<str:pk>/{verb.name}/", self._view(verb), name=f"{name}_{verb.name}")
            for verb in GROUP_VERBS.values()
        ]
        return [*own, *super().get_urls()]

    def _view(self, verb: GroupVerb) -> Callable[..., HttpResponse]:
        return self.admin_site.admin_view(partial(self.verb_view, verb=verb))

    def verb_view(self, request: HttpRequest, pk: str, verb: GroupVerb) -> HttpResponse:
        """Do *verb* to a group, say how it went, and lead to its page."""
        if not (verb.is_allowed(request) and self.has_view_permission(request)):
            raise PermissionDenied
        group = self.get_object(request, pk)
        if group is None:
            return self.elsewhere(request, pk)
        if request.method == "POST":  # else come back to after a log-in
            for level, text in verb.do(group, request):
                self.message_user(request, text, level)
        return HttpResponseRedirect(self.page_url(self.model, pk))


def badges(group: FailureGroup, release: Release | None) -> list[SafeString]:
    """Return what is to be noticed of *group*: that it is new, that it is muted."""
    found = []
    if release is not None and group.first_seen_at >= release.first_seen_at:
        found.append(cells.badge_of("failed", _("New in %(release)s") % {"release": release}))
    if group.is_muted():
        found.append(cells.badge_of("", _("Muted")))
    return found


def _trend(counts: list[int], kind: str) -> SafeString:
    label = ngettext("%(count)d failure", "%(count)d failures", sum(counts))
    return trend(counts, label % {"count": sum(counts)}, kind)


def _sums(counts: list[int], size: int) -> list[int]:
    return [sum(counts[start : start + size]) for start in range(0, len(counts), size)]


def _days(hours: list[int], now: datetime) -> Iterator[dict[str, Any]]:
    """Yield the sums of 24 hours each, the last one first."""
    end = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    for back, count in enumerate(reversed(_sums(hours, DAY)), start=1):
        yield {"at": end - timedelta(hours=back * DAY), "count": cells.number(count)}


def _newest_parts(newest: list[JobRecord]) -> list[tracebacks.Part]:
    """Return the traceback of the newest failed job, if it has one."""
    errors = cells.listed(newest[0].errors) if newest else []
    last = errors[-1] if errors else None
    trace = last.get("traceback") if isinstance(last, dict) else None
    return tracebacks.parts(cells.as_text(trace)) if trace else []


def _facts(group: FailureGroup) -> list[Fact]:
    facts = [
        Fact(_("Place"), group.place),
        Fact(_("Failures"), cells.number(group.count)),
        Fact(_("First seen"), cells.full(group.first_seen_at)),
        Fact(_("Last seen"), cells.full(group.last_seen_at)),
        Fact(_("Jobs"), _counted(group.names)),
        Fact(_("Releases"), _counted(group.releases)),
        Fact(_("Muted by"), group.muted_by),
        Fact(_("Muted until"), cells.full(group.muted_until)),
    ]
    return [fact for fact in facts if fact.value not in (None, "")]


def _counted(stored: Any) -> str:
    return ", ".join(
        f"{name} ({cells.number(count)})" for name, count in read_counts(stored).items()
    )

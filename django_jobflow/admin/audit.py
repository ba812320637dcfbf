"""The audit: what operators have done."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.text import Truncator, capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobflow.admin import cells
from django_jobflow.admin.base import ReadOnlyAdmin
from django_jobflow.admin.facts import Code, Fact
from django_jobflow.admin.filters import Choices, ColumnFilter
from django_jobflow.models import AuditAction, AuditEntry, AuditVia, JobRecord
from django_jobflow.observe.readable import pretty

SUBJECT_SHOWN = 60  # characters of it in a list


class ActionFilter(ColumnFilter):
    """Entries of one action."""

    title = gettext_lazy("action")
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(value, str(capfirst(label))) for value, label in AuditAction.choices]


class ViaFilter(ColumnFilter):
    """Entries of what came one way."""

    title = gettext_lazy("through")
    parameter_name = "via"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(value, str(capfirst(label))) for value, label in AuditVia.choices]


class AuditEntryAdmin(ReadOnlyAdmin):
    """Actions, the latest first; nobody can change or delete them here."""

    list_display = ("when", "action_name", "subject_start", "how_many", "by", "through", "origin")
    list_filter = (ActionFilter, ViaFilter)
    date_hierarchy = "at"
    hierarchy_order = "at"
    ordering = ("-at", "-id")
    search_fields = ("by",)
    search_help_text = gettext_lazy(
        "The name of who did it, or what it was done to, in full: ann, id:42 or queue:email."
    )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def with_list_columns(self, rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
        return rows.defer("detail")

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """Find by a name or a subject, each along its index."""
        term = search_term.strip()
        if not term:
            return queryset, False
        column = "subject" if ":" in term or term.startswith("?") else "by"
        return queryset.filter(**{column: term}), False

    @admin.display(description=gettext_lazy("how many"))
    def how_many(self, entry: AuditEntry) -> str:
        return cells.number(entry.count)

    def page(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return {
            "title": self.action_name(row),
            "facts": self._facts(request, row),
            "codes": _codes(row),
        }

    def _facts(self, request: HttpRequest, entry: AuditEntry) -> list[Fact]:
        via = str(AuditVia(entry.via).label) if entry.via in AuditVia.values else entry.via
        return [
            Fact(_("When"), cells.full(entry.at)),
            Fact(_("What"), entry.subject or "-", self._subject_url(request, entry.subject)),
            Fact(_("How many"), cells.number(entry.count)),
            Fact(_("By"), entry.by or "-"),
            Fact(_("Through"), capfirst(via)),
            Fact(_("From"), entry.origin or "-"),
        ]

    def _subject_url(self, request: HttpRequest, subject: str) -> str:
        """Return the page of the one job that *subject* names, if the user may see it."""
        kind, _sign, pk = subject.partition(":")
        if kind != "id" or not pk.isdecimal() or not self.may_view(request, JobRecord):
            return ""
        return self.page_url(JobRecord, pk)

    # Columns

    @admin.display(description=gettext_lazy("when"))
    def when(self, entry: AuditEntry) -> SafeString | None:
        return cells.moment(entry.at)

    @admin.display(description=gettext_lazy("action"))
    def action_name(self, entry: AuditEntry) -> str:
        return name_of(entry.action)

    @admin.display(description=gettext_lazy("what"))
    def subject_start(self, entry: AuditEntry) -> str:
        return Truncator(entry.subject).chars(SUBJECT_SHOWN)

    @admin.display(description=gettext_lazy("through"))
    def through(self, entry: AuditEntry) -> str:
        return str(AuditVia(entry.via).label) if entry.via in AuditVia.values else entry.via


def name_of(action: str) -> str:
    """Return the name of an action; that of a word which is not known here is the word."""
    return str(capfirst(AuditAction(action).label)) if action in AuditAction.values else action


def latest_of(subject: str, alias: str, most: int) -> list[AuditEntry]:
    """Return the latest entries about *subject*, such as ``"id:42"``, along their index."""
    rows = AuditEntry._base_manager.using(alias).filter(subject=subject)
    return list(rows.order_by("-at", "-id")[:most])


def _codes(entry: AuditEntry) -> list[Code]:
    return [Code(_("Details"), pretty(entry.detail))] if entry.detail else []

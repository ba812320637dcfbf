"""The page of the database's health."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from django_jobflow import conf, doctor
from django_jobflow.admin import cells, desk
from django_jobflow.admin.base import STYLES, ReadOnlyAdmin
from django_jobflow.doctor import Severity
from django_jobflow.doctor.asking import shown

TONES = {Severity.ERROR: "failed", Severity.WARNING: "retry", Severity.NOTICE: "scheduled"}


class DatabasePage(ReadOnlyAdmin):
    """Adds the page to a model's own; it is there for who may examine the database."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.database_view)
        return [path("database/", view, name="jobflow_database"), *super().get_urls()]

    def has_examine_permission(self, request: HttpRequest) -> bool:
        """Say whether the user may see the database's health."""
        return bool(request.user.has_perm("jobflow.examine_database"))

    def database_view(self, request: HttpRequest) -> HttpResponse:
        """Examine the database and show what was found."""
        if request.method not in {"GET", "HEAD"} or not self.has_examine_permission(request):
            raise PermissionDenied
        request.current_app = self.admin_site.name
        found = doctor.examine(conf.current().DATABASE)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Database"),
            "opts": self.opts,
            "desk": {"path": desk.address(request, "app_list", self.opts.app_label)},
            "media": forms.Media(css=STYLES),
            "server": found.server,
            "findings": [_finding(finding) for finding in found.findings],
            "sizes": [_size(size) for size in found.sizes],
        }
        return TemplateResponse(request, "admin/jobflow/database.html", context)


def _finding(finding: doctor.Finding) -> dict[str, Any]:
    words = {
        Severity.ERROR: pgettext("severity", "Error"),
        Severity.WARNING: pgettext("severity", "Warning"),
        Severity.NOTICE: pgettext("severity", "Notice"),
    }
    badge = cells.badge_of(TONES[finding.severity], words[finding.severity])
    return {"badge": badge, "text": finding.text, "advice": finding.advice, "code": finding.code}


def _size(size: doctor.Size) -> dict[str, Any]:
    return {
        "table": size.table if size.table != "*" else _("the whole file"),
        "rows": None if size.rows is None else cells.number(size.rows),
        "bytes": None if size.bytes is None else shown(size.bytes),
        "index_bytes": None if size.index_bytes is None else shown(size.index_bytes),
        "dead_rows": None if size.dead_rows is None else cells.number(size.dead_rows),
        "vacuumed_at": cells.moment(size.vacuumed_at),
    }

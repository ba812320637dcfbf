"""Pages of the desk that are no list of rows."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path

from django_jobflow.admin.base import STYLES, ReadOnlyAdmin


class PanelAdmin(ReadOnlyAdmin):
    """One page in place of a list; its model has permissions and an address, but no rows."""

    def get_urls(self) -> list[Any]:
        return [
            path(
                "",
                self.admin_site.admin_view(self.changelist_view),
                name=f"{self.opts.app_label}_{self.opts.model_name}_changelist",
            )
        ]

    def panel(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the template of the page shows."""
        raise NotImplementedError

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method not in {"GET", "HEAD"} or not self.has_view_permission(request):
            raise PermissionDenied
        shown = {"title": str(self.opts.verbose_name_plural).capitalize()} | self.panel(request)
        return self.rendered(request, "change_list", shown | (extra_context or {}))

    def rendered(
        self, request: HttpRequest, template: str, shown: dict[str, Any]
    ) -> TemplateResponse:
        """Return a page of the admin, made of a template of this model."""
        request.current_app = self.admin_site.name
        opts = self.opts
        context = {
            **self.admin_site.each_context(request),
            "opts": opts,
            "media": forms.Media(css=STYLES),
            "list_url": self.list_url(),
            **shown,
        }
        name = f"admin/{opts.app_label}/{opts.model_name}/{template}.html"
        return TemplateResponse(request, name, context)

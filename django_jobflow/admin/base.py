"""What the pages of all models have in common: they are read, and nothing is added or edited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from django_jobflow import conf, observe
from django_jobflow.admin.lists import BoundedChangeList, BoundedPaginator, TitledChangeList

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Any]
else:
    Base = admin.ModelAdmin

STYLES: dict[str, Sequence[str]] = {"all": ["jobflow/jobflow.css"]}


class RefusingAdmin(Base):
    """A list that takes nothing from who has no action in it."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[TitledChangeList]:
        return TitledChangeList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method == "POST" and not self.get_actions(request):
            raise PermissionDenied
        return super().changelist_view(request, extra_context)


class ReadOnlyAdmin(RefusingAdmin):
    """A list and a page for each row; subclasses say what they show.

    Attributes:
        hierarchy_order: The field that finds the first and last row for the date hierarchy.
    """

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("name",)
    sortable_by = ()  # the order follows from the filters, so that an index has it
    hierarchy_order = "pk"

    class Media:
        css = STYLES

    # Permissions

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def may_view(self, request: HttpRequest, model: type[models.Model]) -> bool:
        """Say whether there are pages of *model* that the user may see."""
        site = self.admin_site
        return site.is_registered(model) and site._registry[model].has_view_permission(request)

    # Lists

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return super().get_queryset(request).using(conf.current().DATABASE)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BoundedChangeList]:
        return BoundedChangeList

    def with_list_columns(self, rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """Return *rows* with what a list shows; large columns are left out by subclasses."""
        return rows

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """Find by a part of the name; a list without a field for it ignores what is asked."""
        term = search_term.strip() if self.search_fields else ""
        return (observe.named_like(queryset, term) if term else queryset), False

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """Return the row of that key; some databases refuse to look for a NUL."""
        return None if "\0" in object_id else super().get_object(request, object_id, from_field)

    # Pages

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if request.method not in {"GET", "HEAD"} or not self.has_view_permission(request, row):
            raise PermissionDenied
        if row is None:
            return self.elsewhere(request, unquote(object_id))
        opts = self.opts
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": str(row),
            "opts": opts,
            "original": row,
            "has_view_permission": True,
            "media": forms.Media(css=STYLES),
            **self.page(request, row),
            **(extra_context or {}),
        }
        templates = [
            f"admin/{opts.app_label}/{opts.model_name}/change_form.html",
            f"admin/{opts.app_label}/change_form.html",
        ]
        return TemplateResponse(request, self.change_form_template or templates, context)

    def page(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return what the template of the page shows of *row*."""
        raise NotImplementedError

    def elsewhere(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Answer for a row that is not in this list."""
        text = _("%(name)s %(id)s does not exist. It may have been deleted.")
        name = str(self.opts.verbose_name).capitalize()
        self.message_user(request, text % {"name": name, "id": object_id}, messages.WARNING)
        return HttpResponseRedirect(self.list_url())

    def list_url(self) -> str:
        """Return the address of the list."""
        return self._address(self.model, "changelist")

    def page_url(self, model: type[models.Model], pk: Any) -> str:
        """Return the address of the page of a row of *model*."""
        return self._address(model, "change", quote(pk))

    def _address(self, model: type[models.Model], page: str, *args: Any) -> str:
        opts = model._meta
        name = f"admin:{opts.app_label}_{opts.model_name}_{page}"
        return reverse(name, args=args, current_app=self.admin_site.name)

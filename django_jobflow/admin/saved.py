"""Saved views: searches of the list of jobs that have a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django import forms
from django.db import models
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_jobflow import conf
from django_jobflow.admin import desk
from django_jobflow.admin.base import STYLES, RefusingAdmin
from django_jobflow.models import SavedView
from django_jobflow.search import SearchError, parse

if TYPE_CHECKING:
    Form = forms.ModelForm[Any]
else:
    Form = forms.ModelForm

MOST_OFFERED = 20  # beside a list


class SavedViewForm(Form):
    """A name and a search."""

    class Meta:
        model = SavedView
        fields = ("name", "search", "is_shared")

    def clean_search(self) -> str:
        try:
            return str(parse(self.cleaned_data["search"]))
        except SearchError as error:
            raise forms.ValidationError(error.translated()) from error

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        same = SavedView._base_manager.using(conf.current().DATABASE).filter(
            owner=self.instance.owner, name=said.get("name", "")
        )
        if same.exclude(pk=self.instance.pk).exists():
            self.add_error("name", _("You have a view of this name already."))
        return said


class SavedViewAdmin(RefusingAdmin):
    """One's own views, and those that others share; only one's own can be changed."""

    form = SavedViewForm
    list_display = ("name", "search", "is_shared", "owner_name")
    ordering = ("name", "id")
    sortable_by = ()
    show_full_result_count = False
    change_form_template = "admin/change_form.html"
    change_list_template = "admin/change_list.html"
    fields = ("name", "search", "is_shared")

    class Media:
        css = STYLES

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows = super().get_queryset(request).using(conf.current().DATABASE)
        return rows.filter(Q(owner=owner_of(request)) | Q(is_shared=True))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _is_own(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _is_own(request, obj)

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        return {}

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        may_share = request.user.has_perm("jobflow.share_savedview")
        return () if may_share else ("is_shared",)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)

        class OwnForm(form):  # type: ignore[misc]
            def __init__(self, *args: Any, **more: Any) -> None:
                super().__init__(*args, **more)
                if not self.instance.owner:
                    self.instance.owner = owner_of(request)

        return OwnForm

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        return [str(each) for each in objs], {self.opts.verbose_name_plural: len(objs)}, set(), []

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.owner, obj.owner_name = owner_of(request), str(request.user)[:200]
        obj.save(using=conf.current().DATABASE)


def owner_of(request: HttpRequest) -> str:
    """Return what a view keeps of its owner."""
    return str(request.user.pk)


def _is_own(request: HttpRequest, view: SavedView | None) -> bool:
    return view is None or view.owner == owner_of(request)


def offered(request: HttpRequest) -> list[tuple[str, str]]:
    """Return names and addresses of the views that a list offers.

    Database:
        One statement.
    """
    user: Any = request.user
    if not user.has_perm("jobflow.view_savedview"):
        return []
    rows = SavedView._base_manager.using(conf.current().DATABASE).filter(
        Q(owner=owner_of(request)) | Q(is_shared=True)
    )
    found = rows.order_by("name", "id").values_list("name", "search")[:MOST_OFFERED]
    url = desk.address(request, "jobflow_jobrecord_changelist") or ""
    return [(name, f"{url}?{urlencode({'q': search})}") for name, search in found]

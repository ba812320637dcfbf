"""What the pages of pauses and limits share: they are written by the verbs of ``control``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobflow import conf, control
from django_jobflow.admin import cells, desk
from django_jobflow.admin.actors import actor_of
from django_jobflow.admin.base import STYLES, RefusingAdmin
from django_jobflow.audit import Actor
from django_jobflow.exceptions import InvalidJob

if TYPE_CHECKING:
    Form = forms.ModelForm[Any]
else:
    Form = forms.ModelForm


class ControlForm(Form):
    """Says of what something is, and what; errors are those of ``control``."""

    def refusal(self, kind: str, value: str) -> str:
        """Say why nothing can be said of it; empty if it can."""
        return ""

    def _get_validation_exclusions(self) -> set[str]:
        # A row may be left of what was said and is not in force any more.
        return {*super()._get_validation_exclusions(), "kind", "value"}  # type: ignore[misc]

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        if {"kind", "value"} <= said.keys():
            self.check("value", control.read_name, said["kind"], said["value"])
        named = {"kind", "value"} <= said.keys()
        if named and (refused := self.refusal(said["kind"], said["value"])):
            self.add_error("value", refused)
        return said

    def check(self, field: str, read: Any, *values: Any, **more: Any) -> None:
        """Let *field* have the error that *read* raises, if it does."""
        label = str(self.fields[field].label).capitalize()
        try:
            read(label, *values, **more)
        except InvalidJob as error:
            self.add_error(field, error.translated())


class ControlAdmin(RefusingAdmin):
    """A list of what operators have said, and a page to say it.

    Of what it is cannot be changed: that would be to end one and to begin another.

    Attributes:
        told: What the page of a row says of it beside what can be changed.
        has_one: What is said to who adds what is there already.
    """

    told: tuple[str, ...] = ()
    has_one: str | Promise

    # Not those that the lists and pages of jobs have.
    change_form_template = "admin/change_form.html"
    change_list_template = "admin/change_list.html"
    ordering = ("kind", "value")
    sortable_by = ()
    list_display_links = ("what",)

    class Media:
        css = STYLES

    def save(self, row: Any, by: Actor, alias: str) -> None:
        """Write what *row* says."""
        raise NotImplementedError

    def end(self, row: Any, by: Actor, alias: str) -> bool:
        """End what *row* says; say whether it was in force."""
        raise NotImplementedError

    def in_force(self, kind: str, value: str) -> models.Model | None:
        """Return the row of what operators have said of it, unless that is over."""
        raise NotImplementedError

    def refusal(self, request: HttpRequest, kind: str, value: str) -> str:
        """Say why the user cannot add one for it; empty if that is possible.

        Who adds what is there already would change it, which is another permission.
        """
        row = self.in_force(kind, value)
        if row is None:
            return ""
        may_change = self.has_change_permission(request, row)
        if not (may_change or self.has_view_permission(request, row)):
            return str(self.has_one)
        url = desk.address(request, f"jobflow_{self.opts.model_name}_change", row.pk)
        label = _("Change it") if may_change else _("See what it says")
        return cells.with_link(str(self.has_one), str(url), label)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        if obj is not None:
            return form
        refusal = partial(self.refusal, request)

        class AddForm(form):  # type: ignore[misc]
            def refusal(self, kind: str, value: str) -> str:
                return refusal(kind, value)

        return AddForm

    @admin.display(description=gettext_lazy("name"), ordering="value")
    def what(self, row: Any) -> str:
        """Return its name; that of the default partition is empty."""
        return str(row.value or _("the default one"))

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return super().get_queryset(request).using(conf.current().DATABASE)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.fields, *self.told) if obj is not None else self.fields  # type: ignore[misc]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("kind", "value", *self.told) if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        alias = conf.current().DATABASE
        by = actor_of(request)
        self.save(obj, replace(by, name=by.name[: control.TEXT]), alias)
        rows = type(obj)._base_manager.using(alias)
        obj.pk = rows.values_list("pk", flat=True).get(kind=obj.kind, value=obj.value)
        obj.refresh_from_db(using=alias)

    # Ending it

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        # Django passes a location from 6.1 on.
        where = {} if action_location is None else {"action_location": action_location}
        actions = super().get_actions(request, **where)
        actions.pop("delete_selected", None)  # Django's, which asks no verb
        return actions

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name *objs*; nothing refers to them, so nothing is looked for."""
        return [str(each) for each in objs], {self.opts.verbose_name_plural: len(objs)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.end(obj, actor_of(request), conf.current().DATABASE)

    def end_all(self, request: HttpRequest, rows: models.QuerySet[Any]) -> int:
        """End what *rows* say, and note it in their history; return how many that were."""
        self.log_deletions(request, rows)
        by, alias = actor_of(request), conf.current().DATABASE
        return sum(self.end(row, by, alias) for row in rows)


@admin.action(permissions=["delete"], description=gettext_lazy("Resume what is selected"))
def resume(model_admin: Any, request: HttpRequest, rows: models.QuerySet[Any]) -> None:
    """End the pauses of *rows*."""
    count = model_admin.end_all(request, rows)
    text = ngettext("%d pause was ended.", "%d pauses were ended.", count) % count
    model_admin.message_user(request, text, messages.SUCCESS if count else messages.WARNING)


@admin.action(
    permissions=["delete"], description=gettext_lazy("Let the settings decide of what is selected")
)
def clear(model_admin: Any, request: HttpRequest, rows: models.QuerySet[Any]) -> None:
    """Forget the limits of *rows*."""
    count = model_admin.end_all(request, rows.filter(is_override=True))
    text = ngettext("%d limit was cleared.", "%d limits were cleared.", count) % count
    model_admin.message_user(request, text, messages.SUCCESS if count else messages.WARNING)

"""The limits that hold over all hosts."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminIntegerFieldWidget
from django.db import models
from django.db.models import Q
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobflow import conf, control, observe
from django_jobflow.admin import cells
from django_jobflow.admin.controlling import ControlAdmin, ControlForm, clear
from django_jobflow.admin.lists import TitledChangeList
from django_jobflow.audit import Actor
from django_jobflow.engines.controlling import quota_of
from django_jobflow.models import Limit, LimitKind
from django_jobflow.observe import LimitFacts
from django_jobflow.quotas import MOST, Quota, rate_text


class CountField(forms.IntegerField):
    """A whole number from 1, or nothing."""

    widget = AdminIntegerFieldWidget

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, min_value=1, max_value=MOST, **options)


class LimitForm(ControlForm):
    """What is limited, and to how much; it begins with what is in force."""

    concurrency = CountField(
        label=gettext_lazy("Running at a time"), help_text=gettext_lazy("Empty means no limit.")
    )
    starts = forms.CharField(
        label=gettext_lazy("Starts"),
        required=False,
        max_length=50,
        help_text=gettext_lazy("So many in a time, as 100/m or 10/30s. Empty means no limit."),
    )
    burst = CountField(
        label=gettext_lazy("Burst"),
        help_text=gettext_lazy(
            "Starts at once after a time without any. Empty means as many as the rate."
        ),
    )

    class Meta:
        model = Limit
        fields = ("kind", "value")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        row = kwargs.get("instance")
        initial = kwargs.get("initial") or {}
        if row is not None and row.pk is not None:
            kwargs["initial"] = _said(quota_in_force(row))
        elif quota := _declared(initial):
            kwargs["initial"] = initial | _said(quota)
        super().__init__(*args, **kwargs)

    def clean(self) -> dict[str, Any]:
        said = super().clean()
        if "concurrency" in said:
            kind = said.get("kind", self.instance.kind)
            self.check(
                "concurrency", control.read_quota, said["concurrency"], None, None, kind=kind
            )
        if "starts" in said:
            self.check("starts", control.read_quota, None, said["starts"] or None, None)
        if {"starts", "burst"} <= said.keys():
            self.check("burst", control.read_quota, None, said["starts"] or None, said["burst"])
        return said


class LimitChangeList(TitledChangeList):
    """Limits, each with how much of it is used.

    Those that are declared and have no row yet, since no worker has known them, are at the end,
    and lead to the page that adds one.
    """

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        model_admin: Any = self.model_admin
        self.can_add = model_admin.may_override(request)
        found = observe.limits(self.root_queryset.db)
        facts = {(limit.kind, limit.name): limit for limit in found}
        missing = self._without_row()
        rows: Any = list(self.result_list)
        if self.show_all or self.page_num >= self.paginator.num_pages:
            rows += [Limit(kind=kind, value=name) for kind, name in missing]
        for row in rows:
            row.facts = facts.get((row.kind, row.value))
        self.result_list = rows
        self.result_count += len(missing)

    def _without_row(self) -> list[tuple[str, str]]:
        has = set(self.root_queryset.order_by().values_list("kind", "value"))
        return sorted(observe.declared_limits().keys() - has)

    def url_for_result(self, result: Any) -> str:
        if result.pk is not None:
            return super().url_for_result(result)
        if not self.can_add:
            raise NoReverseMatch  # shown without a link
        named = urlencode({"kind": result.kind, "value": result.value})
        site = self.model_admin.admin_site.name
        return f"{reverse('admin:jobflow_limit_add', current_app=site)}?{named}"


class LimitAdmin(ControlAdmin):
    """Limits that operators have set, and all others that are declared."""

    form = LimitForm
    fields = ("kind", "value", "concurrency", "starts", "burst")
    told = ("source", "updated_at")
    has_one = gettext_lazy("This has a limit already.")
    list_display = ("what", "kind", "running", "starts", "burst_of", "source", "changed")
    actions = (clear,)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        shown = Q(is_override=True)
        for kind, name in observe.declared_limits():
            shown |= Q(kind=kind, value=name)
        return super().get_queryset(request).filter(shown)

    def action_checkbox(self, obj: Any) -> SafeString:
        """Return the box with which to choose *obj*, where it has a row."""
        return SafeString() if obj.pk is None else super().action_checkbox(obj)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[TitledChangeList]:
        return LimitChangeList

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_of_settings = obj is not None and not obj.is_override
        return super().has_delete_permission(request, obj) and not is_of_settings

    def may_override(self, request: HttpRequest) -> bool:
        """Say whether the user may add a limit where the settings or the code have one."""
        return self.has_add_permission(request) and self.has_change_permission(request)

    def in_force(self, kind: str, value: str) -> Limit | None:
        return limits_set().filter(kind=kind, value=value).first()

    def refusal(self, request: HttpRequest, kind: str, value: str) -> str:
        if refused := super().refusal(request, kind, value):
            return refused
        if (kind, value) in observe.declared_limits() and not self.may_override(request):
            return _("The settings or the code limit this, and you may not change limits.")
        return ""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        said = form.cleaned_data
        obj.said = {
            "concurrency": said["concurrency"],
            "rate": said["starts"] or None,
            "burst": said["burst"],
        }
        super().save_model(request, obj, form, change)

    def save(self, row: Any, by: Actor, alias: str) -> None:
        control.set_limit(**{row.kind: row.value}, **row.said, by=by, database=alias)

    def end(self, row: Limit, by: Actor, alias: str) -> bool:
        return control.clear_limit(**{row.kind: row.value}, by=by, database=alias)

    @admin.display(description=gettext_lazy("running at a time"))
    def running(self, limit: Any) -> str | None:
        facts: LimitFacts | None = limit.facts
        quota = quota_in_force(limit)
        if quota.is_open:
            return _("any number")
        if facts is None or facts.running is None:
            return None if quota.concurrency is None else str(quota.concurrency)
        return _("%(running)d of %(most)d") % {
            "running": facts.running,
            "most": quota.concurrency,
        }

    @admin.display(description=gettext_lazy("starts"))
    def starts(self, limit: Limit) -> str | None:
        return starts_of(quota_in_force(limit))

    @admin.display(description=gettext_lazy("burst"))
    def burst_of(self, limit: Limit) -> int | None:
        return quota_in_force(limit).burst

    @admin.display(description=gettext_lazy("set by"))
    def source(self, limit: Limit) -> str:
        if limit.is_override:
            return limit.by or _("an operator")
        return _("the code") if limit.kind == LimitKind.JOB else _("the settings")

    @admin.display(description=gettext_lazy("changed"))
    def changed(self, limit: Limit) -> SafeString | None:
        return None if limit.pk is None else cells.moment(limit.updated_at)


def limits_set() -> models.QuerySet[Limit]:
    """Return the limits that operators have set."""
    return Limit._base_manager.using(conf.current().DATABASE).filter(is_override=True)


def quota_in_force(row: Limit) -> Quota:
    """Return what *row* says, or what the settings or the code do."""
    if row.is_override:
        return quota_of(row)
    return observe.declared_limits().get((row.kind, row.value), Quota())


def _declared(initial: dict[str, Any]) -> Quota | None:
    """Return the limit that is declared for the kind and the name that *initial* has."""
    return observe.declared_limits().get((initial.get("kind", ""), initial.get("value", "")))


def _said(quota: Quota) -> dict[str, Any]:
    """Return *quota* as the form has it."""
    return {
        "concurrency": quota.concurrency,
        "starts": starts_of(quota),
        "burst": quota.burst,
    }


def starts_of(quota: Quota) -> str | None:
    """Return the rate of *quota* as it is written; None where it has none."""
    if quota.rate is None or quota.period is None:
        return None
    return rate_text(quota.rate, quota.period)

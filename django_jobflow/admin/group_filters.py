"""Filters of groups of failures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_jobflow.engines import engine_for

Choices = list[tuple[str, Any]]


class AttentionFilter(admin.SimpleListFilter):
    """Groups that are not muted, unless others are asked for."""

    title = _("attention")
    parameter_name = "muted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("yes", _("Muted")), ("all", _("All"))]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Yield the choices; what Django calls all is what is not muted here."""
        first, *others = super().choices(changelist)
        yield first | {"display": _("Not muted")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> Any:
        now = timezone.now()
        match self.value():
            case "yes":
                return queryset.muted(now)  # type: ignore[attr-defined]
            case "all":
                return queryset
        return queryset.not_muted(now)  # type: ignore[attr-defined]


class NewFilter(admin.SimpleListFilter):
    """Groups that came up with the last release."""

    title = _("deploy")
    parameter_name = "new"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("yes", _("New since the last deploy"))]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> Any:
        if self.value() != "yes":
            return queryset
        release = engine_for(queryset.db).last_release()
        if release is None:
            return queryset.none()
        return queryset.filter(first_seen_at__gte=release.first_seen_at)

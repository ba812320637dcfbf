"""Filters whose choices are known without asking the table."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from django_jobflow import observe
from django_jobflow.models.querysets import OF_ANY_QUEUE
from django_jobflow.states import JobState

Choices = list[tuple[str, str]]


class ColumnFilter(admin.SimpleListFilter):
    """Rows whose column has the chosen value; the parameter is the column's name."""

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> Any:
        value = self.value()
        if value is None:
            return queryset
        if "\0" in value:  # no database has it in a text, and some refuse to look
            return queryset.none()
        return queryset.filter(**{str(self.parameter_name): value})

    def with_chosen(self, known: list[str]) -> Choices:
        """Return *known* as choices, and what is chosen: a job's code may be gone."""
        chosen = self.value()
        more = [chosen] if chosen and chosen not in known else []
        return [(value, value) for value in (*known, *more)]


class StateFilter(ColumnFilter):
    """Rows in one state, in the order of that state's index."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(value, str(capfirst(label))) for value, label in JobState.choices]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> Any:
        found = super().queryset(request, queryset)
        # The index that this list follows is one over all queues, and has to be asked for.
        return found.filter(OF_ANY_QUEUE) if self.value() == JobState.AVAILABLE else found


class QueueFilter(ColumnFilter):
    """Rows of one queue, of those that jobs and settings name."""

    title = _("queue")
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return self.with_chosen(observe.declared_queues())


class JobFilter(ColumnFilter):
    """Rows of one job, of those that are declared."""

    title = _("job")
    parameter_name = "name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return self.with_chosen(observe.declared_names())

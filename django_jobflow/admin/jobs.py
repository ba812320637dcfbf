"""The live records."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from django_jobflow import observe
from django_jobflow.admin import actions, cells
from django_jobflow.admin.operating import OperatingAdmin
from django_jobflow.admin.searching import AgeFilter, JobFilter, QueueFilter, StateFilter
from django_jobflow.admin.typed_filters import (
    ErrorFilter,
    PartitionFilter,
    TagFilter,
    WorkerFilter,
)
from django_jobflow.models import JobRecord

NEWEST_FIRST = ("-id",)


class JobRecordAdmin(OperatingAdmin):
    """Jobs that are to be run, run, or have ended without success."""

    list_display = (
        "id",
        "job_name",
        "state_badge",
        "queue",
        "next_run",
        "last_error",
        "attempts",
        "age",
    )
    list_filter = (
        StateFilter,
        QueueFilter,
        JobFilter,
        AgeFilter,
        ErrorFilter,
        WorkerFilter,
        PartitionFilter,
        TagFilter,
    )
    date_hierarchy = "created_at"
    hierarchy_order = "id"  # which has an index, and follows the time of the enqueue
    actions = (actions.retry, actions.run_now, actions.cancel, actions.delete_selected)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Return the order of the chosen state's index, or that of the primary key."""
        return observe.LIST_ORDERS.get(request.GET.get("state", ""), NEWEST_FIRST)

    @admin.display(description=_("state"))
    def state_badge(self, record: JobRecord) -> SafeString:
        return cells.badge(record.state)

    @admin.display(description=_("next run"))
    def next_run(self, record: JobRecord) -> Any:
        return cells.next_run(record)

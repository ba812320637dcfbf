"""The records that have failed for good."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from django_jobflow import observe, states
from django_jobflow.admin import actions, cells
from django_jobflow.admin.operating import OperatingAdmin
from django_jobflow.admin.searching import AgeFilter, JobFilter, QueueFilter
from django_jobflow.admin.typed_filters import ErrorFilter, PartitionFilter, TagFilter
from django_jobflow.models import FailedJob
from django_jobflow.search import parse
from django_jobflow.states import JobState

VERBS = (actions.retry, actions.run_now, actions.cancel)


class FailedJobAdmin(OperatingAdmin):
    """Jobs whose attempts are used up or that were discarded, the latest first."""

    list_display = ("id", "job_name", "last_error", "failed_at", "queue", "attempts", "age")
    list_filter = (QueueFilter, JobFilter, AgeFilter, ErrorFilter, PartitionFilter, TagFilter)
    always = parse("state:failed")
    date_hierarchy = "finished_at"
    hierarchy_order = "finished_at"
    ordering = observe.LIST_ORDERS[JobState.FAILED]
    actions = (
        *(verb for verb in VERBS if states.can(verb.__name__, JobState.FAILED)),
        actions.delete_selected,
    )

    @admin.display(description=_("failed"))
    def failed_at(self, record: FailedJob) -> SafeString | None:
        return cells.moment(record.finished_at)

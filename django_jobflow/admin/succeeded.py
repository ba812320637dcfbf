"""The jobs that have succeeded."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db import models
from django.db.models.functions import Cast, Left
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobflow import operate
from django_jobflow.admin import cells, timeline
from django_jobflow.admin.reading import LARGE, JobAdmin
from django_jobflow.admin.searching import AgeFilter, JobFilter, QueueFilter
from django_jobflow.admin.typed_filters import PartitionFilter, TagFilter, WorkerFilter
from django_jobflow.arguments import DOTS
from django_jobflow.audit import Actor
from django_jobflow.declare.secrecy import secrecy_of
from django_jobflow.models import SucceededJob
from django_jobflow.observe import spans
from django_jobflow.operate import Done
from django_jobflow.search import parse

RESULT_READ = 400  # characters: enough for a list, though JSON may escape a letter with six


class SucceededJobAdmin(JobAdmin):
    """Jobs that have succeeded, the latest first, as long as they are kept."""

    list_display = (
        "id",
        "job_name",
        "queue",
        "succeeded",
        "waited",
        "ran_for",
        "attempts",
        "result_start",
    )
    list_filter = (QueueFilter, JobFilter, AgeFilter, WorkerFilter, PartitionFilter, TagFilter)
    always = parse("state:succeeded")
    date_hierarchy = "succeeded_at"
    hierarchy_order = "succeeded_at"
    ordering = ("-succeeded_at", "-id")

    def with_list_columns(self, rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """Return *rows* without what is large: a result may take a megabyte."""
        start = Left(Cast("result", models.TextField()), RESULT_READ)
        light: models.QuerySet[Any] = rows.defer(*LARGE, "result", "errors").annotate(start=start)
        return light

    def page_badge(self, row: Any) -> SafeString:
        return cells.badge_of("succeeded", _("Succeeded"))

    def delete_rows(self, rows: models.QuerySet[Any], *, by: Actor, subject: str) -> Done:
        return operate.delete_succeeded_many(rows, by=by, subject=subject)

    def delete_model(self, request: HttpRequest, obj: SucceededJob) -> None:
        self.delete_one(request, obj)

    @admin.display(description=gettext_lazy("succeeded"))
    def succeeded(self, job: SucceededJob) -> SafeString | None:
        return cells.moment(job.succeeded_at)

    @admin.display(description=gettext_lazy("waited"))
    def waited(self, job: SucceededJob) -> str | None:
        span = timeline.waited(job)
        return None if span is None else spans.length(span)

    @admin.display(description=gettext_lazy("ran for"))
    def ran_for(self, job: SucceededJob) -> str | None:
        return spans.between(job.started_at, job.succeeded_at)

    @admin.display(description=gettext_lazy("result"))
    def result_start(self, job: Any) -> SafeString | None:
        if secrecy_of(job.name).hides_result:
            return cells.result(DOTS)
        return None if job.start is None else cells.result(_readable(job.start))


def _readable(start: str) -> str:
    try:
        return json.dumps(json.loads(start), ensure_ascii=False)
    except ValueError:  # cut off in the middle
        return start

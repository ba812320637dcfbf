"""What the lists and pages of all jobs share, whether live or succeeded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobflow import states
from django_jobflow.admin import cells, facts, timeline, verbs
from django_jobflow.admin.actions import delete_selected
from django_jobflow.admin.actors import actor_of
from django_jobflow.admin.picture import picture
from django_jobflow.admin.searching import Searching
from django_jobflow.audit import Actor, subject_of_jobs
from django_jobflow.declare import registry
from django_jobflow.models import (
    Batch,
    FailureGroup,
    JobRecord,
    Key,
    Queue,
    SucceededJob,
    Worker,
)
from django_jobflow.models.records import JobFacts
from django_jobflow.observe import spans
from django_jobflow.operate import Done
from django_jobflow.states import JobState

AT_IT = states.HELD | {JobState.AVAILABLE, JobState.WAITING}
LARGE = ("args", "kwargs", "meta", "tags")  # not read for a list


class JobAdmin(Searching):
    """A list of jobs, and a page for each."""

    actions: Sequence[Any] = (delete_selected,)
    search_help_text = gettext_lazy(
        "A number, a part of a name, or keys: queue:email state:failed error:SMTPException age>1h"
    )

    class Media:
        js = ("jobflow/search.js",)

    def with_list_columns(self, rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
        return rows.defer(*LARGE)

    def deleted_messages(self, done: Done) -> list[verbs.Message]:
        """Return what to say of deleted rows."""
        return list(verbs.deleted(done))

    # Columns

    @admin.display(description=gettext_lazy("job"))
    def job_name(self, job: JobFacts) -> SafeString:
        return cells.name(job)

    @admin.display(description=gettext_lazy("attempts"))
    def attempts(self, job: JobFacts) -> str:
        return cells.attempts(job)

    @admin.display(description=gettext_lazy("age"))
    def age(self, job: JobFacts) -> SafeString | None:
        return cells.moment(job.created_at, spans.age(job.created_at))

    @admin.display(description=gettext_lazy("last error"))
    def last_error(self, job: JobFacts) -> SafeString | None:
        return cells.last_error(job)

    # Pages

    def page(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        events = timeline.timeline(row)
        return {
            "title": row.name,
            "subtitle": _("Job %(id)s") % {"id": row.pk},
            "badge": self.page_badge(row),
            "is_known": registry.find(row.name) is not None,
            "facts": facts.facts(row, dict(self._urls(request, row))),
            "timeline": events,
            "picture": picture(events, timezone.now() if self.goes_on(row) else None),
            "codes": facts.codes(row),
            "attempts": facts.attempts(row),
            "earlier": facts.earlier(row),
            "logs": facts.logs(row),
            "delete_url": self.delete_url(request, row),
            "list_url": self.list_url(),
        }

    def _urls(self, request: HttpRequest, row: Any) -> Iterator[tuple[str, str]]:
        """Yield where the user is told more of what *row* holds, by the name of its field."""
        if self.may_view(request, Queue):
            yield "queue", self.page_url(Queue, row.queue)
        if self.may_view(request, Key):
            for name in ("queue_key", "execution_key"):
                asked = urlencode({"q": getattr(row, name) or "", "partition": row.partition})
                yield name, f"{self._address(Key, 'changelist')}?{asked}"
        if row.batch_id is not None and self.may_view(request, Batch):
            yield "batch_id", self.page_url(Batch, row.batch_id)
        if getattr(row, "state", None) in states.HELD and self.may_view(request, Worker):
            yield "reserved_by", self.page_url(Worker, row.reserved_by)
        if (kind := getattr(row, "fingerprint", None)) and self.may_view(request, FailureGroup):
            yield "fingerprint", self.page_url(FailureGroup, kind)

    def goes_on(self, row: Any) -> bool:
        """Say whether *row* runs, or waits to be run at once."""
        return getattr(row, "state", None) in AT_IT

    def page_badge(self, row: Any) -> SafeString:
        """Return the state that the page shows."""
        raise NotImplementedError

    def delete_url(self, request: HttpRequest, row: Any) -> str | None:
        """Return where *row* can be deleted, if the user may."""
        if not self.has_delete_permission(request, row):
            return None
        return self._address(self.model, "delete", row.pk)

    def elsewhere(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to the page of a job that has moved on: retried, or succeeded.

        Database:
            One statement for each place where it may be.
        """
        model = self._place_of(request, object_id)
        if model is None:
            return super().elsewhere(request, object_id)
        return HttpResponseRedirect(self.page_url(model, object_id))

    def moved_on(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say that nothing can be done to a job that has moved on, and lead to where it is.

        Database:
            As ``elsewhere``.
        """
        model = self._place_of(request, object_id)
        if model is None:
            return super().elsewhere(request, object_id)
        text = (
            _("Job %(id)s has succeeded in the meantime: nothing was done.")
            if model is SucceededJob
            else _("Job %(id)s is not in this list any more: nothing was done.")
        )
        self.message_user(request, text % {"id": object_id}, messages.WARNING)
        return HttpResponseRedirect(self.page_url(model, object_id))

    def _place_of(self, request: HttpRequest, object_id: str) -> type[models.Model] | None:
        """Return the other model that has the job of this number, if the user may see it."""
        for model in (JobRecord, SucceededJob):
            if model is self.model or not object_id.isdecimal():
                continue
            if self.may_view(request, model) and self._is_in(model, int(object_id), request):
                return model
        return None

    def _is_in(self, model: type[models.Model], pk: int, request: HttpRequest) -> bool:
        model_admin: Any = self.admin_site.get_model_admin(model)
        return bool(model_admin.get_queryset(request).filter(pk=pk).exists())

    # Deleting

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name *objs*; nothing refers to a job, so nothing is looked for."""
        return [str(each) for each in objs], {self.opts.verbose_name_plural: len(objs)}, set(), []

    def delete_rows(self, rows: models.QuerySet[Any], *, by: Actor, subject: str) -> Done:
        """Delete *rows* as far as they may be."""
        raise NotImplementedError

    def delete_one(self, request: HttpRequest, row: Any) -> Done:
        """Delete *row* if it may be."""
        rows = self.get_queryset(request).filter(pk=row.pk)
        return self.delete_rows(rows, by=actor_of(request), subject=subject_of_jobs([row.pk]))

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        super().response_delete(request, obj_display, obj_id)
        return HttpResponseRedirect(self.list_url())  # Django leads who may not edit to the index

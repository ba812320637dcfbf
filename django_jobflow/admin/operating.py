"""The verbs in the lists and on the pages of live records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import path
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from django_jobflow import operate, states
from django_jobflow.admin import cells, live, verbs
from django_jobflow.admin.actors import actor_of
from django_jobflow.admin.base import STYLES
from django_jobflow.admin.changing import ChangingAdmin
from django_jobflow.admin.verbs import VERBS, Verb
from django_jobflow.audit import Actor
from django_jobflow.exceptions import JobflowError, NotCancellable, NotRetryable
from django_jobflow.models import JobRecord
from django_jobflow.operate import Done
from django_jobflow.states import JobState


class StillRunning(JobflowError):
    """The record has been started since its page was shown; it was not deleted."""


@dataclass(frozen=True, slots=True)
class Button:
    """A verb that the page offers, and the address that it is posted to."""

    name: str
    label: str | Promise
    url: str


class OperatingAdmin(ChangingAdmin):
    """Live records, with the verbs that move them.

    The permissions are those of ``JobRecord``, whatever the list.
    """

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return verbs.may(request, "retry")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return verbs.may(request, "cancel")

    def has_run_now_permission(self, request: HttpRequest) -> bool:
        return verbs.may(request, "run_now")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_running = obj is not None and obj.state == JobState.IN_PROGRESS
        return verbs.may(request, "delete") and not is_running

    # Buttons

    def page(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return super().page(request, row) | {
            "buttons": self.buttons(request, row),
            "changes": self.changes_url(request, row),
            "why": str(row.why()) if row.state in states.UNFINISHED else "",
            "is_held": row.state in states.HELD,
            **self._live(row),
            "cancel_requested": row.state == JobState.IN_PROGRESS and row.cancel_requested_at,
        }

    def _live(self, row: JobRecord) -> dict[str, Any]:
        """Return what the script needs that keeps the page of what has not ended up to date."""
        if row.state not in states.UNFINISHED:
            return {}
        return {
            "media": forms.Media(css=STYLES, js=["jobflow/live.js"]),
            "live_url": self._address(self.model, "live", row.pk),
            "version": live.version(row),
            "progress": live.progress(row) if row.state == JobState.IN_PROGRESS else "",
        }

    def live_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Tell the page of a job what is new, as JSON."""
        if request.method not in {"GET", "HEAD"} or not self.has_view_permission(request):
            raise PermissionDenied
        record = self.get_object(request, str(pk))
        if record is None:  # it has succeeded, or was retried from the list of failed ones
            return JsonResponse({"version": "", "log": {"lines": []}})
        return JsonResponse(live.told(record, request.GET.get("after", "")))

    def page_badge(self, row: Any) -> Any:
        return cells.badge(row.state)

    def buttons(self, request: HttpRequest, record: JobRecord) -> list[Button]:
        """Return the verbs that *record* offers and the user may use."""
        return [
            Button(verb.name, verb.label, self._address(self.model, verb.name, record.pk))
            for verb in verbs.offered(record.state)
            if verb.is_allowed(request)
        ]

    def get_urls(self) -> list[Any]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [
            path(f"<int:pk>/{verb.name}/", self._view(verb), name=f"{name}_{verb.name}")
            for verb in VERBS.values()
        ]
        view = self.admin_site.admin_view(self.live_view)
        return [path("<int:pk>/live/", view, name=f"{name}_live"), *own, *super().get_urls()]

    def _view(self, verb: Verb) -> Callable[..., HttpResponse]:
        return self.admin_site.admin_view(partial(self.verb_view, verb=verb))

    def verb_view(self, request: HttpRequest, pk: int, verb: Verb) -> HttpResponse:
        """Do *verb* to one record, say how it went, and lead to its page."""
        if not (verb.is_allowed(request) and self.has_view_permission(request)):
            raise PermissionDenied
        if request.method != "POST":  # come back to after a log-in
            return HttpResponseRedirect(self.page_url(self.model, pk))
        record = self.get_object(request, str(pk))
        if record is None:
            return self.moved_on(request, str(pk))
        try:
            level, text = verb.one(record, actor_of(request))
        except (NotRetryable, NotCancellable) as error:
            level, text = messages.ERROR, error.translated()
        self.message_user(request, text, level)
        return HttpResponseRedirect(self.url_after(request, record))

    def url_after(self, request: HttpRequest, record: JobRecord) -> str:
        """Return where to go after a verb: the record's page, if the user may see it."""
        if self.may_view(request, JobRecord):
            return self.page_url(JobRecord, record.pk)
        return self.list_url()

    # Deleting

    def delete_rows(self, rows: models.QuerySet[Any], *, by: Actor, subject: str) -> Done:
        return operate.delete_many(rows, by=by, subject=subject)

    def delete_model(self, request: HttpRequest, obj: JobRecord) -> None:
        if self.delete_one(request, obj).skipped:
            raise StillRunning(_("Job %(id)s is running. Cancel it first.") % {"id": obj.pk})

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            return super().delete_view(request, object_id, extra_context)
        except StillRunning as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(self.page_url(self.model, object_id))

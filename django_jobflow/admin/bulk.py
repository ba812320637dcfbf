"""Bulk operations: look first, start, watch, stop and go on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.text import Truncator, capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobflow import bulk, conf
from django_jobflow.admin import cells, verbs
from django_jobflow.admin.actors import actor_of
from django_jobflow.admin.base import ReadOnlyAdmin
from django_jobflow.admin.facts import Fact
from django_jobflow.exceptions import InvalidJob
from django_jobflow.models import (
    AuditAction,
    BulkOperation,
    BulkState,
    FailureGroup,
    JobRecord,
    SucceededJob,
)
from django_jobflow.models.bulk import RATE
from django_jobflow.observe import spans
from django_jobflow.observe.searching import wants_succeeded
from django_jobflow.search import Search, SearchError, parse

SEARCH_SHOWN = 80  # characters of it in a list
KIND_SHOWN = 200  # characters of the name of a kind of failure
BADGES = {
    BulkState.RUNNING: "in_progress",
    BulkState.STOPPED: "waiting",
    BulkState.DONE: "succeeded",
    BulkState.BROKEN: "failed",
}


def may_do(request: HttpRequest, action: str, search: Search) -> bool:
    """Say whether the user may do *action* to everything that *search* finds."""
    user: Any = request.user
    return user.has_perm("jobflow.start_bulkoperation") and _may_act(request, action, search)


def _may_act(request: HttpRequest, action: str, search: Search) -> bool:
    """Say whether the user may do *action* to one of what *search* finds."""
    user: Any = request.user
    if action == AuditAction.DELETE and wants_succeeded(search):
        name = SucceededJob._meta.model_name
        return bool(user.has_perm(f"jobflow.delete_{name}"))
    return verbs.may(request, action)


class BulkOperationAdmin(ReadOnlyAdmin):
    """Operations, the newest first."""

    list_display = ("id", "verb", "search_start", "badge", "progress", "changed", "by", "started")
    ordering = ("-id",)
    search_fields = ()  # type: ignore[assignment]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_start_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("jobflow.start_bulkoperation"))

    def has_stop_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("jobflow.stop_bulkoperation"))

    def get_urls(self) -> list[Any]:
        name = "jobflow_bulkoperation"
        view = self.admin_site.admin_view
        turns: dict[str, Callable[..., bool]] = {"stop": bulk.stop, "resume": bulk.resume}
        return [
            path("start/", view(self.start_view), name=f"{name}_start"),
            *(
                path(
                    f"<int:pk>/{word}/",
                    view(partial(self.turn_view, turn=turn)),
                    name=f"{name}_{word}",
                )
                for word, turn in turns.items()
            ),
            *super().get_urls(),
        ]

    # Starting one

    def start_view(self, request: HttpRequest) -> HttpResponse:
        """Show what would be done, and do it when that is confirmed."""
        if not (self.has_start_permission(request) and self.may_view(request, JobRecord)):
            raise PermissionDenied
        asked = request.POST if request.method == "POST" else request.GET
        text, action = asked.get("q", ""), asked.get("action", "")
        rate, problem, preview = RATE, "", None
        search_error = None
        try:
            search = parse(text)
            rate = _rate(asked.get("rate", ""))
            if action and not may_do(request, action, search):
                raise PermissionDenied
            if action and request.method == "POST":
                return self._start(request, action, search, rate)
            if action:
                preview = bulk.preview(action, search, rate=rate)
        except SearchError as error:
            search_error = error
        except InvalidJob as error:
            problem = error.translated()
        context = {
            **self._site(request),
            "title": _("Act on everything that matches"),
            "text": text,
            "action": action,
            "rate": rate,
            "actions": [
                (name, label) for name, label in LABELS.items() if may_do(request, name, Search())
            ],
            "search_error": search_error,
            "problem": problem,
            "preview": preview,
            "kind": self._kind(request, str(preview.search)) if preview else None,
            "told": told_of(action, preview) if preview else (),
        }
        template = "admin/jobflow/bulkoperation/start.html"
        return TemplateResponse(request, template, context)

    def _start(self, request: HttpRequest, action: str, search: Search, rate: int) -> HttpResponse:
        operation = bulk.start(action, search, by=actor_of(request), rate=rate)
        text = _("Operation %(id)s is started: workers carry it out.") % {"id": operation.pk}
        self.message_user(request, text, messages.SUCCESS)
        if self.has_view_permission(request):
            return HttpResponseRedirect(self.page_url(BulkOperation, operation.pk))
        return HttpResponseRedirect(self._address(JobRecord, "changelist"))

    def _kind(self, request: HttpRequest, text: str) -> Fact | None:
        """Return which failures a search asks for by fingerprint."""
        try:
            terms = parse(text).of("fingerprint")
        except SearchError:  # of another version
            return None
        if not terms or not self.may_view(request, FailureGroup):
            return None
        rows = FailureGroup._base_manager.using(conf.current().DATABASE)
        group = rows.filter(pk=terms[0].values[0]).first()
        if group is None:
            return None
        url, label = self.page_url(FailureGroup, group.pk), Truncator(str(group)).chars(KIND_SHOWN)
        return Fact(_("Failures"), label, url)

    def _site(self, request: HttpRequest) -> dict[str, Any]:
        request.current_app = self.admin_site.name
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
        }

    # Stopping one, and going on

    def turn_view(self, request: HttpRequest, pk: int, turn: Callable[..., bool]) -> HttpResponse:
        """Stop an operation, or go on with it, and lead to its page."""
        if not (self.has_stop_permission(request) and self.has_view_permission(request)):
            raise PermissionDenied
        operation = self.get_object(request, str(pk))
        if operation is None:
            return self.elsewhere(request, str(pk))
        if turn is bulk.resume and not self._may_go_on(request, operation):
            raise PermissionDenied
        if request.method == "POST":
            changed = turn(operation, by=actor_of(request))
            text = (
                _("Operation %(id)s is %(state)s.")
                if changed
                else _("Operation %(id)s was %(state)s already.")
            )
            said = {"id": pk, "state": operation.get_state_display()}
            level = messages.SUCCESS if changed else messages.WARNING
            self.message_user(request, text % said, level)
        return HttpResponseRedirect(self.page_url(BulkOperation, pk))

    def _may_go_on(self, request: HttpRequest, operation: BulkOperation) -> bool:
        """Say whether the user may do what *operation* does, which others have started."""
        try:
            search = parse(operation.search)
        except SearchError:  # of another version
            search = Search()
        return self.has_stop_permission(request) and _may_act(request, operation.action, search)

    # A page

    def page(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        stops = row.state == BulkState.RUNNING
        resumes = row.state in {BulkState.STOPPED, BulkState.BROKEN}
        word = "stop" if stops else "resume" if resumes else ""
        may_turn = stops and self.has_stop_permission(request)
        may_turn = may_turn or (resumes and self._may_go_on(request, row))
        return {
            "title": f"{self.verb(row)}: {row.search}",
            "subtitle": _("Operation %(id)s") % {"id": row.pk},
            "badge": self.badge(row),
            "percent": row.percent,
            "progress_text": self.progress(row),
            "facts": list(_facts(row, self._kind(request, row.search))),
            "error": row.error,
            "button_url": self._address(BulkOperation, word, row.pk) if may_turn else "",
            "button_label": _("Stop") if stops else _("Go on"),
        }

    # Columns

    @admin.display(description=gettext_lazy("action"))
    def verb(self, operation: BulkOperation) -> str:
        return str(LABELS.get(operation.action, operation.action))

    @admin.display(description=gettext_lazy("search"))
    def search_start(self, operation: BulkOperation) -> str:
        return Truncator(operation.search).chars(SEARCH_SHOWN)

    @admin.display(description=gettext_lazy("state"))
    def badge(self, operation: BulkOperation) -> SafeString:
        label = str(capfirst(operation.get_state_display()))
        return cells.badge_of(BADGES.get(BulkState(operation.state), ""), label)

    @admin.display(description=gettext_lazy("progress"))
    def progress(self, operation: BulkOperation) -> str | None:
        return None if operation.percent is None else f"{operation.percent} %"

    @admin.display(description=gettext_lazy("changed"))
    def changed(self, operation: BulkOperation) -> str:
        return grouped(operation.done)

    @admin.display(description=gettext_lazy("started"))
    def started(self, operation: BulkOperation) -> SafeString | None:
        return cells.moment(operation.created_at)


LABELS: dict[str, str | Promise] = {
    AuditAction.RETRY.value: gettext_lazy("Retry"),
    AuditAction.RUN_NOW.value: gettext_lazy("Run now"),
    AuditAction.CANCEL.value: gettext_lazy("Cancel"),
    AuditAction.DELETE.value: gettext_lazy("Delete"),
}


def grouped(number: int) -> str:
    """Return *number* as the language of the reader groups its digits."""
    return str(number_format(number, use_l10n=True, force_grouping=True))


def told_of(action: str, preview: bulk.Preview) -> list[str]:
    """Return what to say of *preview*: what would be done, and how long it takes."""
    number = grouped(preview.count)
    if preview.is_more:
        number = _("more than %(number)s") % {"number": number}
    elif preview.is_estimate:
        number = _("about %(number)s") % {"number": number}
    many = preview.count + preview.is_more
    told = [_sentence(action, many) % {"count": number}]
    if preview.is_estimate:
        text = _("The number is an estimate from the first %(count)s that were looked through.")
        told.append(text % {"count": grouped(bulk.SAMPLE)})
    if preview.count:
        length = spans.length(timedelta(seconds=max(preview.seconds, 1)))
        told.append(_("The operation takes about %(time)s.") % {"time": length})
    if preview.run_seconds is not None and preview.count:
        length = spans.length(timedelta(seconds=max(preview.run_seconds, 1)))
        told.append(_("To run them takes about %(time)s at the present rate.") % {"time": length})
    return told


def _sentence(action: str, count: int) -> str:
    match action:
        case "retry":
            return ngettext("This retries %(count)s job.", "This retries %(count)s jobs.", count)
        case "run_now":
            return ngettext(
                "This makes %(count)s job due now.", "This makes %(count)s jobs due now.", count
            )
        case "cancel":
            return ngettext("This cancels %(count)s job.", "This cancels %(count)s jobs.", count)
    return ngettext(
        "This deletes %(count)s job for good.", "This deletes %(count)s jobs for good.", count
    )


def _rate(text: str) -> int:
    if not text:
        return RATE
    if text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= bulk.MOST_RATE:
        return int(text[:9])
    raise InvalidJob(
        _("Jobs a second: expected a whole number from 1 to %(most)s, got %(text)s.")
        % {"most": grouped(bulk.MOST_RATE), "text": repr(text)}
    )


def _facts(operation: BulkOperation, kind: Fact | None) -> Any:
    yield Fact(_("Search"), operation.search)
    if kind is not None:
        yield kind
    yield Fact(_("By"), operation.by or "-")
    yield Fact(_("Started"), cells.full(operation.created_at))
    if operation.finished_at is not None:
        yield Fact(_("Ended"), cells.full(operation.finished_at))
    yield Fact(_("Changed"), grouped(operation.done))
    if operation.asked:
        yield Fact(_("Asked to stop"), grouped(operation.asked))
    if operation.skipped:
        yield Fact(_("Skipped"), grouped(operation.skipped))
    yield Fact(_("Looked at"), grouped(operation.looked))
    yield Fact(_("At most"), _("%(count)s a second") % {"count": grouped(operation.rate)})
    now = timezone.now() if conf.has_time_zones() else timezone.localtime().replace(tzinfo=None)
    left = bulk.seconds_left(operation, now)
    if left is not None:
        yield Fact(_("To go"), spans.length(timedelta(seconds=left)))

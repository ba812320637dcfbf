"""The queues: what waits in each, and what holds it back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobflow import control, observe
from django_jobflow.admin import cells, charts
from django_jobflow.admin.actors import actor_of
from django_jobflow.admin.facts import Fact
from django_jobflow.admin.limits import limits_set, starts_of
from django_jobflow.admin.panels import PanelAdmin
from django_jobflow.admin.pauses import pause_of
from django_jobflow.admin.purging import PurgeView
from django_jobflow.audit import Actor
from django_jobflow.exceptions import InvalidJob
from django_jobflow.models import JobRecord, Limit, LimitKind, Pause, PauseKind, Queue
from django_jobflow.observe import LimitFacts, QueueFacts, spans
from django_jobflow.states import JobState

SHOWN = (
    JobState.AVAILABLE,
    JobState.SCHEDULED,
    JobState.RETRY,
    JobState.WAITING,
    JobState.RESERVED,
    JobState.IN_PROGRESS,
    JobState.FAILED,
    JobState.CANCELLED,
)
"""The states in the order of a page."""

SPANS = {
    "": gettext_lazy("until it is resumed"),
    "900": gettext_lazy("for 15 minutes"),
    "3600": gettext_lazy("for an hour"),
    "14400": gettext_lazy("for 4 hours"),
    "86400": gettext_lazy("for a day"),
}


class PauseForm(forms.Form):
    """For how long, and why."""

    span = forms.ChoiceField(
        label=gettext_lazy("How long"), choices=list(SPANS.items()), required=False
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        required=False,
        max_length=control.TEXT,
        help_text=gettext_lazy("For others to read."),
    )


class QueueAdmin(PanelAdmin):
    """All queues on one page, and a page for each with what can be done to it."""

    def get_urls(self) -> list[Any]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        views: dict[str, Callable[..., HttpResponse]] = {
            "pause": self.pause_view,
            "resume": self.resume_view,
            "purge": PurgeView(self),
            "change": self.queue_view,
        }
        own = [
            path(f"<path:pk>/{page}/", self._named(view), name=f"{name}_{page}")
            for page, view in views.items()
        ]
        return [*super().get_urls(), *own]

    def _named(self, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        return self.admin_site.admin_view(partial(self._view, view=view))

    def _view(
        self, request: HttpRequest, pk: str, view: Callable[..., HttpResponse]
    ) -> HttpResponse:
        """Let *view* answer for the queue of the name that is in the address."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        name = unquote(pk)
        try:
            control.read_name("", "queue", name)
        except InvalidJob:
            return self.elsewhere(request, name)
        return view(request, name)

    # What is shown

    def panel(self, request: HttpRequest) -> dict[str, Any]:
        found = observe.queues()
        return {
            "queues": [self._row(request, facts) for facts in found.all],
            "has_more": found.has_more,
        }

    def _row(self, request: HttpRequest, facts: QueueFacts) -> dict[str, Any]:
        may_list = self.may_view(request, JobRecord)
        return {
            "facts": facts,
            "url": self.page_url(Queue, facts.name),
            "badge": _signs(facts),
            "oldest": _oldest(facts),
            "limit": _limit(facts.limit),
            "rates": (charts.rate(facts.rate_in), charts.rate(facts.rate_out)),
            "counts": {
                state.value: {
                    "badge": cells.badge(state),
                    "number": cells.number(facts.count(state)),
                    "url": self.jobs_url(facts.name, state) if may_list else "",
                    "is_none": not facts.count(state).number and not facts.count(state).is_more,
                }
                for state in SHOWN
            },
        }

    def jobs_url(self, queue: str, state: JobState) -> str:
        """Return the list of the jobs of *queue* that are in *state*."""
        query = urlencode({"state": state.value, "queue": queue})
        return f"{self._address(JobRecord, 'changelist')}?{query}"

    def queue_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Show one queue."""
        if request.method not in {"GET", "HEAD"}:
            raise PermissionDenied
        return self.shown(request, name, PauseForm())

    def shown(self, request: HttpRequest, name: str, form: PauseForm) -> HttpResponse:
        """Return the page of a queue, with *form* for a pause."""
        [facts] = observe.queues(only=name).all
        return self.rendered(
            request,
            "change_form",
            {
                "title": _("Queue %(queue)s") % {"queue": name},
                "original": facts,
                **self._row(request, facts),
                "pause_form": form if self._may_pause(request, facts.pause) else None,
                "pause_url": self._address(Queue, "pause", quote(name)),
                "may_resume": facts.pause is not None and self._may(request, "delete", Pause),
                "resume_url": self._address(Queue, "resume", quote(name)),
                "limit_url": self._limit_url(request, name),
                "purge_url": self.purge_url(request, name),
                "told": list(_told(facts)),
            },
        )

    def _limit_url(self, request: HttpRequest, name: str) -> str:
        """Return where the limit of the queue is set; empty if the user may not."""
        named = {"kind": LimitKind.QUEUE.value, "value": name}
        may_change = self._may(request, "change", Limit)
        row = limits_set().filter(**named).first()
        if row is not None:
            return self._address(Limit, "change", row.pk) if may_change else ""
        is_declared = (named["kind"], name) in observe.declared_limits()
        if not self._may(request, "add", Limit) or (is_declared and not may_change):
            return ""
        query = urlencode(named)
        return f"{self._address(Limit, 'add')}?{query}"

    def purge_url(self, request: HttpRequest, name: str) -> str:
        """Return where the queue can be emptied; empty if the user may not."""
        may = self._may(request, "purge", Queue)
        return self._address(Queue, "purge", quote(name)) if may else ""

    def _may(self, request: HttpRequest, verb: str, model: Any) -> bool:
        user: Any = request.user
        name = f"{model._meta.app_label}.{verb}_{model._meta.model_name}"
        return self.admin_site.is_registered(model) and bool(user.has_perm(name))

    # What is done

    def by(self, request: HttpRequest) -> Actor:
        """Return who acts."""
        return by(request)

    def pause_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Pause one queue, or pause it anew: that takes away what was said before."""
        pause = pause_of(PauseKind.QUEUE, name)
        may_pause = self._may_pause(request, pause)
        if not may_pause:
            self._check(request, "add", Pause)
        if request.method != "POST":  # come back to after a log-in
            return HttpResponseRedirect(self.page_url(Queue, name))
        if not may_pause:  # somebody else has meanwhile
            return self._done(request, name, _("This is paused already."), messages.ERROR)
        form = PauseForm(request.POST)
        if not form.is_valid():
            return self.shown(request, name, form)
        said = form.cleaned_data
        span = timedelta(seconds=int(said["span"])) if said["span"] else None
        control.pause(queue=name, for_=span, reason=said["reason"], by=by(request))
        return self._done(request, name, _("Queue %(name)s is paused.") % {"name": name})

    def resume_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """End the pause of one queue."""
        self._check(request, "delete", Pause)
        if request.method != "POST":
            return HttpResponseRedirect(self.page_url(Queue, name))
        if control.resume(queue=name, by=by(request)):
            text = _("Queue %(name)s is resumed.") % {"name": name}
            return self._done(request, name, text)
        text = _("Queue %(name)s was not paused.") % {"name": name}
        return self._done(request, name, text, messages.WARNING)

    def _may_pause(self, request: HttpRequest, pause: Pause | None) -> bool:
        return self._may(request, "add" if pause is None else "change", Pause)

    def _check(self, request: HttpRequest, verb: str, model: Any) -> None:
        if not self._may(request, verb, model):
            raise PermissionDenied

    def _done(
        self, request: HttpRequest, name: str, text: str, level: int = messages.SUCCESS
    ) -> HttpResponse:
        self.message_user(request, text, level)
        return HttpResponseRedirect(self.page_url(Queue, name))


def by(request: HttpRequest) -> Actor:
    """Return who acts, with a name that a row has room for."""
    actor = actor_of(request)
    return replace(actor, name=actor.name[: control.TEXT])


def _signs(facts: QueueFacts) -> Any:
    if facts.pause is not None:
        return cells.badge_of("waiting", _("Paused"))
    if facts.has_no_worker:
        return cells.badge_of("failed", _("No worker"))
    if facts.limit is not None and facts.limit.is_full:
        return cells.badge_of("retry", _("At its limit"))
    return cells.badge_of("succeeded", _("Open"))


def _oldest(facts: QueueFacts) -> str | None:
    return None if facts.oldest is None else spans.length(facts.oldest)


def _limit(limit: LimitFacts | None) -> str | None:
    """Return what *limit* allows, and how much of it is used."""
    if limit is None:
        return None
    if limit.quota.is_open:
        return _("any number")
    said = []
    if limit.quota.concurrency is not None:
        facts = {"running": limit.running or 0, "most": limit.quota.concurrency}
        said.append(_("%(running)d of %(most)d running") % facts)
    if starts := starts_of(limit.quota):
        said.append(_("%(rate)s starts") % {"rate": starts})
    return ", ".join(said)


def _told(facts: QueueFacts) -> list[Fact]:
    """Return what is told of one queue beside its numbers."""
    pause, limit = facts.pause, facts.limit
    served = _("%(workers)d, with %(slots)d slots") % {
        "workers": facts.workers,
        "slots": facts.slots,
    }
    told = [
        Fact(_("Oldest waiting"), _oldest(facts) or _("none")),
        Fact(_("Rate in"), charts.rate(facts.rate_in)),
        Fact(_("Rate out"), charts.rate(facts.rate_out)),
        Fact(_("Workers"), served),
        Fact(_("Limit"), _limit(limit) or _("none")),
    ]
    if limit is not None:
        source = limit.by or _("an operator") if limit.is_override else _("the settings")
        told.append(Fact(_("Limit set by"), source))
        if limit.next_at is not None:
            told.append(Fact(_("Next start"), cells.full(limit.next_at)))
    if pause is not None:
        told += [
            Fact(_("Paused by"), pause.by or _("an operator")),
            Fact(_("Paused"), cells.full(pause.created_at)),
            Fact(_("Until"), cells.full(pause.until) or _("it is resumed")),
        ]
        if pause.reason:
            told.append(Fact(_("Reason"), pause.reason))
    return told

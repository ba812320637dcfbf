"""The worker processes."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobflow import conf, control, observe
from django_jobflow.admin import cells
from django_jobflow.admin.database import DatabasePage
from django_jobflow.admin.facts import Fact
from django_jobflow.admin.lists import BoundedChangeList
from django_jobflow.admin.queues import by
from django_jobflow.models import JobRecord, StopKind, Worker
from django_jobflow.observe import spans
from django_jobflow.states import JobState

HELD_SHOWN = 100  # records that the page of a worker names
HELD_FIELDS = (
    "id",
    "name",
    "queue",
    "state",
    "started_at",
    "expires",
    "attempt",
    "max_attempts",
    "progress",
    "progress_message",
)


class WorkerChangeList(BoundedChangeList):
    """Workers, each with the numbers of what it holds."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        workers: Any = list(self.result_list)
        held = observe.held_counts([worker.pk for worker in workers], self.root_queryset.db)
        for worker in workers:
            worker.held = held.get(worker.pk, {})
        self.result_list = workers


class WorkerAdmin(DatabasePage):
    """Worker processes; a row is there while its process lives."""

    list_display = (
        "name",
        "signs",
        "load",
        "served_queues",
        "reserved",
        "memory_used",
        "version",
        "started",
        "heartbeat",
    )
    actions = ("recycle",)
    search_help_text = gettext_lazy("A part of the worker's name.")
    ordering = ("name",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_stop_permission(self, request: HttpRequest) -> bool:
        user: Any = request.user
        return bool(user.has_perm("jobflow.stop_worker"))

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        # Django passes a location from 6.1 on.
        where = {} if action_location is None else {"action_location": action_location}
        actions = super().get_actions(request, **where)
        actions.pop("delete_selected", None)
        return actions

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BoundedChangeList]:
        return WorkerChangeList

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.stop_view)
        return [
            path("<path:object_id>/stop/", view, name="jobflow_worker_stop"),
            *super().get_urls(),
        ]

    def page(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        held = observe.held_by(row.pk, row._state.db)[:HELD_SHOWN]
        records = held.only(*HELD_FIELDS)
        may_open = self.may_view(request, JobRecord)
        return {
            "badge": self.signs(row),
            "facts": _facts(row),
            "stop_url": self._stop_url(request, row),
            "held": [
                {
                    "record": record,
                    "badge": cells.badge(record.state),
                    "started": cells.moment(record.started_at),
                    "lease": cells.moment(record.expires),
                    "attempt": cells.attempts(record),
                    "progress": _progress(record),
                    "url": self.page_url(JobRecord, record.pk) if may_open else "",
                }
                for record in records
            ],
        }

    # Stopping

    def _stop_url(self, request: HttpRequest, row: Worker) -> str:
        """Return where the worker can be stopped; empty if it cannot, or the user may not."""
        if row.stop_requested_at is not None or not self.has_stop_permission(request):
            return ""
        return self._address(Worker, "stop", quote(row.pk))

    def stop_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask what is to stop, and pass it on."""
        if not (self.has_stop_permission(request) and self.has_view_permission(request)):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            return self.elsewhere(request, unquote(object_id))
        kind = request.POST.get("kind")
        if request.method != "POST" or kind not in StopKind.values:
            return self._question(request, row)
        names = self.stop(request, row, recycle=kind == StopKind.PROCESS)
        self._say_asked(request, len(names))
        return HttpResponseRedirect(self.list_url())

    def stop(self, request: HttpRequest, row: Worker, *, recycle: bool) -> list[str]:
        """Ask *row* to stop, and return the names of all that were asked."""
        return control.stop_worker(
            row.pk, recycle=recycle, by=by(request), database=conf.current().DATABASE
        )

    def _question(self, request: HttpRequest, row: Worker) -> TemplateResponse:
        others = Worker._base_manager.using(row._state.db).filter(supervisor=row.supervisor)
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": _("Stop worker %(name)s") % {"name": row.name},
            "opts": self.opts,
            "media": self.media,
            "original": row,
            "count": others.count() if row.supervisor else 1,
            "has_supervisor": bool(row.supervisor),
            "timeout": spans.length(conf.current().SHUTDOWN_TIMEOUT),
            "list_url": self.list_url(),
            "worker_url": self.page_url(Worker, row.pk),
        }
        return TemplateResponse(request, "admin/jobflow/worker/stop.html", context)

    @admin.action(permissions=["stop"], description=gettext_lazy("Recycle selected workers"))
    def recycle(self, request: HttpRequest, rows: models.QuerySet[Any]) -> None:
        """Ask the processes of *rows* to end; their supervisors start others."""
        asked = [name for row in rows for name in self.stop(request, row, recycle=True)]
        self._say_asked(request, len(asked))

    def _say_asked(self, request: HttpRequest, count: int) -> None:
        text = ngettext(
            "%(count)d worker was asked to stop.", "%(count)d workers were asked to stop.", count
        )
        level = messages.SUCCESS if count else messages.WARNING
        self.message_user(request, text % {"count": count}, level)

    # Columns

    @admin.display(description=gettext_lazy("signs of life"))
    def signs(self, worker: Worker) -> SafeString:
        """Say in a word whether the worker has renewed its leases in time."""
        if timezone.now() - worker.heartbeat_at > conf.current().LEASE:
            return cells.badge_of("failed", _("Silent"))
        if worker.stop_requested_at is not None:
            return cells.badge_of("retry", _("Stopping"))
        return cells.badge_of("succeeded", _("Alive"))

    @admin.display(description=gettext_lazy("queues"))
    def served_queues(self, worker: Worker) -> str:
        return _queues(worker)

    @admin.display(description=gettext_lazy("load"))
    def load(self, worker: Any) -> str:
        """Say how many of its slots are busy."""
        facts = {"running": worker.held.get(JobState.IN_PROGRESS, 0), "slots": worker.threads}
        return _("%(running)d of %(slots)d") % facts

    @admin.display(description=gettext_lazy("memory"))
    def memory_used(self, worker: Worker) -> str | None:
        return None if worker.memory is None else filesizeformat(worker.memory)

    @admin.display(description=gettext_lazy("reserved"))
    def reserved(self, worker: Any) -> int:
        return int(worker.held.get(JobState.RESERVED, 0))

    @admin.display(description=gettext_lazy("started"))
    def started(self, worker: Worker) -> SafeString | None:
        return cells.moment(worker.started_at)

    @admin.display(description=gettext_lazy("last heartbeat"))
    def heartbeat(self, worker: Worker) -> SafeString | None:
        return cells.moment(worker.heartbeat_at)


def _queues(worker: Worker) -> str:
    served = cells.joined(worker.queues) or _("all")
    if not worker.excluded:
        return served
    return _("%(queues)s but %(excluded)s") % {
        "queues": served,
        "excluded": cells.joined(worker.excluded),
    }


def _partitions(worker: Worker) -> str:
    return cells.joined([name or "''" for name in cells.listed(worker.partitions)]) or _("all")


def _facts(worker: Worker) -> list[Fact]:
    return [
        Fact(_("Host"), worker.host),
        Fact(_("Process"), str(worker.pid)),
        Fact(_("Queues"), _queues(worker)),
        Fact(_("Partitions"), _partitions(worker)),
        Fact(_("Slots"), str(worker.threads)),
        Fact(_("Memory"), "-" if worker.memory is None else filesizeformat(worker.memory)),
        Fact(_("Version"), worker.version or "-"),
        Fact(_("Release"), worker.release),
        Fact(_("Supervisor"), worker.supervisor or _("none")),
        Fact(_("Started"), cells.full(worker.started_at)),
        Fact(_("Last heartbeat"), cells.full(worker.heartbeat_at)),
        *_asked(worker),
        Fact(_("Wake-ups"), worker.wake_up or "-"),
    ]


def _asked(worker: Worker) -> list[Fact]:
    """Return who has asked it to stop."""
    if worker.stop_requested_at is None:
        return []
    return [
        Fact(_("Asked to stop by"), worker.stop_requested_by or _("an operator")),
        Fact(_("Asked to stop"), cells.full(worker.stop_requested_at)),
        Fact(_("What stops"), worker.get_stops_display()),
    ]


def _progress(record: JobRecord) -> str:
    """Return how far a job is, as its body has said."""
    if record.progress is None:
        return ""
    said = f" ({record.progress_message})" if record.progress_message else ""
    return f"{record.progress} %{said}"

"""The worker processes."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobflow import conf, observe
from django_jobflow.admin import cells
from django_jobflow.admin.base import ReadOnlyAdmin
from django_jobflow.admin.facts import Fact
from django_jobflow.admin.lists import BoundedChangeList
from django_jobflow.models import JobRecord, Worker
from django_jobflow.states import JobState

HELD_SHOWN = 100  # records that the page of a worker names


class WorkerChangeList(BoundedChangeList):
    """Workers, each with the numbers of what it holds."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        workers: Any = list(self.result_list)
        held = observe.held_counts([worker.pk for worker in workers], self.root_queryset.db)
        for worker in workers:
            worker.held = held.get(worker.pk, {})
        self.result_list = workers


class WorkerAdmin(ReadOnlyAdmin):
    """Worker processes; a row is there while its process lives."""

    list_display = (
        "name",
        "signs",
        "host",
        "pid",
        "served_queues",
        "threads",
        "running",
        "reserved",
        "started",
        "heartbeat",
    )
    search_help_text = gettext_lazy("A part of the worker's name.")
    ordering = ("name",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BoundedChangeList]:
        return WorkerChangeList

    def page(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        held = observe.held_by(row.pk, row._state.db)[:HELD_SHOWN]
        records = held.only("id", "name", "queue", "state", "started_at")
        may_open = self.may_view(request, JobRecord)
        return {
            "badge": self.signs(row),
            "facts": _facts(row),
            "held": [
                {
                    "record": record,
                    "badge": cells.badge(record.state),
                    "started": cells.moment(record.started_at),
                    "url": self.page_url(JobRecord, record.pk) if may_open else "",
                }
                for record in records
            ],
        }

    @admin.display(description=gettext_lazy("signs of life"))
    def signs(self, worker: Worker) -> SafeString:
        """Say in a word whether the worker has renewed its leases in time."""
        if timezone.now() - worker.heartbeat_at > conf.current().LEASE:
            return cells.badge_of("failed", _("Silent"))
        return cells.badge_of("succeeded", _("Alive"))

    @admin.display(description=gettext_lazy("queues"))
    def served_queues(self, worker: Worker) -> str:
        return _queues(worker)

    @admin.display(description=gettext_lazy("running"))
    def running(self, worker: Any) -> int:
        return int(worker.held.get(JobState.IN_PROGRESS, 0))

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
        Fact(_("Started"), cells.full(worker.started_at)),
        Fact(_("Last heartbeat"), cells.full(worker.heartbeat_at)),
    ]

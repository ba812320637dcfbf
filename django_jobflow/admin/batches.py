"""The batches."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobflow import operate
from django_jobflow.admin import cells
from django_jobflow.admin.actors import actor_of
from django_jobflow.admin.base import ReadOnlyAdmin
from django_jobflow.admin.facts import Fact
from django_jobflow.models import Batch, BatchProgress, JobRecord

COUNTS = {
    "waiting": gettext_lazy("Waiting"),
    "running": gettext_lazy("Running"),
    "succeeded": gettext_lazy("Succeeded"),
    "failed": gettext_lazy("Failed"),
    "cancelled": gettext_lazy("Cancelled"),
    "deleted": gettext_lazy("Deleted"),
}


@admin.action(permissions=["cancel"], description=gettext_lazy("Cancel selected batches"))
def cancel(model_admin: Any, request: HttpRequest, rows: models.QuerySet[Batch]) -> None:
    """Cancel the members of *rows* that wait, and ask the running ones to stop."""
    unfinished = list(rows.filter(finished_at__isnull=True))
    by = actor_of(request)
    done = sum(operate.cancel_batch(batch, by=by).done for batch in unfinished)
    text = ngettext("%d job was cancelled.", "%d jobs were cancelled.", done) % done
    model_admin.message_user(request, text, messages.SUCCESS if unfinished else messages.WARNING)


class BatchAdmin(ReadOnlyAdmin):
    """Batches, the newest first; how far one has come is on its page."""

    list_display = ("id", "description", "state_badge", "total", "opened", "finished")
    ordering = ("-id",)
    search_fields = ()  # type: ignore[assignment]
    actions = (cancel,)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("jobflow.cancel_batch"))

    def with_list_columns(self, rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
        return rows.defer("on_success", "on_finish")

    def page(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        progress = row.progress()
        return {
            "badge": self.state_badge(row),
            "facts": _facts(row, progress),
            "members_url": self._members_url(request, row),
        }

    def _members_url(self, request: HttpRequest, batch: Batch) -> str:
        if not self.may_view(request, JobRecord):
            return ""
        return f"{self._address(JobRecord, 'changelist')}?{urlencode({'batch_id': batch.pk})}"

    @admin.display(description=gettext_lazy("state"))
    def state_badge(self, batch: Batch) -> SafeString:
        if batch.finished_at is None:
            open_or_closed = _("Open") if batch.closed_at is None else _("Closed")
            return cells.badge_of("waiting", open_or_closed)
        if batch.failed or batch.cancelled or batch.deleted:
            return cells.badge_of("failed", _("Finished with failures"))
        return cells.badge_of("succeeded", _("Succeeded"))

    @admin.display(description=gettext_lazy("opened"))
    def opened(self, batch: Batch) -> SafeString | None:
        return cells.moment(batch.created_at)

    @admin.display(description=gettext_lazy("finished"))
    def finished(self, batch: Batch) -> SafeString | None:
        return cells.moment(batch.finished_at)


def _facts(batch: Batch, progress: BatchProgress) -> list[Fact]:
    found = [
        Fact(_("Members"), cells.number(progress.total)),
        Fact(_("Ended"), f"{progress.percent} %"),
        *(Fact(str(label), str(getattr(progress, name))) for name, label in COUNTS.items()),
        Fact(_("Runs when all have succeeded"), _name(batch.on_success)),
        Fact(_("Runs when all have ended"), _name(batch.on_finish)),
        Fact(_("Opened"), cells.full(batch.created_at)),
        Fact(_("Closed"), cells.full(batch.closed_at)),
        Fact(_("Finished"), cells.full(batch.finished_at)),
    ]
    return [fact for fact in found if fact.value is not None]


def _name(call: Any) -> str | None:
    """Return the job of a prepared *call*: its arguments may not be for all eyes."""
    terms = call.get("terms") if isinstance(call, dict) else None
    return str(terms.get("name")) if isinstance(terms, dict) else None

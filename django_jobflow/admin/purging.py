"""The page that empties a queue: it counts first, and deletes when that is confirmed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobflow import control, observe
from django_jobflow.admin import cells
from django_jobflow.engines.purging import PURGED
from django_jobflow.exceptions import InvalidJob
from django_jobflow.models import Queue
from django_jobflow.states import JobState

if TYPE_CHECKING:
    from django_jobflow.admin.queues import QueueAdmin

MOST_PURGED = 10_000  # jobs that one request deletes: some seconds

STATES = [state for state in JobState if state in PURGED]


class PurgeForm(forms.Form):
    """What of the queue is to be deleted."""

    states = forms.MultipleChoiceField(
        label=gettext_lazy("States"),
        choices=[(state.value, capfirst(state.label)) for state in STATES],
        initial=[state.value for state in STATES if state in control.WAIT],
        widget=forms.CheckboxSelectMultiple,
    )
    job = forms.CharField(
        label=gettext_lazy("Job"),
        required=False,
        max_length=200,
        help_text=gettext_lazy("Only jobs of this name. Empty means all."),
    )
    partition = forms.CharField(
        label=gettext_lazy("Partition"),
        required=False,
        max_length=100,
        help_text=gettext_lazy("Only jobs of this partition. Empty means all."),
    )

    def _clean_name(self, field: str) -> str | None:
        said = self.cleaned_data[field]
        if not said:
            return None
        try:
            return control.read_name(str(self.fields[field].label), field, said)
        except InvalidJob as error:
            raise forms.ValidationError(error.translated()) from error

    def clean_job(self) -> str | None:
        return self._clean_name("job")

    def clean_partition(self) -> str | None:
        return self._clean_name("partition")


class PurgeView:
    """Asks what, tells how many jobs that are, and deletes them.

    Args:
        admin: The admin of the queues.
    """

    def __init__(self, admin: QueueAdmin) -> None:
        self.admin = admin

    def __call__(self, request: HttpRequest, name: str) -> HttpResponse:
        if not self.admin.purge_url(request, name):
            raise PermissionDenied
        if request.method != "POST":
            return self._page(request, name, PurgeForm())
        form = PurgeForm(request.POST)
        if not form.is_valid():
            return self._page(request, name, form)
        if "purge" not in request.POST:
            return self._page(request, name, form, counts=self._counts(name, form))
        return self._purge(request, name, form)

    def _counts(self, name: str, form: PurgeForm) -> dict[str, Any]:
        said = form.cleaned_data
        found = observe.purgeable(
            name, said["states"], job=said["job"], partition=said["partition"]
        )
        total = sum(found.values(), observe.Count(0))
        return {
            "states": [
                {"badge": cells.badge(state), "number": cells.number(count)}
                for state, count in found.items()
            ],
            "total": cells.number(total),
            "is_none": not total.number and not total.is_more,
        }

    def _page(
        self,
        request: HttpRequest,
        name: str,
        form: PurgeForm,
        counts: dict[str, Any] | None = None,
    ) -> HttpResponse:
        shown = {
            "title": _("Empty queue %(name)s") % {"name": name},
            "form": form,
            "counts": counts,
            "queue": name,
            "queue_url": self.admin.page_url(Queue, name),
            "most": cells.number(MOST_PURGED),
        }
        return self.admin.rendered(request, "purge", shown)

    def _purge(self, request: HttpRequest, name: str, form: PurgeForm) -> HttpResponse:
        said = form.cleaned_data
        deleted = control.purge(
            queue=name,
            job=said["job"],
            partition=said["partition"],
            states=said["states"],
            most=MOST_PURGED,
            by=self.admin.by(request),
        )
        text = ngettext("%(count)d job was deleted.", "%(count)d jobs were deleted.", deleted)
        self.admin.message_user(request, text % {"count": deleted}, messages.SUCCESS)
        if deleted < MOST_PURGED:
            return HttpResponseRedirect(self.admin.page_url(Queue, name))
        self.admin.message_user(request, _("There may be more: go on."), messages.WARNING)
        return self._page(request, name, form, counts=self._counts(name, form))

"""The pages on which an operator changes one job: its arguments before a retry, or its time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_variables

from django_jobflow import operate, states
from django_jobflow.admin import verbs
from django_jobflow.admin.actors import actor_of
from django_jobflow.admin.base import STYLES
from django_jobflow.admin.job_forms import ArgumentsForm, RescheduleForm
from django_jobflow.admin.reading import JobAdmin
from django_jobflow.audit import Actor
from django_jobflow.declare import registry
from django_jobflow.exceptions import JobflowError
from django_jobflow.models import JobRecord

OF_THE_JOB = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
"""What methods of the job raise, such as ``queue_key``, that are given other arguments."""


@dataclass(frozen=True, slots=True)
class Change:
    """One page with a form.

    Attributes:
        name: Its name in addresses and among the permissions.
        verb: The word for it in the table of transitions.
        label: What leads there.
        button: What does it.
        form: Makes the form of a record, from what was posted or from nothing.
        do: Does to a record what the form says; returns what to say.
    """

    name: str
    verb: str
    label: str | Promise
    button: str | Promise
    form: Callable[[JobRecord, Any], forms.Form]
    do: Callable[[JobRecord, dict[str, Any], Actor], str]

    def applies(self, record: JobRecord) -> bool:
        """Say whether *record* is in a state for it, and its code is known if that is asked."""
        if self.name == "edit" and registry.find(record.name) is None:
            return False
        return states.can(self.verb, record.state)


def _rescheduled(record: JobRecord, said: dict[str, Any], by: Actor) -> str:
    operate.reschedule(record, run_at=said["run_at"], by=by)
    return _("Job %(id)s is rescheduled.") % {"id": record.pk}


@sensitive_variables()
def _edited(record: JobRecord, said: dict[str, Any], by: Actor) -> str:
    operate.retry(record, by=by, args=said["args"], kwargs=said["kwargs"])
    return _("Job %(id)s will run again, with these arguments.") % {"id": record.pk}


CHANGES = {
    change.name: change
    for change in (
        Change(
            "edit",
            "retry",
            gettext_lazy("Retry with other arguments"),
            gettext_lazy("Retry with these arguments"),
            lambda record, data: ArgumentsForm(record, data),
            _edited,
        ),
        Change(
            "reschedule",
            "reschedule",
            gettext_lazy("Reschedule"),
            gettext_lazy("Reschedule"),
            lambda record, data: RescheduleForm(data, initial={"run_at": record.available_at}),
            _rescheduled,
        ),
    )
}


class ChangingAdmin(JobAdmin):
    """Live records, with the pages that change one."""

    def changes_url(self, request: HttpRequest, record: JobRecord) -> list[dict[str, Any]]:
        """Return the pages that *record* offers and the user may use."""
        return [
            {"label": each.label, "url": self._address(self.model, each.name, record.pk)}
            for each in CHANGES.values()
            if verbs.may(request, each.name) and each.applies(record)
        ]

    def get_urls(self) -> list[Any]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [
            path(
                f"<int:pk>/{each.name}/",
                self.admin_site.admin_view(partial(self.change_page, change=each)),
                name=f"{name}_{each.name}",
            )
            for each in CHANGES.values()
        ]
        return [*own, *super().get_urls()]

    @sensitive_variables()
    def change_page(self, request: HttpRequest, pk: int, change: Change) -> HttpResponse:
        """Show the form of *change*, or do what it says and lead to the page of the job."""
        if not (verbs.may(request, change.name) and self.has_view_permission(request)):
            raise PermissionDenied
        record = self.get_object(request, str(pk))
        if record is None:
            return self.moved_on(request, str(pk))
        if not change.applies(record):
            self.message_user(request, _("It is not in a state for that."), messages.ERROR)
            return HttpResponseRedirect(self.page_url(self.model, pk))
        form = change.form(record, request.POST if request.method == "POST" else None)
        if form.is_valid() and self._does(request, record, change, form):
            return HttpResponseRedirect(self.url_after(request, record))
        return self._shown(request, record, change, form)

    @sensitive_variables()
    def _does(
        self, request: HttpRequest, record: JobRecord, change: Change, form: forms.Form
    ) -> bool:
        """Do *change*, and say whether that was done: else the form has the error."""
        try:
            text = change.do(record, form.cleaned_data, actor_of(request))
        except JobflowError as error:
            form.add_error(None, error.translated())
        except OF_THE_JOB as error:  # whose text may quote what is not to be seen
            said = _("The job itself refuses these arguments: %(kind)s.")
            form.add_error(None, said % {"kind": type(error).__qualname__})
        else:
            self.message_user(request, text, messages.SUCCESS)
            return True
        return False

    def _shown(
        self, request: HttpRequest, record: JobRecord, change: Change, form: forms.Form
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": str(change.label),
            "subtitle": str(record),
            "opts": self.opts,
            "media": forms.Media(css=STYLES),
            "original": record,
            "form": form,
            "button": change.button,
            "list_url": self.list_url(),
            "job_url": self.page_url(self.model, record.pk),
        }
        return TemplateResponse(request, "admin/jobflow/job_form.html", context)

    def url_after(self, request: HttpRequest, record: JobRecord) -> str:
        """Return where to go after a verb."""
        raise NotImplementedError

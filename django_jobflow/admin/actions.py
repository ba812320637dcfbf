"""The actions of the lists; each calls a verb and says what it did and what it skipped."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import models
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobflow import events, observe
from django_jobflow.admin.actors import actor_of, selected_by
from django_jobflow.admin.verbs import VERBS, Message
from django_jobflow.operate import Done

logger = logging.getLogger("django_jobflow.admin")

SAMPLE = 10  # rows that the confirmation of a delete names
COUNTED = 10_000  # rows that it counts

Rows = models.QuerySet[Any]


@admin.action(permissions=["retry"], description=gettext_lazy("Retry selected jobs"))
def retry(model_admin: Any, request: HttpRequest, rows: Rows) -> None:
    """Let the failed and cancelled ones of *rows* run again."""
    _do("retry", model_admin, request, rows)


@admin.action(permissions=["run_now"], description=gettext_lazy("Run selected jobs now"))
def run_now(model_admin: Any, request: HttpRequest, rows: Rows) -> None:
    """Make those of *rows* due that wait for their time."""
    _do("run_now", model_admin, request, rows)


@admin.action(permissions=["cancel"], description=gettext_lazy("Cancel selected jobs"))
def cancel(model_admin: Any, request: HttpRequest, rows: Rows) -> None:
    """Cancel the waiting ones of *rows*, and ask the running ones to stop."""
    _do("cancel", model_admin, request, rows)


@admin.action(permissions=["delete"], description=gettext_lazy("Delete selected jobs"))
def delete_selected(model_admin: Any, request: HttpRequest, rows: Rows) -> TemplateResponse | None:
    """Delete *rows* once that is confirmed; replaces the action that Django has for all models.

    Django's would load every row to look for what refers to it.
    """
    if not request.POST.get("post"):
        return _confirmation(model_admin, request, rows)
    done = model_admin.delete_rows(rows, by=actor_of(request), subject=selected_by(request))
    report(model_admin, request, "delete", done, model_admin.deleted_messages(done))
    return None


def report(
    model_admin: Any, request: HttpRequest, verb: str, done: Done, told: Iterable[Message]
) -> None:
    """Tell the user and the log what became of the selected rows."""
    events.log(
        logger,
        logging.INFO,
        "jobs_operated",
        verb=verb,
        user=str(request.user),
        done=done.done,
        asked=done.asked,
        skipped=done.skipped,
    )
    said = list(told) or [
        (messages.WARNING, _("Nothing was done: what was selected is not in this list any more."))
    ]
    for level, text in said:
        model_admin.message_user(request, text, level)


def _do(name: str, model_admin: Any, request: HttpRequest, rows: Rows) -> None:
    verb = VERBS[name]
    done = verb.many(rows, by=actor_of(request), subject=selected_by(request))
    report(model_admin, request, name, done, verb.told(done))


def _confirmation(model_admin: Any, request: HttpRequest, rows: Rows) -> TemplateResponse:
    count = observe.count_up_to(rows, COUNTED + 1)
    opts = model_admin.opts
    request.current_app = model_admin.admin_site.name
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _("Delete selected jobs"),
        "opts": opts,
        "media": model_admin.media,
        "count": min(count, COUNTED),
        "has_more": count > COUNTED,
        "sample": list(rows.only("name")[:SAMPLE]),
        "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "selected_name": ACTION_CHECKBOX_NAME,
        "select_across": request.POST.get("select_across", "0"),
    }
    templates = [
        f"admin/{opts.app_label}/{opts.model_name}/delete_selected_confirmation.html",
        f"admin/{opts.app_label}/delete_selected_confirmation.html",
    ]
    return TemplateResponse(request, templates, context)

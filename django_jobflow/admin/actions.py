"""The actions of the lists; each calls a verb and says what it did and what it skipped."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobflow import events, observe
from django_jobflow.admin import desk
from django_jobflow.admin.actors import actor_of, selected_by
from django_jobflow.admin.verbs import VERBS, Message
from django_jobflow.operate import BATCH, Done

logger = logging.getLogger("django_jobflow.admin")

SAMPLE = 10  # rows that the confirmation of a delete names
COUNTED = 10_000  # rows that it counts

Rows = models.QuerySet[Any]


@admin.action(permissions=["retry"], description=gettext_lazy("Retry selected jobs"))
def retry(model_admin: Any, request: HttpRequest, rows: Rows) -> HttpResponse | None:
    """Let the failed and cancelled ones of *rows* run again."""
    return _do("retry", model_admin, request, rows)


@admin.action(permissions=["run_now"], description=gettext_lazy("Run selected jobs now"))
def run_now(model_admin: Any, request: HttpRequest, rows: Rows) -> HttpResponse | None:
    """Make those of *rows* due that wait for their time."""
    return _do("run_now", model_admin, request, rows)


@admin.action(permissions=["cancel"], description=gettext_lazy("Cancel selected jobs"))
def cancel(model_admin: Any, request: HttpRequest, rows: Rows) -> HttpResponse | None:
    """Cancel the waiting ones of *rows*, and ask the running ones to stop."""
    return _do("cancel", model_admin, request, rows)


@admin.action(permissions=["delete"], description=gettext_lazy("Delete selected jobs"))
def delete_selected(model_admin: Any, request: HttpRequest, rows: Rows) -> HttpResponse | None:
    """Delete *rows* once that is confirmed; replaces the action that Django has for all models.

    Django's would load every row to look for what refers to it.
    """
    if (elsewhere := _in_bulk("delete", model_admin, request, rows)) is not None:
        return elsewhere
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


def _do(name: str, model_admin: Any, request: HttpRequest, rows: Rows) -> HttpResponse | None:
    if (elsewhere := _in_bulk(name, model_admin, request, rows)) is not None:
        return elsewhere
    verb = VERBS[name]
    done = verb.many(rows, by=actor_of(request), subject=selected_by(request))
    report(model_admin, request, name, done, verb.told(done))
    return None


def _in_bulk(name: str, model_admin: Any, request: HttpRequest, rows: Rows) -> HttpResponse | None:
    """Lead to a bulk operation if all that match are chosen, and these are many."""
    if request.POST.get("select_across") != "1":
        return None
    if observe.count_up_to(rows, BATCH + 1) <= BATCH:
        return None
    start = desk.address(request, "jobflow_bulkoperation_start")
    user: Any = request.user
    if start is None or not user.has_perm("jobflow.start_bulkoperation"):
        text = _("More than %(most)s match, and you may not act on as many at once.")
        model_admin.message_user(request, text % {"most": BATCH}, messages.ERROR)
        return HttpResponseRedirect(request.get_full_path())
    if (search := model_admin.whole_search(request)) is None:
        text = _("More than %(most)s match. Say which in the search, as enqueued:2030-01-31.")
        model_admin.message_user(request, text % {"most": BATCH}, messages.ERROR)
        return HttpResponseRedirect(request.get_full_path())
    return HttpResponseRedirect(f"{start}?{urlencode({'q': str(search), 'action': name})}")


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

"""Who acts through the admin, as the audit has it."""

from __future__ import annotations

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest

from django_jobflow.audit import Actor, subject_of_jobs
from django_jobflow.models import AuditVia


def actor_of(request: HttpRequest) -> Actor:
    """Return the user behind *request*, and the address that it came from.

    A header that names another address is not believed: anybody can send one. Behind a proxy,
    a middleware that knows it sets ``REMOTE_ADDR``.
    """
    name = str(getattr(request.user, "get_username", str)())
    return Actor(name, AuditVia.ADMIN, str(request.META.get("REMOTE_ADDR") or ""))


def selected_by(request: HttpRequest) -> str:
    """Return the subject of an action of a list: the jobs that were chosen, or the list."""
    if request.POST.get("select_across") == "1":
        return f"?{request.GET.urlencode()}"
    return subject_of_jobs(request.POST.getlist(ACTION_CHECKBOX_NAME))

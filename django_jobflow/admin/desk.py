"""Which pages the desk has, in which order, and who may see them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the desk.

    Attributes:
        group: What it stands under.
        label: Its name.
        address: The name of its address in the site of the admin.
        permission: Who has it sees the page; the app's label is left out.
    """

    group: str | Promise
    label: str | Promise
    address: str
    permission: str


@dataclass(frozen=True, slots=True)
class Link:
    """A page that the user may see.

    Attributes:
        label: Its name.
        url: Where it is.
        is_current: Whether it is the one that is shown.
    """

    label: str | Promise
    url: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Pages that belong together, and that the user may see."""

    label: str | Promise
    links: list[Link]


# Groups have to stand together. A page that is not there yet, or that a project has taken out of
# its site, is left out by itself.
PAGES = (
    Page(_("Overview"), _("Overview"), "jobflow_history_changelist", "view_history"),
    Page(_("Jobs"), _("Live jobs"), "jobflow_jobrecord_changelist", "view_jobrecord"),
    Page(_("Jobs"), _("Succeeded jobs"), "jobflow_succeededjob_changelist", "view_succeededjob"),
    Page(
        _("Jobs"),
        _("Bulk operations"),
        "jobflow_bulkoperation_changelist",
        "view_bulkoperation",
    ),
    Page(_("Jobs"), _("Saved views"), "jobflow_savedview_changelist", "view_savedview"),
    Page(_("Jobs"), _("Batches"), "jobflow_batch_changelist", "view_batch"),
    Page(
        _("Failures"),
        _("Kinds of failures"),
        "jobflow_failuregroup_changelist",
        "view_failuregroup",
    ),
    Page(_("Failures"), _("Failed jobs"), "jobflow_failedjob_changelist", "view_failedjob"),
    Page(_("Queues"), _("Queues"), "jobflow_queue_changelist", "view_queue"),
    Page(_("Queues"), _("Limits"), "jobflow_limit_changelist", "view_limit"),
    Page(_("Queues"), _("Pauses"), "jobflow_pause_changelist", "view_pause"),
    Page(_("Queues"), _("Keys"), "jobflow_key_changelist", "view_key"),
    Page(_("System"), _("Workers"), "jobflow_worker_changelist", "view_worker"),
    Page(_("System"), _("Database"), "jobflow_database", "examine_database"),
    Page(_("System"), _("Audit"), "jobflow_auditentry_changelist", "view_auditentry"),
    Page(
        _("System"),
        _("Settings in force"),
        "jobflow_configuration_changelist",
        "view_configuration",
    ),
)


def groups(request: HttpRequest) -> list[Group]:
    """Return the pages that the user of *request* may see: no statement of its own."""
    found = [
        Group(label, [link for page in pages if (link := _link(request, page)) is not None])
        for label, pages in groupby(PAGES, attrgetter("group"))
    ]
    return [group for group in found if group.links]


def address(request: HttpRequest, name: str) -> str | None:
    """Return the address of that *name* in the site that *request* is made to, if it is there."""
    try:
        return reverse(f"admin:{name}", current_app=getattr(request, "current_app", None))
    except NoReverseMatch:
        return None


def _link(request: HttpRequest, page: Page) -> Link | None:
    user: Any = request.user
    if not user.has_perm(f"jobflow.{page.permission}"):
        return None
    url = address(request, page.address)
    return None if url is None else Link(page.label, url, is_current=url == request.path)

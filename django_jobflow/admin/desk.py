"""Which pages the desk has, in which order, and who may see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the desk.

    Attributes:
        label: Its name.
        address: The name of its address in the site of the admin.
        permission: Who has it sees the page; the app's label is left out.
    """

    label: str | Promise
    address: str
    permission: str


def _list(label: str | Promise, model: str) -> Page:
    """Return the page of *model* that the admin has at its list's address."""
    return Page(label, f"jobflow_{model}_changelist", f"view_{model}")


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


# A page that is not there yet, or that a project has taken out of its site, is left out by itself.
PAGES = (
    (_("Overview"), [_list(_("Overview"), "history")]),
    (
        _("Jobs"),
        [
            _list(_("Jobs"), "jobrecord"),
            _list(_("Succeeded jobs"), "succeededjob"),
            _list(_("Bulk operations"), "bulkoperation"),
            _list(_("Saved views"), "savedview"),
            _list(_("Batches"), "batch"),
        ],
    ),
    (
        _("Failures"),
        [
            _list(_("Failures"), "failuregroup"),
            _list(_("Failed jobs"), "failedjob"),
        ],
    ),
    (
        _("Queues"),
        [
            _list(_("Queues"), "queue"),
            _list(_("Limits"), "limit"),
            _list(_("Pauses"), "pause"),
            _list(_("Keys"), "key"),
        ],
    ),
    (
        _("System"),
        [
            _list(_("Workers"), "worker"),
            Page(_("Database"), "jobflow_database", "examine_database"),
            _list(_("Audit"), "auditentry"),
            _list(_("Settings in force"), "configuration"),
        ],
    ),
)


def groups(request: HttpRequest) -> list[Group]:
    """Return the pages that the user of *request* may see: no statement of its own."""
    found = [
        Group(label, [link for page in pages if (link := _link(request, page)) is not None])
        for label, pages in PAGES
    ]
    return [group for group in found if group.links]


def address(request: HttpRequest, name: str, *args: Any) -> str | None:
    """Return the address of that *name* in the site that *request* is made to, if it is there."""
    site = getattr(request, "current_app", None)
    try:
        return reverse(f"admin:{name}", args=args, current_app=site)
    except NoReverseMatch:
        return None


def _link(request: HttpRequest, page: Page) -> Link | None:
    user: Any = request.user
    if not user.has_perm(f"jobflow.{page.permission}"):
        return None
    url = address(request, page.address)
    return None if url is None else Link(page.label, url, is_current=url == request.path)

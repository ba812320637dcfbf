"""What an operator does to a group of failures, and what is said of it afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobflow import conf, control
from django_jobflow.admin import desk
from django_jobflow.admin.actors import actor_of
from django_jobflow.admin.bulk import may_do
from django_jobflow.admin.verbs import Message
from django_jobflow.models import FailureGroup
from django_jobflow.search import parse

ACTIONS = {"retry": gettext_lazy("Retry all"), "delete": gettext_lazy("Delete all")}
"""What is done to all failed jobs of a group: by workers, as a bulk operation."""

SPANS: dict[str, timedelta | None] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "": None,
}
"""For how long a group can be muted, by the value of the field."""

SPAN_LABELS = (
    ("hour", gettext_lazy("an hour")),
    ("day", gettext_lazy("a day")),
    ("week", gettext_lazy("a week")),
    ("", gettext_lazy("good, until it is unmuted")),
)


@dataclass(frozen=True, slots=True)
class GroupVerb:
    """One verb, as the admin offers it.

    Attributes:
        name: Its name in the address of its button.
        label: What the button says.
        is_allowed: Says whether the user may use it.
        do: Does it to a group; yields what to say.
    """

    name: str
    label: str | Promise
    is_allowed: Callable[[HttpRequest], bool]
    do: Callable[[FailureGroup, HttpRequest], Iterator[Message]]


def may_mute(request: HttpRequest) -> bool:
    """Say whether the user may mute groups, and unmute them."""
    user: Any = request.user
    return bool(user.has_perm("jobflow.mute_failuregroup"))


def _mute(group: FailureGroup, request: HttpRequest) -> Iterator[Message]:
    span = SPANS.get(request.POST.get("for", ""))
    database = conf.current().DATABASE
    control.mute_failures(group.pk, for_=span, by=actor_of(request), database=database)
    yield messages.SUCCESS, _("These failures are muted. They are counted on.")


def _unmute(group: FailureGroup, request: HttpRequest) -> Iterator[Message]:
    database = conf.current().DATABASE
    control.unmute_failures(group.pk, by=actor_of(request), database=database)
    yield messages.SUCCESS, _("These failures are not muted any more.")


def offers(group: FailureGroup, request: HttpRequest) -> Iterator[tuple[str, str | Promise, str]]:
    """Yield what is offered for all failed jobs of *group*: each leads to what it would do."""
    start = desk.address(request, "jobflow_bulkoperation_start")
    search = parse(f"state:failed fingerprint:{group.pk}")
    for action, label in ACTIONS.items():
        if start is not None and may_do(request, action, search):
            yield action, label, f"{start}?{urlencode({'action': action, 'q': str(search)})}"


GROUP_VERBS = {
    verb.name: verb
    for verb in (
        GroupVerb("mute", gettext_lazy("Mute"), may_mute, _mute),
        GroupVerb("unmute", gettext_lazy("Unmute"), may_mute, _unmute),
    )
}

"""What an operator does to a group of failures, and what is said of it afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobflow import conf, control, observe, operate
from django_jobflow.admin.actors import actor_of
from django_jobflow.admin.verbs import VERBS, Message, deleted, may
from django_jobflow.models import FailureGroup

MOST = 10_000  # failed jobs that one request moves

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


def _retry(group: FailureGroup, request: HttpRequest) -> Iterator[Message]:
    subject = _subject(group)
    done = operate.retry_many(_failed(group)[:MOST], by=actor_of(request), subject=subject)
    yield from VERBS["retry"].told(done)
    yield from _rest(group, done.done)


def _discard(group: FailureGroup, request: HttpRequest) -> Iterator[Message]:
    subject = _subject(group)
    done = operate.delete_many(_failed(group)[:MOST], by=actor_of(request), subject=subject)
    yield from deleted(done)
    yield from _rest(group, done.done)


def _mute(group: FailureGroup, request: HttpRequest) -> Iterator[Message]:
    span = SPANS.get(request.POST.get("for", ""))
    database = conf.current().DATABASE
    control.mute_failures(group.pk, for_=span, by=actor_of(request), database=database)
    yield messages.SUCCESS, _("These failures are muted. They are counted on.")


def _unmute(group: FailureGroup, request: HttpRequest) -> Iterator[Message]:
    database = conf.current().DATABASE
    control.unmute_failures(group.pk, by=actor_of(request), database=database)
    yield messages.SUCCESS, _("These failures are not muted any more.")


def _subject(group: FailureGroup) -> str:
    return f"fingerprint:{group.pk}"


def _failed(group: FailureGroup) -> Any:
    return observe.failed_like(group.pk, database=group._state.db)


def _rest(group: FailureGroup, done: int) -> Iterator[Message]:
    """Say whether there is more than one request has moved, or that there was nothing."""
    if done >= MOST:
        yield messages.WARNING, _("There are more of them: do it again.")
    elif not done and not _failed(group).exists():
        yield messages.WARNING, _("No failed job of this group is kept.")


GROUP_VERBS = {
    verb.name: verb
    for verb in (
        GroupVerb("retry", gettext_lazy("Retry all"), lambda of: may(of, "retry"), _retry),
        GroupVerb("discard", gettext_lazy("Delete all"), lambda of: may(of, "delete"), _discard),
        GroupVerb("mute", gettext_lazy("Mute"), may_mute, _mute),
        GroupVerb("unmute", gettext_lazy("Unmute"), may_mute, _unmute),
    )
}

"""The verbs of an operator: what each is called, who may use it, and what it says afterwards.

Which of them a record offers follows from the table of transitions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobflow import operate, states
from django_jobflow.audit import Actor
from django_jobflow.models import JobRecord
from django_jobflow.operate import Done

Message = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb, as the admin offers it.

    Attributes:
        name: Its name in the table of transitions and in the address of its button.
        label: What the button says.
        many: Does it to a queryset of records.
        one: Does it to one record, for somebody; returns what to say.
        told: Yields what to say of many.
    """

    name: str
    label: str | Promise
    many: Callable[..., Done]
    one: Callable[[JobRecord, Actor], Message]
    told: Callable[[Done], Iterator[Message]]

    def is_allowed(self, request: HttpRequest) -> bool:
        """Say whether the user may use this verb."""
        return may(request, self.name)


def may(request: HttpRequest, verb: str) -> bool:
    """Say whether the user has the permission of *verb*; it is the same in every list of jobs."""
    user: Any = request.user
    return bool(user.has_perm(f"{JobRecord._meta.app_label}.{verb}_{JobRecord._meta.model_name}"))


def offered(state: str) -> list[Verb]:
    """Return the verbs that may move a record that is in *state*."""
    return [verb for verb in VERBS.values() if states.can(verb.name, state)]


def _retry(record: JobRecord, by: Actor) -> Message:
    operate.retry(record, by=by)
    return messages.SUCCESS, _("Job %(id)s will run again.") % {"id": record.pk}


def _retried(done: Done) -> Iterator[Message]:
    if done.done:
        yield (
            messages.SUCCESS,
            ngettext("%(count)d job will run again.", "%(count)d jobs will run again.", done.done)
            % {"count": done.done},
        )
    if done.skipped:
        yield (
            messages.WARNING,
            ngettext(
                "%(count)d job was skipped: it has neither failed nor been cancelled, or another "
                "unfinished job holds its queue key.",
                "%(count)d jobs were skipped: they have neither failed nor been cancelled, or "
                "other unfinished jobs hold their queue keys.",
                done.skipped,
            )
            % {"count": done.skipped},
        )


def _cancel(record: JobRecord, by: Actor) -> Message:
    if operate.cancel(record, by=by):
        return messages.SUCCESS, _("Job %(id)s is cancelled.") % {"id": record.pk}
    return messages.SUCCESS, _("Job %(id)s is running and was asked to stop.") % {"id": record.pk}


def _cancelled(done: Done) -> Iterator[Message]:
    if done.done:
        yield (
            messages.SUCCESS,
            ngettext("%(count)d job was cancelled.", "%(count)d jobs were cancelled.", done.done)
            % {"count": done.done},
        )
    if done.asked:
        yield (
            messages.SUCCESS,
            ngettext(
                "%(count)d running job was asked to stop.",
                "%(count)d running jobs were asked to stop.",
                done.asked,
            )
            % {"count": done.asked},
        )
    if done.skipped:
        yield (
            messages.WARNING,
            ngettext(
                "%(count)d job was skipped: it has ended already.",
                "%(count)d jobs were skipped: they have ended already.",
                done.skipped,
            )
            % {"count": done.skipped},
        )


def _run_now(record: JobRecord, by: Actor) -> Message:
    if operate.run_now(record, by=by):
        return messages.SUCCESS, _("Job %(id)s is due now.") % {"id": record.pk}
    text = _("Job %(id)s does not wait for its time any more.") % {"id": record.pk}
    return messages.ERROR, text


def _run(done: Done) -> Iterator[Message]:
    if done.done:
        yield (
            messages.SUCCESS,
            ngettext("%(count)d job is due now.", "%(count)d jobs are due now.", done.done)
            % {"count": done.done},
        )
    if done.skipped:
        yield (
            messages.WARNING,
            ngettext(
                "%(count)d job was skipped: it does not wait for its time.",
                "%(count)d jobs were skipped: they do not wait for their time.",
                done.skipped,
            )
            % {"count": done.skipped},
        )


def deleted(done: Done) -> Iterator[Message]:
    """Yield what to say of deleted records."""
    if done.done:
        yield (
            messages.SUCCESS,
            ngettext("%(count)d job was deleted.", "%(count)d jobs were deleted.", done.done)
            % {"count": done.done},
        )
    if done.skipped:
        yield (
            messages.WARNING,
            ngettext(
                "%(count)d job was skipped: it is running. Cancel it first.",
                "%(count)d jobs were skipped: they are running. Cancel them first.",
                done.skipped,
            )
            % {"count": done.skipped},
        )


VERBS = {
    verb.name: verb
    for verb in (
        Verb("retry", gettext_lazy("Retry"), operate.retry_many, _retry, _retried),
        Verb("run_now", gettext_lazy("Run now"), operate.run_now_many, _run_now, _run),
        Verb("cancel", gettext_lazy("Cancel"), operate.cancel_many, _cancel, _cancelled),
    )
}

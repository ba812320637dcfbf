"""What the workers have told of themselves: their clocks, and how they are woken."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_jobflow import conf
from django_jobflow.doctor.asking import Patient, listed
from django_jobflow.doctor.values import Finding, Severity
from django_jobflow.models import Worker

SKEW = timedelta(seconds=1)
MOST_WORKERS = 10_000
POLL, NOTIFY = "poll", "notify"


def clocks(patient: Patient) -> Iterator[Finding]:
    """Compare the clock of this host and those of the workers with the database's."""
    before = timezone.now()
    moment = patient.engine.now()
    after = timezone.now()
    own = before - moment if before > moment else min(after - moment, timedelta(0))
    if abs(own) >= SKEW:
        yield _skew(_("this host"), own)
    for worker in _workers(patient):
        if worker.clock_at is not None:
            skew = worker.clock_at - worker.heartbeat_at
            if abs(skew) >= SKEW:
                yield _skew(_("the worker %(name)s") % {"name": worker.name}, skew)


def _skew(whose: str, skew: timedelta) -> Finding:
    seconds = abs(skew.total_seconds())
    text = _("The clock of %(whose)s is %(seconds).1f s behind the database's.")
    if skew > timedelta(0):
        text = _("The clock of %(whose)s is %(seconds).1f s ahead of the database's.")
    return Finding(
        "clock_skew",
        Severity.WARNING,
        text % {"whose": whose, "seconds": seconds},
        _(
            "Let NTP keep the clocks of all hosts. Leases follow the database's clock and are "
            "safe; times that code works out, as run_at, are off by this much."
        ),
        {"whose": whose, "seconds": round(skew.total_seconds(), 3)},
    )


def wake_ups(patient: Patient) -> Iterator[Finding]:
    """Notice workers that look for work where they could be told of it."""
    if conf.current().WAKE_UP == POLL or patient.connection.vendor != "postgresql":
        return
    names = [worker.name for worker in _workers(patient) if worker.wake_up == POLL]
    if names:
        yield Finding(
            "workers_poll",
            Severity.WARNING,
            ngettext(
                "%(count)d worker polls instead of being woken: %(names)s.",
                "%(count)d workers poll instead of being woken: %(names)s.",
                len(names),
            )
            % {"count": len(names), "names": listed(names)},
            _(
                "Its log says why, in the line wake_ups. With a pooler in between, let the "
                "workers go past it, or set JOBFLOW['WAKE_UP'] = 'poll' if this is meant."
            ),
            {"workers": names},
        )


def _workers(patient: Patient) -> list[Worker]:
    silence = conf.current().LEASE
    rows = Worker._base_manager.using(patient.alias).order_by("name")
    alive = rows.filter(heartbeat_at__gt=_since(patient, silence))
    return list(alive.only("name", "clock_at", "heartbeat_at", "wake_up")[:MOST_WORKERS])


def _since(patient: Patient, span: timedelta) -> datetime:
    return patient.engine.clock(None, -span)  # type: ignore[no-any-return]

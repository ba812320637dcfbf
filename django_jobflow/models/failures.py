"""Failures that are alike: what was counted of each kind, and what an operator has said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_jobflow.fingerprints import FORM_LIMIT
from django_jobflow.models.fields import ExactCharField
from django_jobflow.outcomes import CLASS_LIMIT
from django_jobflow.tracebacks import PLACE_LIMIT

HOUR = 3600  # seconds
HOURS_KEPT = 7 * 24  # that the history of a group has
MOST_NAMES = 20  # jobs, and releases, that a group names


class FailureKind(models.Model):
    """What failures of one kind have in common."""

    exception = models.CharField(_("exception"), max_length=CLASS_LIMIT)
    place = models.CharField(_("place"), max_length=PLACE_LIMIT, blank=True, default="")
    message = models.CharField(_("message"), max_length=FORM_LIMIT, blank=True, default="")

    class Meta:
        abstract = True


class FailureOccurrence(FailureKind):
    """Failures of one kind and job that one process has seen since its last row.

    Rows are only ever added, so that those who fail do not wait for each other; a worker folds
    them into their groups.
    """

    id = models.BigAutoField(primary_key=True)
    fingerprint = ExactCharField(max_length=32)
    name = ExactCharField(max_length=200)
    release = models.CharField(max_length=100, blank=True, default="")
    count = models.PositiveIntegerField()
    job_id = models.BigIntegerField()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "jobflow_failure_occurrence"
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.exception}: {self.count}"


class FailureGroupQuerySet(models.QuerySet["FailureGroup"]):
    """Groups of failures."""

    def muted(self, now: datetime) -> FailureGroupQuerySet:
        """Return those that are muted."""
        lasts = Q(muted_until__isnull=True) | Q(muted_until__gt=now)
        return self.filter(lasts, muted_at__isnull=False)

    def not_muted(self, now: datetime) -> FailureGroupQuerySet:
        """Return those that are not muted, or not any more."""
        return self.filter(Q(muted_at__isnull=True) | Q(muted_until__lte=now))


class FailureGroup(FailureKind):
    """Failures of one kind, as far as their occurrences have been folded.

    It is there while such a failure was seen within JOBFLOW["RETAIN_FAILURES"], or while it is
    muted, whether or not the failed jobs themselves still are.
    """

    fingerprint = ExactCharField(_("fingerprint"), max_length=32, primary_key=True)
    count = models.PositiveBigIntegerField(_("failures"), default=0)
    first_seen_at = models.DateTimeField(_("first seen"))
    last_seen_at = models.DateTimeField(_("last seen"))
    last_job_id = models.BigIntegerField(_("last job"))
    names = models.JSONField(_("jobs"), default=dict)
    releases = models.JSONField(_("releases"), default=dict)
    # Failures by the hour, as seconds since 1970.
    history = models.JSONField(default=dict)
    muted_at = models.DateTimeField(_("muted at"), null=True, blank=True)
    muted_until = models.DateTimeField(_("muted until"), null=True, blank=True)
    muted_by = models.CharField(_("muted by"), max_length=200, blank=True, default="")

    objects: ClassVar[Any] = FailureGroupQuerySet.as_manager()

    class Meta:
        db_table = "jobflow_failure_group"
        verbose_name = _("group of failures")
        verbose_name_plural = _("failures")
        default_permissions = ("view",)
        permissions = [("mute_failuregroup", _("Can mute groups of failures"))]
        indexes = [
            models.Index(name="jobflow_failure_last", fields=["last_seen_at", "fingerprint"]),
            models.Index(name="jobflow_failure_first", fields=["first_seen_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.exception.rpartition('.')[2]}: {self.message}"

    def is_muted(self, now: datetime | None = None) -> bool:
        """Say whether it is muted at the moment."""
        if self.muted_at is None:
            return False
        return self.muted_until is None or self.muted_until > (now or timezone.now())

    def absorb(self, occurrence: FailureOccurrence) -> None:
        """Count what *occurrence* tells."""
        self.count += occurrence.count
        self.first_seen_at = min(self.first_seen_at, occurrence.at)
        if occurrence.at >= self.last_seen_at:
            self.last_seen_at, self.last_job_id = occurrence.at, occurrence.job_id
        hour = int(occurrence.at.timestamp()) // HOUR * HOUR
        self.names = _added(self.names, occurrence.name, occurrence.count)
        self.history = _recent(_added(self.history, str(hour), occurrence.count, most=None))
        if occurrence.release:
            self.releases = _added(self.releases, occurrence.release, occurrence.count)

    def by_hour(self, hours: int, now: datetime) -> list[int]:
        """Return the failures of each of the last *hours*, that of *now* last."""
        last = int(now.timestamp()) // HOUR
        known = read_counts(self.history)
        return [known.get(str((last - back) * HOUR), 0) for back in reversed(range(hours))]

    @property
    def most_frequent(self) -> Sequence[str]:
        """The names of its jobs, that with most failures first."""
        counts = read_counts(self.names)
        return sorted(counts, key=lambda name: (-counts[name], name))


class Release(models.Model):
    """A release of the project, since a worker has reported it first."""

    name = ExactCharField(_("release"), max_length=100, primary_key=True)
    first_seen_at = models.DateTimeField(_("first seen"), db_default=Now())

    class Meta:
        db_table = "jobflow_release"
        default_permissions = ()
        indexes = [models.Index(name="jobflow_release_first", fields=["first_seen_at"])]

    def __str__(self) -> str:
        return str(self.name)


def forgotten_since(retain: timedelta, now: datetime) -> Q:
    """Return which groups were not seen for *retain*, and are not muted."""
    lasts = Q(muted_at__isnull=False) & (Q(muted_until__isnull=True) | Q(muted_until__gt=now))
    return Q(last_seen_at__lte=now - retain) & ~lasts


def _added(counts: Any, key: str, count: int, most: int | None = MOST_NAMES) -> dict[str, int]:
    """Return *counts* with some more of *key*, which is left out where there are too many."""
    known = read_counts(counts)
    if most is None or key in known or len(known) < most:
        known[key] = known.get(key, 0) + count
    return known


def _recent(history: Mapping[str, int]) -> dict[str, int]:
    """Return the last hours of *history*, counted from the last that it has."""
    since = max(map(int, history)) - HOURS_KEPT * HOUR
    return {hour: count for hour, count in history.items() if int(hour) > since}


def read_counts(stored: Any) -> dict[str, int]:
    """Return counts that a row holds, but for what somebody has put among them by hand."""
    if not isinstance(stored, dict):
        return {}
    return {key: count for key, count in stored.items() if isinstance(count, int)}

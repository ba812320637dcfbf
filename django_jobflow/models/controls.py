"""What an operator has said: what is paused, and how much of something may run."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from django_jobflow.models.fields import ExactCharField


class PauseKind(models.TextChoices):
    """What a pause can be of."""

    QUEUE = "queue", _("queue")
    JOB = "job", _("job")
    PARTITION = "partition", _("partition")


class LimitKind(models.TextChoices):
    """What a limit can be of."""

    QUEUE = "queue", _("queue")
    JOB = "job", _("job")
    KEY = "key", _("execution key")


class Control(models.Model):
    """What an operator has said of one thing: at most one row for each."""

    kind: Any
    value: Any

    id = models.BigAutoField(primary_key=True)
    by = models.CharField(_("by"), max_length=200, blank=True, default="")

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.kind} {self.value!r}"


def _once(name: str, kinds: type[models.TextChoices]) -> list[models.BaseConstraint]:
    """Return the constraints that a table of this *name* has one row of each thing."""
    return [
        models.UniqueConstraint(name=f"{name}_of", fields=["kind", "value"]),
        models.CheckConstraint(name=f"{name}_kind", condition=Q(kind__in=kinds.values)),
    ]


class Pause(Control):
    """Records that no worker starts; those that run go on.

    ``until`` in the past ends it by itself.
    """

    kind = ExactCharField(_("pauses a"), max_length=9, choices=PauseKind.choices)
    value = ExactCharField(
        _("name"), max_length=200, blank=True, help_text=_("Empty is the default partition.")
    )
    until = models.DateTimeField(
        _("until"), null=True, blank=True, help_text=_("Empty means until it is resumed.")
    )
    reason = models.CharField(_("reason"), max_length=200, blank=True, default="")
    created_at = models.DateTimeField(_("paused at"), db_default=Now())

    class Meta:
        db_table = "jobflow_pause"
        verbose_name = _("pause")
        verbose_name_plural = _("pauses")
        constraints = _once("jobflow_pause", PauseKind)


class Limit(Control):
    """How many records of one kind may run at a time, and how many may start in a time.

    Its row is also the lock of those who take such records, and keeps the tokens of its rate.

    ``is_override`` says that an operator has set the row: it then wins as a whole over what the
    settings or the code say. Otherwise ``concurrency``, ``rate``, ``period`` and ``burst`` are
    empty.
    """

    kind = ExactCharField(_("limits a"), max_length=5, choices=LimitKind.choices)
    value = ExactCharField(_("name"), max_length=255)
    concurrency = models.PositiveIntegerField(
        _("running at a time"), null=True, blank=True, help_text=_("Empty means no limit.")
    )
    rate = models.PositiveIntegerField(
        _("starts"), null=True, blank=True, help_text=_("So many in each period.")
    )
    period = models.DurationField(_("period"), null=True, blank=True)
    burst = models.PositiveIntegerField(
        _("burst"),
        null=True,
        blank=True,
        help_text=_("Starts at once after a time without any. Empty means as many as the rate."),
    )
    # The bucket, as it was at `filled_at`. None means that nothing was taken from it yet.
    tokens = models.FloatField(null=True, editable=False)
    filled_at = models.DateTimeField(null=True, editable=False)
    is_override = models.BooleanField(_("set by an operator"), default=False, editable=False)
    updated_at = models.DateTimeField(_("changed at"), db_default=Now())

    class Meta:
        db_table = "jobflow_limit"
        verbose_name = _("limit")
        verbose_name_plural = _("limits")
        constraints = [
            *_once("jobflow_limit", LimitKind),
            models.CheckConstraint(
                name="jobflow_limit_rate",
                condition=Q(rate__isnull=True, period__isnull=True, burst__isnull=True)
                | Q(rate__isnull=False, rate__gte=1, period__isnull=False),
            ),
            models.CheckConstraint(
                name="jobflow_limit_positive",
                condition=Q(Q(concurrency__isnull=True) | Q(concurrency__gte=1))
                & Q(Q(burst__isnull=True) | Q(burst__gte=1)),
            ),
        ]

"""What is done to everything that a search finds, a part at a time."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from django_jobflow.models.audit import BY_LENGTH, TEXT_LENGTH
from django_jobflow.models.fields import ExactCharField

SEARCH_LENGTH = 2000  # characters
RATE = 1000  # jobs a second


class BulkState(models.TextChoices):
    """How far an operation is."""

    RUNNING = "RUNNING", _("running")
    STOPPED = "STOPPED", _("stopped")
    DONE = "DONE", _("done")
    BROKEN = "BROKEN", _("stopped by an error")


class BulkOperation(models.Model):
    """A verb for everything that a search finds; workers carry it out, a part in each turn.

    A part and how far it has come are one transaction, so that nothing is done twice, whoever
    dies when.
    """

    id = models.BigAutoField(primary_key=True)
    action = ExactCharField(_("action"), max_length=30)
    search = models.CharField(_("search"), max_length=SEARCH_LENGTH)
    state = ExactCharField(
        _("state"), max_length=7, choices=BulkState.choices, default=BulkState.RUNNING
    )
    by = ExactCharField(_("by"), max_length=BY_LENGTH, blank=True, default="")
    via = ExactCharField(_("through"), max_length=7)
    origin = models.CharField(_("from"), max_length=TEXT_LENGTH, blank=True, default="")
    rate = models.PositiveIntegerField(_("jobs a second"), default=RATE)
    # Only ids behind the cursor, up to that of the last job of before the start, are to come.
    cursor = models.BigIntegerField(_("done up to number"), default=0)
    last_id = models.BigIntegerField(_("last number"), default=0)
    expected = models.PositiveBigIntegerField(_("expected"), null=True, blank=True)
    looked = models.PositiveBigIntegerField(_("looked at"), default=0)
    done = models.PositiveBigIntegerField(_("changed"), default=0)
    asked = models.PositiveBigIntegerField(_("asked to stop"), default=0)
    skipped = models.PositiveBigIntegerField(_("skipped"), default=0)
    created_at = models.DateTimeField(_("started"), db_default=Now())
    next_at = models.DateTimeField(_("next part"), db_default=Now())
    finished_at = models.DateTimeField(_("ended"), null=True, blank=True)
    error = models.CharField(_("error"), max_length=500, blank=True, default="")

    class Meta:
        db_table = "jobflow_bulk"
        verbose_name = _("bulk operation")
        verbose_name_plural = _("bulk operations")
        default_permissions = ("view",)
        permissions = [
            ("start_bulkoperation", _("Can act on everything that a search finds")),
            ("stop_bulkoperation", _("Can stop and resume bulk operations")),
        ]
        indexes = [models.Index(name="jobflow_bulk_next", fields=["state", "next_at"])]
        constraints = [
            models.CheckConstraint(
                name="jobflow_bulk_state", condition=Q(state__in=BulkState.values)
            ),
            models.CheckConstraint(
                name="jobflow_bulk_ended",
                condition=Q(state=BulkState.RUNNING.value, finished_at__isnull=True)
                | (~Q(state=BulkState.RUNNING.value) & Q(finished_at__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.search}"

    @property
    def percent(self) -> int | None:
        """How far it has come, as well as that is known."""
        if self.state == BulkState.DONE:
            return 100
        if not self.last_id:
            return None
        return min(99, 100 * self.cursor // self.last_id)


class SavedView(models.Model):
    """A search of the list of jobs that somebody has given a name."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(_("name"), max_length=100)
    search = models.CharField(_("search"), max_length=SEARCH_LENGTH)
    # No foreign key: the database of the jobs may be another one than that of the users.
    owner = ExactCharField(_("owner"), max_length=TEXT_LENGTH)
    owner_name = models.CharField(_("saved by"), max_length=BY_LENGTH, blank=True, default="")
    is_shared = models.BooleanField(
        _("shared"), default=False, help_text=_("Everybody who may see jobs is offered it.")
    )
    created_at = models.DateTimeField(_("saved at"), db_default=Now())

    class Meta:
        db_table = "jobflow_view"
        verbose_name = _("saved view")
        verbose_name_plural = _("saved views")
        permissions = [("share_savedview", _("Can share saved views"))]
        constraints = [
            models.UniqueConstraint(name="jobflow_view_of", fields=["owner", "name"]),
        ]
        indexes = [models.Index(name="jobflow_view_shared", fields=["is_shared", "name"])]

    def __str__(self) -> str:
        return str(self.name)

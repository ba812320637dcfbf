"""Who has done what: a row for each action of an operator, never changed afterwards."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from django_jobflow.models.fields import ExactCharField

BY_LENGTH = 200  # characters
TEXT_LENGTH = 255  # characters of an origin and of a subject


class AuditAction(models.TextChoices):
    """What can be done; the words in the table."""

    RETRY = "retry", _("retry")
    CANCEL = "cancel", _("cancel")
    RUN_NOW = "run_now", _("run now")
    RESCHEDULE = "reschedule", _("reschedule")
    UPDATE = "update", _("edit")
    DELETE = "delete", _("delete")
    DELETE_SUCCEEDED = "delete_succeeded", _("delete from the history")
    CANCEL_BATCH = "cancel_batch", _("cancel a batch")
    PURGE = "purge", _("purge")
    PRUNE = "prune", _("prune")
    PAUSE = "pause", _("pause")
    RESUME = "resume", _("resume")
    SET_LIMIT = "set_limit", _("set a limit")
    CLEAR_LIMIT = "clear_limit", _("clear a limit")
    START_BULK = "start_bulk", _("start a bulk operation")
    STOP_BULK = "stop_bulk", _("stop a bulk operation")
    RESUME_BULK = "resume_bulk", _("go on with a bulk operation")
    END_BULK = "end_bulk", _("end of a bulk operation")
    MUTE = "mute", _("mute failures")
    UNMUTE = "unmute", _("unmute failures")
    STOP_WORKER = "stop_worker", _("stop a worker")


class AuditVia(models.TextChoices):
    """Where an action can come from."""

    ADMIN = "admin", _("the admin")
    COMMAND = "command", _("the command line")
    CODE = "code", _("code")


class AuditEntry(models.Model):
    """One action of an operator.

    Rows are written by ``django_jobflow.audit`` in the transaction of the action. That of an
    action that takes several transactions is counted up with each of them.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(_("when"), db_default=Now())
    # Without choices, so that a new action is no change of the schema.
    action = ExactCharField(_("action"), max_length=30)
    # No foreign key: it outlives the user, and a command line has none.
    by = ExactCharField(_("by"), max_length=BY_LENGTH, blank=True, default="")
    via = ExactCharField(_("through"), max_length=7, choices=AuditVia.choices)
    origin = models.CharField(_("from"), max_length=TEXT_LENGTH, blank=True, default="")
    subject = ExactCharField(_("what"), max_length=TEXT_LENGTH, blank=True, default="")
    count = models.PositiveBigIntegerField(_("how many"), default=0)
    detail = models.JSONField(_("details"), blank=True, default=dict)

    class Meta:
        db_table = "jobflow_audit"
        verbose_name = _("action in the audit")
        verbose_name_plural = _("audit")
        default_permissions = ("view",)
        indexes = [
            models.Index(name="jobflow_audit_at", fields=["at"]),
            models.Index(name="jobflow_audit_action", fields=["action", "at"]),
            models.Index(name="jobflow_audit_via", fields=["via", "at"]),
            models.Index(name="jobflow_audit_by", fields=["by", "at"]),
            models.Index(name="jobflow_audit_subject", fields=["subject", "at"]),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.subject}".rstrip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError(f"Audit entry {self.pk} is not to be changed: rows are only added.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"Audit entry {self.pk} is not to be deleted: JOBFLOW['RETAIN_AUDIT'] says how long "
            f"it is kept."
        )

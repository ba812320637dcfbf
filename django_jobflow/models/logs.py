"""What attempts have logged, of jobs that say ``keep_logs``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from django_jobflow.logs import LogLine, moment
from django_jobflow.models.fields import ExactCharField

OWN_LOGGER = "django_jobflow"


class JobLog(models.Model):
    """The newest lines of one attempt, as far as they are written: one row, whatever it logs."""

    id = models.BigAutoField(primary_key=True)
    # No foreign key: it is the id of a live record or of a success.
    job_id = models.BigIntegerField(_("job"))
    # Numbers of attempts come again; those of reservations do not.
    reserved_count = models.PositiveIntegerField(_("reservation"))
    attempt = models.PositiveIntegerField(_("attempt"))
    worker = ExactCharField(_("worker"), max_length=200)
    entries = models.JSONField(_("lines"), default=list)
    left_out = models.PositiveIntegerField(_("earlier lines that were left out"), default=0)

    class Meta:
        db_table = "jobflow_log"
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                name="jobflow_log_attempt", fields=["job_id", "reserved_count"]
            )
        ]

    def __str__(self) -> str:
        return f"{self.job_id} {self.attempt}"

    @property
    def lines(self) -> list[LogLine]:
        """What is kept, oldest first; the first of them tells how many were left out."""
        kept = list(self._kept())
        if self.left_out and kept:
            text = ngettext(
                "%(count)s earlier line was left out.",
                "%(count)s earlier lines were left out.",
                self.left_out,
            )
            level, message = logging.getLevelName(logging.INFO), text % {"count": self.left_out}
            kept.insert(0, LogLine(self.attempt, kept[0].at, level, OWN_LOGGER, message))
        return kept

    def _kept(self) -> Iterator[LogLine]:
        """Yield the lines, but for what somebody has put among them by hand."""
        for entry in self.entries if isinstance(self.entries, list) else ():
            match entry:
                case [int() | float() as created, str(level), str(logger), str(message)]:
                    with suppress(OverflowError, ValueError, OSError):  # of no year
                        yield LogLine(self.attempt, moment(created), level, logger, message)

"""What has happened, as sums; see ``django_jobflow.history`` for the words."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_jobflow.models.fields import ExactCharField


class History(models.Model):
    """Numbers of one period, of one queue or of all.

    There may be several rows of one period: their sum counts. A worker adds a row for what it
    has done since its last one; whoever folds replaces rows by their sum, in one transaction, so
    that nothing is counted twice and nobody waits for anybody.
    """

    id = models.BigAutoField(primary_key=True)
    # In seconds; 0 for what a worker has written, of the minute that begins at `start`.
    length = models.PositiveIntegerField()
    start = models.DateTimeField()
    queue = ExactCharField(max_length=100, blank=True)  # empty for the sum of all queues
    samples = models.PositiveIntegerField(default=0)  # how often what waits was counted
    numbers = models.JSONField(default=dict)

    class Meta:
        db_table = "jobflow_history"
        verbose_name = _("overview")
        verbose_name_plural = _("overview")
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["length", "start"], name="jobflow_history_start"),
            models.Index(fields=["length", "queue", "start"], name="jobflow_history_queue"),
        ]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M} {self.queue or '*'}"

"""Queue keys that are held for a time, whatever has become of their record."""

from __future__ import annotations

from django.db import models

from django_jobflow.models.fields import ExactCharField


class KeyHold(models.Model):
    """A queue key that is held until a moment: the primary key decides who has it."""

    digest = ExactCharField(max_length=32, primary_key=True)
    job_id = models.BigIntegerField()
    until = models.DateTimeField()

    class Meta:
        db_table = "jobflow_key_hold"
        default_permissions = ()
        indexes = [models.Index(name="jobflow_key_hold_until", fields=["until"])]

    def __str__(self) -> str:
        return f"{self.digest} {self.job_id}"

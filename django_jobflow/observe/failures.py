"""The failed jobs of one kind of failure."""

from __future__ import annotations

from django.db import models

from django_jobflow.engines import engine_for
from django_jobflow.models import JobRecord


def failed_like(fingerprint: str, *, database: str | None = None) -> models.QuerySet[JobRecord]:
    """Return the FAILED records whose last failure has this *fingerprint*, the newest first.

    What ``operate`` does to them it does along an index over them alone, by the thousand.

    Args:
        database: Alias of the database of the jobs. None means JOBFLOW["DATABASE"].
    """
    return engine_for(database).records.filter(fingerprint=fingerprint).order_by("-id")

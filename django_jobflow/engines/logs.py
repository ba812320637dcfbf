"""Keeping what attempts have logged, for as long as their job is kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_

from django.db import models
from django.db.models import Exists, OuterRef, Q

from django_jobflow.engines.ground import Ground
from django_jobflow.logs import ATTEMPTS
from django_jobflow.models import JobLog

LOG_BATCH = 50  # attempts in one INSERT: 64 KiB each, and what quoting adds
STRAY_BATCH = 1000  # attempts that are looked at at a time
KEY = ["job_id", "reserved_count"]


class KeepingLogs(Ground):
    """The verbs on the lines of attempts."""

    @property
    def job_logs(self) -> models.QuerySet[JobLog]:
        return JobLog._base_manager.using(self.alias)

    def write_logs(self, logs: Sequence[JobLog]) -> None:
        """Write the lines of attempts, over what was written of them before.

        Database:
            One INSERT for each 50, which updates what is there already. One DELETE where a job
            has been reserved more than 20 times: lines from before that are forgotten.
        """
        names_target = self.connection.features.supports_update_conflicts_with_target
        self.job_logs.bulk_create(
            logs,
            batch_size=LOG_BATCH,
            update_conflicts=True,
            update_fields=["entries", "left_out"],
            unique_fields=KEY if names_target else None,
        )
        old = [
            Q(job_id=log.job_id, reserved_count__lte=log.reserved_count - ATTEMPTS)
            for log in logs
            if log.reserved_count > ATTEMPTS
        ]
        if old:
            self.job_logs.filter(reduce(or_, old))._raw_delete(self.alias)

    def logs_of(self, job_id: int) -> list[JobLog]:
        """Return what the attempts of a job have logged, the first one first: one SELECT."""
        return list(self.job_logs.filter(job_id=job_id).order_by("reserved_count"))

    def delete_logs(self, job_ids: Sequence[int]) -> None:
        """Delete the lines of jobs, since they are deleted: one DELETE."""
        if job_ids:
            self.job_logs.filter(job_id__in=job_ids)._raw_delete(self.alias)

    def prune_stray_logs(self, after: int = 0) -> int:
        """Delete lines whose job is gone, among the next 1,000 attempts; return where to go on.

        Who deletes a job through a verb deletes its lines. A success that is not kept, the ORM,
        and a worker that does not know yet that its job is gone may leave some.

        Args:
            after: The last that was looked at.

        Database:
            One SELECT while there are no lines at all, and else one more; one DELETE for strays.
        """
        some = self.job_logs.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)
        if not (ids := list(some[:STRAY_BATCH])):
            return 0
        # One look at both tables: a job may be on its way from one into the other.
        strays = self.job_logs.filter(
            ~Exists(self.records.filter(pk=OuterRef("job_id"))),
            ~Exists(self.succeeded.filter(pk=OuterRef("job_id"))),
            pk__in=ids,
        )
        if found := list(strays.values_list("pk", flat=True)):
            self.job_logs.filter(pk__in=found)._raw_delete(self.alias)
        return ids[-1] if len(ids) == STRAY_BATCH else 0

"""Batches: records that belong together, and what is to run when the last of them has ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

from asgiref.sync import sync_to_async
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from django_jobflow.models.fields import PartialIndex

if TYPE_CHECKING:
    from django_jobflow.engines import Engine
    from django_jobflow.models.querysets import JobQuerySet

DESCRIPTION_LENGTH = 200  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProgress:
    """How far a batch has come, in members.

    Attributes:
        total: All that were added.
        waiting: Not begun, or waiting for their next attempt.
        running: Held by a worker.
        succeeded: Ended well.
        failed: Failed for good, discarded or lost.
        cancelled: Cancelled.
        deleted: Deleted before they had succeeded.
    """

    total: int
    waiting: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    deleted: int = 0

    @property
    def ended(self) -> int:
        """Members that will not run any more."""
        return self.total - self.waiting - self.running

    @property
    def percent(self) -> int:
        """How much of the batch has ended, rounded down; 100 for one without members."""
        return 100 * self.ended // self.total if self.total else 100


class BatchManager(models.Manager["Batch"]):
    """Opens batches."""

    def open(
        self, description: str = "", *, on_success: Any = None, on_finish: Any = None
    ) -> Batch:
        """Store a new batch, to which members can be added until it is closed.

        Args:
            description: For those who look at it.
            on_success: A call from ``Job.prepared``, to be enqueued when all members have
                succeeded.
            on_finish: The same, to be enqueued when all have ended, however they did.

        Raises:
            InvalidJob: One of these is something else, or for another database.

        Database:
            One INSERT.
        """
        from django_jobflow.declare.call_options import read_text
        from django_jobflow.engines import engine_for

        read_text("Batch", "description", description, DESCRIPTION_LENGTH)
        engine = engine_for(self._db)
        calls = {"on_success": on_success, "on_finish": on_finish}
        return engine.open_batch(description, calls)

    async def aopen(
        self, description: str = "", *, on_success: Any = None, on_finish: Any = None
    ) -> Batch:
        """Do what ``open`` does, from async code."""
        return await sync_to_async(self.open)(
            description, on_success=on_success, on_finish=on_finish
        )


class Batch(models.Model):
    """Records that belong together; as a context manager, it is closed at the block's end."""

    id = models.BigAutoField(primary_key=True)
    description = models.CharField(
        _("description"), max_length=DESCRIPTION_LENGTH, blank=True, default=""
    )
    on_success = models.JSONField(_("runs when all have succeeded"), null=True, blank=True)
    on_finish = models.JSONField(_("runs when all have ended"), null=True, blank=True)
    created_at = models.DateTimeField(_("opened at"), db_default=Now())
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    # Written once, when it finishes: until then nothing counts in this row.
    total = models.PositiveIntegerField(_("members"), null=True, blank=True)
    failed = models.PositiveIntegerField(_("failed"), null=True, blank=True)
    cancelled = models.PositiveIntegerField(_("cancelled"), null=True, blank=True)
    deleted = models.PositiveIntegerField(_("deleted"), null=True, blank=True)

    objects: ClassVar[BatchManager] = BatchManager()

    class Meta:
        db_table = "jobflow_batch"
        verbose_name = _("batch")
        verbose_name_plural = _("batches")
        default_permissions = ("view",)
        permissions = [("cancel_batch", _("Can cancel batches"))]
        indexes = [
            PartialIndex(
                name="jobflow_batch_unfinished",
                fields=["closed_at", "id"],
                fallback=["finished_at", "closed_at", "id"],
                where=Q(finished_at__isnull=True),
                on_sqlite=True,
            ),
            models.Index(name="jobflow_batch_finished", fields=["finished_at"]),
        ]

    def __str__(self) -> str:
        return self.description or f"{self._meta.verbose_name} {self.pk}"

    def __enter__(self) -> Batch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What was to be added may be missing, so nothing must follow upon what was.
        if error is None:
            self.close()

    async def __aenter__(self) -> Batch:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self.aclose()

    @property
    def records(self) -> JobQuerySet:
        """The members that are in the live table, all but those that have succeeded."""
        from django_jobflow.models.records import JobRecord

        return JobRecord.objects.using(self._state.db).filter(batch_id=self.pk)

    def close(self, now: datetime | None = None) -> None:
        """Take no more members; once all have ended, the batch finishes. Again, do nothing.

        Database:
            One UPDATE, which waits for those who are adding members, and one SELECT by key.
        """
        self._engine.close_batch(self, _checked(now))

    async def aclose(self, now: datetime | None = None) -> None:
        """Do what ``close`` does, from async code."""
        await sync_to_async(self.close)(now)

    def cancel(self, now: datetime | None = None) -> int:
        """Close the batch, cancel its waiting members and ask the running ones to stop.

        Returns:
            How many members are CANCELLED now.

        Database:
            What ``close`` costs, and for each 1,000 members one SELECT and what ``cancel``
            costs.
        """
        return self._engine.cancel_batch(self, _checked(now))

    async def acancel(self, now: datetime | None = None) -> int:
        """Do what ``cancel`` does, from async code."""
        return await sync_to_async(self.cancel)(now)

    def progress(self) -> BatchProgress:
        """Say how far the batch has come.

        Database:
            Two statements while it runs, which count the members that have not succeeded in
            an index; one by key afterwards.
        """
        return self._engine.batch_progress(self)

    async def aprogress(self) -> BatchProgress:
        """Do what ``progress`` does, from async code."""
        return await sync_to_async(self.progress)()

    @property
    def _engine(self) -> Engine:
        from django_jobflow.engines import engine_for

        return engine_for(self._state.db)


def _checked(now: datetime | None) -> datetime | None:
    from django_jobflow.declare.call_options import read_moment

    return None if now is None else read_moment("Batch", "now", now)


class BatchChange(models.Model):
    """Members that were added to a batch, or deleted: summed up when it finishes.

    A row is only ever added, so that those who add members do not wait for each other.
    """

    id = models.BigAutoField(primary_key=True)
    batch_id = models.BigIntegerField()
    added = models.IntegerField(default=0)
    deleted = models.IntegerField(default=0)

    class Meta:
        db_table = "jobflow_batch_change"
        default_permissions = ()
        indexes = [models.Index(name="jobflow_batch_change_of", fields=["batch_id"])]

    def __str__(self) -> str:
        return f"{self.batch_id}: +{self.added} -{self.deleted}"

"""The verbs on a queryset of records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import models

from django_jobflow.states import JobState

if TYPE_CHECKING:
    from django_jobflow.engines import Engine
    from django_jobflow.models.records import JobRecord, SucceededJob

RESERVE_ORDER = ("-priority", "available_at", "id")

OF_ANY_QUEUE = models.Q(priority__gte=-100)
"""True for every record. It is in the index over all queues and in the queries that want it.

Without it a planner whose statistics are from before a backlog may read that index for one
queue, and so pass over all that waits in the others.
"""


class JobQuerySet(models.QuerySet["JobRecord"]):
    """Records, with the verbs that move many of them.

    ``now`` is for tests: None means the database's clock.
    """

    def enqueue(self, name: str, /, *args: Any, **kwargs: Any) -> JobRecord:
        """Enqueue the job that is registered under *name*.

        Raises:
            UnknownJob: Nothing is registered under it.
        """
        from django_jobflow.declare import registry

        database = getattr(self, "_db", None)  # set by using()
        options = {"database": database} if database else {}
        return registry.get(name).using(**options).enqueue(*args, **kwargs)

    def find(self, pk: int) -> JobRecord | SucceededJob:
        """Return the job of this id, wherever it is: live, or among those that succeeded.

        Raises:
            JobRecord.DoesNotExist: It is nowhere.

        Database:
            One SELECT by key, or two.
        """
        from django_jobflow.models.records import SucceededJob

        record = self.filter(pk=pk).first()
        if record is not None:
            return record
        kept = SucceededJob.objects.using(self.db).filter(pk=pk).first()
        if kept is None:
            raise self.model.DoesNotExist(
                f"Job {pk} is neither in the live table nor among those that succeeded."
            )
        return kept

    async def afind(self, pk: int) -> JobRecord | SucceededJob:
        """Do what ``find`` does, from async code."""
        return await sync_to_async(self.find)(pk)

    def activate_scheduled(self, now: datetime | None = None) -> int:
        """Make SCHEDULED and RETRY records AVAILABLE whose time has come; return how many.

        Database:
            Two statements for each 1,000 due records, one when none is due.
        """
        return self._engine.activate_scheduled(self, now)

    def activate_expired(self, now: datetime | None = None) -> int:
        """Make lapsed RESERVED and IN_PROGRESS records AVAILABLE again; return how many.

        A lapsed IN_PROGRESS attempt stays counted and gets a ``WorkerLost`` error; those
        without an attempt left are for ``fail_expired_at_max_attempts``.

        Database:
            One SELECT, one UPDATE for all reserved ones, one for each attempt.
        """
        return len(self._engine.rescue(self, now))

    def fail_expired_at_max_attempts(self, now: datetime | None = None) -> int:
        """Make lapsed IN_PROGRESS records without an attempt left FAILED; return how many.

        Database:
            One SELECT, and one UPDATE for each record.
        """
        return len(self._engine.fail_lost(self, now))

    def available(self, limit: int, queues: Sequence[str] | None = None) -> JobQuerySet:
        """Return the query of what would be reserved next, in order."""
        found = self.filter(state=JobState.AVAILABLE)
        if queues is None:
            found = found.filter(OF_ANY_QUEUE)
        else:
            found = (
                found.filter(queue__in=queues)
                if len(queues) != 1
                else found.filter(queue=queues[0])
            )
        return found.order_by(*RESERVE_ORDER)[:limit]

    def reserve(
        self,
        limit: int,
        *,
        worker: str,
        queues: Sequence[str] | None = None,
        timeout: float | timedelta | None = None,
        now: datetime | None = None,
    ) -> list[JobRecord]:
        """Promise up to *limit* AVAILABLE records to *worker*, and return them RESERVED.

        They come back in order: priority, then due time, then id. No attempt is counted yet.

        Args:
            queues: Only from these. None means from any.
            timeout: Seconds or timedelta until the promise lapses. None means
                JOBFLOW["RESERVATION_TIMEOUT"].

        Database:
            One SELECT for each queue, or one for all, and one UPDATE; on PostgreSQL and SQLite
            one statement. And one to read the records. Locks only the returned rows.
        """
        if self.query.has_filters() or self.query.is_sliced:
            raise TypeError("reserve() works on the whole table; name queues= instead.")
        return self._engine.reserve_records(
            limit=limit, worker=worker, queues=queues, timeout=timeout, now=now
        )

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete these records as Django does, and count those that were members of batches.

        Running ones, too: their attempts then end without effect. See
        ``django_jobflow.operate`` for what leaves them alone and writes it down.

        Database:
            One SELECT more than Django's own; with members of batches, a DELETE for each 1,000
            of them and three statements more.
        """
        if self.query.is_sliced:
            return super().delete()  # it says what is wrong
        from django_jobflow.engines import engine_for

        rows: Any = self.all()
        rows._for_write = True  # as Django's own does, for the router
        return engine_for(rows.db).delete_plainly(rows)

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    @property
    def _engine(self) -> Engine:
        from django_jobflow.engines import engine_for

        return engine_for(self.db)

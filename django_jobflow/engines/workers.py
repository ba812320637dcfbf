"""The rows of the worker processes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import DurationField, ExpressionWrapper, F
from django.utils import timezone

from django_jobflow.engines.ground import Ground
from django_jobflow.models import StopKind, Worker
from django_jobflow.service import Service

SERVICE = ("queues", "excluded", "partitions")  # the columns


@dataclass(frozen=True, slots=True)
class Beat:
    """The last sign of life of a worker.

    Attributes:
        age: Seconds since then.
        service: What the worker takes work from.
    """

    age: float
    service: Service = field(default_factory=Service)


class Registering(Ground):
    """The verbs for ``Worker`` rows."""

    def register_worker(
        self,
        name: str,
        *,
        host: str,
        pid: int,
        threads: int,
        service: Service,
        names: Iterable[str] | None = None,
        **more: Any,
    ) -> None:
        """Write the row of a worker process that begins.

        Args:
            names: The jobs that it knows; None means that it does not say.
            more: What else it says of itself, by the names of the columns.
        """
        moment = self.clock(None)
        Worker._base_manager.using(self.alias).create(
            name=name,
            host=host,
            pid=pid,
            threads=threads,
            names=None if names is None else sorted(names),
            started_at=moment,
            heartbeat_at=moment,
            clock_at=timezone.now(),
            queues=list(service.queues),
            excluded=list(service.excluded),
            partitions=list(service.partitions),
            **more,
        )

    def beat(self, name: str, memory: int | None = None, wake_up: str = "") -> bool:
        """Renew a worker's heartbeat; False when its row is gone.

        Args:
            wake_up: How it learns of new work; "" means that it is not chosen yet.
        """
        rows = Worker._base_manager.using(self.alias).filter(name=name)
        said: Any = {"memory": memory, "wake_up": wake_up, "clock_at": timezone.now()}
        return rows.update(heartbeat_at=self.clock(None), **said) == 1

    def request_stop(
        self, name: str, kind: StopKind, by: str, now: datetime | None = None
    ) -> list[str]:
        """Ask a worker to stop, with ``COMMAND`` all processes of its command.

        Returns:
            The names of those that were asked; none where there is no such worker.

        Database:
            One SELECT by key and one UPDATE.
        """
        workers = Worker._base_manager.using(self.alias)
        with self.transaction():
            found = dict(workers.filter(name=name).values_list("name", "supervisor"))
            if kind == StopKind.COMMAND and found.get(name):
                named = workers.filter(supervisor=found[name]).order_by("name")
                found = dict(named.values_list("name", "supervisor"))
            said = {"stop_requested_at": self.clock(now), "stop_requested_by": by, "stops": kind}
            workers.filter(name__in=list(found)).update(**said)
        return list(found)

    def stop_request(self, name: str) -> tuple[StopKind, str] | None:
        """Return what a worker was asked to stop, and by whom; None if it was not asked.

        Database:
            One SELECT by key.
        """
        rows = Worker._base_manager.using(self.alias).filter(name=name)
        asked = rows.filter(stop_requested_at__isnull=False)
        found = asked.values_list("stops", "stop_requested_by").first()
        return None if found is None else (StopKind(found[0]), found[1])

    def remove_worker(self, name: str) -> None:
        """Delete the row of a worker that ends."""
        Worker._base_manager.using(self.alias).filter(name=name)._raw_delete(self.alias)

    def prune_workers(self, silent: timedelta, now: datetime | None = None) -> int:
        """Delete the rows of workers that have been silent for so long."""
        rows = Worker._base_manager.using(self.alias).filter(
            heartbeat_at__lte=self.clock(now, -silent)
        )
        return int(rows._raw_delete(self.alias) or 0)

    def beats(self, most: int, now: datetime | None = None) -> list[Beat]:
        """Return the last beats of all workers, or of the *most* that are youngest.

        Database:
            One statement that reads their table, a row for each process.
        """
        age = ExpressionWrapper(self.clock(now) - F("heartbeat_at"), DurationField())
        rows = Worker._base_manager.using(self.alias).order_by("-heartbeat_at")
        return [
            Beat(max(row.age.total_seconds(), 0.0), row.service)
            for row in rows.annotate(age=age).only(*SERVICE)[:most]
        ]

    def known_names(self) -> set[str]:
        """Return the names of the jobs that some worker knows.

        Database:
            One statement that reads their table.
        """
        rows = Worker._base_manager.using(self.alias).values_list("names", flat=True)
        return {name for names in rows for name in names or ()}

    def services(self, silence: timedelta, now: datetime | None = None) -> set[Service]:
        """Return what the workers take work from that have shown a sign of life in time.

        Args:
            silence: After which a worker is taken for dead.

        Database:
            One statement that reads their table.
        """
        rows = Worker._base_manager.using(self.alias)
        alive = rows.filter(heartbeat_at__gt=self.clock(now, -silence))
        return {row.service for row in alive.only(*SERVICE)}

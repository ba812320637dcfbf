"""The rows of the worker processes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import DurationField, ExpressionWrapper, F

from django_jobflow.engines.ground import Ground
from django_jobflow.models import Worker


@dataclass(frozen=True, slots=True)
class Beat:
    """The last sign of life of a worker.

    Attributes:
        age: Seconds since then.
        queues: Those that the worker serves; empty means all.
    """

    age: float
    queues: tuple[str, ...] = ()


class Registering(Ground):
    """The verbs for ``Worker`` rows."""

    def register_worker(
        self,
        name: str,
        *,
        host: str,
        pid: int,
        queues: Sequence[str],
        threads: int,
        names: Iterable[str] | None = None,
        partitions: Sequence[str] = (),
    ) -> None:
        """Write the row of a worker process that begins.

        Args:
            names: The jobs that it knows; None means that it does not say.
        """
        moment = self.clock(None)
        serves: dict[str, Any] = {"queues": list(queues), "partitions": list(partitions)}
        Worker._base_manager.using(self.alias).create(
            name=name,
            host=host,
            pid=pid,
            threads=threads,
            names=None if names is None else sorted(names),
            started_at=moment,
            heartbeat_at=moment,
            **serves,
        )

    def beat(self, name: str) -> bool:
        """Renew a worker's heartbeat; False when its row is gone."""
        rows = Worker._base_manager.using(self.alias).filter(name=name)
        return rows.update(heartbeat_at=self.clock(None)) == 1

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
            Beat(max(passed.total_seconds(), 0.0), tuple(queues))
            for passed, queues in rows.values_list(age, "queues")[:most]
        ]

    def served_queues(self) -> set[str] | None:
        """Return the queues that some living worker serves; None when one serves all."""
        rows = Worker._base_manager.using(self.alias).values_list("queues", flat=True)
        named: set[str] = set()
        for queues in rows:
            if not queues:
                return None
            named.update(queues)
        return named

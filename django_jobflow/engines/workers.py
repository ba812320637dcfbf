"""The rows of the worker processes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django_jobflow.engines.ground import Ground
from django_jobflow.models import Worker


class Registering(Ground):
    """The verbs for ``Worker`` rows."""

    def register_worker(
        self, name: str, *, host: str, pid: int, queues: Sequence[str], threads: int
    ) -> None:
        """Write the row of a worker process that begins."""
        moment = self.clock(None)
        Worker._base_manager.using(self.alias).create(
            name=name,
            host=host,
            pid=pid,
            queues=list(queues),
            threads=threads,
            started_at=moment,
            heartbeat_at=moment,
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

    def served_queues(self) -> set[str] | None:
        """Return the queues that some living worker serves; None when one serves all."""
        rows = Worker._base_manager.using(self.alias).values_list("queues", flat=True)
        named: set[str] = set()
        for queues in rows:
            if not queues:
                return None
            named.update(queues)
        return named

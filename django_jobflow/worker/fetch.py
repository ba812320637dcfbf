"""From which queues to reserve, and how many from each."""

from __future__ import annotations

from collections import Counter

from django_jobflow import conf
from django_jobflow.attempts import Reservation
from django_jobflow.engines import Engine
from django_jobflow.worker.options import WorkerOptions


class Fetch:
    """Reserves for one process, within what its options and the settings allow.

    Args:
        engine: The database.
        options: Those of the process.
    """

    def __init__(self, engine: Engine, options: WorkerOptions) -> None:
        self.engine = engine
        self.options = options
        self.timeout = conf.current().RESERVATION_TIMEOUT
        self.limits = {
            name: queue.concurrency
            for name, queue in conf.current().QUEUES.items()
            if queue.concurrency is not None
        }

    def serves(self, queue: str) -> bool:
        """Say whether this process takes work from *queue*."""
        named = self.options.queues
        return queue not in self.options.exclude and (named is None or queue in named)

    def reserve(self, limit: int, running: Counter[str]) -> list[Reservation]:
        """Reserve up to *limit* records.

        Args:
            running: How many of each queue this process has already.

        Database:
            What ``Engine.reserve`` costs, once for all queues without a limit of their own
            and once for each with one; and one statement that lists the queues with work,
            if some are excluded or limited.
        """
        if not self.limits and not self.options.exclude:
            return self._reserve(limit, self.options.queues)
        found: list[Reservation] = []
        served = self._served_queues()
        for queue in served:
            if queue in self.limits:
                room = min(self.limits[queue] - running[queue], limit - len(found))
                found += self._reserve(room, (queue,))
        others = tuple(queue for queue in served if queue not in self.limits)
        return found + self._reserve(limit - len(found), others)

    def _served_queues(self) -> list[str]:
        return [queue for queue in self.engine.waiting_queues() if self.serves(queue)]

    def _reserve(self, limit: int, queues: tuple[str, ...] | None) -> list[Reservation]:
        if limit <= 0 or queues == ():
            return []
        return self.engine.reserve(
            limit=limit, worker=self.options.name, queues=queues, timeout=self.timeout
        )

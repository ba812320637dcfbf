"""What a worker takes work from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The queues and partitions that a worker process serves.

    Attributes:
        queues: Those that it was told to serve; empty means all.
        excluded: Queues that it does not serve.
        partitions: Those that it was told to serve; empty means all.
    """

    queues: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()

    @property
    def is_of_all(self) -> bool:
        """Whether there is no queue and no partition that it does not serve."""
        return not self.queues and not self.excluded and not self.partitions

    def serves(self, queue: str, partition: str | None = None) -> bool:
        """Say whether it takes work from *queue*, in *partition* if one is given."""
        if queue in self.excluded or (self.queues and queue not in self.queues):
            return False
        return partition is None or not self.partitions or partition in self.partitions

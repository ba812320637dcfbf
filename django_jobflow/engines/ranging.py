"""Which queues and partitions have work: skips from one to the next, however much waits."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from django_jobflow.attempts import Range, Turn
from django_jobflow.engines.ground import Ground
from django_jobflow.models import JobRecord

Lanes = list[tuple[str, str]]
"""Names of queues, each with that of a partition that has AVAILABLE rows in it."""


class Ranging(Ground):
    """What is asked of the index of the fetch; here one range after the other.

    Attributes:
        by_queue: What has the planner take that index, where it has to be told.
    """

    by_queue = ""

    def waiting_queues(self, most: int | None = None) -> list[str]:
        """Return the names of the queues that have AVAILABLE rows, in order.

        Args:
            most: How many names are wanted. None means all.

        Database:
            One statement on PostgreSQL and SQLite, elsewhere one for each queue and one. They
            skip from one queue to the next, so what waits in it costs nothing.
        """
        names: list[str] = []
        for name in self._skip_along("queue", ""):
            names.append(name)
            if len(names) == most:
                break
        return names

    def waiting_lanes(self, queues: Collection[str] | None = None) -> Lanes:
        """Return the queues and partitions that have AVAILABLE rows, in order.

        Args:
            queues: Only those in these. None means any.

        Database:
            One statement on PostgreSQL and SQLite; elsewhere what ``waiting_queues`` costs, and
            for each queue one for each partition and one.
        """
        names = self.waiting_queues() if queues is None else sorted(set(queues))
        return [
            (name, partition)
            for name in names
            for partition in self._skip_along(self._partition, "AND queue = %s", name)
        ]

    def has_partitions(self, queues: Collection[str] | None = None) -> bool:
        """Say whether rows of a partition other than the default one are AVAILABLE.

        Args:
            queues: Only those in these. None means any.

        Database:
            What ``waiting_queues`` costs without *queues*, and elsewhere than on PostgreSQL and
            SQLite one more for each queue; with *queues*, one statement there.
        """
        last = f"SELECT MAX({self._partition}) {self._from_available} AND queue = %s"
        names = self.waiting_queues() if queues is None else queues
        return any(self._returned(last, [name])[0][0] for name in names)

    def turn_of(self, queues: Collection[str], limit: int) -> tuple[Turn, ...]:
        """Return the turn in which what comes first of all partitions of *queues* is taken."""
        ranges = [Range(*lane, limit) for lane in self.waiting_lanes(queues)]
        return (Turn(tuple(ranges), limit),) if ranges else ()

    def _skip_along(self, column: str, condition: str, *values: str) -> Iterator[str]:
        return self._each_value(column, f"{self._from_available} {condition}", *values)

    def _each_value(self, column: str, source: str, *values: str) -> Iterator[str]:
        """Yield the values of *column*, each once and in order: one index entry a statement.

        Args:
            source: FROM and WHERE of the statements, with the marks of *values*.
        """
        first = f"SELECT MIN({column}) {source}"
        [(found,)] = self._returned(first, values)
        while found is not None:
            yield found
            [(found,)] = self._returned(f"{first} AND {column} > %s", [*values, found])

    @property
    def _partition(self) -> str:
        return self.connection.ops.quote_name("partition")  # a word of some dialects

    @property
    def _table(self) -> str:
        return self.connection.ops.quote_name(JobRecord._meta.db_table)

    @property
    def _from_available(self) -> str:
        # The state as a literal: a planner takes a partial index for nothing else.
        return f"FROM {self._table} {self.by_queue} WHERE state = 'AVAILABLE'"

"""How many rows there are of what kind, from the first entries of index ranges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Count

from django_jobflow.engines.surveying import Surveying
from django_jobflow.models import Batch, SucceededJob
from django_jobflow.states import JobState

Group = tuple[str, str, str, int]
"""A queue, a job's name, a partition, and how many rows have just these."""


@dataclass(frozen=True, slots=True)
class Tally:
    """The first rows of an index range, by what they have in common.

    Attributes:
        state: The state of all of them. None means that they have succeeded.
        queue: The queue that the range is of. None means all of them.
        groups: How many there are of each kind.
        is_cut: Whether there may be more rows than were read.
    """

    state: JobState | None
    queue: str | None
    groups: tuple[Group, ...]
    is_cut: bool


FIRST_COLUMNS = {
    JobState.SCHEDULED: "available_at",
    JobState.RETRY: "available_at",
    JobState.RESERVED: "expires",
    JobState.IN_PROGRESS: "expires",
    JobState.WAITING: "partition",
    JobState.FAILED: "finished_at",
    JobState.CANCELLED: "finished_at",
}
"""By which the index over a state begins: in its order, the first rows are the end of a range."""


class Counting(Surveying):
    """What is counted, so many rows of each range and not more."""

    def tally_state(self, state: JobState, most: int) -> Tally:
        """Return what the first *most* rows in *state*, which is not AVAILABLE, are.

        Database:
            One statement.
        """
        source = f"FROM {self._table} WHERE state = '{state.value}'"
        return self._tally(state, None, source, FIRST_COLUMNS[state], [], most)

    def tally_queue(self, queue: str, most: int) -> Tally:
        """Return what the first *most* AVAILABLE rows of *queue* are.

        Database:
            One statement.
        """
        source = f"{self._from_available} AND queue = %s"
        return self._tally(JobState.AVAILABLE, queue, source, "partition", [queue], most)

    def tally_succeeded(self, most: int) -> Tally:
        """Return what the *most* latest successes are.

        Database:
            One statement.
        """
        table = self.connection.ops.quote_name(SucceededJob._meta.db_table)
        return self._tally(None, None, f"FROM {table}", "succeeded_at", [], most)

    def tally_batch(self, batch: Batch, most: int) -> Iterator[Tally]:
        """Yield what the members of *batch* are: all live ones, and the latest successes.

        Database:
            One statement that reads the index over its live members; and one that reads what
            has succeeded since the batch was opened, until *most* of its members are found.
        """
        members = self.records.filter(batch_id=batch.pk).order_by()
        found = members.values_list("state", "queue", "name", "partition").annotate(Count("pk"))
        for state, *group in found:
            yield Tally(JobState(state), None, (tuple(group),), is_cut=False)
        table = self.connection.ops.quote_name(SucceededJob._meta.db_table)
        source = f"FROM {table} WHERE batch_id = %s AND succeeded_at >= %s"
        opened = self.connection.ops.adapt_datetimefield_value(batch.created_at)
        yield self._tally(None, None, source, "succeeded_at", [batch.pk, opened], most)

    def _tally(
        self,
        state: JobState | None,
        queue: str | None,
        source: str,
        first_column: str,
        values: list[Any],
        most: int,
    ) -> Tally:
        quote = self.connection.ops.quote_name
        kinds = ", ".join(map(quote, ("queue", "name", "partition")))
        rows = f"SELECT {kinds} {source} ORDER BY {quote(first_column)} DESC LIMIT %s"
        # The ORM has no form for the groups of the first rows.
        statement = f"SELECT {kinds}, COUNT(*) FROM ({rows}) AS first_rows GROUP BY {kinds}"
        groups = tuple(self._returned(statement, [*values, most]))
        is_cut = sum(count for *_, count in groups) >= most
        return Tally(state, queue, groups, is_cut)

"""How many jobs there are, counted up to a bound."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django_jobflow.engines import Engine, engine_for
from django_jobflow.engines.counting import FIRST_COLUMNS, Tally
from django_jobflow.models import Batch
from django_jobflow.states import JobState

SUCCEEDED = "SUCCEEDED"
"""Stands beside the states where jobs that have succeeded are listed and counted with others."""

COLUMNS = ("state", "queue", "name", "partition")
MOST = 10_000  # rows of each state that are counted; of what is available, of each queue
MOST_QUEUES = 100  # with available rows that are counted; in the order of their names


@dataclass(frozen=True, slots=True)
class Count:
    """A number of jobs.

    Attributes:
        number: How many were counted.
        is_more: Whether there may be more: ``number`` is the least that there are.
    """

    number: int
    is_more: bool = False

    def __str__(self) -> str:
        return f"{self.number:,}{'+' if self.is_more else ''}"

    def __add__(self, other: Count) -> Count:
        return Count(self.number + other.number, self.is_more or other.is_more)


@dataclass(frozen=True, slots=True)
class Counts:
    """The jobs of a database, by what they have in common.

    Attributes:
        tallies: What was read.
        has_more_queues: Whether there are available rows in queues that were not counted.
    """

    tallies: tuple[Tally, ...]
    has_more_queues: bool = False

    @property
    def total(self) -> Count:
        """How many jobs there are in all."""
        return self.by().get((), Count(0, self.has_more_queues))

    def by(self, *columns: str) -> dict[tuple[str, ...], Count]:
        """Return how many jobs have the same values in *columns*, in the order of these values.

        Args:
            columns: Of ``COLUMNS``; the state of what has succeeded is ``SUCCEEDED``.
        """
        numbers: dict[tuple[str, ...], int] = defaultdict(int)
        for tally in self.tallies:
            for kind, count in _kinds(tally):
                numbers[tuple(kind[column] for column in columns)] += count
        return {
            key: Count(numbers[key], self._may_have_more(dict(zip(columns, key, strict=True))))
            for key in sorted(numbers, key=lambda key: _order(columns, key))
        }

    def _may_have_more(self, kind: dict[str, str]) -> bool:
        """Say whether a row of *kind* may be among those that were not read."""
        of_available = kind.get("state", JobState.AVAILABLE) == JobState.AVAILABLE
        return (self.has_more_queues and of_available) or any(
            tally.is_cut
            and kind.get("state", word_of(tally)) == word_of(tally)
            and (tally.queue is None or kind.get("queue", tally.queue) == tally.queue)
            for tally in self.tallies
        )


def counts(alias: str | None = None, most: int = MOST, *, batch: Batch | None = None) -> Counts:
    """Return how many jobs there are in the database behind *alias*.

    Args:
        alias: None means JOBFLOW["DATABASE"].
        most: How many rows are read of each state, and of what is available, of each queue.
        batch: Only its members. All of those that are live are counted.

    Database:
        One statement for each state, one for each queue with available rows and one more, two on
        MariaDB and MySQL. Each reads at most *most* rows along an index.

        For a batch two: one reads the index over its live members, and one what has succeeded
        since it was opened.
    """
    engine = engine_for(alias)
    if batch is not None:
        return Counts(tuple(engine.tally_batch(batch, most)))
    queues = engine.waiting_queues(MOST_QUEUES + 1)
    tallies = tuple(_tallies(engine, queues[:MOST_QUEUES], most))
    return Counts(tallies, has_more_queues=len(queues) > MOST_QUEUES)


def _tallies(engine: Engine, queues: Sequence[str], most: int) -> Iterator[Tally]:
    for queue in queues:
        yield engine.tally_queue(queue, most)
    for state in FIRST_COLUMNS:
        yield engine.tally_state(state, most)
    yield engine.tally_succeeded(most)


def word_of(tally: Tally) -> str:
    """Return the state of *tally* as a word."""
    return SUCCEEDED if tally.state is None else tally.state.value


def _kinds(tally: Tally) -> Iterator[tuple[dict[str, str], int]]:
    for queue, name, partition, count in tally.groups:
        kind = {
            "state": word_of(tally),
            "queue": queue,
            "name": name,
            "partition": partition,
        }
        yield kind, count


def _order(columns: Sequence[str], key: tuple[str, ...]) -> tuple[Any, ...]:
    words = [*JobState.values, SUCCEEDED]
    return tuple(
        words.index(value) if column == "state" else value
        for column, value in zip(columns, key, strict=True)
    )

"""What a worker process has settled, added up until it is written."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

from django_jobflow import conf, events
from django_jobflow.attempts import Ending, waiting_since
from django_jobflow.engines import Engine
from django_jobflow.history import OUTCOMES, RUN, WAIT, WORDS, Numbers, class_of
from django_jobflow.worker.trouble import REFUSED

logger = logging.getLogger("django_jobflow.worker")

WRITE_INTERVAL = timedelta(seconds=5)  # what is lost if the process dies
ALL_MEASURED = 32  # ends of one kind between two writes that are measured one by one
SHARE_MEASURED = 64  # of more, every so manieth is, and stands for all of them

Kind = tuple[str, str, bool]
"""A queue, the word for an end, and whether it was discarded."""


class Tallies:
    """The sums of what has ended, by queue.

    Outcomes are counted one by one. How long jobs waited and ran is, too, until there are many:
    then a part of them stands for all, since this is added to the cost of every job.

    Args:
        engine: The database in which they are written.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        kept = conf.current().RETAIN_HISTORY
        self.is_on = kept is None or bool(kept)
        self._counts: dict[Kind, int] = {}
        self._durations: dict[str, Numbers] = defaultdict(Numbers)
        self._ahead = 0.0  # seconds of the database's clock before this host's
        self._due_at = 0.0

    def add(self, endings: Sequence[Ending], written: set[int], seconds: dict[int, float]) -> None:
        """Count what has ended.

        Args:
            written: Ids of those whose end was written.
            seconds: How long the bodies ran, by id.
        """
        if not self.is_on:
            return
        counts = self._counts
        for ending in endings:
            reservation = ending.reservation
            if reservation.id not in written:
                continue
            kind = reservation.queue, ending.event, ending.discarded
            counts[kind] = count = counts.get(kind, 0) + 1
            if count <= ALL_MEASURED:
                self._measure(ending, seconds, 1)
            elif not count % SHARE_MEASURED:
                self._measure(ending, seconds, SHARE_MEASURED)

    def _measure(self, ending: Ending, seconds: dict[int, float], stands_for: int) -> None:
        reservation = ending.reservation
        if (ran := seconds.get(reservation.id)) is None:
            return  # it was never begun
        since = waiting_since(reservation).timestamp()
        waited = time.time() + self._ahead - ran - since
        durations = self._durations[reservation.queue]
        durations[WORDS[WAIT][class_of(waited)]] += stands_for
        durations[WORDS[RUN][class_of(ran)]] += stands_for

    def note(self, queue: str, event: str) -> None:
        """Count an attempt that has ended without this worker.

        Args:
            event: The word for the log, or ``"job_discarded"``.
        """
        if self.is_on:
            kind = queue, event, False
            self._counts[kind] = self._counts.get(kind, 0) + 1

    @property
    def due_at(self) -> float:
        """When they are to be written, by ``time.monotonic``; never while there are none."""
        return self._due_at if self._counts else float("inf")

    def write_if_due(self) -> None:
        """Write them, not too often; costs nothing when nothing has ended."""
        if self._counts and time.monotonic() >= self._due_at:
            self.write()

    def write(self) -> None:
        """Write what has been counted since the last time.

        Database:
            None if that is nothing, or else one INSERT, and one statement for the clock but on
            SQLite.
        """
        if not self._counts:
            return
        self._due_at = time.monotonic() + WRITE_INTERVAL.total_seconds()
        moment = self.engine.now()
        self._ahead = moment.timestamp() - time.time()
        try:
            self.engine.write_history(moment, self._numbers())
        except REFUSED as error:  # they must not keep the worker from its work
            events.log(logger, logging.ERROR, "history_not_written", error=repr(error))
        self._counts = {}
        self._durations.clear()

    def _numbers(self) -> dict[str, Numbers]:
        found: dict[str, Numbers] = defaultdict(Numbers)
        for (queue, event, is_discarded), count in self._counts.items():
            if word := OUTCOMES.get("job_discarded" if is_discarded else event):
                found[queue][word] += count
        for queue, numbers in self._durations.items():
            found[queue].update(numbers)
        return found

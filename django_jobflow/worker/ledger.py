"""What has ended in a worker process and is not written yet."""

from __future__ import annotations

import time
from collections.abc import Iterable

from django_jobflow import hooks, settle
from django_jobflow.attempts import Ending, Exchange, Reservation
from django_jobflow.endings import decide, refusal
from django_jobflow.engines import Engine
from django_jobflow.failures import FailureTally
from django_jobflow.outcomes import Outcome
from django_jobflow.worker.attention import Attention
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.scribe import write_down
from django_jobflow.worker.tallies import Tallies
from django_jobflow.worker.trouble import REFUSED


class Ledger:
    """The ends of attempts, from the end of a body to the commit that holds it.

    Args:
        engine: The database in which they are settled.
        run_hook: Calls the hooks of the jobs.
        attention: Tells of ends, if anybody has asked.
        tallies: Counts them.

    Attributes:
        failures: What has failed and is not counted in the database yet.
    """

    def __init__(
        self, engine: Engine, run_hook: hooks.Run, attention: Attention, tallies: Tallies
    ) -> None:
        self.engine = engine
        self.run_hook = run_hook
        self.attention = attention
        self.failures = FailureTally()
        self.tallies = tallies
        self._executions: list[Execution] = []
        self._refused: list[Ending] = []

    def __bool__(self) -> bool:
        return bool(self._executions or self._refused)

    def __len__(self) -> int:
        """How many bodies' ends there are."""
        return len(self._executions)

    def reservations(self) -> list[Reservation]:
        """Return what the bodies held their records by."""
        return [execution.reservation for execution in self._executions]

    @property
    def can_wait(self) -> bool:
        """Whether these are ends of bodies alone, for which nobody waits."""
        return bool(self._executions) and not self._refused

    @property
    def is_written(self) -> bool:
        """Whether the jobs' own transactions have written all of them."""
        return not self._refused and all(each.settled for each in self._executions)

    @property
    def age(self) -> float:
        """For how many seconds the first of the bodies has waited to be settled."""
        return time.monotonic() - (self._executions[0].ended or 0.0)

    @property
    def frees_keys(self) -> bool:
        """Whether any of the bodies has an execution key, for which others may wait."""
        return any(each.reservation.execution_key for each in self._executions)

    def add(self, ended: Iterable[Execution]) -> None:
        """Take in bodies that have ended."""
        self._executions += ended

    def write_logs(self) -> None:
        """Write what the bodies have logged, so that who sees an end sees its lines."""
        write_down(self.engine, self._executions)

    def endings(self) -> list[Ending]:
        """Return the ends to write: not those that a job's own transaction has written."""
        return self._refused + _decided(
            each for each in self._executions if not each.settled and not each.lost
        )

    def close(self, endings: list[Ending], exchange: Exchange) -> None:
        """Report what is committed now, and take in what was not to be started."""
        ended, self._executions, self._refused = self._executions, [], []
        self._report(ended, endings, exchange)
        for reservation in exchange.lost:
            settle.lost(reservation, "start")
        if exchange.held:
            now = self.engine.now()
            self._refused = [refusal(each, now) for each in exchange.held]

    def forget_refused(self) -> None:
        """Leave what was not to be started: the rows are released with others."""
        self._refused = []

    def settle_one_by_one(self) -> None:
        """Write each end alone, and drop the one that the database refuses.

        Its row is freed with its lease; the others must not wait behind it for ever.
        """
        while self._refused:
            self._settle_alone(self._refused.pop(), seconds=0.0)
        for execution in self._executions.copy():
            self._executions.remove(execution)
            if execution.settled or execution.lost or execution.outcome is None:
                continue
            ending = _ending(execution, execution.outcome)
            self._settle_alone(ending, execution.seconds)

    def _settle_alone(self, ending: Ending, seconds: float) -> None:
        reservation = ending.reservation
        try:
            written = self.engine.settle([ending])
        except REFUSED as refused:
            settle.lost(reservation, f"{ending.event}: {refused!r}")
        else:
            seconds_of = {reservation.id: seconds}
            settle.report([ending], written, seconds_of, self.run_hook, self.failures.note)
            self.attention.tell([ending], written)
            self.tallies.add([ending], written, seconds_of)

    def _report(self, ended: list[Execution], endings: list[Ending], exchange: Exchange) -> None:
        seconds = {each.id: each.seconds for each in ended if not each.lost}
        settled = _decided(each for each in ended if each.settled)
        lost = _decided(each for each in ended if each.lost and not each.settled)
        written = exchange.written | {each.reservation.id for each in settled}
        # Apart, since one that was lost may have come back and ended here at the same time.
        settle.report(lost, set(), {})
        settle.report(endings + settled, written, seconds, self.run_hook, self.failures.note)
        self.attention.tell(endings + settled, written)
        self.tallies.add(endings + settled, written, seconds)


def _decided(ended: Iterable[Execution]) -> list[Ending]:
    """Return what settling those that have *ended* is to write."""
    return [_ending(each, each.outcome) for each in ended if each.outcome is not None]


def _ending(execution: Execution, outcome: Outcome) -> Ending:
    """Return what settling *execution* is to write; an error tells how long the attempt ran."""
    if execution.settled and execution.ending is not None:
        return execution.ending
    ending = decide(execution.reservation, outcome)
    if ending.error is not None:
        ending.error["seconds"] = round(execution.seconds, 3)
    return ending

"""Executing started attempts in the thread of a test, by the parts that a worker has."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async

from django_jobflow import conf, hooks, settle
from django_jobflow.arguments import decode
from django_jobflow.attempts import Exchange, Reservation
from django_jobflow.declare import registry
from django_jobflow.engines import Engine
from django_jobflow.exceptions import CancelInterrupt, JobInterrupt, Retry
from django_jobflow.execute import aexecute, execute, interrupted, outcome_of
from django_jobflow.outcomes import Failed, Outcome, Released, Succeeded
from django_jobflow.testing import commits
from django_jobflow.worker.attention import Attention
from django_jobflow.worker.committing import Committing
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.ledger import Ledger
from django_jobflow.worker.reports import Reports
from django_jobflow.worker.tallies import Tallies


@dataclass(frozen=True, slots=True)
class Executed:
    """One execution of one job.

    Attributes:
        id: Key of the record.
        name: Name of the job.
        queue: Queue that it came from.
        attempt: Number of the attempt, from 1.
        outcome: How it ended: one of ``Succeeded``, ``Failed``, ``Discarded``, ``Snoozed``,
            ``Cancelled``, ``Released``.
        error: What the body raised, if that is known and was no request for an end.
    """

    id: int
    name: str
    queue: str
    attempt: int
    outcome: Outcome
    error: BaseException | None = field(default=None, repr=False, compare=False)

    def raise_error(self) -> None:
        """Raise what the body has raised, if it has failed."""
        if not isinstance(self.outcome, Failed) or isinstance(self.error, Retry):
            return
        if self.error is not None:
            raise self.error
        failure = self.outcome.error
        raise AssertionError(
            f"{self.name}: expected job {self.id} to succeed, got {failure.exception}: "
            f"{failure.message}\n{failure.traceback}".rstrip()
        )


class Bench:
    """Where attempts are executed and settled: this thread, and its connections.

    Args:
        engine: The database of the jobs.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.ledger = Ledger(engine, hooks.run, Attention(engine), Tallies(engine))
        self.committing = Committing(engine, self._call_body)
        self._error: BaseException | None = None
        self._put_off: commits.Hooks = {}

    def run(self, reservation: Reservation) -> Executed:
        """Execute one started attempt and write its end, with all that follows a commit."""
        execution = Execution(reservation, registry.get(reservation.name))
        self._error, self._put_off = None, commits.put_off()
        # What it makes current (its context, a language) is not to be current in the test.
        outcome = copy_context().run(self._perform, execution)
        execution.end(outcome)
        self._settle([execution])
        commits.run_hooks(but=self._put_off, robust=True)
        return Executed(
            reservation.id,
            reservation.name,
            reservation.queue,
            reservation.attempt,
            outcome,
            self._error,
        )

    def refuse(self, exchange: Exchange) -> None:
        """Write the ends of what was taken and is not to be executed."""
        self.ledger.close([], exchange)
        if self.ledger:
            self._settle([])

    def give_back(self, reservations: Sequence[Reservation]) -> None:
        """Release started attempts that nobody executes."""
        executions = [Execution(each, registry.get(each.name)) for each in reservations]
        for execution in executions:
            execution.end(Released("The test has ended the drain."))
        if executions:
            self._settle(executions)

    def close(self) -> None:
        """Write what a worker writes every few seconds: counts, and groups of failures."""
        self.ledger.tallies.write()
        if failures := self.ledger.failures:
            self.engine.append_failures(failures.sums(), conf.current().release)
            failures.clear()
            self.engine.fold_failures()

    def _settle(self, executions: list[Execution]) -> None:
        self.ledger.add(executions)
        self.ledger.write_logs()
        endings = self.ledger.endings()
        written = self.engine.settle(endings) if endings else set()
        self.ledger.close(endings, Exchange(written=written))

    # The body

    def _perform(self, execution: Execution) -> Outcome:
        reservation = execution.reservation
        if self.engine.cancel_requests([reservation]):
            return interrupted(reservation, CancelInterrupt("Cancelled while running."))
        with commits.apart():
            outcome = self._outcome(execution)
        instance = execution.instance
        if instance is not None and instance._hooks:
            hooks.call(instance, "after_run", outcome)
        return outcome

    def _outcome(self, execution: Execution) -> Outcome:
        if not execution.definition.transactional:
            outcome = self._call_body(execution)
        else:
            outcome = self.committing.alone(execution)
            # Its own hook says so only where the transaction around it is committed.
            execution.settled = isinstance(outcome, Succeeded) and not execution.lost
        try:
            commits.run_hooks(but=self._put_off, robust=not isinstance(outcome, Succeeded))
        except Exception as error:
            if not execution.settled:  # a worker's body meets it at the end of its own block
                return self._failed(error)
            settle.commit_hook_failed(execution.reservation, error)
        return outcome

    def _failed(self, error: BaseException) -> Outcome:
        self._error = error
        return outcome_of(error)

    def _call_body(self, execution: Execution) -> Outcome:
        reports = Reports(_nothing)
        context = execution.begin(reports.of(execution))
        job, reservation = execution.job, execution.reservation
        try:
            if job._is_async:
                run = async_to_sync(aexecute)
                return run(job, reservation, context, _decoding, execution.attend, self._note)
            savepoint = self.engine.alias if execution.definition.transactional else None
            return execute(
                job, reservation, context, decode, execution.attend, savepoint, self._note
            )
        except (JobInterrupt, CancelledError) as error:
            self._error = error
            return interrupted(reservation, error)
        finally:
            for percent, message in reports.take_progress().values():
                self.engine.write_progress(reservation, percent, message)

    def _note(self, error: BaseException) -> None:
        self._error = error


async def _decoding(args: Any, kwargs: Any, **options: Any) -> Any:
    return await sync_to_async(decode)(args, kwargs, **options)


def _nothing() -> None:
    """There is no coordinator to be woken."""

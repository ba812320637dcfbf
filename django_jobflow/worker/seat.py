"""Where one plain body runs at a time, in the thread that calls it."""

from __future__ import annotations

from collections.abc import Callable

from django_jobflow import hooks
from django_jobflow.engines import Engine
from django_jobflow.exceptions import JobInterrupt
from django_jobflow.execute import execute, interrupted, outcome_of
from django_jobflow.outcomes import Outcome
from django_jobflow.worker.committing import Committing
from django_jobflow.worker.connections import read_arguments
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.reports import Reports
from django_jobflow.worker.vitals import NoTrace, Trace
from django_jobflow.worker.watch import Guard


class Seat:
    """Runs bodies inside of a guard, in transactions where they ask for that.

    Args:
        engine: The database in which transactional jobs are settled.
        reports: What the bodies report to.
        trace: What a supervisor sees of them.
        notice: Told when each is to be warned or stopped.
    """

    def __init__(
        self,
        engine: Engine,
        reports: Reports,
        trace: Trace | NoTrace,
        notice: Callable[[float], None],
    ) -> None:
        self.engine = engine
        self.reports = reports
        self.trace = trace
        self.notice = notice
        self.guard = Guard()
        self.committing = Committing(engine, self._call_body, self._is_followed)

    def run_one(self, execution: Execution) -> None:
        """Run *execution* to its end."""
        outcome = self._perform(execution)
        self._call_after_run(execution, outcome)
        if not execution.abandoned:
            execution.end(outcome)

    def _is_followed(self) -> bool:
        """Say whether this thread has another body that commits alone, and runs it next."""
        return False

    def _call_after_run(self, execution: Execution, outcome: Outcome) -> None:
        instance = execution.instance
        if instance is not None and instance._hooks and not execution.abandoned:
            hooks.call(instance, "after_run", outcome)

    def _perform(self, execution: Execution) -> Outcome:
        if execution.definition.transactional:
            return self.committing.alone(execution)
        return self._call_body(execution)

    def _savepoint(self, execution: Execution) -> str | None:
        """Return the alias of the database whose transaction is open around the body."""
        is_inside = execution.definition.transactional
        return self.engine.alias if is_inside else None

    def _call_body(self, execution: Execution) -> Outcome:
        """Run the body inside the guard; an interrupt that comes at its edge changes nothing."""
        outcome: Outcome | None = None
        try:
            try:
                context = execution.begin(self.reports.of(execution))
                self.trace.begin(execution)
                self.guard.enter(execution)
                self.notice(execution.strikes_at)
                outcome = execute(
                    execution.job,
                    execution.reservation,
                    context,
                    read_arguments,
                    execution.attend,
                    self._savepoint(execution),
                )
            finally:
                self.guard.leave()
                self.trace.end()
        except JobInterrupt as interrupt:
            self.guard.leave()
            self.trace.end()
            return outcome or interrupted(execution.reservation, interrupt)
        except BaseException as error:  # a body's own KeyboardInterrupt: no Ctrl-C comes here
            return outcome or outcome_of(error)
        return outcome

"""Transactional bodies: what they write and their end are kept together, or neither is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from django.db import Error, OperationalError, connections, transaction

from django_jobflow import settle
from django_jobflow.attempts import Ending
from django_jobflow.endings import decide
from django_jobflow.engines import Engine
from django_jobflow.engines.repeating import TRIES
from django_jobflow.engines.transactions import Pending, Unanswered, never
from django_jobflow.exceptions import ReservationLost
from django_jobflow.execute import outcome_of
from django_jobflow.outcomes import Cancelled, Failed, Outcome, Released, Succeeded
from django_jobflow.worker.connections import unreached
from django_jobflow.worker.execution import Execution

GROUP_TIME = 0.02  # seconds after which a group takes no further job and commits
GROUP_SIZE = 200  # jobs in one transaction at most

DATABASE_ERRORS = "django.db."  # where their names begin


class Committing:
    """The transactions of one slot.

    Args:
        engine: The database of the jobs, in which they write too.
        call_body: Calls a body and returns its outcome; raises nothing.
        is_followed: Says whether the slot has another body for a transaction of its own.
    """

    def __init__(
        self,
        engine: Engine,
        call_body: Callable[[Execution], Outcome],
        is_followed: Callable[[], bool] = never,
    ) -> None:
        self.engine = engine
        self.call_body = call_body
        self.is_followed = is_followed
        self.transactions = engine.transactions()
        self.pipeline = engine.pipeline()
        self.savepoints = engine.savepoints()
        self._held: dict[Ending, Execution] = {}  # of which is not known how they have ended

    @property
    def is_begun(self) -> bool:
        """Whether the next transaction has begun already."""
        return self.transactions.is_begun or self.pipeline.is_begun

    def end(self) -> list[Execution]:
        """Take in that nothing follows after all; return what has ended by it."""
        self.transactions.end()
        self.pipeline.end()
        return self._over(self.pipeline.take_over())

    def ended(self, execution: Execution) -> list[Execution]:
        """Return what has ended for good, now that the body of *execution* has."""
        ending, over = execution.ending, self.pipeline.take_over()
        if ending is not None and (
            self.pipeline.pending(ending) or any(each.ending is ending for each in over)
        ):
            self._held[ending] = execution
            return self._over(over)
        return [*self._over(over), execution]

    def waits_for_others(self, execution: Execution) -> bool:
        """Say whether what is sent now is not, or not only, what *execution* has to say."""
        return execution.is_pipelined and self.pipeline.waits_for_others

    def give_up(self) -> list[Execution]:
        """Forget, and return, those whose bodies have ended and of which no more is known.

        Called from another thread than all the rest: each is given to one of the two.
        """
        given_up = []
        with suppress(KeyError):
            while True:
                given_up.append(self._held.popitem()[1])
        return given_up[::-1]

    def _over(self, pendings: Iterable[Pending]) -> list[Execution]:
        """Take in what has become of transactions that were pending."""
        over = []
        for pending in pendings:
            execution = self._held.pop(pending.ending, None)
            if execution is None:  # an interrupt has left it in two places
                continue
            execution.lost |= pending.is_lost
            if isinstance(pending.error, Unanswered):
                execution.outcome = _cut_off()
            elif pending.error is not None:
                execution.outcome = outcome_of(pending.error)
            over.append(execution)
        if self._held and not self.pipeline.has_pending:  # an interrupt has cost them their place
            for execution in self.give_up():
                execution.outcome = _cut_off()
                over.append(execution)
        return over

    def alone(self, execution: Execution, *, tries: int = 1) -> Outcome:
        """Run one body and write its end in one transaction.

        Args:
            tries: How often at most, where the body has succeeded and the database has undone
                the transaction for the sake of another.
        """
        outcome: Outcome | None = None
        transactions = self.pipeline if execution.is_pipelined else self.transactions
        try:
            with transactions.next():
                # The first of its hooks: one that the body adds may raise after the commit.
                transaction.on_commit(execution.note_commit, using=self.engine.alias)
                outcome = self.call_body(execution)
                if not isinstance(outcome, Succeeded):
                    raise _Undo(outcome)
                # A hook that is told of the end may write, and not into what follows.
                is_followed = never if execution.is_told else self.is_followed
                execution.ending = ending = decide(execution.reservation, outcome)
                if not transactions.settle(ending, is_followed):
                    raise ReservationLost(f"Job {execution.id} is held by another.")
        except _Undo as undo:
            is_cancelled = isinstance(undo.outcome, Cancelled)
            return _cut_off() if transactions.is_cut and not is_cancelled else undo.outcome
        except ReservationLost:
            execution.lost = True
        except Exception as error:
            is_cut = transactions.is_cut or isinstance(error, Unanswered)
            if is_cut and not execution.settled:
                return _cut_off()
            if tries > 1 and self._is_undone(execution, outcome, error):
                return self.alone(execution, tries=tries - 1)
            return self._after_error(execution, outcome, error)
        assert outcome is not None
        return outcome

    def _is_undone(self, execution: Execution, outcome: Outcome | None, error: Exception) -> bool:
        """Say whether the end was undone with all else, through no fault of the body."""
        return (
            isinstance(outcome, Succeeded)
            and not execution.settled
            and isinstance(error, OperationalError)
            and self.engine.is_undone(error)
        )

    def _after_error(
        self, execution: Execution, outcome: Outcome | None, error: Exception
    ) -> Outcome:
        """Return how a body ended whose transaction did not end well, if there was one at all."""
        if execution.settled:
            settle.commit_hook_failed(execution.reservation, error)
        elif outcome is None and isinstance(error, Error):
            return unreached(error)  # the body has not begun
        elif outcome is None or isinstance(outcome, Succeeded):
            return outcome_of(error)  # the commit failed: a constraint, or the database
        assert outcome is not None
        return outcome

    def together(self, group: Group) -> None:
        """Run several short bodies, each in a savepoint, and write all ends in one commit.

        A body that fails is undone alone. Whatever keeps the group as a whole from being
        committed undoes all of it: those that have not failed are then run again, each in a
        transaction of its own, so that the one at fault fails alone.
        """
        try:
            with self.engine.transaction():
                connection: Any = connections[self.engine.alias]
                # The first of its hooks: one that a body adds may raise after the commit.
                connection.on_commit(group.note_commit)
                with self.savepoints.series():
                    while (execution := group.next()) is not None:
                        self._run_member(group, execution, connection)
                    group.leave()
                self._settle(group)
        except _GivenUp:
            return
        except Exception:
            if not all(execution.settled for execution in group.members):
                self._run_apart(group)
        for execution in group.members:
            group.finish(execution)

    def _run_member(self, group: Group, execution: Execution, connection: Any) -> None:
        _refuse_broken(connection)
        try:
            outcome = self._run_in_savepoint(execution, connection)
        except _Undo as undo:
            outcome = undo.outcome
            if _is_of_the_database(outcome):
                _refuse_broken(connection)  # a deadlock, say: all was undone, by no fault of its
        except Exception as error:
            if execution.begun is None:
                raise  # there was no savepoint to be had, through no fault of the body
            _refuse_broken(connection)  # or else the body has left its own savepoint unusable
            outcome = outcome_of(error)
        group.refuse_given_up()
        execution.end(outcome)
        if isinstance(outcome, Succeeded):
            group.outcomes[execution] = outcome
        else:
            group.members.remove(execution)
            group.finish(execution)

    def _run_in_savepoint(self, execution: Execution, connection: Any) -> Outcome:
        before = len(connection.run_on_commit)
        with self.savepoints.next():
            outcome = self.call_body(execution)
            if not isinstance(outcome, Succeeded):
                raise _Undo(outcome)
            connection.validate_no_broken_transaction()
        if len(connection.run_on_commit) > before:
            # One job's hook that raises must not cost another job its own.
            connection.run_on_commit[before:] = [
                (ids, hook, True) for ids, hook, _ in connection.run_on_commit[before:]
            ]
        return outcome

    def _settle(self, group: Group) -> None:
        group.refuse_given_up()
        # Not by what the executions say: the coordinator may be giving them up just now. Then
        # the fence lets through one of the two.
        for execution, outcome in group.outcomes.items():
            execution.ending = decide(execution.reservation, outcome)
        endings = [each.ending for each in group.outcomes if each.ending is not None]
        written = self.engine.settle(endings) if endings else set()
        lost = [each for each in group.outcomes if each.id not in written]
        if lost:
            group.refuse_given_up()
            for execution in lost:
                execution.lost = True
            raise ReservationLost("Another holds a job of this group.")

    def _run_apart(self, group: Group) -> None:
        for execution in group.members:
            if group.is_given_up:
                return
            if not execution.lost:
                group.now(execution)
                execution.ended = None
                # Others of the group may be what it met, so that costs it no attempt.
                group.end(execution, self.alone(execution, tries=TRIES))


def _cut_off() -> Released:
    """Return the outcome of a body whose transaction may not have come to the database.

    If it has, and is committed, this comes too late and changes nothing.
    """
    return Released("The connection was lost with others.")


def _is_of_the_database(outcome: Outcome) -> bool:
    """Say whether a body failed by what the database has told it."""
    return isinstance(outcome, Failed) and outcome.error.exception.startswith(DATABASE_ERRORS)


def _refuse_broken(connection: Any) -> None:
    """Give the group up if a body has closed or broken the transaction of all."""
    if connection.needs_rollback or connection.closed_in_transaction:
        raise _Broken


class Group:
    """The jobs that one slot runs in one transaction.

    Args:
        first: The first of them.
        following: Returns the next one that may come along, or None.
        now: Told which one runs now.
        finish: Called with each that has ended.

    Attributes:
        members: What runs next, runs or has succeeded, and is not committed yet.
        outcomes: How those have ended that have succeeded.
        is_given_up: Whether another slot has taken the place of this one.
        leave: Told when the last body has ended, before the group commits.
    """

    def __init__(
        self,
        first: Execution,
        following: Callable[[], Execution | None],
        now: Callable[[Execution], None],
        finish: Callable[[Execution], None],
        leave: Callable[[], None] = lambda: None,
    ) -> None:
        self.members = [first]
        self.outcomes: dict[Execution, Outcome] = {}
        self.is_given_up = False
        self.now = now
        self.finish = finish
        self.leave = leave
        self._first: Execution | None = first
        self._following = following
        self._lock = threading.RLock()
        self._size = 0
        self._ends_at = 0.0

    def refuse_given_up(self) -> None:
        """Undo all of it if another slot has taken the place of this one."""
        if self.is_given_up:
            raise _GivenUp

    def give_up(self) -> list[Execution]:
        """Keep it from being committed; return its members, who become no more by now."""
        with self._lock:
            self.is_given_up = True
            return self.members.copy()

    def note_commit(self) -> None:
        """Note that the transaction is committed, with all ends in it."""
        for execution in self.outcomes:
            execution.note_commit()

    def end(self, execution: Execution, outcome: Outcome) -> None:
        """Note how a body has ended, unless it has been settled without it."""
        if not self.is_given_up:
            execution.end(outcome)

    def next(self) -> Execution | None:
        """Return the next body to run, while there is time."""
        execution, self._first = self._first, None
        if execution is not None:
            self._ends_at = time.monotonic() + GROUP_TIME
        elif self._size < GROUP_SIZE and time.monotonic() < self._ends_at:
            with self._lock:
                execution = None if self.is_given_up else self._following()
                if execution is not None:
                    self.members.append(execution)
        if execution is not None:
            self._size += 1
            self.now(execution)
        return execution


class _Undo(Exception):
    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


class _GivenUp(Exception):
    """The coordinator has settled what this slot runs."""


class _Broken(Exception):
    """A body has broken the transaction of its group."""

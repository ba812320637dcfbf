"""PostgreSQL: the end of a job, the commit and the next begin in one round trip."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import Error, transaction

from django_jobflow.attempts import Ending
from django_jobflow.engines.opened import opened
from django_jobflow.engines.postgresql_ends import gone_alone
from django_jobflow.engines.transactions import Transactions, never

if TYPE_CHECKING:
    from django_jobflow.engines.postgresql import PostgreSQLEngine

SLOW = 0.02  # seconds more than at best: a statement by primary key then has a bad plan


class Usual:
    """What a statement takes at best, most of it the way there and back.

    Args:
        slow: How many seconds more are too many.
    """

    def __init__(self, slow: float) -> None:
        self.slow = slow
        self._quickest = float("inf")

    def is_exceeded_since(self, began: float, count: int = 1) -> bool:
        """Take in that so many have ended that *began* then; say whether they were slow."""
        seconds = (time.monotonic() - began) / count
        self._quickest = min(self._quickest, seconds)
        return seconds > self._quickest + self.slow


class ChainedTransactions(Transactions):
    """Those of a slot, which mostly knows what follows while it commits.

    Django thinks of all of them as one block until nothing follows any more. What it would do
    between two of them is done here, and where that is more than to note the commit, the block
    ends.
    """

    def __init__(self, engine: PostgreSQLEngine) -> None:
        super().__init__(engine)
        self.engine: PostgreSQLEngine = engine
        self._block: Any = None
        self._left: list[Any] | None = None
        self._is_slow = False
        self._usual = Usual(SLOW)

    @contextmanager
    def next(self) -> Iterator[None]:
        if self._block is None:
            block = transaction.atomic(using=self.engine.alias)
            block.__enter__()
            self._block = block
        self.is_begun = False
        try:
            yield
        except BaseException:
            self._leave(*sys.exc_info())
            raise
        if not self.is_begun:
            self._leave(None, None, None)

    def end(self) -> None:
        if self.is_begun:
            self.is_begun = False
            connection: Any = self.engine.connection
            connection.needs_rollback = True
            self._leave(None, None, None)

    def _leave(self, *error: Any) -> None:
        block, self._block = self._block, None
        hooks, self._left = self._left, None
        block.__exit__(*error)
        if hooks is not None:
            connection: Any = self.engine.connection
            connection.run_on_commit = hooks
            connection.run_and_clear_commit_hooks()

    def settle(self, ending: Ending, is_followed: Callable[[], bool] = never) -> bool:
        # psycopg is there only where PostgreSQL is used.
        from django_jobflow.engines import postgresql_direct as direct

        connection: Any = self.engine.connection
        connection.validate_no_broken_transaction()
        if self._is_slow or not self._is_own(connection) or not self.engine.goes_alone(ending):
            self._is_slow = False
            return super().settle(ending)
        statement, values = gone_alone(ending, self.engine.plan, or_fail=True)
        prepared = direct.prepared(statement, tuple(values))
        if direct.kept_for(connection.connection, prepared) is None:
            return super().settle(ending)
        begin = direct.begin_of(connection)
        opens = not direct.is_in_transaction(connection)  # the body has not said anything
        if opens and begin is None:
            return super().settle(ending)
        chains = begin is not None and self._can_chain(connection) and is_followed()
        hooks = connection.run_on_commit
        began = time.monotonic()
        try:
            is_there = direct.end_transaction(
                connection,
                prepared,
                values.values(),
                before=begin if opens else None,
                after=begin if chains else None,
            )
        except direct.Unhit:
            return False
        except Error as error:
            self.engine.note_refusal(error)
            raise
        # It may have been the disk: what the statement alone takes, the next one will tell.
        self._is_slow = self._usual.is_exceeded_since(began)
        if not is_there:
            self._left = hooks  # of a transaction that is committed
        elif chains:
            self._begin(connection)
        return True

    def _can_chain(self, connection: Any) -> bool:
        """Say whether the server may begin the next transaction with the end of this one."""
        from django_jobflow.engines import postgresql_direct as direct

        return self._has_nothing_else(connection) and direct.is_patient(connection)

    def _has_nothing_else(self, connection: Any) -> bool:
        """Say whether nothing has to be done between this transaction and the next.

        No hook of the body's, and nothing to see to on a connection to another database.
        """
        if len(connection.run_on_commit) > 1:
            return False
        return [each for each in opened.all() if each.connection] == [connection]

    def _is_own(self, connection: Any) -> bool:
        """Say whether what is open on *connection* is this transaction, and nothing else."""
        from django_jobflow.engines import postgresql_direct as direct

        return (
            direct.PIPELINES
            and self._block is not None
            and connection.commit_on_exit
            and not connection.savepoint_ids
            and direct.is_sound(connection)
            and not direct.is_watched(connection)
        )

    def _begin(self, connection: Any) -> None:
        """Do what Django does behind a commit, for the one that has gone along with it."""
        hooks, connection.run_on_commit = connection.run_on_commit, []
        connection.errors_occurred = False
        self.is_begun = True
        for _, hook, _ in hooks:
            hook()

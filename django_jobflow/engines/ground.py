"""What every part of an engine stands on: the connection, the clock, transactions, locks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import Error, connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Case, DurationField, ExpressionWrapper, Q, Value, When
from django.db.models.functions import Now
from django.utils import timezone

from django_jobflow import conf, states
from django_jobflow.engines.savepoints import Savepoints
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.states import JobState

T = TypeVar("T")

SWEEP_BATCH = 1000  # rows that one statement of a sweep takes

FREED: dict[str, Any] = {"reserved_by": None, "reserved_at": None, "expires": None}
"""What a record that nobody holds has in these columns."""

AVAILABLE_OR_WAITING = Case(
    When(execution_key__isnull=True, then=Value(JobState.AVAILABLE.value)),
    default=Value(JobState.WAITING.value),
)
"""The state of a record that is due: one with an execution key waits for its turn."""


def batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield *items* in pieces; ``itertools.batched`` came with Python 3.12."""
    return (items[start : start + size] for start in range(0, len(items), size))


def before(verb: str) -> list[str]:
    """Return the states from which *verb* may move a record, for a guard."""
    return sorted(state.value for state in states.origins(verb))


def _close_half(connection: BaseDatabaseWrapper) -> None:
    """Close *connection* if Django has not come to set autocommit on it; no other."""
    if connection.connection is None or connection.in_atomic_block:
        return
    if connection.autocommit != connection.settings_dict["AUTOCOMMIT"]:
        connection.close()


class Ground:
    """The verbs on one database, through that database's connection of this thread."""

    def __init__(self, alias: str) -> None:
        self.alias = alias

    # Ground

    def named(
        self, ids: Collection[int], *conditions: Q, **facts: Any
    ) -> models.QuerySet[JobRecord]:
        """Return the query of the records with these *ids* of which all that holds.

        Nothing but the key leads to them: a planner sees nothing in a CASE that an index could
        serve. By the conditions themselves, one that expects few rows in a state would rather
        read the index of the state, with all that lies dead in it, than look up the keys.
        """
        holds = Case(
            When(Q(*conditions, **facts), then=Value(True)),
            default=Value(False),
            output_field=models.BooleanField(),
        )
        return self.records.filter(holds, pk__in=ids)

    @property
    def connection(self) -> BaseDatabaseWrapper:
        return connections[self.alias]

    @property
    def records(self) -> models.QuerySet[JobRecord]:
        return JobRecord._base_manager.using(self.alias)

    @property
    def succeeded(self) -> models.QuerySet[SucceededJob]:
        return SucceededJob._base_manager.using(self.alias)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Open a transaction, or a savepoint in the caller's."""
        with transaction.atomic(using=self.alias):
            yield

    def after_commit(self, action: Callable[[], object], *, robust: bool = True) -> None:
        """Do *action* once the caller's transaction is committed.

        Args:
            robust: Whether Django logs an error of it, of which nobody else hears then. So if
                the server died while Django connected, nobody else would close what is half a
                connection, on which no block can be opened.
        """

        def act() -> None:
            try:
                action()
            except Error:
                _close_half(self.connection)
                raise

        transaction.on_commit(act, using=self.alias, robust=robust)

    def savepoints(self) -> Savepoints:
        """Return how parts of the transaction that is open are undone alone."""
        return Savepoints(self.alias)

    def current(self) -> Any:
        """Return the expression for the database's clock."""
        return Now()

    def clock(self, now: datetime | None, plus: timedelta = timedelta(0)) -> Any:
        """Return the expression for *now* on the database's clock, *plus* later."""
        if now is not None:
            return Value(now + plus, output_field=models.DateTimeField())
        if not plus:
            return self.current()
        later = self.current() + Value(plus, output_field=DurationField())
        return ExpressionWrapper(later, output_field=models.DateTimeField())

    def _returned(
        self, statement: str, values: Mapping[str, Any] | Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        """Return the rows that a *statement* of our own returns."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    tells_changes = False
    """Whether ``has_changed`` costs next to nothing."""

    def has_changed(self) -> bool:
        """Say whether another connection has written since the last call."""
        return False

    def _set_up_session(self) -> None:
        """Prepare the session of a worker, once for each connection."""

    def end_session(self) -> None:
        """Leave the connection as a worker has found it."""

    def now(self, now: datetime | None = None) -> datetime:
        """Return *now*, or what the database's clock says: one statement."""
        if now is not None:
            return now
        compiler = self.records.query.get_compiler(self.alias)
        sql, params = compiler.compile(self.current().resolve_expression(compiler.query))
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT {sql}", params)
            moment: datetime = cursor.fetchone()[0]
        if conf.has_time_zones() and timezone.is_naive(moment):
            return moment.replace(tzinfo=self.connection.timezone)
        return moment

    def is_undone(self, error: Exception) -> bool:
        """Say whether *error* means that a transaction was undone for the sake of another."""
        return False

    def locked(self, rows: models.QuerySet[Any], *, skip: bool) -> Any:
        """Lock *rows* in the order of their ids, passing over those that others hold if *skip*.

        Where rows cannot be locked, the transaction has the whole database for itself.
        """
        if not self.locks_rows:
            return rows
        skips = self.connection.features.has_select_for_update_skip_locked
        return rows.select_for_update(skip_locked=skip and skips, of=())

    @property
    def locks_rows(self) -> bool:
        """Whether rows can be locked one by one, so that others write at the same time."""
        return self.connection.features.has_select_for_update

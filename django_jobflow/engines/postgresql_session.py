"""PostgreSQL: the session of a worker, whose statements the server binds and plans once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db.backends.utils import CursorWrapper
from django.db.models import QuerySet

from django_jobflow.engines.postgresql_glances import Glances
from django_jobflow.engines.postgresql_head import Head
from django_jobflow.engines.postgresql_waking import Notifying, code_of
from django_jobflow.engines.waking import WHOLE, Glance, Look
from django_jobflow.models import JobRecord

UNPREPARED = {"26000", "42P05"}  # what a pooler without prepared statements makes of one

# The statements of a cycle are prepared, so that they are planned once. Their plan has to be
# right for a table of any size, also if it is empty when the plan is made.
SETTINGS = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}

# By itself the server would take a plan for the values at hand to be so much cheaper that it
# makes one each time, which costs it twice what the statement does. States stand in our own
# statements as literals, but not in those of the ORM where the server binds the values: planned
# without these, they find no partial index.
PLANNED_ONCE = {"plan_cache_mode": "force_generic_plan"}

END_OF_SESSION = "; ".join(f"RESET {name}" for name in SETTINGS | PLANNED_ONCE)


class Served(Notifying):
    """The engine of PostgreSQL, as far as it keeps a session.

    Attributes:
        prepares: Whether statements may be prepared; not behind a pooler.
    """

    prepares = True
    _session: Any = None

    # What a worker remembers; one that only enqueues has an engine for each call.

    @cached_property
    def _head(self) -> Head:
        return Head()

    @cached_property
    def _glances(self) -> Glances:
        return Glances(self._head)

    def _glance(
        self, queues: Sequence[str] | None, now: datetime | None, look: Look = WHOLE
    ) -> tuple[Glance, Any]:
        self._set_up_session()
        if now is not None:
            return super()._glance(queues, now)
        began = time.monotonic()
        part = self._glances.look(queues, began)
        glance, moment = super()._glance(queues, None, part)
        ended = time.monotonic()
        return self._glances.note(queues, part, glance, moment, began, ended), moment

    def rescue(self, rows: QuerySet[JobRecord], now: datetime | None) -> list[JobRecord]:
        if now is None and self._glances.is_sure_of_leases:
            return []
        return super().rescue(rows, now)

    def fail_lost(self, rows: QuerySet[JobRecord], now: datetime | None) -> list[JobRecord]:
        is_sure = now is None and self._glances.is_sure_of_leases
        lost = [] if is_sure else super().fail_lost(rows, now)
        self._glances.note_sweep()  # this is the second half of one
        return lost

    def activate_scheduled(self, rows: QuerySet[JobRecord], now: datetime | None) -> int:
        after = self._glances.due_after() if now is None else None
        if after is not None:
            return super().activate_scheduled(rows.filter(available_at__gt=after), now)
        try:
            return super().activate_scheduled(rows, now)
        except Exception:
            self._glances.distrust()  # what was to be seen to still is
            raise

    def look_anew(self) -> None:
        self._head.forget()
        self._glances.distrust()

    def end_session(self) -> None:
        if self._session is not None and self._session is self.connection.connection:
            with self.connection.cursor() as cursor:
                cursor.execute(END_OF_SESSION)
        self._session = None

    def _set_up_session(self) -> None:
        connection: Any = self.connection
        connection.ensure_connection()
        if not self.prepares or connection.connection is self._session:
            return
        if not self.keeps_sessions:
            self.prepares = False
            return
        binds = connection.settings_dict["OPTIONS"].get("server_side_binding") is True
        settings = SETTINGS if binds else SETTINGS | PLANNED_ONCE
        said = ", ".join(
            f"set_config('{name}', '{value}', false)" for name, value in settings.items()
        )
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {said}")
        self._session = connection.connection

    def _serves_slots(self) -> bool:
        """Whether this is a slot's connection, in a worker that may prepare statements."""
        mine = self.connection.connection
        return self.prepares and self._session is not None and mine is not self._session

    def _read(self, sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        return self._served(sql, values)

    def _served(
        self,
        statement: str,
        values: dict[str, Any] | Sequence[Any],
        prepares: bool | None = None,
    ) -> list[tuple[Any, ...]]:
        """Return the rows of *statement*, whose parameters the server binds."""
        if prepares is None:
            prepares = self.prepares and self._session is self.connection.connection
        try:
            with self._server_cursor(prepares) as cursor:
                cursor.execute(statement, values)
                return list(cursor.fetchall())
        except Exception as error:
            if not prepares or code_of(error) not in UNPREPARED:
                raise
            self.prepares = False
            if self.connection.in_atomic_block:
                raise  # it is broken; the caller's next try is not prepared
        return self._served(statement, values, prepares=False)

    def _hits(self, statement: str, values: dict[str, Any]) -> bool:
        """Say whether a *statement* that is to be prepared returns a row.

        In a transaction that is open already it goes without a cursor, and what that costs.
        """
        # psycopg is there only where PostgreSQL is used.
        from django_jobflow.engines import postgresql_direct as direct

        connection: Any = self.connection
        connection.validate_no_broken_transaction()
        raw = connection.connection
        # One that psycopg prepares keeps this connection from all that it does not know of.
        if direct.is_watched(connection) or raw.prepare_threshold is not None:
            return bool(self._served(statement, values, prepares=True))
        prepared = direct.prepared(statement, tuple(values))
        kept = direct.kept_for(raw, prepared) if direct.is_in_transaction(connection) else None
        if kept is None:
            return bool(self._served(statement, values, prepares=False))
        try:
            return any(direct.row(connection, kept, prepared, direct.texts(values.values())))
        except Exception as error:
            self.note_refusal(error)
            raise

    def note_refusal(self, error: Exception) -> None:
        """Prepare nothing any more if *error* says that the session does not keep it."""
        self.prepares = self.prepares and code_of(error) not in UNPREPARED

    def _server_cursor(self, prepares: bool) -> CursorWrapper:
        """Return a cursor as Django's, but with values and rows in PostgreSQL's own form."""
        # psycopg is there only where PostgreSQL is used.
        from django_jobflow.engines.postgresql_cursor import Planned, Prepared

        connection: Any = self.connection
        connection.ensure_connection()
        cursor = (Prepared if prepares else Planned)(connection.connection)
        wrapped: CursorWrapper = connection._prepare_cursor(cursor)
        return wrapped

"""PostgreSQL: one call goes to the server by a prepared statement, past the cursor."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django_jobflow.calls import Call, Terms
from django_jobflow.engines import postgresql_direct as direct
from django_jobflow.engines.storing import note_stored
from django_jobflow.models import JobRecord

if TYPE_CHECKING:
    from django_jobflow.engines.storing_postgresql import PostgreSQLStoring

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # that of PostgreSQL's binary form


class Insertion:
    """How the calls of one job are inserted that say the same columns.

    Args:
        terms: What they have in common.
        statement: With a place for each of *columns*.
        common: The values of the first of these, which are those of *terms*.
    """

    def __init__(
        self, terms: Terms, statement: str, columns: tuple[str, ...], common: Iterable[object]
    ) -> None:
        self.terms = terms
        self.statement = direct.prepared(statement, columns)
        # Sent as texts: the server knows by the columns what they are.
        self.common = [str(value).encode() for value in common]

    def of(
        self, engine: PostgreSQLStoring, connection: Any, call: Call, given: Mapping[str, str]
    ) -> JobRecord | None:
        """Insert *call* and return its record; None where that is not the way.

        Args:
            given: The columns that *call* says.
        """
        raw = direct.way(connection)
        kept = None if raw is None else direct.kept_for(raw, self.statement)
        if kept is None:
            return None
        texts = [*self.common, *[text.encode() for text in given.values()]]
        queue = self.terms.queue
        now = time.monotonic()
        is_ready = call.execution_key is None
        news = engine.news_of(queue, now) if is_ready else ""
        record: JobRecord | None = None

        def make() -> None:  # while the server is at it
            nonlocal record
            record = engine._as_given(self.terms, call)

        sent = (connection, kept, self.statement, texts)
        if news and direct.PIPELINES:
            row, said = direct.row_and_word(*sent, news, make)
            if said:
                engine.note_news(queue, now)
        else:
            row = direct.row(*sent, make)
            if is_ready and not news:
                engine.note_silence(now)
        pk, created_at = row
        moment = EPOCH + timedelta(microseconds=int.from_bytes(created_at, signed=True))
        assert record is not None
        note_stored(record, int.from_bytes(pk), moment.astimezone(connection.timezone))
        return record

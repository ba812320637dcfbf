"""Cursors of psycopg that leave the binding of parameters to the server.

Django's own put the parameters into the text of the statement, which costs more for long
lists and leaves nothing to prepare.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.pq import Format

NEVER_BY_ITSELF = 2**31  # executions after which psycopg prepares a statement unasked


class Planned(psycopg.Cursor[Any]):
    """Has each statement planned anew: needs nothing that a session keeps."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        super().__init__(connection)
        self.format = Format.BINARY  # of the rows: quicker to read

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        return super().execute(query, params, prepare=False)


class Prepared(Planned):
    """Has each statement planned once for a connection."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        super().__init__(connection)
        # Django leaves it at None: psycopg then prepares nothing, not even what it is told to.
        if connection.prepare_threshold is None:
            connection.prepare_threshold = NEVER_BY_ITSELF

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        return super(Planned, self).execute(query, params, prepare=True)

"""The connections of the calling thread: to ask Django for them takes a short body's time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created


class Opened(threading.local):
    """Those that were there when Django was asked last, if none was opened since.

    Django tells of each that it opens. Nobody tells of one that a body has dropped, or put in
    the place of another, so they are looked at anew now and then.
    """

    connections: Sequence[BaseDatabaseWrapper] | None = None

    def forget(self, **_: Any) -> None:
        """Take in that there may be another."""
        self.connections = None

    def look(self) -> Sequence[BaseDatabaseWrapper]:
        """Ask Django for them."""
        self.connections = connections.all(initialized_only=True)
        return self.connections

    def all(self) -> Sequence[BaseDatabaseWrapper]:
        """Return them."""
        return self.look() if self.connections is None else self.connections


opened = Opened()
connection_created.connect(opened.forget)

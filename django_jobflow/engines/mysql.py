"""MariaDB and MySQL."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

from django.db import OperationalError, models
from django.db.models import DurationField, ExpressionWrapper, Func, Value
from django.utils import timezone

from django_jobflow.engines.base import Engine


class UtcNow(Func):
    """Now in UTC; ``Now()`` is in the zone of the session, which Django does not set."""

    template = "UTC_TIMESTAMP(6)"
    output_field = models.DateTimeField()


DEADLOCK, LOCK_WAIT_TIMEOUT = 1213, 1205  # the server undid our transaction for another
TRIES = 5
PAUSE = 0.01  # seconds, at most, before the next try

VERBS = (
    "insert",
    "insert_many",
    "replace_waiting",
    "reserve",
    "reserve_records",
    "start",
    "start_record",
    "extend",
    "release",
    "settle",
    "_take_batch",
    "_activate_batch",
    "promote_waiting",
    "run_now",
    "retry",
    "cancel",
    "delete",
    "prune_ended",
    "prune_succeeded",
)
"""The verbs that write; each is one short transaction that can be made again."""


class MySQLEngine(Engine):
    """The engine of MariaDB and MySQL.

    InnoDB locks gaps and entries of every index, so that two transactions may meet however
    well their rows are ordered. Inside a transaction of the caller, the error is the caller's.
    """

    def is_undone(self, error: Exception) -> bool:
        return bool(error.args) and error.args[0] in {DEADLOCK, LOCK_WAIT_TIMEOUT}

    def current(self) -> Any:
        # Django keeps moments without their zone here: in UTC, unless it is told otherwise.
        zone = self.connection.timezone or timezone.get_default_timezone()
        offset = datetime.now(zone).utcoffset()
        if not offset:
            return UtcNow()
        local = UtcNow() + Value(offset, output_field=DurationField())
        return ExpressionWrapper(local, output_field=models.DateTimeField())


def _repeated(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Make *verb* once more when its own transaction was undone for the sake of another."""

    @wraps(verb)
    def repeated(self: MySQLEngine, *args: Any, **kwargs: Any) -> Any:
        for _ in range(TRIES - 1):
            try:
                return verb(self, *args, **kwargs)
            except OperationalError as error:
                if self.connection.in_atomic_block or not self.is_undone(error):
                    raise
                time.sleep(random.uniform(0, PAUSE))
        return verb(self, *args, **kwargs)

    return repeated


for _verb in VERBS:
    setattr(MySQLEngine, _verb, _repeated(getattr(Engine, _verb)))

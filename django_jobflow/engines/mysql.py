"""MariaDB and MySQL."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import DurationField, ExpressionWrapper, Func, Value
from django.utils import timezone

from django_jobflow.engines.base import Engine
from django_jobflow.engines.repeating import repeating

DEADLOCK, LOCK_WAIT_TIMEOUT = 1213, 1205


class UtcNow(Func):
    """Now in UTC; ``Now()`` is in the zone of the session, which Django does not set."""

    template = "UTC_TIMESTAMP(6)"
    output_field = models.DateTimeField()


@repeating
class MySQLEngine(Engine):
    """The engine of MariaDB and MySQL."""

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

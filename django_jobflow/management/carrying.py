"""Carrying a bulk operation out at a command line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.utils import translation

from django_jobflow import bulk
from django_jobflow.engines import Engine
from django_jobflow.models import BulkOperation, BulkState

PAUSE = 0.2  # seconds between two looks, at most


@contextmanager
def project_language() -> Iterator[None]:
    """Let hooks and receivers speak LANGUAGE_CODE, as in a worker; what is printed is English."""
    translation.deactivate()
    try:
        yield
    finally:
        translation.deactivate_all()


def carry_out(engine: Engine, operation: BulkOperation) -> None:
    """Do part after part of *operation*, together with workers, until it does not run any more."""
    while True:
        with project_language():
            has_more = bulk.turn(engine, operation.pk)
        if has_more:
            continue
        operation.refresh_from_db(using=engine.alias)
        if operation.state != BulkState.RUNNING:
            return
        due_in = (operation.next_at - engine.now()).total_seconds()
        time.sleep(min(max(due_in, 0.01), PAUSE))

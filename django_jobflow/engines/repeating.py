"""Making a verb again whose transaction the database undid for the sake of another."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.db import OperationalError

from django_jobflow.engines.base import Engine

TRIES = 8
PAUSE = 0.01  # seconds, at most, before the second try; then twice as many each time

VERBS = (
    "store",
    "store_many",
    "store_unique",
    "store_many_unique",
    "replace_waiting",
    "reserve",
    "reserve_records",
    "start",
    "start_record",
    "extend",
    "release",
    "settle",
    "exchange",
    "_take_batch",
    "_activate_batch",
    "_expire_batch",
    "_finish",
    "close_batch",
    "promote_waiting",
    "run_now",
    "reschedule",
    "edit",
    "retry",
    "cancel",
    "delete",
    "delete_succeeded",
    "prune",
    "write_logs",
    "delete_logs",
    "prune_stray_logs",
)
"""The verbs that write; each is one short transaction that can be made again."""

E = TypeVar("E", bound=type[Engine])
T = TypeVar("T")


def repeating(engine: E) -> E:
    """Let the verbs of *engine* be made again when ``is_undone`` says that they were undone.

    Rows are locked in the order of their ids, but two statements may still meet: an UPDATE
    takes them as its plan finds them, and InnoDB locks gaps and entries of every index. Inside
    a transaction of the caller the error is the caller's.
    """
    for verb in VERBS:
        setattr(engine, verb, _repeated(getattr(engine, verb)))
    return engine


def again(engine: Engine, action: Callable[[], T]) -> T:
    """Return what *action* returns, made again when ``is_undone`` says that it was undone.

    It is a transaction of its own; inside one of the caller the error is the caller's.
    """
    for number in range(TRIES - 1):
        try:
            return action()
        except OperationalError as error:
            if engine.connection.in_atomic_block or not engine.is_undone(error):
                raise
            time.sleep(random.uniform(0, PAUSE * 2**number))
    return action()


def _repeated(verb: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(verb)
    def repeated(self: Engine, *args: Any, **kwargs: Any) -> Any:
        return again(self, lambda: verb(self, *args, **kwargs))

    return repeated

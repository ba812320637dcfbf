"""What a commit does, inside the transaction of a ``TestCase``, which never commits."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.test import TestCase

logger = logging.getLogger("django.test")  # where Django's own tests say so


Hooks = dict[int, Any]
"""What transactions have put off, by the identity of each."""

_captured: Hooks = {}
"""What ``captureOnCommitCallbacks`` has handed to a test, or has run for it."""


def put_off() -> Hooks:
    """Return what waits for commits now, on all connections of this thread."""
    return {id(hook): hook for each in _open() for hook in each.run_on_commit}


def run_hooks(*, but: Hooks | None = None, robust: bool = False) -> None:
    """Run what ``transaction.on_commit`` has put off in this test, and what that puts off.

    What an ``atomic`` block has put off that is still open stays there, and so does what
    ``setUpTestData`` has, or ``captureOnCommitCallbacks`` has captured. Outside a ``TestCase``
    there is nothing to do: the commits are real.

    Args:
        but: Leave these where they are.
        robust: Log what a hook raises, whatever it was put off with.
    """
    _forget_captured()
    but = {**(but or {}), **_captured}
    while hooks := [hook for each in _open() for hook in _take(each, but)]:
        for _, function, is_robust in hooks:
            try:
                function()
            except Exception as error:
                if not (robust or is_robust):
                    raise
                name = getattr(function, "__qualname__", repr(function))
                logger.error(f"Error calling {name} in on_commit() (%s).", error, exc_info=True)


def _forget_captured() -> None:
    """Forget what no connection has any more, since its test is over."""
    there = {id(hook) for each in connections.all() for hook in each.run_on_commit}
    for key in _captured.keys() - there:
        del _captured[key]


def _mark_what_is_captured() -> None:
    """Have Django's own tool say what it has captured: it leaves it where it was."""
    django: Any = TestCase.captureOnCommitCallbacks
    original = django.__func__

    @contextmanager
    @wraps(original)
    def capture(
        cls: type[TestCase], *, using: str = DEFAULT_DB_ALIAS, execute: bool = False
    ) -> Iterator[list[Any]]:
        before = {id(hook) for hook in connections[using].run_on_commit}
        try:
            with original(cls, using=using, execute=execute) as callbacks:
                yield callbacks
        finally:
            after = {id(hook): hook for hook in connections[using].run_on_commit}
            _captured.update({key: hook for key, hook in after.items() if key not in before})

    TestCase.captureOnCommitCallbacks = classmethod(capture)  # type: ignore[method-assign,assignment]


_mark_what_is_captured()


def _open() -> list[Any]:
    """Return the connections of this thread that are inside of a transaction."""
    return [each for each in connections.all(initialized_only=True) if each.in_atomic_block]


def _take(connection: Any, but: Hooks) -> list[Any]:
    """Take off *connection* what would have run by now, had its test been committed."""
    tests_own = sum(getattr(each, "_from_testcase", False) for each in connection.atomic_blocks)
    if not tests_own:
        return []
    # The outermost block is a transaction, and each one in it a savepoint.
    savepoints = connection.savepoint_ids
    of_test, still_open = savepoints[: tests_own - 1], set(savepoints[tests_own - 1 :])
    due: list[Any] = []
    later: list[Any] = []
    for hook in connection.run_on_commit:
        is_due = hook[0].issuperset(of_test[-1:]) and still_open.isdisjoint(hook[0])
        (due if is_due and id(hook) not in but else later).append(hook)
    connection.run_on_commit = later
    return due


@contextmanager
def apart() -> Iterator[None]:
    """Keep a statement that fails inside from breaking the transaction of the test.

    A worker's body that fails outside of ``atomic`` leaves what it has written before. So it is
    here, unless the database itself goes on with nothing but a rollback.

    Database:
        Two statements for each connection that is inside of a transaction.
    """
    before = put_off()
    opened = [(each, each.savepoint()) for each in _open() if each.features.uses_savepoints]
    try:
        yield
    finally:
        for connection, savepoint in reversed(opened):
            _close(connection, savepoint, before)


def _close(connection: Any, savepoint: str, before: Hooks) -> None:
    if not connection.needs_rollback:
        try:
            connection.savepoint_commit(savepoint)
            return
        except DatabaseError:  # PostgreSQL takes no statement more
            pass
    connection.needs_rollback = False
    connection.savepoint_rollback(savepoint)
    connection.run_on_commit = [each for each in connection.run_on_commit if id(each) in before]

"""Executing at once what is enqueued, where ``JOBFLOW["INLINE"]`` says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django_jobflow import conf
from django_jobflow.engines import Engine
from django_jobflow.exceptions import JobflowError

RUNAWAY = 1000  # executions after which jobs are taken to enqueue each other for ever


class _Line(threading.local):
    """What is to be executed once the body of this thread has ended; None outside of one."""

    ids: list[int] | None = None


_line = _Line()


def execute_at_once(engine: Engine, ids: Sequence[int]) -> None:
    """Execute these records, unless they are not due; called by ``enqueue``.

    Raises:
        JobflowError: They enqueue others for ever.
    """
    if _line.ids is not None:
        _line.ids += ids
        return
    # The worker's parts are there only where they are used.
    from django_jobflow.testing.single import execute_due

    with held_back() as line:
        line += ids
        for number, pk in enumerate(line):  # which grows meanwhile
            if number >= len(ids) + RUNAWAY:
                raise JobflowError(
                    f"JOBFLOW['INLINE']: expected an enqueue to lead to at most {RUNAWAY} others, "
                    "got more. Does a job enqueue itself?"
                )
            executed = execute_due(engine, pk)
            if executed is not None and conf.current().INLINE == "raise":
                executed.raise_error()


@contextmanager
def held_back() -> Iterator[list[int]]:
    """Only collect what this thread enqueues inside."""
    before, _line.ids = _line.ids, []
    try:
        yield _line.ids
    finally:
        _line.ids = before

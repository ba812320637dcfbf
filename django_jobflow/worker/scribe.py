"""Writing what bodies have logged; in the way of no end."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django_jobflow import events
from django_jobflow.engines import Engine
from django_jobflow.models import JobLog
from django_jobflow.outcomes import Succeeded
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.logbook import Logbook, Pages
from django_jobflow.worker.trouble import TROUBLE

logger = logging.getLogger("django_jobflow.worker")

NOTHING = timedelta(0)


def write_down(engine: Engine, executions: Iterable[Execution]) -> None:
    """Write what is new of the lines of *executions*, over what was written before.

    Whatever the database has against them is logged, unless it cannot be reached at all: then
    they are written once it can be.

    Database:
        Nothing where no job keeps its lines. One INSERT for each 50 attempts that have logged
        something; one DELETE for those that have succeeded and are not kept.
    """
    books = [(each, each.logbook) for each in executions if each.logbook is not None]
    if not books:
        return
    session = engine.connection.connection
    try:
        _write(engine, [each for each in books if each[1].has_news and not _is_gone(each[0])])
        _remove(engine, [each for each in books if _is_gone(each[0])])
    except TROUBLE as error:
        if not _is_whole(engine, session):
            raise
        events.log(
            logger,
            logging.ERROR,
            "logs_not_written",
            job_ids=[each.id for each, _ in books],
            error=repr(error),
        )


def _is_whole(engine: Engine, session: Any) -> bool:
    """Say whether the connection still is that of *session*, and works.

    Where a rollback has failed, Django has connected anew by now, which the worker must notice:
    the new session does not listen.
    """
    connection = engine.connection
    return session is not None and connection.connection is session and connection.is_usable()


def _write(engine: Engine, books: list[tuple[Execution, Logbook]]) -> None:
    if not books:
        return
    pages = [book.pages() for _, book in books]
    engine.write_logs([_row(each, page) for (each, _), page in zip(books, pages, strict=True)])
    for (_, book), page in zip(books, pages, strict=True):
        book.written = page.total


def _row(execution: Execution, pages: Pages) -> JobLog:
    reservation = execution.reservation
    return JobLog(
        job_id=reservation.id,
        reserved_count=reservation.reserved_count,
        attempt=reservation.attempt,
        worker=reservation.worker,
        entries=pages.entries,
        left_out=pages.left_out,
    )


def _remove(engine: Engine, books: list[tuple[Execution, Logbook]]) -> None:
    """Delete what was written of jobs that are not kept, and of their earlier attempts."""
    engine.delete_logs(
        [each.id for each, book in books if book.written or each.reservation.reserved_count > 1]
    )


def _is_gone(execution: Execution) -> bool:
    """Say whether nothing is kept of an execution's job, since it has succeeded."""
    is_kept = execution.job.definition().retain_succeeded != NOTHING
    return isinstance(execution.outcome, Succeeded) and not is_kept

"""A check that always returns in time, whatever the database does."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import Future
from datetime import timedelta

from django.db import Error, connections

from django_jobflow import conf
from django_jobflow.health.asking import ask, failed
from django_jobflow.health.limits import TIMEOUT, Limits
from django_jobflow.health.values import Finding, Health

_stuck: dict[str, threading.Thread] = {}
"""The last thread that did not get an answer in time, by the alias that it has asked."""


def check(
    alias: str | None = None, limits: Limits | None = None, timeout: timedelta = TIMEOUT
) -> Health:
    """Return the health of the jobs behind *alias*, or behind JOBFLOW["DATABASE"].

    A thread asks, on a connection of its own. A host that does not answer, or a table that is
    locked, can hold it up for minutes, and no option of a driver covers all of that. While one
    is held up no other is started.

    Args:
        timeout: After which the database counts as silent.
    """
    alias = alias or conf.current().DATABASE
    limits = limits or Limits()
    stuck = _stuck.get(alias)
    if stuck is None or not stuck.is_alive():
        answer: Future[Health] = Future()
        thread = threading.Thread(
            target=_answer, args=(answer, alias, limits), name="jobflow-health", daemon=True
        )
        thread.start()
        try:
            return answer.result(timeout.total_seconds())
        except TimeoutError:
            if answer.done():
                raise
            _stuck[alias] = thread
    return failed(alias, limits, Finding.DATABASE_SILENT)


def _answer(answer: Future[Health], alias: str, limits: Limits) -> None:
    try:
        try:
            found = ask(alias, limits)
        finally:
            with contextlib.suppress(Error):
                connections[alias].close()
    except BaseException as error:
        answer.set_exception(error)
    else:
        answer.set_result(found)

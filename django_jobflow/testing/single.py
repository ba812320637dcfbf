"""Executing one record, and no other."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import F
from django.views.decorators.debug import sensitive_variables

from django_jobflow import conf, settle
from django_jobflow.attempts import Reservation, reservation_of
from django_jobflow.engines import Engine, engine_for
from django_jobflow.exceptions import JobflowError
from django_jobflow.models import JobRecord
from django_jobflow.outcomes import Outcome
from django_jobflow.states import JobState
from django_jobflow.testing.at_once import held_back
from django_jobflow.testing.executing import Bench, Executed
from django_jobflow.testing.meaning import is_result, job_of, place_of
from django_jobflow.worker.options import new_name


@sensitive_variables()
def run_job(job: Any, /, *args: Any, **kwargs: Any) -> Outcome:
    """Execute one job through its whole way, and return how it has ended.

    The call is bound, checked, encoded and stored as ``enqueue`` does; it is then reserved,
    started, decoded, executed and settled. Its due time does not matter, nor do limits and
    pauses. Other records are left alone.

    Args:
        job: A ``Job`` class, a ``@job`` function, a task, what ``using`` returns of them, or
            the name of one, with the arguments of the call; or the record or the result of a
            call that waits, without any.

    Raises:
        JobflowError: The record does not wait to be executed, or a queue key kept the call
            from being stored.
        InvalidJob: It is a task on a backend that stores no records.
    """
    if isinstance(job, JobRecord) or is_result(job):
        return _outcome_of(*place_of(job))
    found = job_of(job)
    with held_back():
        stored = (found if isinstance(job, str) else job).enqueue(*args, **kwargs)
    alias, pk = place_of(stored)
    if stored.duplicate:
        key = JobRecord.objects.using(alias).get(pk=pk).queue_key
        raise JobflowError(
            f"{found._name}: expected the call to be stored, got job {pk}, which holds the queue "
            f"key {key!r}."
        )
    return _outcome_of(alias, pk)


arun_job = sync_to_async(run_job)
"""Do what ``run_job`` does, from async code."""


def _outcome_of(alias: str, pk: int) -> Outcome:
    engine = engine_for(alias)
    engine.run_now(engine.records.filter(pk=pk), None)
    with held_back():
        executed = execute_due(engine, pk)
    if executed is None:
        found = engine.records.filter(pk=pk).first()
        reason = found.why() if found is not None else "it is not in the live table."
        raise JobflowError(f"Job {pk} cannot be executed now: {reason}")
    return executed.outcome


def execute_due(engine: Engine, pk: int) -> Executed | None:
    """Execute a record if it is due and has its execution key; return None if not."""
    engine.activate_scheduled(engine.records.filter(pk=pk), None)
    engine.promote_waiting()
    reservation = _start(engine, pk)
    if reservation is None:
        return None
    settle.report_starts([reservation])
    bench = Bench(engine)
    try:
        return bench.run(reservation)
    finally:
        bench.close()


def _start(engine: Engine, pk: int) -> Reservation | None:
    """Reserve and start the AVAILABLE record *pk*, as ``reserve`` does for a whole table."""
    settings = conf.current()
    with engine.transaction():
        moment = engine.clock(None)
        reserved = engine.records.filter(pk=pk, state=JobState.AVAILABLE).update(
            state=JobState.RESERVED,
            reserved_by=new_name(),
            reserved_at=moment,
            reserved_count=F("reserved_count") + 1,
            expires=engine.clock(None, settings.RESERVATION_TIMEOUT),
            updated_at=moment,
        )
        if not reserved:
            return None
        reservation = reservation_of(engine.records.get(pk=pk))
        started = engine.start([reservation], lease=settings.LEASE)
    return next(iter(started), None)

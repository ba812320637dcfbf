"""What every worker does beside executing: rescue what the dead held, prune what is old."""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import timedelta
from functools import partial

from django_jobflow import conf, events, signals
from django_jobflow.declare import registry
from django_jobflow.engines import Engine
from django_jobflow.models import JobRecord

logger = logging.getLogger("django_jobflow.maintain")


def rescue(engine: Engine) -> int:
    """Free what dead workers held, promote waiting keys; return how many rows were freed.

    Database:
        Three statements when there is nothing to do.
    """
    rescued = engine.rescue(engine.records, None)
    lost = engine.fail_lost(engine.records, None)
    engine.promote_waiting()
    report_rescued(rescued, lost)
    return len(rescued) + len(lost)


def report_rescued(rescued: list[JobRecord], lost: list[JobRecord]) -> None:
    """Log and announce what was freed: records as they were when their worker held them."""
    for event, records in (("job_rescued", rescued), ("job_lost", lost)):
        for record in records:
            events.log(
                logger,
                logging.WARNING if event == "job_rescued" else logging.ERROR,
                event,
                job_id=record.pk,
                job_name=record.name,
                state=record.state,
                attempt=record.attempt,
                worker=record.reserved_by,
            )
            sender, told = registry.find(record.name), partial(_itself, record)
            signals.announce(signals.job_rescued, sender, told)
            if event == "job_lost":
                signals.announce(signals.job_failed, sender, told)


def _itself(record: JobRecord) -> JobRecord:
    return record


def prune(engine: Engine) -> int:
    """Delete what is older than its retention; return how many rows.

    A success is kept for as long as its job says, or else JOBFLOW["RETAIN_SUCCEEDED"]; what
    failed or was cancelled, for JOBFLOW["RETAIN_FAILED"].
    """
    settings = conf.current()
    now = engine.now()
    own = _own_retentions(settings.RETAIN_SUCCEEDED)
    total = 0
    if settings.RETAIN_SUCCEEDED is not None:
        others = [name for names in own.values() for name in names]
        total += engine.prune_succeeded(now - settings.RETAIN_SUCCEEDED, but=others)
    for retain, names in own.items():
        if retain is not None:
            total += engine.prune_succeeded(now - retain, names=names)
    if settings.RETAIN_FAILED is not None:
        total += engine.prune_ended(now - settings.RETAIN_FAILED)
    if total:
        events.log(logger, logging.INFO, "jobs_pruned", rows=total)
    return total


def _own_retentions(common: timedelta | None) -> dict[timedelta | None, list[str]]:
    """Return the names of the jobs that keep their successes for another time."""
    own: dict[timedelta | None, list[str]] = defaultdict(list)
    for job in registry.all_jobs():
        definition = job.definition()
        if definition.retain_succeeded != common:
            own[definition.retain_succeeded] += [definition.name, *definition.aliases]
    return own

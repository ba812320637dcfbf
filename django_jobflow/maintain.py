"""What every worker does beside executing: rescue what the dead held, prune what is old."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from django.db.models import QuerySet

from django_jobflow import audit, conf, events, hooks, settle, signals
from django_jobflow.attempts import Reservation, reservation_of
from django_jobflow.declare import registry
from django_jobflow.endings import LAPSED, decide, lost_error, lost_fingerprint
from django_jobflow.engines import Engine
from django_jobflow.execute import timed_out
from django_jobflow.failures import FailureTally, tally_of
from django_jobflow.models import AuditAction, JobRecord
from django_jobflow.notices import Notice, notice
from django_jobflow.outcomes import Outcome, Released
from django_jobflow.states import JobState

logger = logging.getLogger("django_jobflow.maintain")

Note = Callable[[str, str], None]
"""Takes in that an attempt of a queue has ended, with the word for the log."""


def forget(queue: str, event: str) -> None:
    """Take in nothing."""


def rescue(engine: Engine, run_hook: hooks.Run = hooks.run, note: Note = forget) -> int:
    """Free what dead workers held, end what is pointless, promote waiting keys.

    Args:
        run_hook: Calls the hooks of the jobs.
        note: Counts the attempts that have ended by this.

    Returns:
        How many rows were freed.

    Database:
        Five statements when there is nothing to do.
    """
    rescued = engine.rescue(engine.records, None)
    lost = engine.fail_lost(engine.records, None)
    expire(engine, run_hook, note)
    engine.promote_waiting()
    if rescued or lost:  # also of what is lost the place is free, where there is a limit
        engine.wake()
    report_rescued(rescued, lost, run_hook)
    _count_failures(engine, _lost_attempts([*rescued, *lost], LAPSED))
    _note_losses((*rescued, *lost), note)
    _tell(engine, [notice(record, "job_failed") for record in lost])
    engine.finish_batches()
    return len(rescued) + len(lost)


def expire(engine: Engine, run_hook: hooks.Run = hooks.run, note: Note = forget) -> int:
    """End what waits past its ``expires_at``; return how many rows.

    Args:
        run_hook: Calls the hooks of the jobs.
        note: Counts them.

    Database:
        One statement when there is none.
    """
    endings = engine.expire(engine.records, None)
    written = {ending.reservation.id for ending in endings}
    settle.report(endings, written, {}, run_hook)
    _count_failures(engine, tally_of(endings))
    for ending in endings:
        note(ending.reservation.queue, "job_discarded")
    _tell(engine, [notice(each.reservation, each.event) for each in endings])
    return len(endings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What is known of a worker whose process has ended.

    Attributes:
        worker: Its name.
        cause: How it ended, as the errors of its attempts tell it: ``"was killed by SIGKILL"``.
        begun: The attempts that it had begun, as ids with counts of reservations; of others it
            only held the rows. None means that nobody knows.
        overdue: Those that ran, and were past their time limit.
        spares: Whether the attempts that it had begun are not to count: it was ended from
            outside, through no fault of theirs.
    """

    worker: str
    cause: str
    begun: frozenset[tuple[int, int]] | None = None
    overdue: frozenset[tuple[int, int]] = frozenset()
    spares: bool = False

    def outcome(self, reservation: Reservation) -> Outcome | None:
        """Return how an attempt has ended; None means that it was lost."""
        attempt = reservation.id, reservation.reserved_count
        if attempt in self.overdue:
            return timed_out(reservation)
        if self.spares:
            return Released("Its worker was ended because of another job.")
        if self.begun is not None and attempt not in self.begun:
            return Released("Its worker ended before it began.")
        return None


def rescue_worker(engine: Engine, remains: Remains, note: Note = forget) -> int:
    """Free what a worker held whose process has ended; return how many rows.

    What timed out fails, what was only held goes back at no cost, and the rest is lost.

    Args:
        note: Counts the attempts that have ended by this.

    Database:
        What ``settle`` costs, if something was not lost; two statements and one for each row
        that was.
    """
    ended = _settle_remains(engine, remains, note)
    taken = engine.give_back(remains.worker, cause=remains.cause)
    engine.remove_worker(remains.worker)
    if taken or ended:
        engine.wake()
    report_rescued(
        [record for record in taken if not _is_lost(record)],
        [record for record in taken if _is_lost(record)],
        cause=remains.cause,
    )
    _count_failures(engine, _lost_attempts(taken, remains.cause))
    _note_losses(taken, note)
    _tell(engine, [notice(record, "job_failed") for record in taken if _is_lost(record)])
    return len(taken) + ended


def _settle_remains(engine: Engine, remains: Remains, note: Note) -> int:
    rows = engine.records.filter(reserved_by=remains.worker, state=JobState.IN_PROGRESS)
    endings = []
    for record in rows:
        if record.progress is not None and conf.current().executor_of(record.queue):
            continue  # its body has begun elsewhere, and may run on
        reservation = reservation_of(record)
        if outcome := remains.outcome(reservation):
            endings.append(decide(reservation, outcome))
    written = engine.settle(endings) if endings else set()
    ours = [each for each in endings if each.reservation.id in written]
    settle.report(ours, written, {})
    _count_failures(engine, tally_of(ours))
    for ending in ours:
        note(ending.reservation.queue, ending.event)
    _tell(engine, [notice(each.reservation, each.event) for each in ours])
    return len(written)


def _tell(engine: Engine, said: list[Notice | None]) -> None:
    """Tell others of ends that ask for that."""
    if notices := [each for each in said if each is not None]:
        engine.tell(notices)


def _count_failures(engine: Engine, failures: FailureTally) -> None:
    """Append *failures*, if there are any, to be folded into their groups."""
    if failures:
        engine.append_failures(failures.sums(), conf.current().release)


def _lost_attempts(records: Iterable[JobRecord], cause: str) -> FailureTally:
    """Return the attempts that were lost with their worker: *records* as it held them."""
    tally = FailureTally()
    for record in records:
        if record.state == JobState.IN_PROGRESS:
            tally.add(lost_fingerprint(cause), record.name, record.pk)
    return tally


def _is_lost(record: JobRecord) -> bool:
    return record.state == JobState.IN_PROGRESS and record.attempt >= record.max_attempts


def report_rescued(
    rescued: list[JobRecord],
    lost: list[JobRecord],
    run_hook: hooks.Run = hooks.run,
    cause: str = LAPSED,
) -> None:
    """Log and announce what was freed: records as they were when their worker held them.

    An attempt that was lost has failed, so the job's hook is called.
    """
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
            if record.state == JobState.IN_PROGRESS:
                error = lost_error(record.attempt, record.reserved_by, cause)
                will_retry = event == "job_rescued"
                if due := hooks.due_after_failure(record, error, will_retry=will_retry):
                    run_hook(due)


def _note_losses(records: Iterable[JobRecord], note: Note) -> None:
    """Count the attempts that were lost; what was only reserved has had none."""
    for record in records:
        if record.state == JobState.IN_PROGRESS:
            note(record.queue, "job_failed" if _is_lost(record) else "job_retried")


def _itself(record: JobRecord) -> JobRecord:
    return record


def remember(engine: Engine) -> int:
    """Note once a minute how much waits, and fold what workers have counted.

    Returns:
        How many rows of workers were folded.

    Database:
        Two statements when another has done both; see ``sample_backlog`` and ``fold_history``.
    """
    engine.sample_backlog()
    return engine.fold_history()


def prune(engine: Engine, by: audit.By | None = None) -> int:
    """Delete what is older than its retention; return how many rows.

    A success is kept for as long as its job says, or else JOBFLOW["RETAIN_SUCCEEDED"]; what
    failed or was cancelled, for JOBFLOW["RETAIN_FAILED"]; the audit, for
    JOBFLOW["RETAIN_AUDIT"].

    Args:
        by: The operator who asked for it, for the audit. None means that nobody did.
    """
    trail = None if by is None else audit.Trail(engine, AuditAction.PRUNE, by=by)
    noted = None if trail is None else partial(trail.do, told=_count)
    total = sum(engine.prune(rows, noted) for rows in prunable(engine))
    if trail is not None:
        trail.end()
    engine.prune_holds()
    engine.prune_history(conf.current().RETAIN_HISTORY)
    if total:
        events.log(logger, logging.INFO, "jobs_pruned", rows=total)
    return total


def _count(deleted: int) -> dict[str, int]:
    return {"count": deleted}


def prunable(engine: Engine) -> Iterator[QuerySet[Any]]:
    """Yield the queries of what is older than its retention."""
    settings = conf.current()
    now = engine.now()
    own = _own_retentions(settings.RETAIN_SUCCEEDED)
    if settings.RETAIN_SUCCEEDED is not None:
        others = [name for names in own.values() for name in names]
        yield engine.old_succeeded(now - settings.RETAIN_SUCCEEDED, but=others)
        yield engine.old_batches(now - settings.RETAIN_SUCCEEDED)
    for retain, names in own.items():
        if retain is not None:
            yield engine.old_succeeded(now - retain, names=names)
    if settings.RETAIN_FAILURES is not None:
        yield engine.old_failures(settings.RETAIN_FAILURES, now)
        yield engine.old_releases(settings.RETAIN_FAILURES, now)
    if settings.RETAIN_FAILED is not None:
        yield engine.old_ended(now - settings.RETAIN_FAILED)
    if settings.RETAIN_AUDIT is not None:
        yield audit.old_entries(engine.alias, now - settings.RETAIN_AUDIT)


def _own_retentions(common: timedelta | None) -> dict[timedelta | None, list[str]]:
    """Return the names of the jobs that keep their successes for another time."""
    own: dict[timedelta | None, list[str]] = defaultdict(list)
    for job in registry.all_jobs():
        definition = job.definition()
        if definition.retain_succeeded != common:
            own[definition.retain_succeeded] += [definition.name, *definition.aliases]
    return own

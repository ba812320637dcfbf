"""The verbs of one record: the same statements, and an exception where the fence says no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError

from django_jobflow import conf, hooks, signals
from django_jobflow.arguments import encode_result
from django_jobflow.attempts import Ending, reservation_of
from django_jobflow.declare import registry
from django_jobflow.declare.edits import read_due, read_edits
from django_jobflow.declare.secrecy import secrecy_of
from django_jobflow.endings import decide
from django_jobflow.engines.awaiting import Awaiting
from django_jobflow.engines.editing import EDITABLE, Editing
from django_jobflow.engines.failures import Grouping
from django_jobflow.engines.operating import Operating
from django_jobflow.engines.reserving import Reserving
from django_jobflow.engines.settling import Settling
from django_jobflow.exceptions import (
    InvalidJob,
    NotCancellable,
    NotEditable,
    NotRetryable,
    ReservationLost,
    checked_delay,
)
from django_jobflow.failures import tally_of
from django_jobflow.models import JobRecord
from django_jobflow.outcomes import ErrorInfo, Failed, Outcome, Released, Succeeded
from django_jobflow.sentences import Sentence, either
from django_jobflow.sentences import noop as _
from django_jobflow.states import JobState


class RecordVerbs(Reserving, Settling, Operating, Editing, Awaiting, Grouping):
    """What ``JobRecord`` and its queryset pass on."""

    def reserve_records(
        self,
        *,
        limit: int,
        worker: str,
        queues: Sequence[str] | None,
        timeout: float | timedelta | None,
        now: datetime | None,
    ) -> list[JobRecord]:
        settings = conf.current()
        with self.transaction():
            found = self.reserve(
                limit=limit,
                worker=worker,
                queues=queues,
                timeout=settings.RESERVATION_TIMEOUT
                if timeout is None
                else checked_delay("reserve", timeout, "timeout"),
                now=now,
            )
            records = self.records.in_bulk([reservation.id for reservation in found])
        return [records[reservation.id] for reservation in found]

    def start_record(self, record: JobRecord, now: datetime | None) -> None:
        with self.transaction():
            if not self.start([reservation_of(record)], lease=conf.current().LEASE, now=now):
                raise _lost(record)
            record.refresh_from_db(using=self.alias)

    def succeed_record(self, record: JobRecord, result: Any, now: datetime | None) -> None:
        encoded = encode_result(
            record.name,
            result,
            max_size=conf.current().MAX_RESULT_SIZE,
            hidden=secrecy_of(record.name).hides_result,
        )
        self._settle_record(record, Succeeded(encoded), now)
        _announce("job_succeeded", record, result=encoded)
        if due := hooks.due_after_success(record, encoded):
            hooks.run_after_commit(due, self.alias)

    def fail_record(
        self, record: JobRecord, exception: BaseException, now: datetime | None
    ) -> None:
        ending = self._settle_record(record, Failed(ErrorInfo.of(exception)), now)
        self.append_failures(tally_of([ending]).sums(), conf.current().release, now)
        record.refresh_from_db(using=self.alias)
        _announce("job_retried" if record.state == JobState.RETRY else "job_failed", record)
        if due := hooks.due_after(ending):
            hooks.run_after_commit(due, self.alias)

    def release_record(self, record: JobRecord, now: datetime | None) -> None:
        if record.state == JobState.RESERVED:
            if not self.release([reservation_of(record)], now):
                raise _lost(record)
        else:
            self._settle_record(record, Released(), now)
        record.refresh_from_db(using=self.alias)

    def retry_record(
        self, record: JobRecord, now: datetime | None, changes: Mapping[str, Any]
    ) -> None:
        values = read_edits(record.name, changes) if changes else {}
        rows = self.records.filter(pk=record.pk)
        if not self.retry(rows, now, values):
            state = rows.values_list("state", flat=True).first()
            queue_key = values.get("queue_key", record.queue_key)
            raise NotRetryable(_why_not_retryable(record, state, queue_key))
        record.refresh_from_db(using=self.alias)

    def reschedule_record(
        self,
        record: JobRecord,
        run_at: datetime | None,
        delay: float | timedelta | None,
        now: datetime | None,
    ) -> None:
        rows = self.records.filter(pk=record.pk)
        if not self.reschedule(rows, **read_due(record.name, run_at, delay), now=now):
            state = rows.values_list("state", flat=True).first()
            text = _("Job %(id)s cannot be rescheduled: %(why)s. Only one that is %(states)s can.")
            raise NotEditable(_why_not_editable(record, state, text))
        record.refresh_from_db(using=self.alias)

    def update_record(
        self, record: JobRecord, changes: Mapping[str, Any], now: datetime | None
    ) -> None:
        values = read_edits(record.name, changes)
        rows = self.records.filter(pk=record.pk)
        try:
            changed = self.edit(rows, values, now)
        except IntegrityError:
            if not values.get("queue_key"):
                raise
            raise NotEditable(
                f"Job {record.pk} cannot be updated: another unfinished job holds the queue key "
                f"{values['queue_key']!r}."
            ) from None
        if not changed:
            state, attempt = rows.values_list("state", "attempt").first() or (None, 0)
            _refuse_max_attempts(record, state, attempt, values)
            text = _("Job %(id)s cannot be updated: %(why)s. Only one that is %(states)s can.")
            raise NotEditable(_why_not_editable(record, state, text))
        record.refresh_from_db(using=self.alias)

    def cancel_record(self, record: JobRecord, now: datetime | None) -> bool:
        rows = self.records.filter(pk=record.pk)
        cancelled, asked = self.cancel(rows, now)
        if not cancelled and not asked:
            state = rows.values_list("state", flat=True).first()
            text = _("Job %(id)s cannot be cancelled: %(why)s.")
            raise NotCancellable(Sentence(text, id=record.pk, why=_fate(state)))
        record.refresh_from_db(using=self.alias)
        if cancelled:
            _announce("job_cancelled", record)
            if due := hooks.due_after_cancel(record):
                hooks.run_after_commit(due, self.alias)
        return bool(cancelled)

    def _settle_record(self, record: JobRecord, outcome: Outcome, now: datetime | None) -> Ending:
        ending = decide(reservation_of(record), outcome)
        if record.state != JobState.IN_PROGRESS or not self.settle([ending], now):
            raise _lost(record)
        return ending


def _announce(event: str, record: JobRecord, **values: Any) -> None:
    sender = registry.find(record.name)
    signals.announce(signals.BY_EVENT[event], sender, lambda: record, **values)


def _lost(record: JobRecord) -> ReservationLost:
    return ReservationLost(
        f"Job {record.pk} ({record.name}) is no longer held by {record.reserved_by!r} at "
        f"attempt {record.attempt} in state {record.state}; nothing was written."
    )


def _why_not_retryable(record: JobRecord, state: str | None, queue_key: str | None) -> str:
    why = _fate(state)
    if state in {JobState.FAILED, JobState.CANCELLED}:
        text = _("another unfinished job holds its queue key %(key)s")
        why = Sentence(text, key=repr(queue_key))
    return Sentence(_("Job %(id)s cannot be retried: %(why)s."), id=record.pk, why=why)


def _why_not_editable(record: JobRecord, state: str | None, text: str) -> str:
    return Sentence(text, id=record.pk, why=_fate(state), states=either(EDITABLE))


def _refuse_max_attempts(
    record: JobRecord, state: str | None, attempt: int, values: Mapping[str, Any]
) -> None:
    asked = values.get("max_attempts")
    if state in EDITABLE and asked is not None and asked <= attempt:
        raise InvalidJob(
            f"{record.name}: expected max_attempts of job {record.pk} to be above {attempt}, "
            f"the attempts so far, got {asked!r}."
        )


def _fate(state: str | None) -> Sentence:
    if state:
        return Sentence(_("it is %(state)s"), state=JobState(state))
    return Sentence(_("it has succeeded or was deleted"))

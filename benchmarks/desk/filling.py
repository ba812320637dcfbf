"""Tables as they are after some bad weeks: a backlog, many failures, and a long history."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from django_jobflow.models import (
    AuditEntry,
    Batch,
    BulkOperation,
    FailureGroup,
    Limit,
    Pause,
    SavedView,
    Worker,
)
from django_jobflow.states import JobState

QUEUES = 20
NAMES = 40
SHARES = {
    JobState.AVAILABLE: 0.70,
    JobState.FAILED: 0.15,
    JobState.SCHEDULED: 0.05,
    JobState.RETRY: 0.05,
    JobState.WAITING: 0.03,
    JobState.CANCELLED: 0.02,
}
"""What part of the live jobs is in which state; beside these, some run."""
RUNNING = 200
WORKERS = 50
AUDITED = 100_000  # actions in the audit
SUCCEEDED = 1.0  # successes for each live job

ERROR = json.dumps(
    [
        {
            "number": 1,
            "at": "2026-11-21T12:00:00+00:00",
            "worker": "host-1:4711:x",
            "exception": "smtplib.SMTPServerDisconnected",
            "message": "Connection unexpectedly closed",
            "traceback": 'Traceback (most recent call last):\n  File "x.py", line 7, in perform\n',
        }
    ]
)

# Columns that all live jobs have; what a state asks for beside them stands below.
LIVE = """
INSERT INTO jobflow_job (name, queue, partition, priority, args, kwargs, attempt, max_attempts,
    timeout, available_at, created_at, updated_at, errors, tags, meta, progress_message, state,
    reserved_count, queue_key, execution_key, held_queue_key, held_execution_key, reserved_by,
    reserved_at, expires, started_at, finished_at, fingerprint)
SELECT 'shop.jobs.Job' || n %% {names}, 'queue' || n %% {queues}, '', (n %% 5)::smallint, '[]',
    jsonb_build_object('order_id', n), {attempt}, 3, interval '30 seconds',
    now() {available} - n * interval '100 microseconds', now() - n * interval '100 microseconds',
    now(), {errors}, '[]', '{{}}', '', '{state}', {attempt},
    NULL, {key}, NULL, NULL, {held}, {finished},
    {fingerprint}
FROM generate_series(1, {count}) AS n
"""
KINDS = 100  # of failures; the first has 100 jobs
FINGERPRINT = f"lpad(CASE WHEN n <= 100 THEN 0 ELSE 1 + n % {KINDS} END::text, 32, '0')"
HELD = "'{worker}', now(), now() + interval '1 hour', {started}, NULL"
NOT_HELD = "NULL, NULL, NULL, NULL"
HISTORY = """
INSERT INTO jobflow_succeeded (id, name, queue, partition, priority, args, kwargs, attempt,
    max_attempts, timeout, available_at, created_at, errors, tags, meta, progress_message,
    reserved_by, reserved_at, started_at, succeeded_at, result)
SELECT 1000000000 + n, 'shop.jobs.Job' || n %% {names}, 'queue' || n %% {queues}, '', 0, '[]',
    jsonb_build_object('order_id', n), 1, 3, interval '30 seconds',
    now() - n * interval '50 milliseconds', now() - n * interval '50 milliseconds', '[]', '[]',
    '{{}}', '', 'host-1:4711:x', now() - n * interval '50 milliseconds',
    now() - n * interval '50 milliseconds', now() - n * interval '50 milliseconds',
    '{{"sent": true}}'
FROM generate_series(1, {count}) AS n
"""


INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE tablename IN ('jobflow_job', 'jobflow_succeeded')
    AND indexname NOT IN (SELECT conname FROM pg_constraint)
"""


def fill(live: int) -> None:
    """Store *live* jobs and as many successes, and what stands around them."""
    with _without_indexes():
        for state, share in SHARES.items():
            _store(_live(state, round(live * share)))
        for state in (JobState.IN_PROGRESS, JobState.RESERVED):
            for number in range(WORKERS):
                _store(_live(state, RUNNING // WORKERS, worker=f"host-1:{number}:x"))
        _store(HISTORY.format(names=NAMES, queues=QUEUES, count=round(live * SUCCEEDED)))
    _around()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


@contextmanager
def _without_indexes() -> Iterator[None]:
    """Make the indexes anew afterwards, which takes a part of the time."""
    with connection.cursor() as cursor:
        cursor.execute(INDEXES)
        found = cursor.fetchall()
        for name, _ in found:
            cursor.execute(f"DROP INDEX {name}")
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '1GB'")
        for _, definition in found:
            cursor.execute(definition)


def _live(state: JobState, count: int, worker: str = "") -> str:
    is_ended = state in {JobState.FAILED, JobState.CANCELLED}
    has_begun = state in {JobState.FAILED, JobState.RETRY, JobState.IN_PROGRESS}
    started = "now()" if state == JobState.IN_PROGRESS else "NULL"
    held = HELD.format(worker=worker, started=started).removesuffix(", NULL")
    return LIVE.format(
        names=NAMES,
        queues=QUEUES,
        attempt=(3 if state == JobState.FAILED else 1) if has_begun else 0,
        available="+ interval '1 day'" if state in {JobState.SCHEDULED, JobState.RETRY} else "",
        errors=f"'{ERROR}'" if state in {JobState.FAILED, JobState.RETRY} else "'[]'",
        state=state.value,
        key="'account:' || n / 100" if state == JobState.WAITING else "NULL",
        held=held if worker else NOT_HELD,
        finished="now() - n * interval '10 milliseconds'" if is_ended else "NULL",
        fingerprint=FINGERPRINT if state == JobState.FAILED else "NULL",
        count=count,
    )


def _around() -> None:
    """Store workers, pauses, limits and a batch."""
    now = timezone.now()
    Worker.objects.bulk_create(
        Worker(
            name=f"host-1:{number}:x",
            host="host-1",
            pid=number,
            threads=4,
            supervisor="host-1:0:x",
            started_at=now,
            heartbeat_at=now + timedelta(days=1),
        )
        for number in range(WORKERS)
    )
    Pause.objects.create(kind="queue", value="queue1", by="ann", reason="Measured")
    Limit.objects.create(kind="queue", value="queue2", concurrency=9, is_override=True)
    Batch.objects.create(description="Measured")
    BulkOperation.objects.create(action="retry", search="state:failed", via="admin")
    SavedView.objects.create(name="Measured", search="state:failed", owner="1", is_shared=True)
    FailureGroup.objects.bulk_create(
        FailureGroup(
            fingerprint=f"{number:032d}",
            exception="smtplib.SMTPServerDisconnected",
            place="shop.mail:SendReceipt.perform",
            message=f"Connection {number} was refused",
            count=100 if number == 0 else 10_000,
            first_seen_at=now - timedelta(days=9),
            last_seen_at=now,
            last_job_id=1,
        )
        for number in range(KINDS + 1)
    )
    AuditEntry.objects.bulk_create(
        (
            AuditEntry(action="retry", by="ann", via="admin", subject=f"id:{number}", count=1)
            for number in range(AUDITED)
        ),
        batch_size=5000,
    )


def _store(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement.replace("%%", "%"))

"""The worker processes, and what each of them does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django_jobflow import conf
from django_jobflow.engines import engine_for
from django_jobflow.models import Worker
from django_jobflow.observe.held import held_counts
from django_jobflow.states import JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFacts:
    """A worker process, as its row and what it holds tell of it.

    Attributes:
        queues: Those that it was told to serve; empty means all.
        excluded: Queues that it does not serve.
        partitions: Those that it was told to serve; empty means all.
        slots: How many jobs it executes at a time.
        silent_for: Since its last heartbeat, by the database's clock.
        is_alive: Whether that is no longer than JOBFLOW["LEASE"].
        running: How many records it executes.
        reserved: How many it has reserved and not started.
        supervisor: What all processes of one ``runjobs`` share; empty without a supervisor.
        version: That of django_jobflow.
        memory: Bytes that its process had at its last heartbeat.
        stop_requested_at: When it was asked to stop. None means that it was not.
    """

    name: str
    host: str
    pid: int
    queues: tuple[str, ...]
    excluded: tuple[str, ...]
    partitions: tuple[str, ...]
    slots: int
    started_at: datetime
    heartbeat_at: datetime
    silent_for: timedelta
    is_alive: bool
    running: int
    reserved: int
    supervisor: str = ""
    version: str = ""
    memory: int | None = None
    stop_requested_at: datetime | None = None


def workers(alias: str | None = None, now: datetime | None = None) -> list[WorkerFacts]:
    """Return the worker processes, in the order of their names.

    Args:
        alias: None means JOBFLOW["DATABASE"].

    Database:
        Two statements, and one for the clock but on SQLite. They read the workers' rows, and
        what is held.
    """
    engine = engine_for(alias)
    rows = list(Worker._base_manager.using(engine.alias).order_by("name"))
    held = held_counts([row.name for row in rows], engine.alias) if rows else {}
    moment = engine.now(now)
    return [_facts(row, held.get(row.name, {}), moment) for row in rows]


def _facts(row: Worker, held: dict[str, int], now: datetime) -> WorkerFacts:
    silent_for = max(now - row.heartbeat_at, timedelta(0))
    return WorkerFacts(
        name=row.name,
        host=row.host,
        pid=row.pid,
        queues=row.service.queues,
        excluded=row.service.excluded,
        partitions=row.service.partitions,
        slots=row.threads,
        started_at=row.started_at,
        heartbeat_at=row.heartbeat_at,
        silent_for=silent_for,
        is_alive=silent_for <= conf.current().LEASE,
        running=held.get(JobState.IN_PROGRESS, 0),
        reserved=held.get(JobState.RESERVED, 0),
        supervisor=row.supervisor,
        version=row.version,
        memory=row.memory,
        stop_requested_at=row.stop_requested_at,
    )

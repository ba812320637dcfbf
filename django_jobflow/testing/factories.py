"""Rows of the queue for tests, by factory_boy: legal in the state that is asked for.

Needs ``django-jobflow[testing]``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from django_jobflow import states
from django_jobflow.attempts import key_digest
from django_jobflow.models import (
    FailedJob,
    FailureGroup,
    JobLog,
    JobRecord,
    Limit,
    Pause,
    SucceededJob,
    Worker,
)
from django_jobflow.states import JobState
from django_jobflow.testing.meaning import job_of

try:
    import factory
    from factory.django import DjangoModelFactory
except ImportError as error:
    raise ImportError(
        "django_jobflow.testing.factories: expected factory_boy, got none. "
        "Install django-jobflow[testing]."
    ) from error

WORKER = "host-1:4711"
ATTEMPTED = frozenset({JobState.IN_PROGRESS, JobState.RETRY})


def error_entry(number: int, at: datetime, worker: str | None = WORKER) -> dict[str, Any]:
    """Return what ``errors`` keeps of a failed attempt."""
    return {
        "number": number,
        "at": at.isoformat(),
        "worker": worker,
        "exception": "builtins.ConnectionError",
        "message": f"Attempt {number} was refused.",
        "traceback": "Traceback (most recent call last):\n  ...\nConnectionError\n",
    }


def _attempt(row: Any) -> int:
    if row.state == JobState.FAILED:
        return int(row.max_attempts)
    return 1 if row.state in ATTEMPTED else 0


def _available_at(row: Any) -> Any:
    if row.state == JobState.SCHEDULED:
        return row.now + timedelta(hours=1)
    if row.state == JobState.RETRY:
        return row.now + timedelta(minutes=1)
    return row.created_at


def _errors(row: Any) -> list[dict[str, Any]]:
    failed = row.attempt - 1 if row.state == JobState.IN_PROGRESS else row.attempt
    return [error_entry(number, row.now) for number in range(1, failed + 1)]


def _held(row: Any, key: str | None, holding: frozenset[JobState]) -> str | None:
    holds = row.state in holding or getattr(row, "parked_for", None)
    return key_digest(row.partition, key) if key and holds else None


def _while_held(value: Callable[[Any], Any]) -> Any:
    return factory.LazyAttribute(lambda row: value(row) if row.state in states.HELD else None)


def _of_job(option: str, otherwise: Any) -> Any:
    """Return what the job of the row says, if it is given."""

    def value(row: Any) -> Any:
        return otherwise if row.job is None else getattr(job_of(row.job).definition(), option)

    return factory.LazyAttribute(value)


def _arguments(row: Any) -> dict[str, Any]:
    return {} if row.job is not None else {"order_id": row.number}


class JobRecordFactory(DjangoModelFactory[JobRecord]):
    """A live record; ``state`` alone is enough.

    Nothing of it is real, unless ``job`` says which declared job or task it is one of: then
    ``args`` and ``kwargs`` are its arguments, as they are stored.

    ``now`` is the moment that its other moments are around. Traits: ``due`` (a SCHEDULED or
    RETRY one whose time has come), ``lapsed`` (a held one whose worker is gone) and ``spent`` (no
    attempt left; not for a state that promises another).
    """

    class Meta:
        model = JobRecord

    @classmethod
    def _adjust_kwargs(cls, **kwargs: Any) -> dict[str, Any]:
        if kwargs["state"] not in {*JobState}:
            raise ValueError(
                f"{cls.__name__}: expected state to be one of {', '.join(JobState)}, got "
                f"{kwargs['state']!r}. SucceededJobFactory makes those that have succeeded."
            )
        return kwargs

    class Params:
        job = None
        number = factory.Sequence(int)
        now = factory.LazyFunction(timezone.now)
        due = factory.Trait(available_at=factory.SelfAttribute("now"))
        lapsed = factory.Trait(expires=factory.SelfAttribute("now"))
        spent = factory.Trait(attempt=factory.SelfAttribute("max_attempts"))

    name = _of_job("name", "shop.jobs.SendReceipt")
    queue = _of_job("queue", "default")
    priority = _of_job("priority", 0)
    state = JobState.AVAILABLE
    kwargs = factory.LazyAttribute(_arguments)
    max_attempts = _of_job("max_attempts", 3)
    timeout = _of_job("timeout", timedelta(seconds=30))
    attempt = factory.LazyAttribute(_attempt)
    partition = ""
    queue_key = None
    parked_for = None
    execution_key = factory.Maybe(
        factory.LazyAttribute(lambda row: row.state == JobState.WAITING and not row.parked_for),
        factory.Sequence("account:{}".format),
        None,
    )
    created_at = factory.LazyAttribute(lambda row: row.now - timedelta(minutes=2))
    available_at = factory.LazyAttribute(_available_at)
    updated_at = factory.SelfAttribute("now")
    reserved_by = _while_held(lambda row: WORKER)
    reserved_at = _while_held(lambda row: row.now - timedelta(seconds=2))
    expires = _while_held(lambda row: row.now + timedelta(minutes=1))
    reserved_count = factory.LazyAttribute(
        lambda row: row.attempt + (row.state == JobState.RESERVED)
    )
    started_at = factory.LazyAttribute(
        lambda row: row.now - timedelta(seconds=1) if row.attempt else None
    )
    finished_at = factory.LazyAttribute(lambda row: row.now if row.state in states.ENDED else None)
    errors = factory.LazyAttribute(_errors)
    held_queue_key = factory.LazyAttribute(
        lambda row: _held(row, row.queue_key, states.UNFINISHED)
    )
    held_execution_key = factory.LazyAttribute(
        lambda row: _held(row, row.execution_key, states.KEYED)
    )


class FailedJobFactory(JobRecordFactory):
    """A record that has used up its attempts, with the error of each."""

    class Meta:
        model = FailedJob

    state = JobState.FAILED


class SucceededJobFactory(DjangoModelFactory[SucceededJob]):
    """A job that succeeded at its first attempt; ``job`` and ``now`` as for a record."""

    class Meta:
        model = SucceededJob

    class Params:
        job = None
        number = factory.Sequence(int)
        now = factory.LazyFunction(timezone.now)

    id = factory.Sequence(lambda n: 10**9 + n)  # clear of what the live table gives out
    name = _of_job("name", "shop.jobs.SendReceipt")
    queue = _of_job("queue", "default")
    priority = _of_job("priority", 0)
    kwargs = factory.LazyAttribute(_arguments)
    max_attempts = _of_job("max_attempts", 3)
    timeout = _of_job("timeout", timedelta(seconds=30))
    attempt = 1
    reserved_by = WORKER
    created_at = factory.LazyAttribute(lambda row: row.now - timedelta(minutes=2))
    available_at = factory.SelfAttribute("created_at")
    reserved_at = factory.LazyAttribute(lambda row: row.now - timedelta(seconds=2))
    started_at = factory.LazyAttribute(lambda row: row.now - timedelta(seconds=1))
    succeeded_at = factory.SelfAttribute("now")
    result = factory.LazyFunction(lambda: {"sent": True})


class JobLogFactory(DjangoModelFactory[JobLog]):
    """What an attempt of the record ``job`` has logged; without it, of a new one."""

    class Meta:
        model = JobLog

    class Params:
        job = factory.SubFactory(JobRecordFactory, state=JobState.IN_PROGRESS)
        now = factory.LazyFunction(timezone.now)

    job_id = factory.SelfAttribute("job.pk")
    attempt = 1
    reserved_count = factory.SelfAttribute("attempt")
    worker = WORKER
    entries = factory.LazyAttribute(
        lambda row: [[row.now.timestamp(), "INFO", "shop.mail", f"Said by {row.attempt}."]]
    )


class FailureGroupFactory(DjangoModelFactory[FailureGroup]):
    """A kind of failure that was seen a moment ago."""

    class Meta:
        model = FailureGroup

    class Params:
        now = factory.LazyFunction(timezone.now)

    fingerprint = factory.Sequence("{:032x}".format)
    exception = "builtins.ConnectionError"
    place = "shop.mail:SendReceipt.perform"
    message = "Attempt # was refused."
    count = 3
    first_seen_at = factory.LazyAttribute(lambda row: row.now - timedelta(hours=1))
    last_seen_at = factory.SelfAttribute("now")
    last_job_id = 1
    names = factory.LazyFunction(lambda: {"shop.jobs.SendReceipt": 3})


class WorkerFactory(DjangoModelFactory[Worker]):
    """A worker process that serves all queues and has just shown a sign of life."""

    class Meta:
        model = Worker

    class Params:
        now = factory.LazyFunction(timezone.now)

    host = "host-1"
    pid = factory.Sequence(lambda n: 4711 + n)
    name = factory.LazyAttribute(lambda row: f"{row.host}:{row.pid}")
    queues = factory.LazyFunction(list)
    excluded = factory.LazyFunction(list)
    partitions = factory.LazyFunction(list)
    threads = 4
    started_at = factory.LazyAttribute(lambda row: row.now - timedelta(minutes=5))
    heartbeat_at = factory.SelfAttribute("now")


class PauseFactory(DjangoModelFactory[Pause]):
    """A pause of a queue, until it is resumed."""

    class Meta:
        model = Pause

    kind = "queue"
    value = factory.Sequence("queue-{}".format)


class LimitFactory(DjangoModelFactory[Limit]):
    """What an operator lets a queue run at a time."""

    class Meta:
        model = Limit

    kind = "queue"
    value = factory.Sequence("queue-{}".format)
    concurrency = 2
    is_override = True

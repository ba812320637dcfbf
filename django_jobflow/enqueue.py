"""Storing a call of a job in the caller's transaction."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from asgiref.sync import sync_to_async
from django.db import IntegrityError, transaction

from django_jobflow import conf, events, signals
from django_jobflow.arguments import bind, encode
from django_jobflow.attempts import key_digest
from django_jobflow.declare.call_options import read_call_options, read_key
from django_jobflow.declare.job import Job
from django_jobflow.engines import Engine, engine_for
from django_jobflow.exceptions import DuplicateJob, InvalidJob
from django_jobflow.models import JobRecord
from django_jobflow.states import JobState

logger = logging.getLogger("django_jobflow.enqueue")

BATCH = 1000  # rows in one INSERT of enqueue_many
RACES = 5  # times that the holder of a key may end between two looks at it

_warned_queues: set[str] = set()


class Enqueuer:
    """A job with options for the enqueues that are made through it; made by ``Job.using``.

    Args:
        job: The declared class.
        options: Those of ``Job.using``.

    Raises:
        InvalidJob: An option is unknown or has a wrong value.
    """

    def __init__(self, job: type[Job], options: Mapping[str, Any]) -> None:
        self.job = job
        self.definition = job.definition()
        self.options = read_call_options(self.definition.name, options) if options else {}
        self.database: str = self.options.get("database") or conf.current().DATABASE
        self.queue: str = self.options.get("queue", self.definition.queue)
        _warn_of_unknown_queue(self.definition.name, self.queue)

    def enqueue(self, *args: Any, **kwargs: Any) -> JobRecord:
        """Store a call in the caller's transaction; see ``Job.enqueue``."""
        engine = engine_for(self.database)
        record = self._insert(engine, self._record(engine, args, kwargs))
        if not record.duplicate:
            self._announce(record)
            self._promote_after_commit(engine, _waiting_keys([record]))
        return record

    async def aenqueue(self, *args: Any, **kwargs: Any) -> JobRecord:
        """Do what ``enqueue`` does, from async code."""
        return await sync_to_async(self.enqueue)(*args, **kwargs)

    def enqueue_many(self, calls: Iterable[Mapping[str, Any]]) -> list[int]:
        """Store many calls, each a mapping of keyword arguments; return the records' ids.

        All of them are stored or none. For a call whose queue key is held, the id is that of
        the holder.

        Database:
            One INSERT for each 1,000 calls. Calls with a queue key cost one each.
        """
        engine = engine_for(self.database)
        iterator = iter(calls)
        ids: list[int] = []
        with transaction.atomic(using=self.database):
            while batch := list(islice(iterator, BATCH)):
                ids += self._insert_batch(engine, batch)
        return ids

    def _insert_batch(self, engine: Engine, calls: list[Mapping[str, Any]]) -> list[int]:
        records = [self._record(engine, (), self._checked(call)) for call in calls]
        if any(record.held_queue_key for record in records):
            records = [self._insert(engine, record) for record in records]
        else:
            engine.insert_many(records, batch=BATCH)
        stored = [record for record in records if not record.duplicate]
        for record in stored:
            self._announce(record)
        self._promote_after_commit(engine, _waiting_keys(stored))
        return [record.pk for record in records]

    def _checked(self, call: Any) -> Mapping[str, Any]:
        if isinstance(call, Mapping):
            return call
        raise InvalidJob(
            f"{self.definition.name}: expected each call to be a mapping of keyword arguments, "
            f"got {call!r}."
        )

    def _record(self, engine: Engine, args: Any, kwargs: Any) -> JobRecord:
        definition, options = self.definition, self.options
        name = definition.name
        args, kwargs = bind(name, self.job._signature, args, kwargs)
        stored_args, stored_kwargs = encode(
            name, args, kwargs, max_size=conf.current().MAX_ARGUMENTS_SIZE
        )
        partition = options.get("partition", "")
        queue_key = self._key("queue_key", args, kwargs)
        execution_key = self._key("execution_key", args, kwargs)
        moment = engine.clock(None)
        state, available_at = self._due(engine, moment, execution_key)
        return JobRecord(
            name=name,
            queue=self.queue,
            partition=partition,
            state=state,
            priority=options.get("priority", definition.priority),
            args=stored_args,
            kwargs=stored_kwargs,
            max_attempts=options.get("max_attempts", definition.max_attempts),
            timeout=options.get("timeout", definition.timeout),
            queue_key=queue_key,
            execution_key=execution_key,
            held_queue_key=key_digest(partition, queue_key) if queue_key else None,
            available_at=available_at,
            expires_at=options.get("expires_at"),
            tags=list(options.get("tags", ())),
            meta=dict(options.get("meta", {})),
            created_at=moment,
            updated_at=moment,
        )

    def _due(self, engine: Engine, moment: Any, execution_key: str | None) -> tuple[JobState, Any]:
        if run_at := self.options.get("run_at"):
            return JobState.SCHEDULED, run_at
        if delay := self.options.get("delay"):
            return JobState.SCHEDULED, engine.clock(None, delay)
        state = JobState.AVAILABLE if execution_key is None else JobState.WAITING
        return state, moment

    def _key(self, kind: str, args: list[Any], kwargs: dict[str, Any]) -> str | None:
        if kind in self.options:
            return self.options[kind]  # type: ignore[no-any-return]
        if getattr(self.job, kind) is getattr(Job, kind):
            return None
        key = getattr(self.job(), kind)(*args, **kwargs)
        return read_key(self.definition.name, kind, key)

    def _insert(self, engine: Engine, record: JobRecord) -> JobRecord:
        for _ in range(RACES):
            try:
                engine.insert(record)
            except IntegrityError:
                if record.held_queue_key is None:
                    raise
                holder = engine.holder_of(record.held_queue_key)
                if holder is not None:
                    return self._duplicate(engine, record, holder)
            else:
                return record
        raise DuplicateJob(
            f"{record.name}: the holder of queue key {record.queue_key!r} changed {RACES} times "
            "while this call was to be stored."
        )

    def _duplicate(self, engine: Engine, record: JobRecord, holder: JobRecord) -> JobRecord:
        holder.duplicate = True
        match self.definition.on_duplicate:
            case "raise":
                raise DuplicateJob(
                    f"{record.name}: job {holder.pk} holds the queue key {record.queue_key!r}.",
                    holder,
                )
            case "replace":
                keys = _waiting_keys([record]) | {(holder.partition, holder.execution_key)}
                if engine.replace_waiting(holder, record):
                    self._promote_after_commit(engine, keys)
        return holder

    def _announce(self, record: JobRecord) -> None:
        events.log(
            logger,
            logging.DEBUG,
            "job_enqueued",
            job_id=record.pk,
            job_name=record.name,
            queue=record.queue,
            state=record.state,
        )
        signals.announce(signals.job_enqueued, self.job, lambda: record)

    def _promote_after_commit(
        self, engine: Engine, keys: Iterable[tuple[str, str | None]]
    ) -> None:
        """Let records with an execution key have their turn, but not before they are there.

        Inside the caller's transaction it would keep all others of the key waiting for it.
        """
        if any(key for _, key in keys):
            transaction.on_commit(lambda: engine.promote(keys), using=self.database, robust=True)


def _waiting_keys(records: Iterable[JobRecord]) -> set[tuple[str, str | None]]:
    """Return the partitions and execution keys that *records* wait for."""
    return {
        (record.partition, record.execution_key)
        for record in records
        if record.state == JobState.WAITING
    }


def _warn_of_unknown_queue(name: str, queue: str) -> None:
    """Say once that no worker may ever serve *queue*: the settings do not name it."""
    known = conf.current().QUEUES
    if not known or queue in known or queue in _warned_queues:
        return
    _warned_queues.add(queue)
    events.log(
        logger,
        logging.WARNING,
        "queue_not_in_settings",
        job_name=name,
        queue=queue,
        known=sorted(known),
        hint=f"Add it to JOBFLOW['QUEUES'].{conf.nearest(queue, known)}",
    )

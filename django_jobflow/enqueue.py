"""Storing a call of a job in the caller's transaction."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Generic, ParamSpec

from asgiref.sync import sync_to_async
from django.db import connections, transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from django_jobflow import conf, events, middleware, signals
from django_jobflow.arguments import HIDDEN, bind, dumps, encode_text
from django_jobflow.attempts import key_digest
from django_jobflow.calls import CLOCK_SKEW, Call, Prepared, Terms
from django_jobflow.declare import registry
from django_jobflow.declare.call_options import read_call_options
from django_jobflow.declare.job import KEYS, Job
from django_jobflow.declare.keeping import Keeping, read_keeping
from django_jobflow.declare.options import Definition
from django_jobflow.engines import Engine, engine_for, engine_of
from django_jobflow.engines.repeating import again
from django_jobflow.exceptions import DuplicateJob, InvalidJob
from django_jobflow.logs import KEEP_LOGS
from django_jobflow.models import JobRecord
from django_jobflow.notices import NOTIFY
from django_jobflow.states import REPLACEABLE

logger = logging.getLogger("django_jobflow.enqueue")

BATCH = 1000  # calls in one INSERT of enqueue_many
BATCH_SIZE = 1024 * 1024  # bytes of their arguments after which it takes no more
RACES = 5  # times that the holder of a key may end between two looks at it

_warned_queues: set[str] = set()


P = ParamSpec("P")


class Enqueuer(Generic[P]):
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
        self.secrecy = job._secrecy()
        self.options = _shared_key(job) | read_call_options(self.definition.name, options)
        self.database: str = self.options.get("database") or conf.current().DATABASE
        self._refuse_strange_batch()
        self._keys = [key for key in KEYS if key in self.options or job._computes(key)]
        self.keyed = "queue_key" in self._keys
        self.keeping = read_keeping(self.definition, self.options, keyed=self.keyed)
        self.expires_in: timedelta | None = self.options.get("expires_in")
        self._terms = _terms(self.definition, self.options, self.keeping)
        _warn_of_unknown_queue(self._terms.name, self._terms.queue)

    @property
    def terms(self) -> Terms:
        """What the calls of this moment have in common."""
        if self.expires_in is None:
            return self._terms
        due = self._terms.run_at or timezone.now() + self._terms.delay
        return replace(self._terms, expires_at=due + self.expires_in)

    @sensitive_variables()
    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobRecord:
        """Store a call in the caller's transaction; see ``Job.enqueue``."""
        connection = connections[self.database]
        engine, call = engine_of(self.database, connection), self._call(args, kwargs)
        if self._terms.batch_id is not None:
            with engine.adding(self._terms.batch_id):
                return self._store(engine, call, self._full_terms())
        terms = self._full_terms()
        record = engine.store_at_once(connection, terms, call)
        if record is None:
            return self._store(engine, call, terms)
        self._tell(engine, [(record.id, call)], [record])
        return record

    @sensitive_variables()
    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobRecord:
        """Do what ``enqueue`` does, from async code."""
        # Passed on without arguments, which an error report would show of asgiref's frames.
        call = sensitive_variables()(lambda: self.enqueue(*args, **kwargs))
        return await sync_to_async(call)()

    @sensitive_variables()
    def enqueue_many(self, calls: Iterable[Mapping[str, Any]]) -> list[int]:
        """Store many calls; see ``Job.enqueue_many``."""
        engine = engine_for(self.database)
        if not self.keyed or engine.connection.in_atomic_block:
            return self._store_all(engine, calls)
        # Calls that meet over the same keys may be undone by the database, and are made again.
        given = [*calls] if isinstance(calls, Iterator) else calls
        return again(engine, lambda: self._store_all(engine, given))

    def _store_all(self, engine: Engine, calls: Iterable[Mapping[str, Any]]) -> list[int]:
        ids: list[int] = []
        with transaction.atomic(using=self.database), engine.adding(self._terms.batch_id):
            for chunk in self._chunks(calls):
                ids += self._store_chunk(engine, chunk, self._full_terms())
        return ids

    def _full_terms(self) -> Terms:
        """Return the terms, with what the middleware adds to ``meta``."""
        if not middleware.current().at_enqueue:
            return self.terms
        meta = middleware.meta_for(self.job, _meta(self.definition, self.options))
        return replace(self.terms, meta=dumps(meta))

    @sensitive_variables()
    def prepared(self, *args: Any, **kwargs: Any) -> Prepared:
        """Bind and check a call like ``enqueue``, and store nothing: for ``Batch``."""
        for option in self.options.keys() & {"batch", "expires_in"}:
            raise InvalidJob(
                f"{self.definition.name}: expected no {option} of a prepared call, "
                f"got {self.options[option]!r}."
            )
        call = self._call(args, kwargs)
        insists = "" if call.held_queue_key is None else self.keeping.insists
        return Prepared(self._full_terms(), call, self.database, insists)

    @sensitive_variables()
    def check(self, *args: Any, **kwargs: Any) -> None:
        """Bind and check a call like ``enqueue``, and keep nothing of it."""
        self._call(args, kwargs)

    def store_new(self, prepared: Prepared) -> JobRecord | None:
        """Store a call from ``prepared`` in the caller's transaction; None if its key is held.

        Nothing becomes of the holder, whatever ``on_duplicate`` says.

        Database:
            As ``Job.enqueue``.
        """
        engine, call = engine_for(self.database), prepared.call
        record = self._insert(engine, call, prepared.terms)
        if record is not None:
            self._tell(engine, [(record.pk, call)], [record])
        return record

    def _refuse_strange_batch(self) -> None:
        batch = self.options.get("batch")
        if batch is not None and batch._state.db != self.database:
            raise InvalidJob(
                f"{self.definition.name}: expected batch to be in the database "
                f"{self.database!r} of the job, got one in {batch._state.db!r}."
            )

    def _chunks(self, calls: Iterable[Mapping[str, Any]]) -> Iterator[list[Call]]:
        """Read *calls* as they are needed, as many at a time as one statement takes."""
        chunk: list[Call] = []
        size = 0
        for kwargs in calls:
            call = self._call((), self._checked(kwargs))
            chunk.append(call)
            size += len(call.kwargs)
            if len(chunk) >= BATCH or size >= BATCH_SIZE:
                yield chunk
                chunk, size = [], 0
        if chunk:
            yield chunk

    def _checked(self, call: Any) -> Mapping[str, Any]:
        if isinstance(call, Mapping):
            return call
        got = HIDDEN if self.secrecy.hides_anything else call
        raise InvalidJob(
            f"{self.definition.name}: expected each call to be a mapping of keyword arguments, "
            f"got {got!r}."
        )

    def _call(self, args: Any, kwargs: Any) -> Call:
        name, hides = self.definition.name, self.secrecy.hides
        args, kwargs = bind(name, self.job._shape, args, kwargs, hides)
        size = conf.current().MAX_ARGUMENTS_SIZE
        texts = encode_text(name, args, kwargs, max_size=size, hides=hides)
        if not self._keys:
            return Call(*texts)
        keys = {kind: self._key(kind, args, kwargs) for kind in self._keys}
        queue_key, execution_key = (keys.get(kind) for kind in KEYS)
        digest = key_digest(self._terms.partition, queue_key) if queue_key else None
        return Call(*texts, queue_key, execution_key, digest)

    def _key(self, kind: str, args: list[Any], kwargs: dict[str, Any]) -> str | None:
        if kind in self.options:
            return self.options[kind]  # type: ignore[no-any-return]
        return self.job._computed_key(kind, args, kwargs)

    def _store(self, engine: Engine, call: Call, terms: Terms) -> JobRecord:
        for _ in range(RACES):
            record = self._insert(engine, call, terms)
            if record is not None:
                self._tell(engine, [(record.id, call)], [record])
                return record
            holder = self._holder(engine, call)
            if holder is not None and (found := self._duplicate(engine, call, terms, holder)):
                return found
        raise DuplicateJob(
            f"{self.definition.name}: the holder of queue key {call.queue_key!r} changed {RACES} "
            "times while this call was to be stored."
        )

    def _insert(self, engine: Engine, call: Call, terms: Terms) -> JobRecord | None:
        span = self.keeping.unique_for
        if span is None or call.held_queue_key is None:
            return engine.store(terms, call)
        return engine.store_unique(terms, call, span)

    def _holder(self, engine: Engine, call: Call) -> JobRecord | None:
        assert call.held_queue_key is not None  # nothing else is refused
        holder = engine.holder_of(call.held_queue_key)
        if holder is None and self.keeping.unique_for is not None:
            holder = engine.time_holder_of(call.held_queue_key)
        return holder

    def _store_chunk(self, engine: Engine, calls: list[Call], terms: Terms) -> list[int]:
        """Store *calls*, the first of each queue key; return their ids, or those of the holders.

        What the holder decides otherwise than by its id is asked of it call by call.
        """
        first: dict[str, int] = {}
        tried = [
            number
            for number, call in enumerate(calls)
            if call.held_queue_key is None
            or first.setdefault(call.held_queue_key, number) == number
        ]
        span, first_calls = self.keeping.unique_for, [calls[number] for number in tried]
        if span is None:
            found = engine.store_many(terms, first_calls)
        else:
            found = engine.store_many_unique(terms, first_calls, span)
        ids = {number: pk for number, pk in zip(tried, found, strict=True) if pk is not None}
        stored = [(pk, calls[number]) for number, pk in ids.items()]
        known: dict[str | None, int] = {}
        if len(stored) < len(calls) and self.keeping.on_duplicate == "return":
            known = {call.held_queue_key: pk for pk, call in stored}
            known |= engine.holders_of(first.keys() - known.keys())
            if span is not None:
                known |= engine.time_holders_of(first.keys() - known.keys())
        all_ids = [
            ids.get(number)
            or known.get(call.held_queue_key)
            or self._store(engine, call, terms).pk
            for number, call in enumerate(calls)
        ]
        self._tell(engine, stored)
        return all_ids

    def _duplicate(
        self, engine: Engine, call: Call, terms: Terms, holder: JobRecord
    ) -> JobRecord | None:
        """Do with a held key what the job says; None if its holder has ended meanwhile."""
        holder.duplicate = True
        match self.keeping.on_duplicate:
            case "raise":
                raise DuplicateJob(
                    f"{self.definition.name}: job {holder.pk} holds the queue key "
                    f"{call.queue_key!r}.",
                    holder,
                )
            case "replace" if self._is_of_this_job(holder):
                keys = [*self._waiting([call]), (holder.partition, holder.execution_key)]
                longest = self.keeping.debounce_max
                latest = None if longest is None else holder.created_at + longest
                if engine.replace_waiting(holder, terms, call, latest):
                    self._promote_after_commit(engine, keys, holder.queue)
                elif holder.state in REPLACEABLE:  # it has begun, or is not there any more
                    return self._as_it_is(engine, call)
        return holder

    def _is_of_this_job(self, holder: JobRecord) -> bool:
        """Say whether *holder* can take over a call: keys meet across jobs, arguments do not."""
        job = registry.find(holder.name)  # also under a name that it had
        return job is not None and job.definition().name == self.definition.name

    def _as_it_is(self, engine: Engine, call: Call) -> JobRecord | None:
        holder = self._holder(engine, call)
        if holder is not None:
            holder.duplicate = True
        return holder

    def _tell(
        self,
        engine: Engine,
        stored: Sequence[tuple[int, Call]],
        records: Sequence[JobRecord] = (),
    ) -> None:
        """Say what was stored, once for each enqueue and for each chunk of many.

        *records* are those that were stored; they are read if somebody wants them.
        """
        engine.note_added(self._terms.batch_id, len(stored))
        if logger.isEnabledFor(logging.DEBUG):
            for pk, call in stored:
                self._log(pk, call)
        if signals.is_heard(signals.job_enqueued, self.job):
            for record in records or engine.read([pk for pk, _ in stored]):
                self._announce(record)
        if engine.has_told:
            engine.has_told = False
        else:
            waiting = self._waiting(call for _, call in stored)
            self._promote_after_commit(engine, waiting, self._terms.queue)
        if conf.current().INLINE:
            from django_jobflow.testing.at_once import execute_at_once

            execute_at_once(engine, [pk for pk, _ in stored])

    def _announce(self, record: JobRecord) -> None:
        signals.announce(signals.job_enqueued, self.job, lambda: record)

    def _log(self, pk: int, call: Call) -> None:
        events.log(
            logger,
            logging.DEBUG,
            "job_enqueued",
            job_id=pk,
            job_name=self.terms.name,
            queue=self.terms.queue,
            state=self.terms.state_of(call.execution_key),
        )

    def _waiting(self, calls: Iterable[Call]) -> list[tuple[str, str | None]]:
        """Return the partitions and execution keys that *calls* wait for, one for each call."""
        terms = self._terms
        if terms.is_later:
            return []
        keys = (call.execution_key for call in calls)
        return [(terms.partition, key) for key in keys if key is not None]

    def _promote_after_commit(
        self, engine: Engine, keys: Sequence[tuple[str, str | None]], queue: str
    ) -> None:
        """Let records with an execution key have their turn, but not before they are there.

        Inside the caller's transaction it would keep all others of the key waiting for it.
        Idle workers are told afterwards, also of those without a key.
        """
        if keys and any(key for _, key in keys):
            engine.after_commit(lambda: engine.promote(keys))
        engine.wake([queue], delay=self._delay() if self._terms.is_later else None)

    def _delay(self) -> timedelta:
        """Return for how long a record is not due, or a little less."""
        if self.terms.run_at is None:
            return self.terms.delay
        # Due by the database's clock, and announced by this host's.
        return self.terms.run_at - timezone.now() - CLOCK_SKEW


def _terms(definition: Definition, options: Mapping[str, Any], keeping: Keeping) -> Terms:
    return Terms(
        name=definition.name,
        queue=options.get("queue", definition.queue),
        partition=options.get("partition", ""),
        priority=options.get("priority", definition.priority),
        max_attempts=options.get("max_attempts", definition.max_attempts),
        timeout=options.get("timeout", definition.timeout),
        expires_at=options.get("expires_at"),
        run_at=options.get("run_at"),
        delay=keeping.debounce or options.get("delay", timedelta(0)),
        tags=dumps(options.get("tags", [])),
        meta=dumps(_meta(definition, options)),
        batch_id=options["batch"].pk if "batch" in options else None,
    )


def _meta(definition: Definition, options: Mapping[str, Any]) -> dict[str, Any]:
    meta: dict[str, Any] = options.get("meta", {})
    notify = options.get("notify", definition.notify)
    if notify is not None:
        meta = meta | {NOTIFY: notify}
    if "keep_logs" in options:
        meta = meta | {KEEP_LOGS: options["keep_logs"]}
    return meta


def _shared_key(job: type[Job]) -> dict[str, Any]:
    """Return the execution key of all records of a job that limits itself as a whole: its name."""
    definition = job.definition()
    if definition.concurrency is None or job._computes("execution_key"):
        return {}
    return {"execution_key": definition.name}


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

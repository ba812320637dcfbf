"""Moving the rows of another queue into this one, each in one transaction with its end there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from django_jobflow.declare import registry
from django_jobflow.engines import Engine, engine_for
from django_jobflow.engines.ground import batched
from django_jobflow.engines.repeating import again
from django_jobflow.enqueue import Enqueuer
from django_jobflow.exceptions import ArgumentError, InvalidJob
from django_jobflow.moving.sources import Source
from django_jobflow.moving.values import Report, Waiting

CHUNK = 100  # rows that one transaction takes
ORIGIN = "imported_from"  # the key in meta


class _Held(Exception):
    """Undoes one row: another record holds its queue key."""


class _Gone(Exception):
    """Undoes one row: a worker of the other queue has it."""


class Move:
    """One import.

    Args:
        source: Where the rows are.
        alias: The database of the jobs.
        names: Names of jobs here by what rows call there, where they are not the same.

    Raises:
        ImproperlyConfigured: The rows are in another database than the jobs.
    """

    def __init__(self, source: Source, alias: str, names: Mapping[str, str]) -> None:
        if source.alias != alias:
            raise ImproperlyConfigured(
                f"{source.name}: expected its rows in the database {alias!r} of the jobs, got "
                f"{source.alias!r}. A row and its job change places in one transaction; let its "
                "own workers finish what is in another database."
            )
        self.source = source
        self.engine: Engine = engine_for(alias)
        self.names = names

    def plan(self) -> Report:
        """Return what would be imported; nothing is written or locked.

        Database:
            One SELECT of the keys, and one for each 100 rows; one for each job with a queue
            key.
        """
        report, keys = Report(), set[str]()
        for row in self._rows():
            planned = self._planned(row)
            if isinstance(planned, str):
                report.leave(row, planned)
                continue
            digest = planned.prepared.call.held_queue_key
            if digest is not None and (digest in keys or self.engine.holder_of(digest)):
                report.leave(row, _held(planned.prepared.call.queue_key))
                continue
            if digest is not None:
                keys.add(digest)
            report.moved[row.path, planned.enqueuer.definition.name] += 1
        return report

    def run(self) -> Report:
        """Import what can be, and return what that was.

        A crash leaves each row in one of the two queues, and a second run finds only those
        that are still in the other one. The workers of both may run meanwhile.

        Database:
            A transaction for each 100 rows: it locks those, passing over what others have,
            and for each row opens a savepoint, inserts a record, and takes the row.
        """
        report = Report()
        for ids in self._chunks():
            report.add(again(self.engine, partial(self._run, ids)))
        return report

    def _run(self, ids: Sequence[Any]) -> Report:
        report = Report()
        with self.engine.transaction():
            rows = list(self.source.some(ids, lock=True))
            report.gone = len(ids) - len(rows)
            for row in rows:
                self._move(row, report)
        return report

    def _chunks(self) -> Iterator[Sequence[Any]]:
        """Yield the keys of what waits now; what comes later is for another run."""
        yield from batched(self.source.ids(), CHUNK)

    def _rows(self) -> Iterator[Waiting]:
        for ids in self._chunks():
            yield from map(self.source.read, self.source.some(ids, lock=False))

    def _move(self, row: Any, report: Report) -> None:
        waiting = self.source.read(row)
        planned = self._planned(waiting)
        if isinstance(planned, str):
            report.leave(waiting, planned)
            return
        try:
            with transaction.atomic(using=self.engine.alias):
                if not self.source.take(row):
                    raise _Gone
                planned.store(self.engine)
        except _Gone:
            report.gone += 1
        except _Held:
            report.leave(waiting, _held(planned.prepared.call.queue_key))
        else:
            report.moved[waiting.path, planned.enqueuer.definition.name] += 1

    def _planned(self, row: Waiting) -> Planned | str:
        """Return how *row* is to be stored, or why it cannot be."""
        if row.refusal:
            return row.refusal
        name = self.names.get(row.path, row.path)
        job = registry.find(name)
        if job is None:
            return f"no job is registered under {name!r}"
        origin = {"queue": self.source.name, "id": str(row.id), **row.origin}
        meta = {ORIGIN: {key: _plain(value) for key, value in origin.items()}}
        try:
            enqueuer: Enqueuer[...] = Enqueuer(
                job, {**row.options, "meta": meta, "database": self.engine.alias}
            )
            return Planned(row, enqueuer)
        except (ArgumentError, InvalidJob) as error:
            return str(error)


class Planned:
    """A row as it is to be stored here."""

    def __init__(self, row: Waiting, enqueuer: Enqueuer[...]) -> None:
        self.row = row
        self.enqueuer = enqueuer
        self.prepared = enqueuer.prepared(*row.args, **row.kwargs)

    def store(self, engine: Engine) -> None:
        record = self.enqueuer.store_new(self.prepared)
        if record is None:
            raise _Held
        # As many as leave one: the row waits for another execution.
        attempts = min(self.row.attempts, record.max_attempts - 1)
        if attempts > 0:
            engine.records.filter(pk=record.pk).update(attempt=attempts)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _held(key: str | None) -> str:
    return f"an unfinished job holds the queue key {key!r}"

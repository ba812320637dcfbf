"""Working off the queue inside of a test, in its thread and on its connections."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async

from django_jobflow import conf, maintain, settle
from django_jobflow.attempts import Reservation
from django_jobflow.engines import Engine, engine_for
from django_jobflow.exceptions import checked_delay
from django_jobflow.hooks import run as run_hook
from django_jobflow.testing import commits
from django_jobflow.testing.at_once import held_back
from django_jobflow.testing.executing import Bench, Executed
from django_jobflow.worker.fetch import Fetch
from django_jobflow.worker.options import WorkerOptions

ROOM = 1000  # records that one round takes at most
RUNAWAY = 1000
TIMEOUT = 60.0  # seconds


class DrainError(AssertionError):
    """A drain has not come to its end: a job enqueues itself for ever, or it takes too long."""


class Drained(tuple[Executed, ...]):
    """What a drain has executed, in order."""

    @property
    def names(self) -> list[str]:
        """The names of the jobs."""
        return [each.name for each in self]


def drain(
    *,
    queues: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    partitions: Sequence[str] | None = None,
    max_jobs: int | None = None,
    rounds: int | None = None,
    raise_errors: bool = False,
    runaway: int = RUNAWAY,
    timeout: float | timedelta = TIMEOUT,
    database: str | None = None,
) -> Drained:
    """Run the queue until nothing is left that is due, as a worker would, and return what ran.

    It runs in this thread and on its connections, so that it works inside a ``TestCase``: what
    waits is reserved, started, executed and settled by the worker's own code, with limits,
    pauses, keys, retries, hooks, signals and batches. First come the ``on_commit`` hooks that
    the test has put off, but for what ``captureOnCommitCallbacks`` has captured. Not enforced
    are time limits; ``jobflow_worker`` is for these.

    Args:
        queues: Only these. None means all.
        exclude: None of these queues.
        partitions: Only these. None means all.
        max_jobs: Stop after so many executions. None means never.
        rounds: Stop after so many rounds: one executes what may start at its beginning, and
            the next what that has enqueued. None means never.
        raise_errors: Raise the first exception of a body, once its end is written; what was
            not executed yet stays AVAILABLE. ``Retry``, ``Snooze``, ``Discard`` and ``Cancel``
            are no errors.
        runaway: So many executions are taken for jobs that enqueue themselves for ever.
        timeout: Seconds or timedelta after which no further job is begun.
        database: Alias of the database. None means JOBFLOW["DATABASE"].

    Raises:
        DrainError: There were more executions than *runaway*, or the time was up.
        TypeError, ValueError: A text where a list of names belongs, or a limit below 0.
    """
    _refuse_texts(queues=queues, exclude=exclude, partitions=partitions)
    _refuse_negative(max_jobs=max_jobs, rounds=rounds, runaway=runaway)
    options = WorkerOptions(
        database=database or conf.current().DATABASE,
        queues=None if queues is None else tuple(queues),
        exclude=tuple(exclude),
        partitions=None if partitions is None else tuple(partitions),
        drain=True,
    )
    seconds = checked_delay("drain", timeout, "timeout").total_seconds()
    with held_back():
        return _Drain(options, raise_errors, runaway, seconds).run(max_jobs, rounds)


def _refuse_texts(**given: Any) -> None:
    for name, value in given.items():
        if isinstance(value, str):
            raise TypeError(f"drain: expected {name} to be a list of names, got {value!r}.")


def _refuse_negative(**given: int | None) -> None:
    for name, value in given.items():
        if value is not None and value < 0:
            raise ValueError(f"drain: expected {name} to be 0 or more, got {value}.")


adrain = sync_to_async(drain)
"""Do what ``drain`` does, from async code."""


class _Drain:
    def __init__(
        self, options: WorkerOptions, raise_errors: bool, runaway: int, seconds: float
    ) -> None:
        self.options = options
        self.raise_errors = raise_errors
        self.runaway = runaway
        self.seconds = seconds
        self.ends_at = time.monotonic() + seconds
        self.executed: list[Executed] = []

    def run(self, max_jobs: int | None, rounds: int | None) -> Drained:
        left = rounds
        while left is None or left > 0:
            left = None if left is None else left - 1
            room = ROOM if max_jobs is None else min(max_jobs - len(self.executed), ROOM)
            commits.run_hooks()
            if room <= 0 or not self._round(room):
                break
        return Drained(self.executed)

    def _round(self, room: int) -> bool:
        """Execute what may start now; say whether there was anything."""
        # A new one each time: nothing that it has learnt is older than what a body has done.
        engine = engine_for(self.options.database)
        bench = Bench(engine)
        try:
            started = _Take(engine, self.options, bench).all(room)
            self._execute(started, bench)
        finally:
            bench.close()
            engine.end_session()
        return bool(started)

    def _execute(self, started: list[Reservation], bench: Bench) -> None:
        waiting = iter(started)
        try:
            for reservation in started:
                self._refuse_endless(reservation)
                next(waiting)
                executed = bench.run(reservation)
                self.executed.append(executed)
                if self.raise_errors:
                    executed.raise_error()
        except Exception:
            bench.give_back([*waiting])
            raise

    def _refuse_endless(self, reservation: Reservation) -> None:
        if len(self.executed) >= self.runaway:
            raise DrainError(
                f"drain: expected at most {self.runaway} executions, got more: "
                f"{self._counts(reservation)}. Does a job enqueue itself? Pass rounds= or "
                "max_jobs= to stop earlier, or runaway= to allow more."
            )
        if time.monotonic() > self.ends_at:
            raise DrainError(
                f"drain: expected to end within {self.seconds:g} s, got "
                f"{self._counts(reservation)}, and more to do. Pass timeout= to allow more."
            )

    def _counts(self, following: Reservation) -> str:
        counts = Counter(each.name for each in self.executed)
        counted = [f"{name} {count} times" for name, count in counts.most_common()]
        return ", ".join([*counted, f"and next {following.name}"])


class _Take:
    """Reserves and starts for one round.

    Args:
        bench: Writes the ends of what was taken and is not to be executed.
    """

    def __init__(self, engine: Engine, options: WorkerOptions, bench: Bench) -> None:
        self.engine = engine
        self.bench = bench
        self.options = options
        self.fetch = Fetch(engine, options)

    def all(self, room: int) -> list[Reservation]:
        """Start up to *room* of what may start now; return them in order."""
        self._tend()
        found: list[Reservation] = []
        while len(found) < room:
            left = room - len(found)
            demands = self.fetch.demands(left, _by_queue(found))
            if not demands:
                break
            exchange = self.engine.exchange([], demands, left)
            settle.report_starts(exchange.started)
            self.bench.refuse(exchange)
            self.fetch.took(demands, exchange)
            found += exchange.started
            if not (exchange.started or exchange.held or exchange.parked):
                break
        return found

    def _tend(self) -> None:
        """Do what a worker does beside executing: activate, rescue, expire, promote, learn."""
        self.engine.activate_scheduled(self.engine.records, None)
        maintain.rescue(self.engine, run_hook)
        commits.run_hooks(robust=True)
        self.fetch.learn(self.engine.glance(self.options.queues))
        self.fetch.tend_keys()


def _by_queue(found: Iterable[Reservation]) -> Counter[str]:
    return Counter(each.queue for each in found)

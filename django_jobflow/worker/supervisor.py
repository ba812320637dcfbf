"""The supervisor: keeps several worker processes up, and does no work itself.

It has one thread, no connection and no code of the project to run once it has begun, so
there is little that could break it, and its memory stays as it was when it forked: shared
with its workers. It sleeps until a signal comes, that of a child's end included, or until it
is time to see whether all of them still run.
"""

from __future__ import annotations

import gc
import logging
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from django.core.cache import caches
from django.db import connections

from django_jobflow import conf, events
from django_jobflow.worker import affinity
from django_jobflow.worker.alarm import Alarm
from django_jobflow.worker.estate import Estate
from django_jobflow.worker.forking import WELL, cause_of, ended, fork
from django_jobflow.worker.leash import Brake, Leash
from django_jobflow.worker.options import WorkerOptions, new_name, worker_name
from django_jobflow.worker.oversight import Oversight, Verdict
from django_jobflow.worker.place import Child, Place
from django_jobflow.worker.process import (
    RECYCLED,
    STOP_AT_ONCE_SIGNALS,
    STOP_SIGNALS,
    work_on_leash,
)
from django_jobflow.worker.vitals import Vitals

logger = logging.getLogger("django_jobflow.worker")

# Seconds after SHUTDOWN_TIMEOUT, or a second signal, that a worker has to end: with the default
# of that, all is over before a container's 30 seconds are.
KILL_GRACE = 3.0
OUT_OF_TIME = Verdict("did not stop in time and was killed", spares=True)


def supervise(options: WorkerOptions, processes: int) -> bool:
    """Work in *processes* processes until there is a reason to end; say whether all went well."""
    leave_connections()
    heard = *STOP_SIGNALS, *STOP_AT_ONCE_SIGNALS, signal.SIGCHLD
    with frozen_garbage(), Alarm(*heard) as alarm:
        return Supervisor(options, processes, alarm).run()


def leave_connections() -> None:
    """Close all that a process must not share with one that it forks."""
    for connection in connections.all(initialized_only=True):
        connection.close()
        if hasattr(connection, "close_pool"):
            connection.close_pool()
        assert connection.connection is None
    caches.close_all()


@contextmanager
def frozen_garbage() -> Iterator[None]:
    """Keep the collector from touching what is there now, which would unshare its memory."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class Supervisor:
    """The main loop of a supervisor process.

    Args:
        options: Those of each worker process, but for its name.
        processes: How many.
        alarm: Rings at the stop signals and at the end of a child.
    """

    def __init__(self, options: WorkerOptions, processes: int, alarm: Alarm) -> None:
        self.options = replace(options, supervisor=new_name())
        self.alarm = alarm
        self.places = [Place(number) for number in range(processes)]
        self.oversight = Oversight(options)
        self.estate = Estate(options.database, partial(self._fork, on_stop=lambda: None))
        self.shutdown_timeout = conf.current().SHUTDOWN_TIMEOUT.total_seconds()
        self.stop_signals = 0
        self.kill_at = float("inf")
        self.went_well = True

    def run(self) -> bool:
        """Keep the places filled until there is a reason to end; say whether all went well."""
        self._log(logging.INFO, "supervisor_started", processes=len(self.places))
        while not self._is_done():
            self._fill()
            self.estate.work()
            for number in self.alarm.wait(self._seconds_to_next()):
                self._hear(number)
            self._reap()
            self._kill_overdue()
            if self.oversight.timer.is_due():
                self._look()
        self.estate.give_up()
        self.oversight.end()
        self._log(logging.INFO, "supervisor_stopped")
        return self.went_well

    # Filling places

    def _fill(self) -> None:
        now = time.monotonic()
        for place in self._empty_places():
            if place.start_at <= now and self._may_start():
                self._start(place)

    def _empty_places(self) -> list[Place]:
        return [place for place in self.places if place.child is None and not place.is_done]

    def _may_start(self) -> bool:
        """Say whether this is the time for a new worker.

        One that drains ends when nothing is left, so what the dead held is given back first.
        """
        return not self._is_stopping() and not (self.options.drain and self.estate.is_open)

    def _start(self, place: Place) -> None:
        letters, leash, brake = secrets.token_hex(4), Leash(), Brake()
        vitals = Vitals(self.options.threads)
        work = partial(self._work, place.number, letters, leash, brake, vitals)
        pid = self._fork(work, on_stop=brake.ask)
        leash.hold()
        if pid is None:
            leash.let_go()
            self._say_delayed(place.ended(well=False))
            return
        place.child = Child(pid, worker_name(pid, letters), leash, vitals)

    def _fork(self, body: Callable[[], int | None], on_stop: Callable[[], object]) -> int | None:
        def run() -> int | None:
            self._leave_supervisor()
            return body()

        try:
            return fork(run, on_stop)
        except OSError as error:
            self._log(logging.ERROR, "fork_refused", error=repr(error))
            return None

    def _leave_supervisor(self) -> None:
        """Close, in a new process, what only the supervisor may hold."""
        self.alarm.leave()
        for child in self._children():
            child.leash.let_go()

    def _work(
        self, number: int, letters: str, leash: Leash, brake: Brake, vitals: Vitals
    ) -> int | None:
        if self.options.cpu_affinity:
            self._keep_to_cores(number)
        options = replace(self.options, name=worker_name(os.getpid(), letters))
        return work_on_leash(options, leash, brake, vitals, self.oversight.beat_pause)

    def _keep_to_cores(self, number: int) -> None:
        """Have the process of this place run on its own cores, if the system lets it."""
        try:
            affinity.keep_to_part(number, len(self.places))
        except OSError as error:
            self._log(logging.WARNING, "cpu_affinity_refused", pid=os.getpid(), error=repr(error))

    # Emptying places

    def _reap(self) -> None:
        self.estate.reap()
        for place in self.places:
            for child in place.children:
                if (code := ended(child.pid)) is not None:
                    self._heed(child)
                    child.leash.let_go()
                    self._end(place, child, code)

    def _end(self, place: Place, child: Child, code: int) -> None:
        well = code in {WELL, RECYCLED}
        if not well:
            cause = child.killed or cause_of(code)
            self._log(logging.ERROR, "worker_died", worker=child.name, pid=child.pid, cause=cause)
            self.estate.add(self.oversight.remains(child, cause))
        if self._is_stopping():
            self.went_well = self.went_well and well
        if child is place.leaving:
            place.leaving = None
            return
        pause = place.ended(well=well)
        if code == WELL and self.options.drain:
            place.is_done = True
        elif pause and not self._is_stopping():
            self._say_delayed(pause)

    def _say_delayed(self, pause: float) -> None:
        self._log(logging.WARNING, "worker_delayed", seconds=pause)

    def _look(self) -> None:
        """Kill workers that cannot help themselves, and replace those that leave."""
        self.oversight.look(self._children())
        for child in self._children():
            if child.killed is None and (verdict := self.oversight.verdict(child)):
                self._kill(child, verdict, event="worker_stuck")
        for child in self._children():
            self._heed(child)
        for place in self.places:
            place.make_room()

    def _kill(self, child: Child, verdict: Verdict, *, event: str) -> None:
        self._log(logging.ERROR, event, worker=child.name, pid=child.pid, cause=verdict.cause)
        child.killed, child.spares = verdict
        os.kill(child.pid, signal.SIGKILL)

    # Stopping

    def _hear(self, number: int) -> None:
        if number in STOP_AT_ONCE_SIGNALS:
            self._stop()
        if number != signal.SIGCHLD:
            self._stop()

    def _heed(self, child: Child) -> None:
        """Stop if an operator has asked for it; *child* has read that from its row."""
        if child.vitals.stops_all and not self._is_stopping():
            self._stop()

    def _stop(self) -> None:
        """Pass a stop signal on; the children get their time, and then they are killed."""
        self.stop_signals += 1
        for child in self._children():
            child.leash.pull()
        time_left = self.shutdown_timeout if self.stop_signals == 1 else 0.0
        self.kill_at = min(self.kill_at, time.monotonic() + time_left + KILL_GRACE)

    def _kill_overdue(self) -> None:
        if time.monotonic() < self.kill_at:
            return
        self.kill_at = float("inf")
        for child in self._children():
            self._kill(child, OUT_OF_TIME, event="worker_killed")

    def _is_stopping(self) -> bool:
        return self.stop_signals > 0

    def _is_done(self) -> bool:
        if self._children():
            return False
        if self._is_stopping():
            return not self.estate.is_open or self.estate.is_hopeless or self.stop_signals > 2
        return not self._empty_places() and not self.estate.is_open

    # What is there

    def _children(self) -> list[Child]:
        return [child for place in self.places for child in place.children]

    def _seconds_to_next(self) -> float:
        moments = [self.kill_at, self.estate.next_at(), self.oversight.timer.due_at]
        if self._may_start():
            moments += [place.start_at for place in self._empty_places()]
        return max(min(moments) - time.monotonic(), 0)

    def _log(self, level: int, event: str, **fields: object) -> None:
        events.log(logger, level, event, **fields)

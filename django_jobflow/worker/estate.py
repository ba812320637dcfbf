"""What dead workers held, until it is given back."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from django_jobflow import events, maintain, signals
from django_jobflow.engines import engine_for
from django_jobflow.maintain import Remains
from django_jobflow.worker.forking import WELL, ended
from django_jobflow.worker.tallies import Tallies
from django_jobflow.worker.trouble import TROUBLE, Trouble

logger = logging.getLogger("django_jobflow.worker")

SECOND_LOOK = 1.0  # seconds after the first


@dataclass(slots=True, eq=False, frozen=True)
class _Look:
    remains: Remains
    due_at: float


class Estate:
    """Has what dead workers held given back, by a process of its own.

    So the supervisor has no connection to take over a fork, is not held up by a database that
    does not answer, and runs none of the project's code: the receivers of ``job_rescued``.

    Each worker is looked after twice. A server may still do what the worker sent it last, and
    start jobs after the first look; what comes later than the second is left to its lease.

    Args:
        database: Alias of the database that holds the jobs.
        fork: Runs a function in a process; returns its id, or None if there can be none now.
    """

    def __init__(
        self, database: str, fork: Callable[[Callable[[], int | None]], int | None]
    ) -> None:
        self.database = database
        self._fork = fork
        self._looks: list[_Look] = []
        self._taken: list[_Look] = []
        self._rescuer: int | None = None
        self._trouble = Trouble()
        self._again_at = 0.0

    def add(self, remains: Remains) -> None:
        """Take in that a worker is dead."""
        now = time.monotonic()
        self._looks += [_Look(remains, due_at) for due_at in (now, now + SECOND_LOOK)]

    @property
    def is_open(self) -> bool:
        """Whether there is something left to give back."""
        return bool(self._looks)

    @property
    def is_hopeless(self) -> bool:
        """Whether several tries have failed, and none is under way."""
        return self._rescuer is None and self._trouble.is_long

    def next_at(self) -> float:
        """Return when the next rescuer is to be started, by ``time.monotonic``."""
        if self._rescuer is not None or not self._looks:
            return float("inf")
        return max(self._again_at, min(look.due_at for look in self._looks))

    def work(self) -> None:
        """Start a rescuer if it is time to."""
        now = time.monotonic()
        if now < self.next_at():
            return
        self._taken = [look for look in self._looks if look.due_at <= now]
        dead = [look.remains for look in self._taken]
        self._rescuer = self._fork(partial(rescue, self.database, dead))
        if self._rescuer is None:
            self._again_at = now + self._trouble.begin()

    def reap(self) -> None:
        """Take in that the rescuer has ended, if it has; after a failure there will be another."""
        if self._rescuer is None or (code := ended(self._rescuer)) is None:
            return
        self._rescuer = None
        if code != WELL:
            self._again_at = time.monotonic() + self._trouble.begin()
            return
        self._trouble.end()
        self._looks = [look for look in self._looks if look not in self._taken]

    def give_up(self) -> None:
        """Leave the rest to its lease."""
        self._looks = []
        if self._rescuer is not None:
            os.kill(self._rescuer, signal.SIGKILL)
            os.waitpid(self._rescuer, 0)
            self._rescuer = None


def rescue(database: str, dead: Iterable[Remains]) -> None:
    """Give back what the *dead* workers held."""
    engine = engine_for(database)
    tallies = Tallies(engine)
    for remains in dead:
        try:
            maintain.rescue_worker(engine, remains, tallies.note)
        except TROUBLE as error:
            events.log(
                logger,
                logging.ERROR,
                "database_trouble",
                worker=remains.worker,
                error=repr(error),
            )
            raise SystemExit from error
        tallies.write()
    signals.tell(signals.process_ending)

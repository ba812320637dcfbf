"""When a supervisor ends a worker that cannot help itself, and what it tells a probe."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import NamedTuple

from django_jobflow import conf
from django_jobflow.maintain import Remains
from django_jobflow.worker.clockwork import Timer
from django_jobflow.worker.heartbeat_file import HeartbeatFile
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.place import Child

LOOKS = 4  # at least, in one LEASE
LONGEST_PAUSE = timedelta(seconds=1)  # between two looks
STILL = 3  # looks without a beat after which the interpreter is thought to be held


class Verdict(NamedTuple):
    """Why a worker is to be killed.

    Attributes:
        cause: As the errors of its attempts tell it.
        spares: Whether what it ran, but for what is past its time limit, goes back at no cost.
    """

    cause: str
    spares: bool


class Oversight:
    """Looks at the vitals of the workers, each second or more often.

    Args:
        options: Those of each worker process.
    """

    def __init__(self, options: WorkerOptions) -> None:
        settings = conf.current()
        self.timer = Timer(min(settings.LEASE / LOOKS, LONGEST_PAUSE))
        self.grace = settings.TIMEOUT_GRACE.total_seconds()
        # A worker that still runs Python ends such a body itself; it may wait for its database.
        self.patience = (settings.SHUTDOWN_TIMEOUT + settings.LEASE).total_seconds()
        self.lease = math.ceil(settings.LEASE.total_seconds() / self.timer.interval)  # looks
        self.file = HeartbeatFile(options.heartbeat_file) if options.heartbeat_file else None

    @property
    def beat_pause(self) -> float:
        """Seconds between two beats of a worker."""
        return self.timer.interval / 2

    def look(self, children: list[Child]) -> None:
        """Look at all of them once more."""
        for child in children:
            child.look()
        if self.file is not None and self._all_reach(children):
            self.file.touch()

    def verdict(self, child: Child) -> Verdict | None:
        """Say whether, and why, *child* is to be killed."""
        now = time.monotonic()
        if child.beat.still >= STILL and child.vitals.overdue(now - self.grace):
            return Verdict("held its interpreter past a time limit and was killed", spares=True)
        if child.beat.still >= self.lease:
            return Verdict("stood still and was killed", spares=False)
        if child.vitals.overdue(now - self.grace - self.patience):
            return Verdict("kept a job past its time limit and was killed", spares=True)
        return None

    def remains(self, child: Child, cause: str) -> Remains:
        """Return what is known of *child*, which has died."""
        return Remains(
            worker=child.name,
            cause=cause,
            begun=child.vitals.begun(),
            overdue=child.vitals.overdue(time.monotonic() - self.grace),
            spares=child.spares,
        )

    def end(self) -> None:
        """Leave no file behind."""
        if self.file is not None:
            self.file.remove()

    def _all_reach(self, children: list[Child]) -> bool:
        """Say whether the database answers all of them; those that begin are given time."""
        return any(child.vitals.contacts for child in children) and all(
            child.contact.still <= self.lease / 2 for child in children
        )

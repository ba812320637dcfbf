"""What the coordinator does beside its cycle, each at its own pace."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator
from datetime import timedelta

from django_jobflow import bulk, conf, events, hooks, maintain
from django_jobflow.declare import registry
from django_jobflow.engines import Engine
from django_jobflow.engines.waking import Glance
from django_jobflow.failures import FailureTally
from django_jobflow.service import Service
from django_jobflow.version import __version__
from django_jobflow.worker.clockwork import Timer
from django_jobflow.worker.fetch import Fetch
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.recycling import memory
from django_jobflow.worker.running import Running
from django_jobflow.worker.scribe import write_down
from django_jobflow.worker.tallies import Tallies
from django_jobflow.worker.vitals import Unwatched, Vitals

logger = logging.getLogger("django_jobflow.worker")

PRUNE_INTERVAL = timedelta(minutes=1)
HISTORY_INTERVAL = timedelta(seconds=20)  # between two looks at what workers have counted
BULK_INTERVAL = timedelta(seconds=5)  # between two looks for a bulk operation
BULK_SECONDS = 0.2  # that the parts of one may take in a turn
BULK_PAUSE = 0.2  # seconds before the next turn of the process that has done one, at least
LOG_INTERVAL = timedelta(seconds=1)  # between two writes of what running bodies log
COUNT_INTERVAL = timedelta(seconds=1)  # between two writes of what has failed
NAMED = 5  # partitions that one line names
FOLD_INTERVAL = timedelta(seconds=5)  # after which failures of this process are in their groups


class Duties:
    """Heartbeats, cancel requests, progress, logs, rescue, pruning and the sums of the past.

    Args:
        engine: The database.
        options: Those of the process.
        running: What it runs.
        fetch: Which queues it serves.
        vitals: Told that the database has answered.
        run_hook: Calls the hooks of rescued jobs.
        failures: What has failed in this process. None means nothing.
        tallies: What it has counted.

    Attributes:
        wake_up: How the process learns of new work; "" until that is chosen.
    """

    def __init__(
        self,
        engine: Engine,
        options: WorkerOptions,
        running: Running,
        fetch: Fetch,
        vitals: Vitals | Unwatched,
        run_hook: hooks.Run = hooks.run,
        failures: FailureTally | None = None,
        tallies: Tallies | None = None,
    ) -> None:
        settings = conf.current()
        self.engine = engine
        self.options = options
        self.running = running
        self.fetch = fetch
        self.vitals = vitals
        self.failures = FailureTally() if failures is None else failures
        self.run_hook = run_hook
        self.tallies = tallies or Tallies(engine)
        self.lease = settings.LEASE
        self.heartbeat_interval = settings.heartbeat
        self.service = Service(
            queues=options.queues or (),
            excluded=options.exclude,
            partitions=options.partitions or (),
        )
        self.wake_up = ""
        # What kept this worker from renewing its leases for so long may have kept all of them.
        self.longest_silence = max(self.lease / 2, settings.heartbeat * 1.5).total_seconds()
        self.heartbeat = Timer(settings.heartbeat)
        self.requests = Timer(settings.POLL_INTERVAL)
        self.sweep = Timer(settings.SWEEP_INTERVAL, jitter=0.2)
        self.prune = Timer(PRUNE_INTERVAL, jitter=0.2)
        self.history = Timer(HISTORY_INTERVAL, jitter=0.2)
        self.logs = Timer(LOG_INTERVAL)
        self.bulk = Timer(BULK_INTERVAL, jitter=0.2)
        self.count = Timer(COUNT_INTERVAL)
        self.fold = Timer(FOLD_INTERVAL, jitter=0.2)
        self._has_counted = False
        self._last_log = 0
        self._beat_at = time.monotonic()
        self._unserved: set[tuple[str, str | None]] = set()
        self._renewed_at = time.monotonic()

    def do(self, glance: Glance | None = None) -> None:
        """Do what is due; costs no statement when nothing is.

        Args:
            glance: What the table has shown: a sweep without work is left out.
        """
        if self.heartbeat.is_due() or self.running.reports.beat_wanted:
            self.beat()
        if self.running.executions and self.requests.is_due():
            self._look_for_cancel_requests()
        self._write_progress()
        if self.running.reports.keeps_logs and self.logs.is_due():
            write_down(self.engine, self.running.executions.values())
        if self.failures and self.count.is_due():
            self.count_failures()
        if self._has_counted and self.fold.is_due():
            self.fold_failures()
        if self.sweep.is_due():
            self._sweep(glance)
        self.tallies.write_if_due()
        if self.tallies.is_on and self.history.is_due():
            maintain.remember(self.engine)
        if self.bulk.is_due() and (pause := bulk.work(self.engine, BULK_SECONDS)) is not None:
            self.bulk.due_at = time.monotonic() + max(pause, BULK_PAUSE)
        if self.prune.is_due():
            maintain.prune(self.engine)
            self.fold_failures()
            self.engine.prune_workers(self.lease * 10)
            self._last_log = self.engine.prune_stray_logs(self._last_log)

    def next_at(self) -> float:
        """Return when the next duty is due, by ``time.monotonic``."""
        timers = [self.heartbeat, self.sweep, self.prune, self.bulk]
        if self.tallies.is_on:
            timers.append(self.history)
        if self.running.executions:
            timers.append(self.requests)
            if self.running.reports.keeps_logs:
                timers.append(self.logs)
        if self.failures:
            timers.append(self.count)
        if self._has_counted:
            timers.append(self.fold)
        return min(self.tallies.due_at, *(timer.due_at for timer in timers))

    def count_failures(self) -> None:
        """Append what has failed since the last time; costs no statement when nothing has."""
        if self.failures:
            self.engine.append_failures(self.failures.sums(), conf.current().release)
            self.failures.clear()
            self._has_counted = True

    def fold_failures(self) -> None:
        """Fold what this process and others have appended into its groups."""
        self.engine.fold_failures()
        self._has_counted = False

    def beats_within(self, duration: timedelta) -> bool:
        """Say whether a heartbeat is due within *duration*."""
        return self.heartbeat.due_at <= time.monotonic() + duration.total_seconds()

    def hold_off(self) -> None:
        """Rescue nobody for a heartbeat: all others had the same trouble, and live."""
        self.sweep.hold_off(self.heartbeat_interval)

    def beat(self) -> None:
        """Renew the lease of all that this process holds, and its own row."""
        self._beat()
        now = time.monotonic()
        if now - self._beat_at > self.longest_silence:
            self.hold_off()
        self._beat_at = now

    def _beat(self) -> None:
        self.heartbeat.rewind()
        self.running.reports.beat_wanted = False
        reservations = self.running.reservations()
        held = {each.id for each in self.engine.extend(reservations, lease=self.lease)}
        self._note_renewal(bool(reservations))
        for reservation in reservations:
            if reservation.id not in held:
                events.log(
                    logger,
                    logging.WARNING,
                    "lease_lost",
                    job_id=reservation.id,
                    job_name=reservation.name,
                    worker=self.options.name,
                )
        if not self.engine.beat(self.options.name, memory(), self.wake_up):
            self.register()
        self.vitals.contact()

    def _note_renewal(self, holds: bool) -> None:
        """Say so if the leases had lapsed: what is left of them is renewed, the rest is lost."""
        former, self._renewed_at = self._renewed_at, time.monotonic()
        late = self._renewed_at - former
        if holds and late > self.lease.total_seconds():
            events.log(
                logger,
                logging.WARNING,
                "heartbeat_late",
                worker=self.options.name,
                seconds=round(late, 3),
            )

    def register(self) -> None:
        """Write the row of this process."""
        name = self.options.name
        host, pid = name.split(":")[:2]
        release = conf.current().release
        self.engine.note_release(release)
        self.engine.register_worker(
            name,
            host=host,
            pid=int(pid),
            threads=self.options.threads,
            service=self.service,
            names=registry.names(),
            supervisor=self.options.supervisor,
            version=__version__,
            memory=memory(),
            release=release,
            wake_up=self.wake_up,
        )

    def _sweep(self, glance: Glance | None) -> None:
        if glance is None or glance.sweeps:
            maintain.rescue(self.engine, self.run_hook, self.tallies.note)
            self.fetch.release_forgotten()
        if glance is None or glance.elsewhere:
            self._warn_of_unserved()

    def _look_for_cancel_requests(self) -> None:
        self.running.cancel(self.engine.cancel_requests(self.running.reservations()))

    def _write_progress(self) -> None:
        for execution, (percent, message) in self.running.reports.take_progress().items():
            if self.running.executions.get(execution.id) is execution:
                self.engine.write_progress(execution.reservation, percent, message)

    def _warn_of_unserved(self) -> None:
        """Say once of each queue with work, or partition of one, that no living worker serves."""
        if self.service.is_of_all:
            return
        for queue, partitions in self._unserved_lanes(self.engine.services(self.lease)):
            where = {} if partitions is None else {"partitions": ",".join(partitions[:NAMED])}
            if len(partitions or ()) > NAMED:
                where["more"] = str(len(partitions or ()) - NAMED)
            events.log(
                logger,
                logging.WARNING,
                "queue_unserved",
                queue=queue,
                **where,
                hint="No worker serves it: start one, or correct the name.",
            )

    def _unserved_lanes(
        self, services: Collection[Service]
    ) -> Iterator[tuple[str, list[str] | None]]:
        """Yield the queues of which it is not said yet, with their partitions or None for all."""
        if any(each.is_of_all for each in services):
            return
        theirs = [
            (queue, [each for each in services if each.serves(queue)])
            for queue in self.engine.waiting_queues()
        ]
        for queue, serving in theirs:
            if not serving:
                if self._is_news(queue, None):
                    yield queue, None
            elif all(each.partitions for each in serving):
                lanes = self.engine.waiting_lanes([queue])
                missed = [
                    partition
                    for _, partition in lanes
                    if not any(each.serves(queue, partition) for each in serving)
                    and self._is_news(queue, partition)
                ]
                if missed:
                    yield queue, missed

    def _is_news(self, queue: str, partition: str | None) -> bool:
        lane = queue, partition
        is_news = lane not in self._unserved
        self._unserved.add(lane)
        return is_news

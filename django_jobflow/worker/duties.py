"""What the coordinator does beside its cycle, each at its own pace."""

from __future__ import annotations

import logging
from datetime import timedelta

from django_jobflow import conf, events, maintain
from django_jobflow.engines import Engine
from django_jobflow.worker.clockwork import Timer
from django_jobflow.worker.fetch import Fetch
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.running import Running

logger = logging.getLogger("django_jobflow.worker")

PRUNE_INTERVAL = timedelta(minutes=1)


class Duties:
    """Heartbeats, cancel requests, progress, rescue and pruning.

    Args:
        engine: The database.
        options: Those of the process.
        running: What it runs.
        fetch: Which queues it serves.
    """

    def __init__(
        self, engine: Engine, options: WorkerOptions, running: Running, fetch: Fetch
    ) -> None:
        settings = conf.current()
        self.engine = engine
        self.options = options
        self.running = running
        self.fetch = fetch
        self.lease = settings.LEASE
        self.heartbeat = Timer(settings.heartbeat)
        self.requests = Timer(settings.POLL_INTERVAL)
        self.sweep = Timer(settings.SWEEP_INTERVAL, jitter=0.2)
        self.prune = Timer(PRUNE_INTERVAL, jitter=0.2)
        self._unserved: set[str] = set()

    def do(self) -> None:
        """Do what is due; costs no statement when nothing is."""
        if self.heartbeat.is_due() or self.running.reports.beat_wanted:
            self._beat()
        if self.running.executions and self.requests.is_due():
            self._look_for_cancel_requests()
        self._write_progress()
        if self.sweep.is_due():
            maintain.rescue(self.engine)
            self._warn_of_unserved_queues()
        if self.prune.is_due():
            maintain.prune(self.engine)
            self.engine.prune_workers(self.lease * 10)

    def next_at(self) -> float:
        """Return when the next duty is due, by ``time.monotonic``."""
        timers = [self.heartbeat, self.sweep, self.prune]
        if self.running.executions:
            timers.append(self.requests)
        return min(timer.due_at for timer in timers)

    def _beat(self) -> None:
        """Renew the lease of all that this process holds, and its own row."""
        self.running.reports.beat_wanted = False
        ids = self.running.ids()
        held = self.engine.extend(ids, worker=self.options.name, lease=self.lease)
        for job_id in ids:
            if job_id not in held and job_id in self.running.executions:
                events.log(
                    logger,
                    logging.WARNING,
                    "lease_lost",
                    job_id=job_id,
                    job_name=self.running.executions[job_id].reservation.name,
                    worker=self.options.name,
                )
        if not self.engine.beat(self.options.name):
            self.register()

    def register(self) -> None:
        """Write the row of this process."""
        name = self.options.name
        host, pid = name.split(":")[:2]
        self.engine.register_worker(
            name,
            host=host,
            pid=int(pid),
            queues=self.options.queues or (),
            threads=self.options.threads,
        )

    def _look_for_cancel_requests(self) -> None:
        ids = self.running.ids()
        self.running.cancel(self.engine.cancel_requests(ids, worker=self.options.name))

    def _write_progress(self) -> None:
        for job_id, (percent, message) in self.running.reports.take_progress().items():
            execution = self.running.executions.get(job_id)
            if execution is not None:
                self.engine.write_progress(execution.reservation, percent, message)

    def _warn_of_unserved_queues(self) -> None:
        """Say once of each queue that has work and no living worker that serves it."""
        if not self.options.queues and not self.options.exclude:
            return
        served = self.engine.served_queues()
        if served is None:
            return
        for queue in self.engine.waiting_queues():
            if queue not in served and queue not in self._unserved:
                self._unserved.add(queue)
                events.log(
                    logger,
                    logging.WARNING,
                    "queue_unserved",
                    queue=queue,
                    hint="No worker serves it: start one, or correct the name.",
                )

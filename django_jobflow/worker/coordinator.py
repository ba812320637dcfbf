"""The coordinator: one thread and one connection that do all queue work of a process.

Its cycle writes what has ended, reserves and starts what the slots can take, all in one
transaction, and hands over only what that transaction has committed as IN_PROGRESS. So no
body runs whose attempt is not counted, and the more jobs end at once the more each
statement carries.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

from django_jobflow import conf, events, settle, signals
from django_jobflow.attempts import Ending, Reservation
from django_jobflow.declare import registry
from django_jobflow.endings import decide, expired, unknown_job
from django_jobflow.engines import engine_for
from django_jobflow.states import JobState
from django_jobflow.worker.agenda import Agenda
from django_jobflow.worker.duties import Duties
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.fetch import Fetch
from django_jobflow.worker.inbox import Inbox
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.running import Running
from django_jobflow.worker.trouble import FIRST_PAUSE, REFUSED, TROUBLE, Trouble, close

logger = logging.getLogger("django_jobflow.worker")


class Coordinator:
    """The main loop of a worker process.

    Args:
        options: Those of the process.
    """

    def __init__(self, options: WorkerOptions) -> None:
        self.options = options
        self.settings = conf.current()
        self.engine = engine_for(options.database)
        self.grace = self.settings.TIMEOUT_GRACE.total_seconds()
        self.inbox = Inbox()
        self.running = Running(options.threads, options.database, self.inbox)
        self.fetch = Fetch(self.engine, options)
        self.duties = Duties(self.engine, options, self.running, self.fetch)
        self.agenda = Agenda(self.engine, self.settings.POLL_INTERVAL)
        self.trouble = Trouble()
        self.unsettled: list[Execution] = []
        self.executed = 0
        self.stop_at: float | None = None
        self.stop_at_once = False
        self.drained = False

    # From outside

    def request_stop(self) -> None:
        """Take no new work; called again, stop at once. Safe in a signal handler."""
        if self.stop_at is None:
            self.stop_at = time.monotonic() + self.settings.SHUTDOWN_TIMEOUT.total_seconds()
        else:
            self.stop_at_once = True
        self.inbox.wake()

    def run(self) -> None:
        """Work until there is a reason to end."""
        try:
            self._survive(self.duties.register)
            self._log(logging.INFO, "worker_started", threads=self.options.threads)
            while not self._is_done():
                self._survive(self._round)
        finally:
            self._finish()

    # The loop

    def _round(self) -> None:
        self._collect()
        self.duties.do()
        worked = self._cycle()
        if not worked and not self._is_done():
            self._wait()

    def _survive(self, action: Callable[[], object]) -> None:
        """Call *action*; after any trouble with the database, pause and reconnect."""
        try:
            action()
            if self.trouble.end():
                self._give_back_unknown()
                self._log(logging.INFO, "database_back")
        except REFUSED as error:
            self._settle_one_by_one(error)
        except TROUBLE as error:
            self._log(logging.ERROR, "database_trouble", error=repr(error))
            close(self.options.database)
            self.running.slots.distrust_connections()
            if self._is_stopping() and self.trouble.is_long:
                raise
            self.inbox.sleep(self.trouble.begin())

    def _settle_one_by_one(self, error: Exception) -> None:
        """Write each end alone, and drop the one that the database refuses.

        Its row is freed with its lease; the others must not wait behind it for ever.
        """
        self._log(logging.ERROR, "cycle_refused", error=repr(error))
        for execution in self.unsettled.copy():
            self.unsettled.remove(execution)
            if execution.settled or execution.lost or execution.outcome is None:
                continue
            ending = decide(execution.reservation, execution.outcome)
            try:
                written = settle.settle(self.engine, [ending])
            except REFUSED as refusal:
                settle.lost(execution.reservation, f"{ending.event}: {refusal!r}")
            else:
                settle.report([ending], written, {execution.id: execution.seconds})
        self.inbox.sleep(FIRST_PAUSE)

    def _give_back_unknown(self) -> None:
        """Release what a cut-off commit may have started without our knowing."""
        known = self.running.executions.keys() | {each.id for each in self.unsettled}
        self.engine.release_unknown(self.options.name, known)

    def _collect(self) -> None:
        """Take in what has ended, and end what waits too long, is stuck, or has to stop."""
        ended: list[Execution] = self.inbox.take_all()
        stopping = self._is_stopping()
        ended += self.running.take_back(all_of_them=stopping)
        ended += self.running.stuck(self.grace)
        if stopping and (self.stop_at_once or time.monotonic() >= (self.stop_at or 0)):
            ended += self.running.abandon_all("The worker stopped.")
        for execution in ended:
            self.running.forget(execution)
        self.unsettled += ended

    def _cycle(self) -> bool:
        """Settle, reserve and start in one transaction; say whether there was work."""
        wanted = self._wanted()
        looks = wanted > 0 and (bool(self.unsettled) or self.agenda.look_is_due())
        if not self._is_stopping() and self.agenda.activation_is_due():
            self.agenda.activate()
            looks = wanted > 0
        if not self.unsettled and not looks:
            return False
        endings = [
            decide(each.reservation, each.outcome)
            for each in self.unsettled
            if each.outcome is not None
        ]
        refused: list[Ending] = []
        started: list[Reservation] = []
        with self.engine.transaction():
            written = self._settle(endings)
            reserved = self.fetch.reserve(wanted, self.running.by_queue) if looks else []
            if reserved:
                refused = self._refusals(reserved)
                written |= settle.settle(self.engine, refused) if refused else set()
                started = self._start(reserved, refused)
        self._after_commit(endings + refused, written, reserved, started)
        if looks:
            self._plan(len(reserved), wanted)
        return bool(endings or reserved)

    def _settle(self, endings: list[Ending]) -> set[int]:
        done = {each.id for each in self.unsettled if each.settled}
        lost = {each.id for each in self.unsettled if each.lost}
        open_ends = [each for each in endings if each.reservation.id not in done | lost]
        return done | (settle.settle(self.engine, open_ends) if open_ends else set())

    def _refusals(self, reserved: list[Reservation]) -> list[Ending]:
        """Return the ends of what cannot be executed here."""
        unknown = [each for each in reserved if registry.find(each.name) is None]
        limited = [each for each in reserved if each.expires_at is not None]
        if not unknown and not limited:
            return []
        now = self.engine.now()
        refused = [unknown_job(each, now) for each in unknown]
        late = [each for each in limited if each.expires_at is not None and each.expires_at <= now]
        return refused + [expired(each) for each in late if each not in unknown]

    def _start(self, reserved: list[Reservation], refused: list[Ending]) -> list[Reservation]:
        refused_ids = {ending.reservation.id for ending in refused}
        return self.engine.start(
            [each for each in reserved if each.id not in refused_ids],
            lease=self.settings.LEASE,
        )

    def _after_commit(
        self,
        endings: list[Ending],
        written: set[int],
        reserved: list[Reservation],
        started: list[Reservation],
    ) -> None:
        seconds = {each.id: each.seconds for each in self.unsettled}
        self.unsettled = []
        self.running.hand_over(self._executions(started))
        settle.report(endings, written, seconds)
        for ending in endings:
            if ending.delay is not None:
                self.agenda.expect(ending.delay)
        gone = {each.id for each in reserved} - {each.id for each in started} - written
        for reservation in reserved:
            if reservation.id in gone:
                settle.lost(reservation, "start")

    def _executions(self, started: list[Reservation]) -> list[Execution]:
        executions = []
        for reservation in started:
            job = registry.get(reservation.name)
            executions.append(Execution(reservation, job))
            events.log(
                logger,
                logging.DEBUG,
                "job_started",
                job_id=reservation.id,
                job_name=reservation.name,
                queue=reservation.queue,
                attempt=reservation.attempt,
            )
            signals.announce(
                signals.job_started,
                job,
                partial(settle.record_of, reservation, JobState.IN_PROGRESS),
            )
        self.executed += len(executions)
        return executions

    # When to do what

    def _wanted(self) -> int:
        if self._is_stopping():
            return 0
        room = self.running.room
        if self.options.max_jobs is not None:
            room = min(room, self.options.max_jobs - self.executed)
        return max(room, 0)

    def _plan(self, found: int, wanted: int) -> None:
        """Plan the next look by what this one has found."""
        self.agenda.looked(found)
        if found >= wanted:
            return
        if not found:
            self.agenda.learn_next_due()
        if self.options.drain and not found and not self.running.executions:
            self.drained = self._nothing_left()

    def _nothing_left(self) -> bool:
        """Look behind the keys and the clock once more before a drain ends."""
        self.engine.promote_waiting()
        self.engine.activate_scheduled(self.engine.records, None)
        return not any(self.fetch.serves(queue) for queue in self.engine.waiting_queues())

    def _wait(self) -> None:
        events = [self.duties.next_at(), self.running.next_event(self.grace)]
        if self.stop_at is not None:
            events.append(self.stop_at)
        self.agenda.sleep(self.inbox, min(events), looks=self._wanted() > 0)

    def _is_stopping(self) -> bool:
        return self.stop_at is not None

    def _is_done(self) -> bool:
        if self.running.executions or self.unsettled or self.inbox:
            return False
        spent = self.options.max_jobs is not None and self.executed >= self.options.max_jobs
        return self._is_stopping() or self.drained or spent

    # The end

    def _finish(self) -> None:
        self.running.stop()
        try:
            self.engine.give_back(self.options.name)
            self.engine.remove_worker(self.options.name)
        except TROUBLE as error:
            self._log(logging.ERROR, "database_trouble", error=repr(error))
        self._log(logging.INFO, "worker_stopped", executed=self.executed)
        self.inbox.close()

    def _log(self, level: int, event: str, **fields: object) -> None:
        events.log(logger, level, event, worker=self.options.name, **fields)

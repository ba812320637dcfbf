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

from django_jobflow import conf, events, settle, signals
from django_jobflow.attempts import Demand, Ending, Exchange, Reservation
from django_jobflow.declare import registry
from django_jobflow.engines import engine_for
from django_jobflow.models import StopKind
from django_jobflow.worker.aftermath import Aftermath
from django_jobflow.worker.agenda import Agenda
from django_jobflow.worker.attention import Attention
from django_jobflow.worker.duties import Duties
from django_jobflow.worker.execution import Execution
from django_jobflow.worker.fetch import Fetch
from django_jobflow.worker.inbox import Inbox
from django_jobflow.worker.ledger import Ledger
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.pace import SHARE
from django_jobflow.worker.recycling import Recycling
from django_jobflow.worker.running import Running
from django_jobflow.worker.stopping import Stop
from django_jobflow.worker.tallies import Tallies
from django_jobflow.worker.trouble import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    REFUSED,
    TROUBLE,
    Trouble,
    close,
)
from django_jobflow.worker.vitals import Unwatched, Vitals
from django_jobflow.worker.wakeups import WakeUps

logger = logging.getLogger("django_jobflow.worker")

GATHER = 0.005  # seconds that an end waits for others at most
GATHER_OF_LONG = 0.02  # the same where bodies are long, and nobody waits for one of the ends
GATHER_WHILE_BUSY = 0.04  # the same while slots have work, or where nothing is to be written
HURRY = 0.5  # seconds of pause at most, in trouble, once it is to stop
BEHIND = 0.005  # seconds after which a drain looks again for what it has not found
LEAST_REST = 0.002  # seconds for which it is worth to wait


class Coordinator:
    """The main loop of a worker process.

    Args:
        options: Those of the process.
        vitals: What a supervisor sees of it. None means that there is none.
    """

    def __init__(self, options: WorkerOptions, vitals: Vitals | Unwatched | None = None) -> None:
        self.options = options
        self.vitals = vitals or Unwatched()
        self.settings = conf.current()
        self.engine = engine_for(options.database)
        self.grace = self.settings.TIMEOUT_GRACE.total_seconds()
        self.inbox = Inbox()
        self.running = Running(options.threads, self.engine, self.inbox, self.vitals)
        self.fetch = Fetch(self.engine, options)
        self.aftermath = Aftermath()
        self.tallies = Tallies(self.engine)
        self.recycling = Recycling(options)
        self.agenda = Agenda(
            self.engine, self.settings.POLL_INTERVAL, options.queues, drains=options.drain
        )
        self.attention = Attention(self.engine)
        self.wakeups = WakeUps(
            self.engine, options, self.fetch, self.agenda, self.inbox, self.attention.hear
        )
        # All who live have renewed their leases a heartbeat after the end of any trouble.
        self.trouble = Trouble(min(self.settings.heartbeat.total_seconds() / 2, LONGEST_PAUSE))
        self.ledger = Ledger(self.engine, self.aftermath.add, self.attention, self.tallies)
        self.duties = Duties(
            self.engine,
            options,
            self.running,
            self.fetch,
            self.vitals,
            self.aftermath.add,
            self.ledger.failures,
            self.tallies,
        )
        self.stop = Stop(self.settings.SHUTDOWN_TIMEOUT)
        self.executed = 0
        self.drained = False
        self.has_signed_off = False

    # From outside

    def request_stop(self, *, at_once: bool = False) -> None:
        """Take no new work; called again, stop at once. Safe in a signal handler."""
        self.stop.request(at_once=at_once)
        self.inbox.wake()

    def run(self) -> None:
        """Work until there is a reason to end."""
        try:
            self._survive(self.duties.register)
            self._log(logging.INFO, "worker_started", threads=self.options.threads)
            signals.tell(signals.worker_started, worker=self.options.name)
            while not self._has_left():
                self._survive(self._round)
        finally:
            self._finish()

    # The loop

    def _round(self) -> None:
        if not self.stop:
            self._recycle()
        self._collect()
        self.wakeups.follow()
        self.duties.wake_up = self.wakeups.mode or ""
        if (rest := self._rest()) > 0:
            self.inbox.rest(rest)
            return
        worked = self._cycle()  # first of all: a job may have waited for this
        self.duties.do(self.agenda.glance)
        if not self.stop and self.agenda.glance_is_due(looks=self._wanted() > 0):
            self._look_around()
        if not worked and not self._is_done() and not self.trouble.lasts:
            self._wait()

    def _rest(self) -> float:
        """Return for how many seconds to let more ends come together, while the slots work.

        A cycle for each end would take from the bodies what it costs in CPU and commits. The
        slots have work while others wait in the line, and all but a few of them where many
        bodies run at a time.
        """
        if self.stop or not self.ledger.can_wait:
            return 0.0
        ended, supply = len(self.ledger), self.running.supply
        pace = self.running.pace
        seconds = supply - pace.cycle
        are_busy = seconds >= LEAST_REST
        if not are_busy:
            seconds = pace.until_share_ends(len(self.running), ended)
        return max(min(seconds, self._patience(are_busy=are_busy) - self.ledger.age), 0.0)

    def _patience(self, *, are_busy: bool = False) -> float:
        """Return for how many seconds the first of the ends may wait: an eighth of a body's time.

        Longer where nothing is left to be written of them, and while slots *are busy* with what
        waits for them. Shortly where an end frees a key or a place under a limit, or somebody
        waits for a result; and where slots stand idle, for which a job may come meanwhile.
        """
        patience = min(GATHER_OF_LONG, self.running.pace.seconds * SHARE)
        if are_busy or self.ledger.is_written:
            patience = GATHER_WHILE_BUSY
        if patience <= GATHER:  # first, since of short bodies there are many ends to look at
            return GATHER
        is_awaited = self.ledger.frees_keys or self.fetch.has_freed or self.attention.is_asked
        idle = self.running.room - len(self.ledger)
        return GATHER if is_awaited or idle > self.running.capacity * SHARE else patience

    def _survive(self, action: Callable[[], object]) -> None:
        """Call *action*; after any trouble with the database, pause and reconnect."""
        try:
            if self.trouble.lasts:
                self._give_back_unknown()  # first, so that the action finds it
            action()
            if self.trouble.end():
                self.duties.hold_off()
                self._log(logging.INFO, "database_back")
        except REFUSED as error:
            self._log(logging.ERROR, "cycle_refused", error=repr(error))
            self.ledger.settle_one_by_one()
            self.inbox.sleep(FIRST_PAUSE)
        except TROUBLE as error:
            self._lose_connection(error)
            self.running.slots.distrust_connections()
            if self._gives_up() and self._has_work():
                raise
            self.duties.hold_off()
            pause = self.trouble.begin()
            self._pause(min(pause, HURRY) if self.stop else pause)

    def _lose_connection(self, error: Exception) -> None:
        self._log(logging.ERROR, "database_trouble", error=repr(error))
        self.wakeups.lose_connection()
        close(self.options.database)

    def _pause(self, seconds: float) -> None:
        """Wait, whatever ends meanwhile; only a request to stop is heard at once."""
        deadline, stop_due_at = time.monotonic() + seconds, self.stop.due_at
        while (left := deadline - time.monotonic()) > 0 and self.stop.due_at == stop_due_at:
            self.inbox.rest(left)

    def _gives_up(self) -> bool:
        """Say whether to leave the table as it is, since the time is over that a stop may take."""
        return self.stop.is_due and self.trouble.is_long

    def _give_back_unknown(self) -> None:
        """Release what a cut-off commit may have started without our knowing."""
        known = self.running.reservations() + self.ledger.reservations()
        self.ledger.forget_refused()
        self.engine.release_unknown(self.options.name, known)

    def _recycle(self) -> None:
        """Make room for another process, if this one has had its time."""
        if reason := self.recycling.reason():
            self._leave(reason)
        elif self._is_spent() and not self.options.drain:
            self.vitals.leave()

    def _leave(self, reason: str, *, patiently: bool = True) -> None:
        """Take no new work, and end once what runs has ended; another takes the place."""
        if not self.stop:
            self._log(logging.INFO, "worker_leaving", reason=reason)
            self.vitals.leave()
        self.stop.leave(patiently=patiently)

    def _collect(self) -> None:
        """Take in what has ended, and end what waits too long, is stuck, or has to stop."""
        self._take_in(self.inbox.take_all())
        self.running.slots.groups.relieve()
        unstarted = self.running.take_back(all_of_them=bool(self.stop))
        self.executed -= len(unstarted)
        self._take_in(unstarted)
        if overdue := self.running.overdue(self.grace):
            self._end_overdue(overdue)
        if self.stop.is_due:
            self._take_in(self.running.abandon_all("The worker stopped."))
        if self.running.away is not None:
            self._take_in(self.running.away.tend(stops=bool(self.stop)))

    def _take_in(self, ended: list[Execution]) -> None:
        for execution in ended:
            self.running.forget(execution)
            self.fetch.note_end(execution.reservation)
        self.ledger.add(ended)

    def _end_overdue(self, overdue: list[Execution]) -> None:
        """End bodies that do not react to their time limit.

        Only the end of the process ends such a body, and until then it must not run beside its
        next attempt. So this process leaves, where another takes its place: what else runs is
        given the time of a stop, and the stuck ones are settled last. But those whose bodies are
        over are given back at once, where it is for others that they wait.
        """
        waiting = [each for each in overdue if self.running.waits_for_others(each)]
        if waiting:
            self._take_in(self.running.give_up(waiting))
            overdue = [each for each in overdue if each not in waiting]
        if not overdue:
            return
        if self.vitals.is_watched:
            self._leave("a job does not stop", patiently=False)
        others = len(self.running) - len(overdue)
        if not self.vitals.is_watched or not others or self.stop.is_due:
            self._take_in(self.running.give_up(overdue))

    def _cycle(self) -> bool:
        """Settle, reserve and start in one transaction; say whether there was work."""
        wanted = self._wanted()
        if not self.stop and self.agenda.activate_due() > wanted:
            self.engine.wake()  # there is some for other workers
        if not self.stop and (pause := self.fetch.tend_keys()) is not None:
            self.agenda.look_again(pause)
        looks = wanted > 0 and (bool(self.ledger) or self.agenda.news)
        if looks and self.fetch.is_outdated:
            self._look_around()
            looks = bool(self.ledger) or self.agenda.news
        if not self.ledger and not looks:
            self._tell_of_freed(Exchange())
            return False
        if looks:
            self.agenda.begin_look()
        self.ledger.write_logs()
        endings = self.ledger.endings()
        demands = self.fetch.demands(wanted, self.running.by_queue) if looks else []
        began = time.monotonic()
        exchange = self._exchange(endings, demands, wanted)
        self.vitals.contact()
        self._after_commit(endings, exchange)
        if demands:
            self.running.pace.note_cycle(time.monotonic() - began)
        found = len(exchange.started) + len(exchange.held) + len(exchange.lost)
        found += sum(exchange.parked.values())
        if looks:
            self._plan(found)
            self._look_again(demands, exchange)
        self._tell_of_freed(exchange)
        return bool(endings or found)

    def _exchange(self, endings: list[Ending], demands: list[Demand], wanted: int) -> Exchange:
        if not endings and not demands:  # all that waits is paused, or over its limit
            return Exchange()
        return self.engine.exchange(endings, demands, wanted)

    def _look_again(self, demands: list[Demand], exchange: Exchange) -> None:
        """Put the looks on the agenda that follow from what this one has passed over."""
        if self.fetch.took(demands, exchange):
            self.agenda.news = True
        for pause in (exchange.passed_over, self.fetch.opens_in()):
            if pause is not None:
                self.agenda.look_again(pause)

    def _tell_of_freed(self, exchange: Exchange) -> None:
        """Tell others of places that this worker has freed under a limit, and has not taken."""
        if queues := self.fetch.freed(exchange):
            self.engine.wake(queues)
        elif exchange.passed_on and self._wanted():
            self.engine.wake()  # what comes next of a key is on a queue of others

    def _after_commit(self, endings: list[Ending], exchange: Exchange) -> None:
        self.running.hand_over(self._executions(exchange.started))
        if exchange.started and not endings:
            time.sleep(0)  # a slot that stood idle needs the interpreter, and sooner than we do
        self.ledger.close(endings, exchange)
        for ending in endings:
            if ending.delay is not None:
                self.agenda.expect(ending.delay)

    def _executions(self, started: list[Reservation]) -> list[Execution]:
        self.executed += len(started)
        settle.report_starts(started)
        return [Execution(each, registry.get(each.name)) for each in started]

    # When to do what

    def _wanted(self) -> int:
        if self.stop:
            return 0
        room = self.running.room
        if self.options.max_jobs is not None:
            room = min(room, self.options.max_jobs - self.executed)
        return max(room, 0)

    def _plan(self, found: int) -> None:
        """Plan the next look by what this one has found."""
        self.agenda.looked(found)
        if self.options.drain and not found and not self.running.executions:
            self.drained = self._nothing_left()

    def _nothing_left(self) -> bool:
        """Look behind the keys and the clock once more before a drain ends."""
        self.engine.look_anew()
        self.engine.promote_waiting()
        self.engine.activate_scheduled(self.engine.records, None)
        if not self.fetch.has_work():
            return True
        if self.fetch.is_plain:  # it may be in a partition that has just come up
            self.agenda.look_again(BEHIND)
        return False

    def _look_around(self) -> None:
        """Glance at the table; a heartbeat that is due soon goes along, for one commit."""
        if self.running.executions or not self.duties.beats_within(self.settings.POLL_INTERVAL):
            self.agenda.look_around()
        else:
            with self.engine.transaction():
                self.duties.beat()
                self.agenda.look_around()
        if self.agenda.glance.stopping and not self.stop:
            self._heed()
        self.fetch.learn(self.agenda.glance)
        self.agenda.news = self.agenda.news or self.fetch.gates.is_worth_a_look
        self.vitals.contact()

    def _heed(self) -> None:
        """Leave if an operator has asked for it; what runs is given the time of a stop."""
        request = self.engine.stop_request(self.options.name)
        if request is None:  # another was asked
            return
        kind, by = request
        if kind == StopKind.COMMAND:
            self.vitals.stop_all()
        self._leave(f"asked to stop by {by or 'an operator'}", patiently=False)

    def _wait(self) -> None:
        self.wakeups.take()  # what came along with the last statement
        events = [self.duties.next_at(), self.running.next_event(self.grace)]
        events += [self.recycling.next_at(), self.stop.due_at]
        self.agenda.sleep(self.inbox, min(events), looks=self._wanted() > 0)
        self.wakeups.take()

    def _has_work(self) -> bool:
        return bool(self.running.executions) or bool(self.ledger) or bool(self.inbox)

    def _is_done(self) -> bool:
        if self._has_work() or (self.trouble.lasts and not self._gives_up()):
            return False
        return bool(self.stop) or self.drained or self._is_spent()

    def _is_spent(self) -> bool:
        return self.options.max_jobs is not None and self.executed >= self.options.max_jobs

    # The end

    def _has_left(self) -> bool:
        """Say whether all is done, and written, or past saving."""
        if self._is_done() and not self._gives_up():
            self._survive(self._sign_off)
        return self._is_done()

    def _sign_off(self) -> None:
        """Leave nothing of this worker in the database but what it has counted."""
        self.duties.count_failures()
        self.tallies.write()
        self.engine.give_back(self.options.name)
        self.engine.remove_worker(self.options.name)
        if not self.options.drain:
            self.engine.wake()  # what this one has given back is for the others
        self.wakeups.stop()
        self.engine.end_session()
        self.has_signed_off = True

    def _finish(self) -> None:
        self.running.stop()
        while not self._take_leave():
            pause = self.trouble.begin()
            if self.trouble.is_long:
                break  # what is left in the table is for the others to give back
            self._pause(min(pause, HURRY))
        self.aftermath.stop()
        signals.tell(signals.process_ending)
        self._log(logging.INFO, "worker_stopped", executed=self.executed)
        self.inbox.close()

    def _take_leave(self) -> bool:
        """Give back what is left, and remove this process's row; say whether that was done."""
        try:
            if not self.has_signed_off:
                self._sign_off()
        except TROUBLE as error:
            self._lose_connection(error)
            return False
        return True

    def _log(self, level: int, event: str, **fields: object) -> None:
        events.log(logger, level, event, worker=self.options.name, **fields)

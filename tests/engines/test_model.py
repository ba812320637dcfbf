"""Whatever several workers, callers and operators do in whatever order: what the model foresees.

A machine of hypothesis calls the verbs of an engine at random, with a clock of its own and with
workers that act on what they believe to hold, long after another has it. After each step the
tables are what ``reference.py`` says, and the rules hold that it does not know.

A short form, always the same, runs on SQLite. ``JOBFLOW_TEST_MODEL=5000`` runs so many random
examples, on any database.
"""

import os
from collections import Counter
from datetime import UTC, datetime, timedelta

import hypothesis
import pytest
from django.db import transaction
from django.test import TestCase
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from django_jobflow import Job, Linear, exceptions
from django_jobflow.attempts import Demand, key_digest, reservation_of
from django_jobflow.endings import decide, expired, unknown_job
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.outcomes import (
    Cancelled,
    Discarded,
    ErrorInfo,
    Failed,
    Released,
    Snoozed,
    Succeeded,
)
from django_jobflow.states import (
    EDITABLE,
    ENDED,
    HELD,
    KEYED,
    PENDING,
    REPLACEABLE,
    TRANSITIONS,
    UNFINISHED,
    JobState,
)
from tests import databases
from tests.engines import reference
from tests.engines.contract import Contract
from tests.engines.reference import FIRST_DELAY, Error, Hold, Refused, Success, Table

ASKED_FOR = "JOBFLOW_TEST_MODEL"
EXAMPLES = int(os.environ.get(ASKED_FOR, 25))
STEPS = 50

LEASE = timedelta(seconds=60)
PROMISE = timedelta(seconds=20)
RECENT = 8  # of what a worker was given, that it may still act on
MOSTLY = 15  # of 20
FEW = 6  # records, so that they meet

WORKERS = ("host:1:a", "host:2:b", "host:3:c")
QUEUES = ("a", "b")
KNOWN = frozenset({"model.Return", "model.Raise", "model.Replace"})
BODY = ErrorInfo("shop.Broken", "text", "trace")

workers = st.sampled_from(WORKERS)
ranges = st.sampled_from([None, ("a",), ("b",), ("b", "a")])
limits = st.integers(1, 4)
one = st.integers(0, 19)
some = st.lists(one, min_size=1, max_size=4, unique=True)
queue_keys = st.sampled_from([None, None, "q", "r"])
execution_keys = st.sampled_from([None, None, "e", "f"])
priorities = st.sampled_from([0, 0, 5, -5])
pauses = st.sampled_from([timedelta(seconds=seconds) for seconds in (1, 20, 59, 60, 61, 3600)])
calls = st.fixed_dictionaries({"key": queue_keys, "lane": execution_keys})
terms = st.fixed_dictionaries(
    {"queue": st.sampled_from(QUEUES), "max_attempts": st.integers(1, 3)},
    optional={
        "priority": priorities,
        "partition": st.just("p"),
        "later": pauses,
        "expires_in": pauses,
    },
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "kwargs": calls,
        "queue": st.sampled_from(QUEUES),
        "priority": priorities,
        "max_attempts": st.integers(1, 3),
        "queue_key": queue_keys,
        "execution_key": execution_keys,
    },
).filter(bool)
endings = st.sampled_from(
    [
        Succeeded({"sent": True}),
        Failed(BODY),
        Failed(BODY, timedelta(seconds=30)),
        Discarded(BODY),
        Cancelled(BODY),
        Snoozed(timedelta(seconds=30)),
        Released("A reason.", timedelta(seconds=5)),
    ]
)
outcomes = endings | st.just(Released("A reason."))


def legal_moves():
    """Return the moves that one step may make of a record, by the states before and after."""
    single = {
        (origin, target)
        for each in TRANSITIONS.values()
        for origin in each.origins
        for target in each.targets or {None}
    }
    # An exchange may give a record its turn, reserve it and start it; the rest may be deleted.
    twice = {(a, d) for a, b in single for c, d in single if b == c}
    thrice = {(a, d) for a, b in twice for c, d in single if b == c}
    return (
        single
        | twice
        | thrice
        | {(state, None) for state in JobState if state != JobState.IN_PROGRESS}
    )


LEGAL = legal_moves()


class Verbs(RuleBasedStateMachine):
    """An engine beside the model, as long as one example takes."""

    def __init__(self, engine, jobs):
        super().__init__()
        self.engine = engine
        self.declared = jobs
        self.model = Table()
        self.born: list[JobRecord] = []
        self.given: list = []  # reservations, those of long ago included
        self.records: list[JobRecord] = []  # the same, as the verbs of records have them
        self.holds: Counter[tuple[int, int]] = Counter()
        self.before: dict[int, JobRecord] = {}
        # Ahead of what the database itself says of the records that are enqueued.
        self.now = datetime.now(UTC) + timedelta(hours=1)
        self.began = self.now
        self._undone = transaction.atomic()
        self._undone.__enter__()

    def teardown(self):
        transaction.set_rollback(True)
        self._undone.__exit__(None, None, None)

    def committing(self):
        """Do what is to be done after a commit, though there is none."""
        return TestCase.captureOnCommitCallbacks(execute=True)

    def recent(self, given, picks, *states):
        """Return some of what workers were *given*, mostly what is theirs in one of *states*."""
        found = given[-RECENT:]
        holds = self.model.holds(states or HELD)
        valid = [each for each in given if hold_of(each) in holds]
        pools = [valid or found if pick < MOSTLY else found for pick in picks]
        chosen = [pool[pick % len(pool)] for pool, pick in zip(pools, picks, strict=True)]
        return [*dict.fromkeys(chosen)]

    def chosen(self, pick, states):
        """Return a record, mostly one in one of *states*."""
        fit = {pk for pk, job in self.model.jobs.items() if job.state in states}
        fitting = [record for record in self.born if record.pk in fit]
        found = fitting if fitting and pick < MOSTLY else self.born[-RECENT:]
        return found[pick % len(found)]

    def take(self, reservations):
        """Let a worker have what it was given; no two are ever given the same."""
        self.given += reservations
        for each in reservations:
            self.holds[each.id, each.reserved_count] += 1

    def agree(self, expected, verb):
        """See to it that a verb refuses what the model does, and returns what it returns."""
        try:
            foreseen = expected()
        except Refused as refusal:
            with pytest.raises(getattr(exceptions, str(refusal))):
                verb()
            return
        assert foreseen == verb()

    # The clock

    @rule(pause=pauses | st.none())
    def time_passes(self, pause):
        """Let some time pass, or as much as it takes until something is due or lapses."""
        jobs = self.model.jobs.values()
        moments = [each for job in jobs for each in (job.expires, job.available_at) if each]
        due = min((each for each in moments if each > self.now), default=self.now)
        self.now = due if pause is None else self.now + pause

    # Callers

    def enqueuer(self, terms):
        later, expires_in = terms.get("later"), terms.get("expires_in")
        options = {k: v for k, v in terms.items() if k not in {"later", "expires_in"}}
        if later:
            options["run_at"] = self.now + later
        if expires_in:
            options["expires_at"] = self.now + expires_in
        return options

    def newborn(self, record, call, options):
        facts = {k: v for k, v in options.items() if k != "run_at"}
        due = options.get("run_at", record.available_at)
        assert due == record.available_at or record.available_at < self.began
        return reference.Job(
            id=record.pk,
            available_at=record.available_at,
            queue_key=call["key"],
            execution_key=call["lane"],
            **facts,
        )

    @initialize(some=st.lists(calls, min_size=2, max_size=4), terms=terms, worker=workers)
    def begin(self, some, terms, worker):
        """Have something to work with from the beginning."""
        self.enqueue_many(some, {**terms, "max_attempts": 2})
        self.exchange(worker, [None], 2, KNOWN, [], [])

    @precondition(lambda self: len(self.model.jobs) < FEW)
    @rule(call=calls, terms=terms, job=st.sampled_from(sorted(KNOWN)))
    def enqueue(self, call, terms, job):
        options, later = self.enqueuer(terms), "later" in terms
        holder = self.model.holder_of(options.get("partition", ""), call["key"])
        enqueue = self.declared[job].using(**options).enqueue
        with self.committing():
            if holder and job == "model.Raise":
                with pytest.raises(exceptions.DuplicateJob):
                    enqueue(**call)
                return
            record = enqueue(**call)
        if holder is None:
            assert not record.duplicate
            self.born.append(record)
            self.model.enqueue(self.newborn(record, call, options), later=later)
            return
        assert (True, holder.id) == (record.duplicate, record.pk)
        if job == "model.Replace" and holder.state in REPLACEABLE:
            self.model.replace(holder, self.newborn(record, call, options), later=later)

    @precondition(lambda self: len(self.model.jobs) < FEW)
    @rule(some=st.lists(calls, min_size=1, max_size=4), terms=terms)
    def enqueue_many(self, some, terms):
        options, later = self.enqueuer(terms), "later" in terms
        with self.committing():
            ids = self.declared["model.Return"].using(**options).enqueue_many(some)
        with self.committing():
            rows = JobRecord.objects.in_bulk(ids)
        news = []
        for pk, call in zip(ids, some, strict=True):
            holder = self.model.holder_of(options.get("partition", ""), call["key"])
            assert holder is None or holder.id == pk
            if holder is None:
                self.born.append(rows[pk])
                news.append(self.newborn(rows[pk], call, options))
                self.model.jobs[pk] = news[-1]
        for new in news:
            self.model.enqueue(new, later=later)

    # Workers

    @rule(worker=workers, queues=ranges, limit=limits)
    def reserve(self, worker, queues, limit):
        found = self.engine.reserve(
            limit=limit, worker=worker, queues=queues, timeout=PROMISE, now=self.now
        )
        assert self.model.reserve(limit, worker, queues, PROMISE, self.now) == [
            each.id for each in found
        ]
        self.take(found)

    @rule(worker=workers, limit=limits)
    def reserve_records(self, worker, limit):
        found = JobRecord.objects.reserve(limit, worker=worker, timeout=PROMISE, now=self.now)
        assert self.model.reserve(limit, worker, None, PROMISE, self.now) == [
            each.pk for each in found
        ]
        self.records += found
        self.take([reservation_of(record) for record in found])

    @precondition(lambda self: self.given)
    @rule(picks=some)
    def start(self, picks):
        reservations = self.recent(self.given, picks, JobState.RESERVED)
        expected = self.model.start(holds(reservations), LEASE, self.now)
        started = self.engine.start(reservations, lease=LEASE, now=self.now)
        assert sorted(expected) == sorted(each.id for each in started)

    @precondition(lambda self: self.given)
    @rule(picks=some, outcomes=st.lists(outcomes, min_size=4, max_size=4))
    def settle(self, picks, outcomes):
        ended = self.recent(self.given, picks, JobState.IN_PROGRESS)
        ends = [*zip(ended, outcomes, strict=False)]
        expected = self.model.settle([(hold(each), outcome) for each, outcome in ends], self.now)
        with self.committing():
            written = self.engine.settle([decide(*end) for end in ends], self.now)
            again = self.engine.settle([decide(*end) for end in ends], self.now)
        assert (expected, set()) == (written, again)

    @precondition(lambda self: self.given)
    @rule(picks=some, verb=st.sampled_from(["release", "refuse", "postpone", "extend", "look"]))
    def use_hold(self, picks, verb):
        """Do with some holds what is neither a start nor an end."""
        states = HELD if verb in {"extend", "look"} else {JobState.RESERVED}
        reservations = self.recent(self.given, picks, *states)
        held = holds(reservations)
        with self.committing():
            match verb:
                case "release":
                    expected = self.model.release(held)
                    assert expected == self.engine.release(reservations, self.now)
                case "refuse":
                    expected = self.model.refuse(held, self.now)
                    ends = [expired(each) for each in reservations]
                    assert expected == self.engine.settle(ends, self.now)
                case "postpone":
                    expected = self.model.postpone(held, timedelta(minutes=1), self.now)
                    for each in reservations:
                        each.meta = {}  # so that it is unknown for the first time
                    ends = [unknown_job(each, self.now) for each in reservations]
                    assert expected == self.engine.settle(ends, self.now)
                case "extend":
                    expected = self.model.extend(held, LEASE, self.now)
                    found = self.engine.extend(reservations, lease=LEASE, now=self.now)
                    assert sorted(expected) == sorted(each.id for each in found)
                case "look":
                    expected = self.model.cancel_requests(held)
                    found = self.engine.cancel_requests(reservations)
                    assert sorted(expected) == sorted(each.id for each in found)
                    is_running = self.model.write_progress(held[0])
                    assert is_running == self.engine.write_progress(reservations[0], 7, "text")

    @rule(
        worker=workers,
        queues=st.lists(ranges, min_size=1, max_size=2, unique=True),
        limit=limits,
        names=st.sampled_from([KNOWN, KNOWN, frozenset({"model.Return"})]),
        picks=some,
        outcomes=st.lists(endings, min_size=4, max_size=4),
    )
    def exchange(self, worker, queues, limit, names, picks, outcomes):
        theirs = [each for each in self.given if each.worker == worker]
        ended = self.recent(theirs, picks, JobState.IN_PROGRESS) if theirs else []
        ends = [*zip(ended, outcomes, strict=False)]
        demands = [
            Demand(
                worker=worker, queues=each, limit=limit, names=names, lease=LEASE, timeout=PROMISE
            )
            for each in queues
        ]
        # A new one, since the other remembers how far it has read.
        engine = type(self.engine)(self.engine.alias)
        expected = self.foreseen(worker, ends, demands, limit)
        with self.committing():
            found = engine.exchange([decide(*end) for end in ends], demands, limit, self.now)
        started = [each.id for each in found.started]
        assert expected == (found.written, started, {each.id for each in found.held})
        assert [] == found.lost
        self.take(found.started + found.held)

    def foreseen(self, worker, ends, demands, limit):
        written = self.model.settle([(hold(each), outcome) for each, outcome in ends], self.now)
        started, held = [], set()
        for demand in demands:
            room = min(demand.limit, limit - len(started) - len(held))
            taken = self.model.reserve(
                room, worker, demand.queues, PROMISE, self.now, every_partition=False
            )
            for job in (self.model.jobs[pk] for pk in taken):
                if self.name_of(job.id) in demand.names and not self.is_pointless(job):
                    started += self.model.start([job.hold], LEASE, self.now)
                else:
                    held.add(job.id)
        return written, started, held

    def name_of(self, pk):
        return next(record.name for record in self.born if record.pk == pk)

    def is_pointless(self, job):
        return job.expires_at is not None and job.expires_at <= self.now

    # What a worker does by its records

    @precondition(lambda self: self.records)
    @rule(pick=one)
    def start_record(self, pick):
        [record] = self.recent(self.records, [pick], JobState.RESERVED)
        held = reservation_of(record)

        def expected():
            if not self.model.start([hold(held)], timedelta(seconds=60), self.now):
                raise Refused("ReservationLost")

        self.agree(expected, lambda: record.start(self.now))

    @precondition(lambda self: self.records)
    @rule(pick=one, outcome=st.sampled_from(["succeed", "fail", "release"]))
    def settle_record(self, pick, outcome):
        [record] = self.recent(self.records, [pick], JobState.IN_PROGRESS)
        held, state = hold(reservation_of(record)), record.state
        error = ValueError("text")
        outcomes = {
            "succeed": Succeeded(),
            "fail": Failed(ErrorInfo.of(error)),
            "release": Released(),
        }

        def expected():
            if outcome == "release" and state == JobState.RESERVED:
                if not self.model.release([held]):
                    raise Refused("ReservationLost")
            elif state != JobState.IN_PROGRESS or not self.model.settle(
                [(held, outcomes[outcome])], self.now
            ):
                raise Refused("ReservationLost")

        arguments = {"succeed": ({"sent": True},), "fail": (error,), "release": ()}[outcome]
        with self.committing():
            self.agree(expected, lambda: getattr(record, outcome)(*arguments, now=self.now))

    # Sweeps

    @rule(which=st.permutations(["activate", "rescue", "fail", "promote"]))
    def sweep(self, which):
        for verb in which:
            with self.committing():
                self._sweep(verb)

    def _sweep(self, verb):
        match verb:
            case "activate":
                expected = self.model.activate(self.now)
                assert expected == JobRecord.objects.activate_scheduled(self.now)
            case "rescue":
                expected = len(self.model.rescue(self.now))
                assert expected == JobRecord.objects.activate_expired(self.now)
            case "fail":
                expected = len(self.model.fail_lost(self.now))
                assert expected == JobRecord.objects.fail_expired_at_max_attempts(self.now)
            case "promote":
                self.engine.promote_waiting()

    @rule(worker=workers, picks=some, is_dead=st.booleans())
    def lose_worker(self, worker, picks, is_dead):
        """Let a worker die, or forget what it does not know."""
        if is_dead:
            expected = self.model.give_back(worker, self.now)
            with self.committing():
                found = self.engine.give_back(worker, self.now)
            assert sorted(expected) == [record.pk for record in found]
            return
        known = self.recent(self.given, picks) if self.given else []
        expected = self.model.release_unknown(worker, holds(known))
        assert expected == self.engine.release_unknown(worker, known)

    # Operators

    @precondition(lambda self: self.born)
    @rule(pick=one, pause=pauses, verb=st.sampled_from(["cancel", "run_now", "delay", "run_at"]))
    def operate(self, pick, pause, verb):
        states = {"cancel": UNFINISHED, "run_now": PENDING}.get(verb, EDITABLE)
        record, now = self.chosen(pick, states), self.now
        calls = {
            "cancel": (self.model.cancel, record.cancel),
            "run_now": (self.model.run_now, record.run_now),
        }
        with self.committing():
            if verb in calls:
                foreseen, act = calls[verb]
                self.agree(lambda: foreseen(record.pk, now), lambda: act(now))
                return
            due = {verb: pause if verb == "delay" else now + pause}
            self.agree(
                lambda: self.model.reschedule(record.pk, now + pause),
                lambda: record.reschedule(**due, now=now),
            )

    @precondition(lambda self: self.born)
    @rule(pick=one, changes=changes | st.just({}))
    def retry(self, pick, changes):
        record = self.chosen(pick, ENDED)
        with self.committing():
            self.agree(
                lambda: self.model.retry(record.pk, by_column(changes), self.now),
                lambda: record.retry(self.now, **changes),
            )

    @precondition(lambda self: self.born)
    @rule(pick=one, changes=changes)
    def update(self, pick, changes):
        record = self.chosen(pick, EDITABLE)
        with self.committing():
            self.agree(
                lambda: self.model.update(record.pk, by_column(changes)),
                lambda: record.update(**changes, now=self.now),
            )

    @precondition(lambda self: self.born)
    @rule(pick=one, age=pauses, is_one=st.booleans())
    def delete(self, pick, age, is_one):
        """Delete one by hand, or all that are old."""
        if is_one:
            pk = self.chosen(pick, JobState).pk
            expected = self.model.delete(pk)
            with self.committing():
                assert expected == self.engine.delete(self.engine.records.filter(pk=pk))
            return
        old = self.now - age
        assert self.model.prune_ended(old) == self.engine.prune(self.engine.old_ended(old))
        assert self.model.prune_succeeded(old) == self.engine.prune(self.engine.old_succeeded(old))

    # What must hold

    @invariant()
    def all_holds(self):
        self.rows = {row.pk: row for row in JobRecord.objects.all()}
        self.successes = {row.pk: row for row in SucceededJob.objects.all()}
        self.the_tables_are_what_the_model_says()
        self.each_move_is_in_the_table()
        self.attempts_stay_within_their_bounds()
        self.nobody_is_given_what_another_has()
        self.each_key_has_one_holder()
        self.errors_are_added_and_never_taken_away()
        assert not self.rows.keys() & self.successes.keys()
        self.before = self.rows

    def the_tables_are_what_the_model_says(self):
        assert self.model.jobs == {pk: as_modelled(row) for pk, row in self.rows.items()}
        assert self.model.succeeded == {pk: as_success(row) for pk, row in self.successes.items()}

    def each_move_is_in_the_table(self):
        moves = {
            (former.state, self.rows[pk].state if pk in self.rows else None)
            for pk, former in self.before.items()
        }
        assert {move for move in moves if move[0] != move[1]} <= LEGAL

    def attempts_stay_within_their_bounds(self):
        for row in self.rows.values():
            assert 0 <= row.attempt <= row.max_attempts
            assert row.attempt <= row.reserved_count
            assert (row.state in ENDED) == (row.finished_at is not None)

    def nobody_is_given_what_another_has(self):
        assert {1} >= set(self.holds.values())
        for row in self.rows.values():
            held = {row.reserved_by, row.reserved_at, row.expires}
            assert (row.state in HELD) == (None not in held)

    def each_key_has_one_holder(self):
        rows = self.rows.values()
        for kind, states in (("queue_key", UNFINISHED), ("execution_key", KEYED)):
            held = [
                key_digest(row.partition, getattr(row, kind))
                for row in rows
                if getattr(row, kind) and row.state in states
            ]
            assert len(held) == len(set(held))
            columns = [getattr(row, f"held_{kind}") for row in rows]
            assert sorted(held) == sorted(filter(None, columns))

    def errors_are_added_and_never_taken_away(self):
        for pk, former in self.before.items():
            row = self.rows.get(pk) or self.successes.get(pk)
            if row is not None:
                assert former.errors == row.errors[: len(former.errors)]
                assert len(row.errors) - len(former.errors) in {0, 1}


def hold(reservation):
    return Hold(
        reservation.id, reservation.attempt, reservation.worker, reservation.reserved_count
    )


def hold_of(given):
    """Return what a worker has by a reservation, or by a record."""
    return hold(reservation_of(given) if isinstance(given, JobRecord) else given)


def holds(reservations):
    return [hold(reservation) for reservation in reservations]


def by_column(changes):
    """Return *changes* as the model takes them: with the keys that the arguments make."""
    values = dict(changes)
    if call := values.pop("kwargs", None):
        values = {"queue_key": call["key"], "execution_key": call["lane"]} | values
    return values


def as_modelled(row):
    same = ("id", "queue", "partition", "priority", "max_attempts", "queue_key", "execution_key")
    same += ("available_at", "expires_at", "state", "attempt", "expires", "finished_at")
    return reference.Job(
        **{name: getattr(row, name) for name in same},
        worker=row.reserved_by,
        count=row.reserved_count,
        asked_at=row.cancel_requested_at,
        errors=errors_of(row),
    )


def as_success(row):
    return Success(row.attempt, row.reserved_by, row.succeeded_at, tuple(errors_of(row)))


def errors_of(row):
    return [Error(each["number"], each["worker"], each["exception"]) for each in row.errors]


class ModelTests(Contract):
    @pytest.fixture
    def jobs(self, own_jobs):
        class Base(Job):
            abstract = True
            backoff = Linear(FIRST_DELAY)

            def queue_key(self, key=None, lane=None):
                return key

            def execution_key(self, key=None, lane=None):
                return lane

            def perform(self, key=None, lane=None):
                pass

        return {
            f"model.{word.capitalize()}": type(
                word, (Base,), {"name": f"model.{word.capitalize()}", "on_duplicate": word}
            )
            for word in ("return", "raise", "replace")
        }

    @pytest.mark.skipif(
        databases.kind() != "sqlite" and ASKED_FOR not in os.environ,
        reason=f"{ASKED_FOR}, a number of examples, asks for it on this database.",
    )
    def test_random_interleavings_do_what_the_model_foresees(self, jobs):
        run_state_machine_as_test(
            lambda: Verbs(self.engine, jobs),
            settings=hypothesis.settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                derandomize=ASKED_FOR not in os.environ,
                suppress_health_check=list(hypothesis.HealthCheck),
            ),
        )

"""The verbs make the moves of the table in ``states.py``, all of them and no others."""

from contextlib import contextmanager
from datetime import timedelta

import hypothesis
import pytest
from django.db import transaction
from hypothesis import strategies

from django_jobflow import Job
from django_jobflow.attempts import Demand, Gate, key_digest
from django_jobflow.declare import registry
from django_jobflow.endings import decide, expired, unknown_job
from django_jobflow.engines.verbs import reservation_of
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
from django_jobflow.quotas import Quota
from django_jobflow.states import KEYED, TRANSITIONS, UNFINISHED, JobState
from tests.engines.contract import HOUR, LATER, MINUTE, NOON, Contract, live, make, stored
from tests.factories import WORKER

ERROR = ErrorInfo("E", "text")
FAR = NOON + timedelta(days=1)  # when all is due and every lease has lapsed
SPENDABLE = frozenset({JobState.IN_PROGRESS, JobState.FAILED, JobState.CANCELLED})


@contextmanager
def undone():
    """Forget afterwards what is written inside."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def reservation(record, **other):
    """Return *record* as the worker of these tests holds it, whether or not it does."""
    held = reservation_of(record)
    held.worker = WORKER
    for name, value in other.items():
        setattr(held, name, value)
    return held


def settling(outcome, **other):
    return lambda engine, record: engine.settle([decide(reservation(record, **other), outcome)])


def failing(engine, record, *, left):
    held = reservation(record, max_attempts=record.attempt + left)
    engine.settle([decide(held, Failed(ERROR))], LATER)


def replacing(**options):
    def replace(engine, record):
        body = {"name": record.name, "on_duplicate": "replace", "perform": lambda self: None}
        with registry.isolated():
            if holder := registry.find(record.name):  # as if its module was loaded anew
                body |= {"__module__": holder.__module__, "__qualname__": holder.__qualname__}
            latest = type("Latest", (Job,), body)
            latest.using(queue_key="q", **options).enqueue()

    return replace


def rekeying(other, *, taken=False):
    """Give the record the execution key that *other* makes of its own; another may hold that."""

    def rekey(engine, record):
        key = other(record.execution_key)
        if taken and not engine.records.filter(execution_key=key, state__in=KEYED).exists():
            make(execution_key=key)
        engine.edit(engine.records.filter(pk=record.pk), {"execution_key": key})

    return rekey


def expiring(engine, record):
    engine.records.filter(pk=record.pk).update(expires_at=FAR)
    engine.expire(engine.records, FAR)


def taking(quota, turns=None):
    """Take work while the job of the records is held back: by a pause, or by this *quota*."""

    def take(engine, record):
        if quota is not None:
            engine.prepare_limits({("job", record.name)})
        gate = Gate(record.name, (record.name,), quota, asks=quota is not None, has_parked=True)
        demand = Demand(
            worker=WORKER,
            queues=None,
            turns=turns,
            limit=9,
            names=frozenset(),
            lease=HOUR,
            timeout=HOUR,
            gates=(gate,),
        )
        engine.exchange((), [demand], 9, LATER)

    return take


VERBS = {
    "replace": [replacing(), replacing(delay=60), replacing(execution_key="e")],
    "activate": [lambda engine, record: engine.activate_scheduled(engine.records, FAR)],
    "promote": [
        lambda engine, record: engine.promote([(record.partition, record.execution_key)]),
        lambda engine, record: engine.promote_waiting(),
    ],
    "park": [taking(None)],
    "admit": [taking(Quota(9), turns=())],
    "unpark": [lambda engine, record: engine.unpark([record.name])],
    "reserve": [
        lambda engine, record: engine.reserve(
            limit=9, worker=WORKER, queues=None, timeout=HOUR, now=FAR
        )
    ],
    "start": [lambda engine, record: engine.start([reservation(record)], lease=MINUTE, now=NOON)],
    "release": [
        lambda engine, record: engine.release([reservation(record)], LATER),
        settling(Released()),
    ],
    "postpone": [
        lambda engine, record: engine.settle([unknown_job(reservation(record), LATER)], LATER)
    ],
    "refuse": [lambda engine, record: engine.settle([expired(reservation(record))], LATER)],
    "succeed": [settling(Succeeded({"sent": True}))],
    "retry_later": [lambda engine, record: failing(engine, record, left=1)],
    "fail": [lambda engine, record: failing(engine, record, left=0)],
    "discard": [settling(Discarded(ERROR))],
    "snooze": [settling(Snoozed(MINUTE))],
    "rescue": [
        lambda engine, record: engine.rescue(engine.records, FAR),
        lambda engine, record: engine.give_back(WORKER, LATER),
    ],
    "lose": [
        lambda engine, record: engine.fail_lost(engine.records, FAR),
        lambda engine, record: engine.give_back(WORKER, LATER),
    ],
    "expire": [expiring],
    "cancel": [
        lambda engine, record: engine.cancel(engine.records.filter(pk=record.pk), LATER),
        settling(Cancelled(ERROR)),
    ],
    "run_now": [lambda engine, record: engine.run_now(engine.records, LATER)],
    "reschedule": [
        lambda engine, record: engine.reschedule(engine.records, delay=HOUR),
        lambda engine, record: engine.reschedule(engine.records, NOON),
    ],
    "rekey": [
        rekeying(lambda key: None),
        rekeying(lambda key: "held" if key != "held" else "free", taken=True),
        rekeying(lambda key: key),
    ],
    "retry": [
        lambda engine, record: engine.retry(engine.records, LATER),
        lambda engine, record: engine.retry(
            engine.records.filter(pk=record.pk), LATER, {"execution_key": "f"}
        ),
    ],
}
NEEDS_SPENT = {"lose"}
TOGETHER = {"rescue": ["lose"], "lose": ["rescue"]}  # a worker that is given back does both


def situations(verb):
    """Yield a record in each state: without a key, with a free one, behind another's."""
    for state in JobState:
        spent = verb in NEEDS_SPENT and state in SPENDABLE
        if verb in NEEDS_SPENT and not spent and state == JobState.RESERVED:
            continue  # it has an attempt left, so that it is rescued
        for key in (None, "free", "held"):
            if state == JobState.WAITING and key != "held":
                with undone():  # parked: with its key, if it has one
                    name = "shop.jobs.SendReceipt"
                    yield make(state, execution_key=key, queue_key="q", parked_for=name)
            if (state == JobState.WAITING and key is None) or (key == "held" and state in KEYED):
                continue
            with undone():
                if key == "held":
                    make(
                        JobState.IN_PROGRESS,
                        execution_key=key,
                        reserved_by="other",
                        expires=FAR + HOUR,
                    )
                facts = {"attempt": 3} if spent else {}
                yield make(state, execution_key=key, queue_key="q", **facts)


def moves(pairs):
    return {(before, after) for before, after in pairs if before != after}


class TransitionTests(Contract):
    @pytest.mark.parametrize("verb", VERBS)
    def test_verb_makes_the_moves_of_its_row_and_no_others(self, verb):
        seen = set()
        for record in situations(verb):
            for act in VERBS[verb]:
                with undone():
                    act(self.engine, record)
                    found = stored(record)
                    seen.add((record.state, found and found.state))

        move = TRANSITIONS[verb]
        targets = move.targets or {None}
        expected = {(before, after) for before in move.origins for after in targets}
        assert moves(expected) == moves(seen)

    def test_enqueue_gives_birth_in_the_states_of_its_row(
        self, django_capture_on_commit_callbacks
    ):
        class Mail(Job):
            def perform(self):
                pass

        with django_capture_on_commit_callbacks(execute=True):
            Mail.enqueue()
            Mail.using(delay=60).enqueue()
            Mail.using(delay=60, execution_key="e").enqueue()
            Mail.using(execution_key="e").enqueue()
            born = set(live().values())

        assert TRANSITIONS["enqueue"].targets == born

    def test_every_verb_of_the_table_is_tried(self):
        assert set(TRANSITIONS) == set(VERBS) | {"enqueue"}


STEPS = strategies.lists(
    strategies.tuples(strategies.sampled_from(["enqueue", *VERBS]), strategies.integers(0, 5)),
    max_size=25,
)


class WalkTests(Contract):
    """Whatever happens to a few records in whatever order, the rules of the keys hold."""

    @pytest.fixture(autouse=True)
    def ground(self, own_jobs, django_capture_on_commit_callbacks):
        class Mail(Job):
            max_attempts = 2

            def perform(self):
                pass

        self.mail, self.commit = Mail, django_capture_on_commit_callbacks

    @hypothesis.settings(
        max_examples=40, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
    )
    @hypothesis.given(STEPS)
    @hypothesis.example([("enqueue", 0), ("replace", 0)])
    def test_random_walk_keeps_the_rules(self, steps):
        with undone():
            for verb, number in steps:
                before = live()
                with self.commit(execute=True):
                    self.step(verb, number)
                self.check_moves(verb, before, live())
                self.check_keys()

    def step(self, verb, number):
        if verb == "enqueue":
            queue_key = "q" if number % 3 == 0 else None
            delay = 60 if number > 3 else None
            self.mail.using(
                delay=delay, queue_key=queue_key, execution_key="ef"[number % 2]
            ).enqueue()
        elif record := JobRecord.objects.order_by("pk")[number : number + 1].first():
            acts = VERBS[verb]
            acts[number % len(acts)](self.engine, record)

    def check_moves(self, verb, before, after):
        for pk, state in after.items():
            if before.get(pk, state) == state:
                continue
            allowed = {
                (origin, target)
                for name in {verb, "promote", *TOGETHER.get(verb, ())}
                for origin in TRANSITIONS[name].origins
                for target in TRANSITIONS[name].targets
            }
            assert (before[pk], state) in allowed, verb

    def check_keys(self):
        records = JobRecord.objects.all()
        assert {True} >= {
            (record.held_queue_key == key_digest("", record.queue_key))
            == (record.state in UNFINISHED)
            for record in records
            if record.queue_key
        }
        holders = [
            record
            for record in records
            if (record.state in KEYED or record.parked_for) and record.execution_key
        ]
        assert [key_digest("", record.execution_key) for record in holders] == [
            record.held_execution_key for record in holders
        ]
        held = {record.execution_key for record in holders}
        assert len(held) == len(holders)
        waiting = {
            record.execution_key
            for record in records
            if record.state == JobState.WAITING and not record.parked_for
        }
        assert waiting <= held, "Somebody waits for a key that nobody holds."
        assert not set(live()) & set(SucceededJob.objects.values_list("pk", flat=True))

"""Jobs that are paused or limited by their names: parked, admitted, let go."""

from datetime import timedelta

import pytest

from django_jobflow.attempts import Demand, Gate, Scope
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.outcomes import Succeeded
from django_jobflow.quotas import Quota
from django_jobflow.states import JobState
from tests.engines.contract import (
    LATER,
    MINUTE,
    NOON,
    SECOND,
    Contract,
    ending,
    live,
    make,
    make_many,
    stored,
)

NAME = "shop.jobs.SendReceipt"
FORMER = "shop.jobs.MailReceipt"
OTHER = "shop.jobs.Other"


class GateContract(Contract):
    @pytest.fixture(autouse=True)
    def row(self, served_by, db):
        self.engine.prepare_limits({("job", NAME), ("queue", "default")})

    def take(self, quota, limit=9, *, now=LATER, endings=(), has_parked=True, **options):
        gate = Gate(NAME, (NAME, FORMER), quota, quota is not None, has_parked)
        demand = Demand(
            **{
                "worker": "w",
                "queues": None,
                "limit": limit,
                "names": frozenset([OTHER]),
                "lease": MINUTE,
                "timeout": MINUTE,
                "gates": (gate,),
            }
            | options
        )
        return self.engine.exchange(endings, [demand], limit, now)

    def parked(self):
        return JobRecord.objects.filter(parked_for=NAME, state=JobState.WAITING).count()

    def ids(self, exchange):
        return [each.id for each in exchange.started]


class ParkTests(GateContract):
    def test_what_is_paused_is_parked_and_what_is_behind_it_starts(self):
        make_many(3, JobState.AVAILABLE, priority=5)
        other = make(name=OTHER)

        exchange = self.take(None, 4)

        assert ([other.pk], [], {NAME: 3}) == (self.ids(exchange), exchange.held, exchange.parked)
        assert 3 == self.parked()

    def test_parked_record_is_as_it_was_but_for_its_reservation(self):
        record = make(attempt=1)

        self.take(None)

        found = stored(record)
        assert (JobState.WAITING, NAME, 1) == (found.state, found.parked_for, found.attempt)
        assert (None, None, None) == (found.reserved_by, found.reserved_at, found.expires)

    def test_record_with_a_former_name_is_parked_with_the_others(self):
        make(name=FORMER)

        self.take(None)

        assert 1 == self.parked()

    def test_many_are_parked_at_once(self):
        make_many(50, JobState.AVAILABLE)
        make_many(50, JobState.AVAILABLE, queue="email")

        assert {NAME: 100} == self.take(None, 8).parked

    def test_unknown_job_is_held_as_ever(self):
        make(name="unknown")

        exchange = self.take(None)

        assert (["unknown"], {}) == ([each.name for each in exchange.held], exchange.parked)

    def test_parked_record_keeps_its_execution_key(self):
        make(execution_key="e")
        behind = make(JobState.WAITING, execution_key="e")

        self.take(None)
        self.engine.promote_waiting()

        assert JobState.WAITING == stored(behind).state
        assert (1, {JobState.WAITING}) == (self.parked(), set(live().values()))

    @pytest.mark.parametrize("verb", ["cancel", "delete", "reschedule", "rekey", "expire"])
    def test_verb_frees_the_execution_key_of_a_parked_record(
        self, verb, django_capture_on_commit_callbacks
    ):
        record = make(JobState.WAITING, execution_key="e", parked_for=NAME, expires_at=NOON)
        behind = make(JobState.WAITING, execution_key="e")
        rows = self.engine.records.filter(pk=record.pk)

        with django_capture_on_commit_callbacks(execute=True):
            match verb:
                case "reschedule":
                    self.engine.reschedule(rows, delay=MINUTE)
                case "rekey":
                    self.engine.edit(rows, {"execution_key": "f"})
                case "expire":
                    self.engine.expire(rows, LATER)
                case _:
                    getattr(self.engine, verb)(rows)

        assert JobState.AVAILABLE == stored(behind).state
        assert 0 == self.parked()


class AdmitTests(GateContract):
    def park(self, count=1, **facts):
        return make_many(count, JobState.WAITING, **{"parked_for": NAME} | facts)

    def test_records_start_in_order_within_the_limit(self):
        last, first, second = (self.park(priority=priority)[0] for priority in (-1, 5, 0))

        exchange = self.take(Quota(2))

        assert 2 == len(exchange.started)
        assert {first.priority, second.priority} == {each.priority for each in exchange.started}
        assert {NAME} == exchange.full_gates.keys()
        assert last.priority == JobRecord.objects.get(parked_for=NAME).priority

    def test_started_record_counts_its_attempt_and_is_not_parked_any_more(self):
        self.park()

        [reservation] = self.take(Quota(1)).started

        found = JobRecord.objects.get()
        assert (JobState.IN_PROGRESS, None, 1) == (found.state, found.parked_for, found.attempt)
        assert "w" == found.reserved_by == reservation.worker
        assert {found.pk} == self.engine.settle([ending(found, Succeeded(None))], LATER)

    def test_what_is_held_takes_its_places_under_either_name(self):
        make(JobState.IN_PROGRESS)
        make(JobState.RESERVED, name=FORMER)
        make(JobState.IN_PROGRESS, name=OTHER)
        self.park(3)

        assert 1 == len(self.take(Quota(3)).started)

    def test_end_frees_its_place_in_the_same_cycle(self):
        held = make(JobState.IN_PROGRESS)
        self.park()

        exchange = self.take(Quota(1), endings=[ending(held, Succeeded(None))])

        assert 1 == len(exchange.started)
        assert 1 == SucceededJob.objects.count()

    def test_what_comes_is_parked_and_started_in_one_cycle(self):
        make_many(3, JobState.AVAILABLE)

        exchange = self.take(Quota(2), has_parked=False)

        assert (2, {NAME: 3}) == (len(exchange.started), exchange.parked)
        assert 1 == self.parked()

    def test_neither_the_parked_nor_the_others_take_all_the_room(self):
        self.park(9)
        make_many(9, JobState.AVAILABLE, name=OTHER)

        names = [each.name for each in self.take(Quota(9), 4).started]

        assert [2, 2] == [names.count(NAME), names.count(OTHER)]

    @pytest.mark.parametrize(("first", "name"), [(True, NAME), (False, OTHER)])
    def test_single_slot_goes_to_each_side_in_turn(self, first, name):
        self.park()
        make(name=OTHER)

        [reservation] = self.take(Quota(9), 1, gates_first=first).started

        assert name == reservation.name

    def test_rate_begins_with_its_burst_and_gives_a_token_at_a_time(self):
        self.park(9)
        quota = Quota(None, 4, SECOND, 2)

        assert 2 == len(self.take(quota, now=LATER).started)
        nothing = self.take(quota, now=LATER)
        later = self.take(quota, now=LATER + timedelta(milliseconds=250))

        assert (0, 1) == (len(nothing.started), len(later.started))
        assert {NAME: 0.25} == pytest.approx(nothing.gates_without_token)

    def test_fewer_than_may_start_are_all_there_are(self):
        self.park(2)

        assert {NAME} == self.take(Quota(9)).empty_gates

    @pytest.mark.parametrize(
        ("scope", "count"),
        [
            (Scope(), 3),
            (Scope(queues=("default",)), 2),
            (Scope(but_queues=frozenset(["default"])), 1),
            (Scope(partitions=("x",)), 1),
            (Scope(but_partitions=frozenset(["x"])), 2),
            (Scope(budgets={"default": 1}), 2),
            (Scope(budgets={"default": 0, "email": 0}), 0),
        ],
    )
    def test_worker_takes_only_what_it_serves(self, scope, count):
        self.park()
        self.park(partition="x")
        self.park(queue="email")

        assert count == len(self.take(Quota(9), scope=scope).started)

    def test_record_that_has_become_pointless_is_not_started(self):
        self.park(expires_at=LATER)
        self.park(expires_at=LATER + MINUTE)

        assert 1 == len(self.take(Quota(9)).started)

    def test_room_of_a_queue_that_is_missing_does_not_mean_that_none_wait(self):
        self.park(2)

        exchange = self.take(Quota(9), scope=Scope(budgets={"default": 1}))

        assert ({NAME}, set()) == (exchange.cut_gates, exchange.empty_gates)

    def test_limit_of_the_queue_counts_too(self):
        self.park(3)
        make(JobState.IN_PROGRESS, name=OTHER)

        exchange = self.take(Quota(9), turns=(), quotas={"default": Quota(2)})

        assert 1 == len(exchange.started)


class LetGoTests(GateContract):
    def test_names_and_queues_of_what_is_parked(self):
        for name, queue in [(NAME, "default"), (NAME, "email"), (OTHER, "default")]:
            make(JobState.WAITING, parked_for=name, queue=queue)

        assert sorted([NAME, OTHER]) == self.engine.parked_gates()
        assert self.engine.has_parked(NAME, Scope(queues=("email",)))
        assert not self.engine.has_parked(OTHER, Scope(queues=("email",)))

    @pytest.mark.parametrize(
        ("scope", "found"),
        [
            (Scope(partitions=("x",)), True),
            (Scope(partitions=("",)), False),
            (Scope(but_partitions=frozenset(["x"])), False),
        ],
    )
    def test_partition_that_is_not_served_has_none(self, scope, found):
        make(JobState.WAITING, parked_for=NAME, partition="x")

        assert found is self.engine.has_parked(NAME, scope)

    def test_what_is_let_go_is_available_with_its_key(self):
        record = make(JobState.WAITING, parked_for=NAME, execution_key="e")
        make(JobState.WAITING, parked_for=OTHER)

        assert 1 == self.engine.unpark({NAME})
        assert (JobState.AVAILABLE, None) == (stored(record).state, stored(record).parked_for)
        assert 0 == self.engine.unpark({NAME})

    def test_keys_in_line_are_found_among_what_is_parked(self):
        make_many(5, JobState.WAITING, parked_for=NAME)
        make_many(5, JobState.WAITING, parked_for=NAME, partition="x")
        first = make(JobState.WAITING, execution_key="a")
        second = make(JobState.WAITING, execution_key="b", partition="x")

        self.engine.promote_waiting()

        assert {first.pk, second.pk} == {
            pk for pk, state in live().items() if state == JobState.AVAILABLE
        }

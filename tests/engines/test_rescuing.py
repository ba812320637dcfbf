from datetime import datetime

import pytest

from django_jobflow.endings import lost_fingerprint
from django_jobflow.models import JobRecord
from django_jobflow.states import HELD, JobState
from tests.engines.contract import (
    FREE,
    HOUR,
    LATER,
    TICK,
    Contract,
    changes,
    columns,
    live,
    make,
    make_many,
    stored,
)

BATCH = 1000


def lost(number, worker="host-1:4711", at=LATER, cause="stopped renewing its lease"):
    return {
        "number": number,
        "at": at,
        "worker": worker,
        "exception": "django_jobflow.exceptions.WorkerLost",
        "message": f"Worker {worker} {cause}.",
        "traceback": "",
    }


def new_errors(record):
    """Return the errors that the database has beside those of *record*, their moments read."""
    errors = stored(record).errors
    assert record.errors == errors[: len(record.errors)]
    return [
        entry | {"at": datetime.fromisoformat(entry["at"])}
        for entry in errors[len(record.errors) :]
    ]


def without_errors(found):
    return {column: value for column, value in found.items() if column != "errors"}


class ActivateExpiredTests(Contract):
    def test_lapsed_reservation_costs_nothing(self):
        record = make(JobState.RESERVED, lapsed=True, attempt=1, queue_key="q", execution_key="e")

        assert 1 == JobRecord.objects.activate_expired(LATER)
        expected = {"state": JobState.AVAILABLE, "updated_at": LATER} | FREE
        assert expected == changes(record)

    def test_lapsed_attempt_counts_and_says_which_worker_was_lost(self):
        record = make(
            JobState.IN_PROGRESS, lapsed=True, attempt=2, queue_key="q", execution_key="e"
        )

        assert 1 == JobRecord.objects.activate_expired(LATER)
        expected = {"state": JobState.AVAILABLE, "updated_at": LATER} | FREE
        assert expected == without_errors(changes(record))
        assert [lost(2)] == new_errors(record)

    def test_record_without_an_attempt_left_is_not_taken(self):
        record = make(JobState.IN_PROGRESS, lapsed=True, spent=True)

        assert 0 == JobRecord.objects.activate_expired(LATER)
        assert {} == changes(record)

    @pytest.mark.parametrize("state", sorted(HELD))
    def test_lease_lapses_at_this_moment_and_the_record_is_taken(self, state):
        make(state, expires=LATER)

        assert 1 == JobRecord.objects.activate_expired(LATER)

    @pytest.mark.parametrize("state", sorted(HELD))
    def test_lease_stands_for_a_microsecond_and_the_record_is_left(self, state):
        record = make(state, expires=LATER + TICK)

        assert 0 == JobRecord.objects.activate_expired(LATER)
        assert {} == changes(record)

    @pytest.mark.parametrize("state", sorted(set(JobState) - HELD))
    def test_record_that_nobody_holds_is_left(self, state):
        record = make(state)

        assert 0 == JobRecord.objects.activate_expired(LATER)
        assert {} == changes(record)

    def test_moment_is_left_out_and_comes_from_the_database(self):
        lapsed = make(JobState.IN_PROGRESS, expires=self.engine.now())
        standing = make(JobState.IN_PROGRESS, expires=self.engine.now() + HOUR)
        before = self.engine.now()

        assert 1 == JobRecord.objects.activate_expired()
        [entry] = new_errors(lapsed)
        assert before <= entry["at"] <= self.engine.now()
        assert {} == changes(standing)

    def test_queryset_has_a_filter_and_only_its_records_are_taken(self):
        ours = make(JobState.RESERVED, lapsed=True, queue="a")
        others = make(JobState.RESERVED, lapsed=True, queue="b")

        assert 1 == JobRecord.objects.filter(queue="a").activate_expired(LATER)
        assert JobState.AVAILABLE == stored(ours).state
        assert {} == changes(others)

    def test_rescued_record_has_its_place_in_the_order_again(self):
        first, second = make(JobState.IN_PROGRESS, lapsed=True), make()

        JobRecord.objects.activate_expired(LATER)

        assert [first, second] == list(JobRecord.objects.available(2))

    def test_more_lapsed_than_one_statement_takes_and_all_are_rescued(self):
        make_many(BATCH + 1, JobState.RESERVED, lapsed=True)

        assert BATCH + 1 == JobRecord.objects.activate_expired(LATER)
        assert {JobState.AVAILABLE} == set(live().values())

    def test_engine_returns_the_records_as_their_worker_held_them(self):
        record = make(JobState.IN_PROGRESS, lapsed=True)

        [found] = self.engine.rescue(JobRecord.objects.all(), LATER)

        assert columns(record) == columns(found)


class FailExpiredTests(Contract):
    def test_lapsed_record_without_an_attempt_left_is_failed(self):
        record = make(JobState.IN_PROGRESS, lapsed=True, spent=True)

        assert 1 == JobRecord.objects.fail_expired_at_max_attempts(LATER)
        expected = FREE | {
            "state": JobState.FAILED,
            "finished_at": LATER,
            "updated_at": LATER,
            "fingerprint": lost_fingerprint().digest,
        }
        assert expected == without_errors(changes(record))
        assert [lost(3)] == new_errors(record)

    def test_keys_are_free_and_the_next_of_the_execution_key_has_its_turn(self):
        record = make(
            JobState.IN_PROGRESS, lapsed=True, spent=True, queue_key="q", execution_key="e"
        )
        waiting = make(JobState.WAITING, execution_key="e")

        JobRecord.objects.fail_expired_at_max_attempts(LATER)

        found = stored(record)
        assert (None, None) == (found.held_queue_key, found.held_execution_key)
        assert JobState.AVAILABLE == stored(waiting).state

    def test_attempts_are_left_and_the_record_is_not_failed(self):
        record = make(JobState.IN_PROGRESS, lapsed=True)

        assert 0 == JobRecord.objects.fail_expired_at_max_attempts(LATER)
        assert {} == changes(record)

    def test_reserved_record_is_not_failed(self):
        record = make(JobState.RESERVED, lapsed=True, attempt=2)

        assert 0 == JobRecord.objects.fail_expired_at_max_attempts(LATER)
        assert {} == changes(record)

    def test_lease_lapses_at_this_moment_and_the_record_is_failed(self):
        make(JobState.IN_PROGRESS, spent=True, expires=LATER)

        assert 1 == JobRecord.objects.fail_expired_at_max_attempts(LATER)

    def test_lease_stands_for_a_microsecond_and_the_record_is_left(self):
        record = make(JobState.IN_PROGRESS, spent=True, expires=LATER + TICK)

        assert 0 == JobRecord.objects.fail_expired_at_max_attempts(LATER)
        assert {} == changes(record)

    def test_queryset_has_a_filter_and_only_its_records_are_failed(self):
        ours = make(JobState.IN_PROGRESS, lapsed=True, spent=True, queue="a")
        others = make(JobState.IN_PROGRESS, lapsed=True, spent=True, queue="b")

        assert 1 == JobRecord.objects.filter(queue="a").fail_expired_at_max_attempts(LATER)
        assert JobState.FAILED == stored(ours).state
        assert {} == changes(others)

    @pytest.mark.parametrize(
        ("state", "attempt"),
        [(JobState.RESERVED, attempt) for attempt in (0, 1, 2)]
        + [(JobState.IN_PROGRESS, attempt) for attempt in (1, 2, 3)],
    )
    def test_one_of_the_two_sweeps_takes_every_lapsed_record(self, state, attempt):
        make(state, lapsed=True, attempt=attempt)

        activated = JobRecord.objects.activate_expired(LATER)
        failed = JobRecord.objects.fail_expired_at_max_attempts(LATER)

        assert 1 == activated + failed


class GiveBackTests(Contract):
    """What a supervisor does for a process that it saw die: no lease has to lapse."""

    def test_all_that_the_worker_held_is_freed_at_once(self):
        reserved = make(JobState.RESERVED)
        running = make(JobState.IN_PROGRESS, attempt=1)
        spent = make(JobState.IN_PROGRESS, spent=True)

        taken = self.engine.give_back("host-1:4711", LATER)

        assert [reserved.pk, running.pk, spent.pk] == [record.pk for record in taken]
        free = {"updated_at": LATER} | FREE
        assert {"state": JobState.AVAILABLE} | free == changes(reserved)
        assert {"state": JobState.AVAILABLE} | free == without_errors(changes(running))
        assert free | {
            "state": JobState.FAILED,
            "finished_at": LATER,
            "fingerprint": lost_fingerprint().digest,
        } == without_errors(changes(spent))
        assert [[lost(1)], [lost(3)]] == [new_errors(running), new_errors(spent)]

    def test_errors_tell_how_the_worker_ended(self):
        record = make(JobState.IN_PROGRESS)

        self.engine.give_back("host-1:4711", LATER, cause="was killed by SIGKILL")

        assert [lost(1, cause="was killed by SIGKILL")] == new_errors(record)

    @pytest.mark.parametrize("name", ["host-1:47", "host-2:4711", "HOST-1:4711", "host-1:4711 "])
    def test_what_another_worker_holds_is_left(self, name):
        record = make(JobState.IN_PROGRESS, reserved_by=name)

        assert [] == self.engine.give_back("host-1:4711", LATER)
        assert {} == changes(record)

    def test_keys_of_a_lost_record_are_free(self):
        make(JobState.IN_PROGRESS, spent=True, queue_key="q", execution_key="e")
        waiting = make(JobState.WAITING, execution_key="e")

        self.engine.give_back("host-1:4711", LATER)

        assert JobState.AVAILABLE == stored(waiting).state

    def test_execution_key_of_a_rescued_record_is_kept(self):
        make(JobState.IN_PROGRESS, execution_key="e")
        waiting = make(JobState.WAITING, execution_key="e")

        self.engine.give_back("host-1:4711", LATER)

        assert {} == changes(waiting)

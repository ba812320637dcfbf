import pytest

from django_jobflow.models import JobRecord
from django_jobflow.states import PENDING, JobState
from tests.engines.contract import (
    HOUR,
    LATER,
    MINUTE,
    NOON,
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

each_pending = pytest.mark.parametrize("state", sorted(PENDING))


class ActivateScheduledTests(Contract):
    @each_pending
    def test_due_record_is_available(self, state):
        record = make(state, available_at=LATER, queue_key="q")

        assert 1 == JobRecord.objects.activate_scheduled(LATER)
        assert {"state": JobState.AVAILABLE, "updated_at": LATER} == changes(record)

    @each_pending
    def test_record_that_is_due_in_a_microsecond_waits(self, state):
        record = make(state, available_at=LATER + TICK)

        assert 0 == JobRecord.objects.activate_scheduled(LATER)
        assert {} == changes(record)

    @pytest.mark.parametrize("state", sorted(set(JobState) - PENDING))
    def test_record_in_another_state_is_left(self, state):
        record = make(state)

        assert 0 == JobRecord.objects.activate_scheduled(LATER)
        assert {} == changes(record)

    def test_moment_is_left_out_and_comes_from_the_database(self):
        due = make(JobState.SCHEDULED, available_at=self.engine.now())
        early = make(JobState.SCHEDULED, available_at=self.engine.now() + HOUR)

        assert 1 == JobRecord.objects.activate_scheduled()
        assert JobState.AVAILABLE == stored(due).state
        assert {} == changes(early)

    def test_queryset_has_a_filter_and_only_its_records_are_taken(self):
        ours = make(JobState.SCHEDULED, due=True, queue="a")
        others = make(JobState.SCHEDULED, due=True, queue="b")

        assert 1 == JobRecord.objects.filter(queue="a").activate_scheduled(LATER)
        assert JobState.AVAILABLE == stored(ours).state
        assert {} == changes(others)

    def test_more_are_due_than_one_statement_takes_and_all_are_available(self):
        make_many(BATCH + 1, JobState.SCHEDULED, due=True)

        assert BATCH + 1 == JobRecord.objects.activate_scheduled(LATER)
        assert {JobState.AVAILABLE} == set(live().values())

    def test_nothing_is_due_and_nothing_is_counted(self):
        assert 0 == JobRecord.objects.activate_scheduled(LATER)

    @each_pending
    def test_execution_key_is_free_and_the_record_holds_it(self, state):
        record = make(state, due=True, execution_key="e")

        assert 1 == JobRecord.objects.activate_scheduled(LATER)
        assert JobState.AVAILABLE == stored(record).state
        assert stored(record).held_execution_key is not None

    @each_pending
    def test_execution_key_is_held_and_the_record_waits(self, state):
        make(JobState.IN_PROGRESS, execution_key="e")
        record = make(state, due=True, execution_key="e")

        assert 1 == JobRecord.objects.activate_scheduled(LATER)
        assert {"state": JobState.WAITING, "updated_at": LATER} == changes(record)

    def test_several_with_one_execution_key_are_due_and_the_first_of_the_order_is_available(self):
        low = make(JobState.SCHEDULED, due=True, execution_key="e", priority=1)
        high = make(JobState.SCHEDULED, due=True, execution_key="e", priority=2)
        older = make(JobState.RETRY, execution_key="e", priority=2, available_at=NOON - MINUTE)

        assert 3 == JobRecord.objects.activate_scheduled(LATER)
        assert {
            low.pk: JobState.WAITING,
            high.pk: JobState.WAITING,
            older.pk: JobState.AVAILABLE,
        } == live()


class RunNowTests(Contract):
    @each_pending
    def test_record_is_due_at_once(self, state):
        record = make(state, available_at=LATER + HOUR, queue_key="q")

        assert stored(record).run_now(LATER)
        assert {
            "state": JobState.AVAILABLE,
            "available_at": LATER,
            "updated_at": LATER,
        } == changes(record)

    @pytest.mark.parametrize("state", sorted(set(JobState) - PENDING))
    def test_record_in_another_state_is_left(self, state):
        record = make(state)

        assert not stored(record).run_now(LATER)
        assert {} == changes(record)

    @each_pending
    def test_execution_key_is_held_and_the_record_waits(self, state):
        make(JobState.IN_PROGRESS, execution_key="e")
        record = make(state, execution_key="e")

        assert stored(record).run_now(LATER)
        assert JobState.WAITING == stored(record).state

    @each_pending
    def test_execution_key_is_free_and_the_record_holds_it(self, state):
        record = make(state, execution_key="e")

        assert stored(record).run_now(LATER)
        assert JobState.AVAILABLE == stored(record).state

    def test_many_are_counted(self):
        make(JobState.SCHEDULED)
        make(JobState.RETRY)
        make(JobState.FAILED)

        assert 2 == self.engine.run_now(JobRecord.objects.all(), LATER)

    def test_record_is_as_it_is_stored_when_read_again(self):
        record = make(JobState.SCHEDULED)
        record.run_now(LATER)
        record.refresh_from_db()

        assert columns(stored(record)) == columns(record)

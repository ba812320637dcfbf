import pytest

from django_jobflow.engines.verbs import reservation_of
from django_jobflow.exceptions import ReservationLost
from django_jobflow.models import JobRecord
from django_jobflow.states import HELD, JobState
from tests.engines.contract import (
    FREE,
    HOUR,
    LATER,
    MINUTE,
    NOON,
    SECOND,
    TICK,
    Contract,
    changes,
    columns,
    make,
    stored,
)

LEASE = 60 * SECOND


class StartTests(Contract):
    def test_reserved_record_is_in_progress_and_its_attempt_counts(self):
        record = make(JobState.RESERVED, expires=LATER + TICK)

        stored(record).start(LATER)

        assert {
            "state": JobState.IN_PROGRESS,
            "attempt": 1,
            "started_at": LATER,
            "expires": LATER + LEASE,
            "updated_at": LATER,
        } == changes(record)

    def test_record_that_started_is_as_it_is_stored(self):
        record = make(JobState.RESERVED)

        record.start(NOON)

        assert columns(stored(record)) == columns(record)

    def test_lease_comes_from_the_settings(self, settings):
        settings.JOBFLOW = {"LEASE": 90}
        record = make(JobState.RESERVED)

        record.start(NOON)

        assert NOON + 90 * SECOND == record.expires

    def test_later_attempt_counts_on(self):
        record = make(JobState.RESERVED, attempt=1)

        record.start(NOON)

        assert 2 == stored(record).attempt

    def test_promise_still_stands_for_a_microsecond_and_the_record_starts(self):
        record = make(JobState.RESERVED, expires=NOON + TICK)

        record.start(NOON)

        assert JobState.IN_PROGRESS == stored(record).state

    def test_promise_lapses_at_this_moment_and_the_reservation_is_lost(self):
        record = make(JobState.RESERVED, expires=NOON)

        with pytest.raises(ReservationLost) as error:
            stored(record).start(NOON)

        expected = (
            f"Job {record.pk} (shop.jobs.SendReceipt) is no longer held by 'host-1:4711' at "
            "attempt 0 in state RESERVED; nothing was written."
        )
        assert expected == str(error.value)
        assert {} == changes(record)

    def test_promise_lapsed_by_the_clock_of_the_database_and_the_reservation_is_lost(self):
        record = make(JobState.RESERVED, expires=self.engine.now())

        with pytest.raises(ReservationLost):
            stored(record).start()

        assert {} == changes(record)

    @pytest.mark.parametrize("state", sorted(set(JobState) - {JobState.RESERVED}))
    def test_record_is_in_another_state_and_the_reservation_is_lost(self, state):
        record = make(state)

        with pytest.raises(ReservationLost):
            stored(record).start(NOON)

        assert {} == changes(record)

    @pytest.mark.parametrize(
        "other",
        [{"reserved_by": "other"}, {"reserved_by": "HOST-1:4711"}, {"attempt": 1}],
        ids=["holder", "case of the holder", "attempt"],
    )
    def test_record_is_held_otherwise_and_the_reservation_is_lost(self, other):
        record = make(JobState.RESERVED, **other)
        stale = stored(record)
        stale.reserved_by, stale.attempt = "host-1:4711", 0

        with pytest.raises(ReservationLost):
            stale.start(NOON)

        assert {} == changes(record)

    def test_record_is_gone_and_the_reservation_is_lost(self):
        record = make(JobState.RESERVED)
        JobRecord.objects.all().delete()

        with pytest.raises(ReservationLost):
            record.start(NOON)

    def test_record_is_started_once(self):
        record = make(JobState.RESERVED)
        twin = stored(record)
        record.start(NOON)

        with pytest.raises(ReservationLost):
            twin.start(NOON)

        assert 1 == stored(record).attempt


class StartManyTests(Contract):
    def start(self, reservations, now=NOON):
        return self.engine.start(reservations, lease=LEASE, now=now)

    def test_those_whose_promise_stands_are_returned_with_their_attempt(self):
        standing = [
            make(JobState.RESERVED),
            make(JobState.RESERVED, attempt=2),
            make(JobState.RESERVED, reserved_by="other"),
        ]
        lapsed = make(JobState.RESERVED, expires=NOON)
        gone = make(JobState.AVAILABLE)
        reservations = [reservation_of(record) for record in [*standing, lapsed, gone]]

        started = self.start(reservations)

        assert {record.pk: record.attempt + 1 for record in standing} == {
            reservation.id: reservation.attempt for reservation in started
        }
        assert [1, 3, 1, 0, 0] == [reservation.attempt for reservation in reservations]
        assert [1, 3, 1] == [stored(record).attempt for record in standing]
        assert [{}, {}] == [changes(lapsed), changes(gone)]

    def test_one_of_a_group_is_lost_and_the_others_start(self):
        records = [make(JobState.RESERVED) for _ in range(3)]
        reservations = [reservation_of(record) for record in records]
        stored(records[1]).release(NOON)

        started = self.start(reservations)

        assert {records[0].pk, records[2].pk} == {reservation.id for reservation in started}
        assert JobState.AVAILABLE == stored(records[1]).state

    def test_twin_that_runs_already_is_not_returned(self):
        """A worker that asks twice must not execute twice."""
        record = make(JobState.RESERVED)
        first, second = reservation_of(record), reservation_of(record)
        self.start([first])

        assert [] == self.start([second])

    def test_nothing_is_asked_and_nothing_is_started(self):
        assert [] == self.start([])


class ExtendTests(Contract):
    def extend(self, *records, now=LATER):
        """Let the worker of the factory extend *records*; return the ids that it has."""
        reservations = [reservation_of(record) for record in records]
        for reservation in reservations:
            reservation.worker = "host-1:4711"
        held = self.engine.extend(reservations, lease=LEASE, now=now)
        assert [each for each in reservations if each in held] == held
        return {each.id for each in held}

    @pytest.mark.parametrize("state", sorted(HELD))
    def test_held_record_has_its_lease_from_now_on(self, state):
        record = make(state)

        assert {record.pk} == self.extend(record)
        assert {"expires": LATER + LEASE} == changes(record)

    def test_lease_is_counted_by_the_clock_of_the_database(self):
        record = make(JobState.IN_PROGRESS)
        before = self.engine.now()

        self.extend(record, now=None)

        assert before + LEASE <= stored(record).expires <= self.engine.now() + LEASE

    @pytest.mark.parametrize("state", sorted(set(JobState) - HELD))
    def test_record_that_nobody_holds_is_left_alone(self, state):
        record = make(state)

        assert set() == self.extend(record)
        assert {} == changes(record)

    def test_record_of_another_worker_is_left_alone(self):
        ours, theirs = make(JobState.IN_PROGRESS), make(JobState.IN_PROGRESS, reserved_by="x")

        assert {ours.pk} == self.extend(ours, theirs)
        assert {} == changes(theirs)

    def test_attempts_differ_and_each_is_asked_for_its_own(self):
        records = [make(JobState.IN_PROGRESS, attempt=attempt) for attempt in (1, 1, 2, 3)]
        mixed_up = [stored(record) for record in records]
        for record, attempt in zip(mixed_up, (1, 2, 2, 1), strict=True):
            record.attempt = record.reserved_count = attempt

        assert {records[0].pk, records[2].pk} == self.extend(*mixed_up)
        assert [{"expires": LATER + LEASE}, {}] * 2 == [changes(record) for record in records]

    def test_nothing_is_held_and_nothing_is_asked(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert set() == self.extend()

    def test_extended_record_is_not_rescued(self):
        record = make(JobState.IN_PROGRESS, lapsed=True)
        self.extend(record, now=NOON)

        assert 0 == JobRecord.objects.activate_expired(NOON)
        assert 1 == JobRecord.objects.activate_expired(NOON + LEASE)


class CancelRequestsTests(Contract):
    def test_running_records_that_somebody_wants_to_stop_are_named(self):
        asked = make(JobState.IN_PROGRESS, cancel_requested_at=NOON)
        make(JobState.IN_PROGRESS, cancel_requested_at=NOON)  # not asked about
        running = make(JobState.IN_PROGRESS)
        theirs = make(JobState.IN_PROGRESS, cancel_requested_at=NOON, reserved_by="other")
        retried = make(JobState.RETRY, cancel_requested_at=NOON)
        reservations = [reservation_of(each) for each in (asked, running, theirs, retried)]
        for reservation in reservations:
            reservation.worker = "host-1:4711"

        assert reservations[:1] == self.engine.cancel_requests(reservations)

    def test_nothing_runs_and_nothing_is_asked(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert [] == self.engine.cancel_requests([])


class WriteProgressTests(Contract):
    def write(self, record):
        return self.engine.write_progress(reservation_of(record), 40, "40 of 100 rows")

    def test_running_attempt_says_how_far_it_is(self):
        record = make(JobState.IN_PROGRESS)

        assert self.write(record)
        assert {"progress": 40, "progress_message": "40 of 100 rows"} == changes(record)

    @pytest.mark.parametrize(
        "other",
        [{"reserved_by": "other"}, {"attempt": 2}, {"state": JobState.RESERVED, "attempt": 1}],
        ids=["holder", "attempt", "state"],
    )
    def test_attempt_has_lost_its_record_and_nothing_is_written(self, other):
        record = make(**{"state": JobState.IN_PROGRESS} | other)
        stale = stored(record)
        stale.reserved_by, stale.attempt, stale.state = "host-1:4711", 1, JobState.IN_PROGRESS

        assert not self.write(stale)
        assert {} == changes(record)


class ReleaseTests(Contract):
    def test_reserved_record_is_available_again_as_if_nothing_was(self):
        record = make(JobState.RESERVED, queue_key="q", execution_key="e", attempt=1)

        stored(record).release(LATER)

        expected = {"state": JobState.AVAILABLE, "updated_at": LATER} | FREE
        assert expected == changes(record)

    def test_started_record_has_its_attempt_given_back(self):
        record = make(JobState.IN_PROGRESS, queue_key="q", execution_key="e", attempt=2)

        stored(record).release(LATER)

        expected = {"state": JobState.AVAILABLE, "attempt": 1, "updated_at": LATER} | FREE
        assert expected == changes(record)

    def test_last_attempt_is_given_back_and_can_be_made_again(self):
        record = make(JobState.IN_PROGRESS, spent=True)

        record.release(NOON)
        [again] = JobRecord.objects.reserve(1, worker="w", now=NOON)
        again.start(NOON)

        assert (JobState.IN_PROGRESS, record.max_attempts) == (again.state, again.attempt)

    def test_released_record_is_as_it_is_stored(self):
        for state in HELD:
            record = make(state)
            record.release(NOON)
            assert columns(stored(record)) == columns(record)

    def test_released_record_keeps_its_place_in_the_order(self):
        first, second = make(), make()
        [reserved] = JobRecord.objects.reserve(1, worker="w", now=NOON)

        reserved.release(LATER)

        assert [first, second] == list(JobRecord.objects.available(2))

    @pytest.mark.parametrize("state", sorted(set(JobState) - HELD))
    def test_record_is_not_held_and_the_reservation_is_lost(self, state):
        record = make(state)

        with pytest.raises(ReservationLost):
            stored(record).release(NOON)

        assert {} == changes(record)

    @pytest.mark.parametrize("state", sorted(HELD))
    @pytest.mark.parametrize(
        "other", [{"reserved_by": "other"}, {"attempt": 2}], ids=["holder", "attempt"]
    )
    def test_record_is_held_otherwise_and_the_reservation_is_lost(self, state, other):
        record = make(state, **{"attempt": 1} | other)
        stale = stored(record)
        stale.reserved_by, stale.attempt = "host-1:4711", 1

        with pytest.raises(ReservationLost) as error:
            stale.release(NOON)

        expected = (
            f"Job {record.pk} (shop.jobs.SendReceipt) is no longer held by 'host-1:4711' at "
            f"attempt 1 in state {state}; nothing was written."
        )
        assert expected == str(error.value)
        assert {} == changes(record)

    def test_record_has_started_since_and_the_reservation_is_lost(self):
        record = make(JobState.RESERVED)
        stale = stored(record)
        record.start(NOON)

        with pytest.raises(ReservationLost):
            stale.release(NOON)

        assert {} == changes(record)

    def test_many_are_released_and_those_that_were_ours_are_counted(self):
        ours = [make(JobState.RESERVED), make(JobState.RESERVED, reserved_by="w2", attempt=1)]
        lost = make(JobState.RESERVED, reserved_by="other")
        stale = reservation_of(lost)
        stale.worker = "host-1:4711"

        count = self.engine.release([*map(reservation_of, ours), stale], NOON)

        assert 2 == count
        assert [JobState.AVAILABLE] * 2 == [stored(record).state for record in ours]
        assert {} == changes(lost)

    def test_nothing_is_held_and_nothing_is_released(self):
        assert 0 == self.engine.release([], NOON)


class LeaseBoundaryTests(Contract):
    """At every moment a promise either stands or has lapsed, never both and never neither."""

    @pytest.mark.parametrize("distance", [-HOUR, -TICK, 0 * TICK, TICK, MINUTE])
    def test_record_can_be_started_or_rescued(self, distance):
        record = make(JobState.RESERVED, expires=NOON + distance)

        rescued = JobRecord.objects.activate_expired(NOON)
        try:
            stored(record).start(NOON)
            started = 1
        except ReservationLost:
            started = 0

        assert 1 == rescued + started
        assert (distance > 0 * TICK) == bool(started)

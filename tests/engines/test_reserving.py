import pytest

from django_jobflow.models import JobRecord
from django_jobflow.states import JobState
from tests.engines.contract import (
    FREE,
    LATER,
    NOON,
    SECOND,
    TICK,
    Contract,
    changes,
    columns,
    live,
    make,
    make_many,
    stored,
)


def reserve(limit=10, worker="w", **options):
    return JobRecord.objects.reserve(limit, worker=worker, **{"now": LATER} | options)


class ReserveTests(Contract):
    def test_available_record_is_promised_to_the_worker(self):
        record = make()

        reserve(worker="w", timeout=90)

        assert {
            "state": JobState.RESERVED,
            "reserved_by": "w",
            "reserved_at": LATER,
            "reserved_count": 1,
            "expires": LATER + 90 * SECOND,
            "updated_at": LATER,
        } == changes(record)

    def test_reserved_record_is_returned_as_it_is_stored(self):
        record = make(tags=["vip"], meta={"trace": "x"}, priority=7, queue="email")

        [reserved] = reserve()

        assert columns(stored(record)) == columns(reserved)

    def test_engine_returns_what_a_worker_has_to_know(self):
        record = make(
            tags=["vip"],
            meta={"trace": "x"},
            args=[1],
            priority=7,
            queue="email",
            partition="eu",
            queue_key="q",
            execution_key="e",
            attempt=1,
            expires_at=LATER,
        )

        [reservation] = self.engine.reserve(
            limit=1, worker="w", queues=None, timeout=SECOND, now=LATER
        )

        facts = columns(record)
        expected = {name: facts[name] for name in reservation.__slots__ if name != "worker"}
        assert expected | {"worker": "w", "reserved_count": 2} == {
            name: getattr(reservation, name) for name in reservation.__slots__
        }

    def test_reserved_record_keeps_its_keys(self):
        record = make(queue_key="q", execution_key="e")

        reserve()

        expected = {"state", "reserved_by", "reserved_at", "reserved_count", "expires"}
        assert expected | {"updated_at"} == set(changes(record))

    def test_timeout_is_left_out_and_comes_from_the_settings(self, settings):
        settings.JOBFLOW = {"RESERVATION_TIMEOUT": 7}
        record = make()

        reserve()

        assert LATER + 7 * SECOND == stored(record).expires

    def test_moment_is_left_out_and_comes_from_the_database(self):
        record = make()
        before = self.engine.now()

        reserve(timeout=60, now=None)

        after, found = self.engine.now(), stored(record)
        assert before <= found.reserved_at <= after
        assert before <= found.expires - 60 * SECOND <= after

    def test_table_is_empty_and_nothing_is_returned(self):
        assert [] == reserve()

    def test_limit_is_zero_and_nothing_is_reserved(self):
        record = make()

        assert [] == reserve(0)
        assert {} == changes(record)

    def test_more_are_waiting_than_the_limit_and_the_rest_stays(self):
        first, second, third = make(), make(), make()

        reserve(2)

        assert {
            first.pk: JobState.RESERVED,
            second.pk: JobState.RESERVED,
            third.pk: JobState.AVAILABLE,
        } == live()

    @pytest.mark.parametrize("state", sorted(set(JobState) - {JobState.AVAILABLE}))
    def test_record_in_another_state_is_passed_over(self, state):
        record = make(state)

        assert [] == reserve()
        assert {} == changes(record)

    def test_record_is_reserved_once(self):
        make()

        assert 1 == len(reserve(worker="one"))
        assert [] == reserve(worker="two")

    def test_many_are_reserved_at_once(self):
        make_many(250, JobState.AVAILABLE)

        reserved = reserve(200)

        assert 200 == len({record.pk for record in reserved})
        assert 50 == JobRecord.objects.filter(state=JobState.AVAILABLE).count()

    def test_released_record_can_be_reserved_by_another(self):
        make()
        [record] = reserve(worker="one")
        record.release(LATER)

        [again] = reserve(worker="two")

        assert (record.pk, "two", 0) == (again.pk, again.reserved_by, again.attempt)

    def test_queryset_has_filters_and_is_refused(self):
        record = make()

        with pytest.raises(TypeError) as error:
            JobRecord.objects.filter(queue="email").reserve(1, worker="w", now=LATER)

        expected = "reserve() works on the whole table; name queues= instead."
        assert expected == str(error.value)
        assert {} == changes(record)

    def test_holder_columns_are_empty_before(self):
        assert FREE.items() <= columns(make()).items()


class ReserveOrderTests(Contract):
    """Priority, larger first, then ``available_at``, then id."""

    QUEUES = (None, ["default"], ["default", "email"])

    @pytest.mark.parametrize("queues", QUEUES)
    def test_larger_priority_comes_first(self, queues):
        for priority in (0, -100, 100, 1, -1):
            make(priority=priority, available_at=NOON + priority * SECOND)

        assert [100, 1, 0, -1, -100] == [record.priority for record in reserve(queues=queues)]

    @pytest.mark.parametrize("queues", QUEUES)
    def test_priorities_are_equal_and_the_earlier_comes_first(self, queues):
        moments = [NOON, NOON - TICK, NOON + TICK, NOON - SECOND]
        for moment in moments:
            make(available_at=moment)

        assert sorted(moments) == [record.available_at for record in reserve(queues=queues)]

    @pytest.mark.parametrize("queues", QUEUES)
    def test_moments_are_equal_and_the_smaller_id_comes_first(self, queues):
        ids = [make(available_at=NOON).pk for _ in range(5)]

        assert ids == [record.pk for record in reserve(queues=queues)]

    @pytest.mark.parametrize("queues", QUEUES)
    def test_limit_takes_the_first_of_the_order(self, queues):
        make(priority=0)
        make(priority=5)

        [record] = reserve(1, queues=queues)

        assert 5 == record.priority

    def test_several_queues_are_one_order(self):
        for queue, priority in [("a", 1), ("b", 3), ("a", 2), ("b", 0)]:
            make(queue=queue, priority=priority)

        assert [("b", 3), ("a", 2), ("a", 1)] == [
            (record.queue, record.priority) for record in reserve(3, queues=["a", "b"])
        ]
        assert [JobState.AVAILABLE] == list(
            JobRecord.objects.filter(queue="b", priority=0).values_list("state", flat=True)
        )

    def test_available_is_what_would_be_reserved(self):
        for queue, priority in [("a", 1), ("b", 3), ("a", 2), ("b", 0), ("c", 9)]:
            make(queue=queue, priority=priority)
        make(JobState.SCHEDULED)

        for queues in (None, ["a"], ["a", "b"], []):
            expected = list(JobRecord.objects.available(2, queues=queues))
            states = live()
            reserved = reserve(2, queues=queues)
            assert [record.pk for record in expected] == [record.pk for record in reserved]
            assert {JobState.AVAILABLE} >= {states[record.pk] for record in reserved}
            for record in reserved:
                record.release(LATER)

    def test_available_changes_nothing(self):
        record = make()

        assert [record] == list(JobRecord.objects.available(1))
        assert {} == changes(record)


class ReserveQueuesTests(Contract):
    def test_named_queues_only(self):
        for queue in ("a", "b", "c"):
            make(queue=queue)

        assert {"a", "c"} == {record.queue for record in reserve(queues=["a", "c"])}

    def test_no_queue_is_named_and_all_are_served(self):
        for queue in ("a", "b", "c"):
            make(queue=queue)

        assert {"a", "b", "c"} == {record.queue for record in reserve(queues=None)}

    def test_list_is_empty_and_nothing_is_reserved(self):
        record = make()

        assert [] == reserve(queues=[])
        assert {} == changes(record)

    def test_queue_is_named_twice_and_its_record_comes_once(self):
        record = make(queue="a")

        assert [record.pk] == [each.pk for each in reserve(queues=["a", "a"])]

    @pytest.mark.parametrize("other", ["Email", "email ", "émail", "emaıl"])
    def test_queues_are_told_apart_letter_by_letter(self, other):
        record = make(queue=other)

        assert [] == reserve(queues=["email"])
        assert [record.pk] == [each.pk for each in reserve(queues=[other])]

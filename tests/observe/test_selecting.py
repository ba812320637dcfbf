from datetime import UTC, datetime, timedelta

from django.test import TestCase

from django_jobflow import observe
from django_jobflow.observe import SUCCEEDED, Selection, order_of
from django_jobflow.states import JobState
from tests.factories import JobRecordFactory, SucceededJobFactory

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def selected(**wanted):
    return list(observe.select(Selection(**wanted), now=NOON))


class ColumnTests(TestCase):
    def test_nothing_means_all_live_records_the_newest_first(self):
        first, second = JobRecordFactory(), JobRecordFactory(state=JobState.FAILED)
        SucceededJobFactory()

        assert [second, first] == selected()

    def test_each_thing_narrows(self):
        wanted = {"queue": "email", "name": "a", "partition": "acme"}
        record = JobRecordFactory(**wanted)
        for column in wanted:
            JobRecordFactory(**(wanted | {column: "other"}))

        assert [record] == selected(**wanted)

    def test_batch_has_its_members(self):
        record, succeeded = JobRecordFactory(batch_id=7), SucceededJobFactory(batch_id=7)
        JobRecordFactory(batch_id=8)

        assert [record] == selected(batch=7)
        assert [succeeded] == selected(batch=7, state=SUCCEEDED)

    def test_common_partition_is_one_too(self):
        record = JobRecordFactory()
        JobRecordFactory(partition="acme")

        assert [record] == selected(partition="")

    def test_state_is_one_in_its_order(self):
        low = JobRecordFactory(priority=-1)
        high = JobRecordFactory(priority=1)
        JobRecordFactory(state=JobState.FAILED)

        assert [high, low] == selected(state="AVAILABLE")

    def test_ids_are_those(self):
        first, second = JobRecordFactory(), JobRecordFactory()
        JobRecordFactory()

        assert [second, first] == selected(ids=(first.pk, second.pk, 10**12))

    def test_succeeded_are_of_their_own_table_the_latest_first(self):
        early = SucceededJobFactory(now=NOON - HOUR, queue="email")
        late = SucceededJobFactory(now=NOON, queue="email")
        SucceededJobFactory(queue="reports")
        JobRecordFactory(queue="email")

        assert [late, early] == selected(state=SUCCEEDED, queue="email")

    def test_worker_holds_what_it_runs_and_what_it_has_reserved(self):
        reserved = JobRecordFactory(state=JobState.RESERVED, reserved_by="w")
        running = JobRecordFactory(state=JobState.IN_PROGRESS, reserved_by="w")
        JobRecordFactory(state=JobState.IN_PROGRESS, reserved_by="other")
        succeeded = SucceededJobFactory(reserved_by="w")

        assert [running, reserved] == selected(worker="w")
        assert [reserved] == selected(worker="w", state="RESERVED")
        assert [succeeded] == selected(worker="w", state=SUCCEEDED)

    def test_every_selection_has_an_order(self):
        states = [None, *JobState.values, SUCCEEDED]

        assert all(order_of(Selection(state=state)) for state in states)

    def test_only_nothing_is_empty(self):
        assert Selection().is_empty
        assert not Selection(partition="").is_empty
        assert not Selection(ids=(1,)).is_empty


class TagTests(TestCase):
    def test_tag_is_one_of_the_list_and_whole(self):
        record = JobRecordFactory(tags=["ümlaut", 'say "x"'])
        JobRecordFactory(tags=["ümlauts", "say"])
        JobRecordFactory(tags=[])

        assert [record] == selected(tag="ümlaut")
        assert [record] == selected(tag='say "x"', queue="default")

    def test_succeeded_have_tags_too(self):
        job = SucceededJobFactory(tags=["a"])
        SucceededJobFactory(tags=["b"])

        assert [job] == selected(tag="a", state=SUCCEEDED)

    def test_what_a_hand_wrote_in_their_place_is_passed_over(self):
        JobRecordFactory(tags="a")

        assert [] == selected(tag="b")


class AgeTests(TestCase):
    def test_age_is_since_the_enqueue(self):
        old, new = (JobRecordFactory(created_at=NOON - hours * HOUR) for hours in (3, 1))

        assert [old] == selected(older_than=2 * HOUR)
        assert [new] == selected(newer_than=2 * HOUR)
        assert [old] == selected(older_than=3 * HOUR, newer_than=3 * HOUR)

    def test_age_of_what_has_ended_is_since_then(self):
        failed = JobRecordFactory(state=JobState.FAILED, now=NOON, created_at=NOON - 9 * HOUR)
        succeeded = SucceededJobFactory(now=NOON, created_at=NOON - 9 * HOUR)

        assert [failed] == selected(newer_than=HOUR)
        assert [failed] == selected(newer_than=HOUR, state="FAILED")
        assert [succeeded] == selected(newer_than=HOUR, state=SUCCEEDED)
        assert [] == selected(older_than=HOUR)


class KeyTests(TestCase):
    def test_key_is_held_or_waited_for(self):
        unique = JobRecordFactory(queue_key="k")
        running = JobRecordFactory(state=JobState.IN_PROGRESS, execution_key="k")
        waiting = JobRecordFactory(state=JobState.WAITING, execution_key="k")
        JobRecordFactory(queue_key="k", partition="acme")
        JobRecordFactory(queue_key="other", execution_key="other")

        assert [waiting, running, unique] == selected(key="k")

    def test_partition_has_its_own_keys(self):
        record = JobRecordFactory(queue_key="k", partition="acme")
        JobRecordFactory(queue_key="k")

        assert [record] == selected(key="k", partition="acme")

    def test_what_has_ended_is_found_by_state(self):
        record = JobRecordFactory(state=JobState.FAILED, queue_key="k")
        other = JobRecordFactory(state=JobState.FAILED, execution_key="k", partition="acme")
        JobRecordFactory(state=JobState.FAILED)

        assert [] == selected(key="k")
        assert {record, other} == set(selected(key="k", state="FAILED"))


class FindTests(TestCase):
    def test_job_is_found_wherever_it_is(self):
        record, succeeded = JobRecordFactory(), SucceededJobFactory()

        assert (record, succeeded) == (observe.find(record.pk), observe.find(succeeded.pk))
        assert observe.find(2**62) is None

import pytest

from django_jobflow import DuplicateJob, Job, NotRetryable
from django_jobflow.attempts import key_digest
from django_jobflow.models import JobRecord
from django_jobflow.outcomes import Succeeded
from django_jobflow.states import ENDED, UNFINISHED, JobState
from tests.engines.contract import (
    HOUR,
    LATER,
    MINUTE,
    NOON,
    Contract,
    changes,
    columns,
    ending,
    live,
    make,
    stored,
)


class KeyContract(Contract):
    @pytest.fixture(autouse=True)
    def jobs(self, own_jobs):
        class Receipt(Job):
            name = "shop.Receipt"

            def perform(self, order_id, copy_to=None):
                pass

            def queue_key(self, order_id, **_):
                return f"order:{order_id}"

        class Strict(Receipt):
            name = "shop.Strict"
            on_duplicate = "raise"

        class Latest(Receipt):
            name = "shop.Latest"
            on_duplicate = "replace"

        self.receipt, self.strict, self.latest = Receipt, Strict, Latest


class HeldKeyTests(KeyContract):
    @pytest.mark.parametrize("state", sorted(UNFINISHED))
    def test_holder_is_unfinished_and_the_call_returns_it(self, state):
        holder = make(state, queue_key="order:7")

        found = self.receipt.enqueue(order_id=7)

        assert (holder.pk, True) == (found.pk, found.duplicate)
        assert {holder.pk: state} == live()
        assert {} == changes(holder)

    @pytest.mark.parametrize("state", sorted(ENDED))
    def test_holder_has_ended_and_the_call_is_stored(self, state):
        ended = make(state, queue_key="order:7")

        record = self.receipt.enqueue(order_id=7)

        assert not record.duplicate
        assert {ended.pk: state, record.pk: JobState.AVAILABLE} == live()

    def test_holder_has_succeeded_and_the_call_is_stored(self):
        holder = make(JobState.IN_PROGRESS, queue_key="order:7")
        self.engine.settle([ending(holder, Succeeded())], NOON)

        assert not self.receipt.enqueue(order_id=7).duplicate

    def test_key_is_held_from_the_first_call_to_the_end(self):
        record = self.receipt.enqueue(order_id=7)
        twins = [self.receipt.enqueue(order_id=7)]
        [record] = JobRecord.objects.reserve(1, worker="w", now=NOON)
        twins += [self.receipt.enqueue(order_id=7)]
        record.start(NOON)
        twins += [self.receipt.enqueue(order_id=7)]
        record.release(NOON)
        twins += [self.receipt.enqueue(order_id=7)]
        record.cancel(NOON)

        assert {record.pk} == {twin.pk for twin in twins}
        assert not self.receipt.enqueue(order_id=7).duplicate

    def test_other_keys_are_free(self):
        make(queue_key="order:7")

        assert not self.receipt.enqueue(order_id=8).duplicate

    def test_key_is_none_and_is_never_held(self):
        options = self.receipt.using()
        options.job = type("Free", (Job,), {"perform": lambda self, order_id: None})

        assert [False, False] == [options.enqueue(order_id=7).duplicate for _ in range(2)]

    def test_key_of_another_job_is_the_same_key(self):
        make(queue_key="order:7", name="shop.jobs.Other")

        assert self.receipt.enqueue(order_id=7).duplicate

    def test_key_is_held_in_each_partition_for_itself(self):
        one = self.receipt.using(partition="eu").enqueue(order_id=7)
        other = self.receipt.using(partition="us").enqueue(order_id=7)
        again = self.receipt.using(partition="eu").enqueue(order_id=7)

        assert [False, False, True] == [each.duplicate for each in (one, other, again)]

    @pytest.mark.parametrize("between", ["", ":", " ", "\x1f", "\n"])
    def test_partition_and_key_do_not_run_together(self, between):
        left, right = f"a{between}b", f"b{between}c"
        one = self.receipt.using(partition="a", queue_key=right).enqueue(order_id=7)
        other = self.receipt.using(partition=left, queue_key="c").enqueue(order_id=7)

        assert [False, False] == [one.duplicate, other.duplicate]

    @pytest.mark.parametrize("key", ["ORDER:7", "order:7 ", " order:7", "órder:7", "order:７"])
    def test_keys_are_told_apart_letter_by_letter(self, key):
        make(queue_key="order:7")

        assert not self.receipt.using(queue_key=key).enqueue(order_id=7).duplicate

    def test_longest_key_is_held(self):
        options = self.receipt.using(queue_key="🙂" * 255)

        assert [False, True] == [options.enqueue(order_id=7).duplicate for _ in range(2)]


class RaiseTests(KeyContract):
    def test_key_is_held_and_the_call_is_refused(self):
        holder = make(queue_key="order:7")

        with pytest.raises(DuplicateJob) as error:
            self.strict.enqueue(order_id=7)

        expected = f"shop.Strict: job {holder.pk} holds the queue key 'order:7'."
        assert (expected, holder) == (str(error.value), error.value.record)
        assert {holder.pk: JobState.AVAILABLE} == live()

    def test_one_of_many_calls_is_refused_and_none_is_stored(self):
        holder = make(queue_key="order:7")

        with pytest.raises(DuplicateJob):
            self.strict.enqueue_many({"order_id": n} for n in (6, 7, 8))

        assert {holder.pk: JobState.AVAILABLE} == live()

    def test_key_comes_twice_and_none_is_stored(self):
        with pytest.raises(DuplicateJob):
            self.strict.enqueue_many({"order_id": n} for n in (6, 7, 6))

        assert {} == live()


class ReplaceTests(KeyContract):
    def test_waiting_holder_has_the_arguments_and_the_time_of_the_new_call(self):
        holder = make(name="shop.Latest", queue_key="order:7", expires_at=LATER)

        found = self.latest.using(run_at=NOON + HOUR, priority=5).enqueue(7, copy_to="a")

        differences = changes(holder)
        assert {
            "args": [7],
            "kwargs": {"copy_to": "a"},
            "priority": 5,
            "state": JobState.SCHEDULED,
            "available_at": NOON + HOUR,
            "expires_at": None,
            "updated_at": differences["updated_at"],
        } == differences
        assert (holder.pk, True) == (found.pk, found.duplicate)
        assert columns(stored(holder)) == columns(found)

    def test_many_calls_replace_what_waits_and_each_other(self):
        holder = make(name="shop.Latest", queue_key="order:7")

        ids = self.latest.enqueue_many(
            {"order_id": n, "copy_to": to} for n, to in [(7, "a"), (8, "b"), (7, "c"), (8, "d")]
        )

        assert [holder.pk, ids[1], holder.pk, ids[1]] == ids
        assert ["c", "d"] == [
            JobRecord.objects.get(pk=pk).kwargs["copy_to"] for pk in (holder.pk, ids[1])
        ]

    @pytest.mark.parametrize("state", [JobState.SCHEDULED, JobState.AVAILABLE, JobState.WAITING])
    def test_holder_waits_and_is_replaced(self, state):
        holder = make(state, name="shop.Latest", queue_key="order:7")

        self.latest.enqueue(order_id=7, copy_to="a")

        assert {holder.pk: JobState.AVAILABLE} == live()
        assert {"order_id": 7, "copy_to": "a"} == stored(holder).kwargs

    @pytest.mark.parametrize("state", [JobState.RETRY, JobState.RESERVED, JobState.IN_PROGRESS])
    def test_holder_has_begun_and_is_returned_as_it_is(self, state):
        holder = make(state, name="shop.Latest", queue_key="order:7")

        found = self.latest.enqueue(order_id=7, copy_to="a")

        assert (holder.pk, True) == (found.pk, found.duplicate)
        assert {} == changes(holder)

    def test_execution_key_is_left_out_and_no_longer_held(
        self, django_capture_on_commit_callbacks
    ):
        holder = make(name="shop.Latest", queue_key="order:7", execution_key="e")
        waiting = make(JobState.WAITING, execution_key="e")

        with django_capture_on_commit_callbacks(execute=True):
            self.latest.enqueue(order_id=7)

        found = stored(holder)
        assert (JobState.AVAILABLE, None, None) == (
            found.state,
            found.execution_key,
            found.held_execution_key,
        )
        assert key_digest("", "e") == stored(waiting).held_execution_key

    def test_execution_key_is_new_and_held_after_the_commit(
        self, django_capture_on_commit_callbacks
    ):
        holder = make(name="shop.Latest", queue_key="order:7")

        with django_capture_on_commit_callbacks(execute=True):
            self.latest.using(execution_key="e").enqueue(order_id=7)
            assert JobState.WAITING == stored(holder).state

        assert JobState.AVAILABLE == stored(holder).state
        assert key_digest("", "e") == stored(holder).held_execution_key

    def test_replaced_call_can_be_reserved(self):
        make(JobState.SCHEDULED, name="shop.Latest", queue_key="order:7")
        self.latest.enqueue(order_id=7, copy_to="a")

        [record] = JobRecord.objects.reserve(1, worker="w", now=LATER)

        assert {"order_id": 7, "copy_to": "a"} == record.kwargs


class FreedKeyTests(KeyContract):
    def test_failed_record_cannot_run_again_while_another_holds_its_key(self):
        failed = make(JobState.FAILED, queue_key="order:7")
        self.receipt.enqueue(order_id=7)

        with pytest.raises(NotRetryable) as error:
            stored(failed).retry(LATER)

        expected = (
            f"Job {failed.pk} cannot be retried: another unfinished job holds its queue key "
            "'order:7'."
        )
        assert expected == str(error.value)
        assert {} == changes(failed)

    def test_failed_record_that_runs_again_holds_its_key(self):
        failed = make(JobState.FAILED, queue_key="order:7")

        failed.retry(LATER)

        assert self.receipt.enqueue(order_id=7).duplicate

    def test_several_of_one_key_have_failed_and_one_runs_again(self):
        records = [make(JobState.FAILED, queue_key="order:7") for _ in range(3)]

        done = self.engine.retry(JobRecord.objects.all(), LATER)

        assert [records[0].pk] == done
        assert [{}, {}] == [changes(record) for record in records[1:]]

    def test_some_cannot_run_again_and_the_others_do(self):
        taken = make(JobState.FAILED, queue_key="order:7")
        self.receipt.enqueue(order_id=7)
        free = [make(JobState.FAILED, queue_key="order:8"), make(JobState.FAILED)]

        done = self.engine.retry(JobRecord.objects.all(), LATER)

        assert {record.pk for record in free} == set(done)
        assert {} == changes(taken)

    def test_key_is_free_when_its_record_is_deleted(self):
        make(queue_key="order:7")

        self.engine.delete(JobRecord.objects.all())

        assert not self.receipt.enqueue(order_id=7).duplicate

    def test_key_is_held_through_a_retry_delay(self):
        record = make(JobState.IN_PROGRESS, queue_key="order:7")
        record.fail(ValueError(), NOON)

        assert self.receipt.enqueue(order_id=7).duplicate
        JobRecord.objects.activate_scheduled(NOON + MINUTE)
        assert self.receipt.enqueue(order_id=7).duplicate

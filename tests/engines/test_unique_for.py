"""A queue key that is held for a time, and one whose record is put off by each enqueue."""

from datetime import timedelta

import pytest

from django_jobflow import DuplicateJob, InvalidJob, Job
from django_jobflow.attempts import key_digest
from django_jobflow.models import JobRecord, KeyHold, SucceededJob
from django_jobflow.outcomes import ErrorInfo, Failed, Succeeded
from django_jobflow.states import JobState
from tests.engines.contract import HOUR, LATER, MINUTE, NOON, Contract, ending, live, make, stored

DAY = timedelta(days=1)


class UniqueContract(Contract):
    @pytest.fixture(autouse=True)
    def jobs(self, own_jobs):
        class Receipt(Job):
            name = "shop.Receipt"
            unique_for = HOUR

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

        class Reindex(Receipt):
            name = "shop.Reindex"
            unique_for = None
            debounce = MINUTE
            debounce_max = HOUR

        self.receipt, self.strict, self.latest = Receipt, Strict, Latest
        self.reindex = Reindex

    def end(self, record, outcome):
        JobRecord.objects.reserve(1, worker="w")[0].start()
        self.engine.settle([ending(stored(record), outcome)])

    def lapse(self):
        KeyHold.objects.update(until=self.engine.now() - MINUTE)


class UniqueForTests(UniqueContract):
    def test_success_is_gone_and_its_key_is_held(self):
        record = self.receipt.enqueue(order_id=7)
        self.end(record, Succeeded())

        found = self.receipt.enqueue(order_id=7)

        assert (record.pk, True, {"order_id": 7}) == (found.pk, found.duplicate, found.kwargs)
        assert {} == live()

    def test_nothing_is_left_of_it_and_its_id_is(self):
        record = self.receipt.enqueue(order_id=7)
        self.end(record, Succeeded())
        SucceededJob.objects.all().delete()

        found = self.receipt.enqueue(order_id=7)

        assert (record.pk, True) == (found.pk, found.duplicate)

    def test_it_has_failed_and_its_key_is_held(self):
        record = self.receipt.enqueue(order_id=7)
        self.end(record, Failed(ErrorInfo("E", "text")))

        found = self.receipt.enqueue(order_id=7)

        assert (record.pk, JobState.FAILED) == (found.pk, found.state)

    @pytest.mark.parametrize("many", [False, True])
    def test_time_is_over_and_the_call_is_stored_and_holds_the_key(self, many):
        record = self.receipt.enqueue(order_id=7)
        self.end(record, Succeeded())
        self.lapse()

        if many:
            [pk] = self.receipt.enqueue_many([{"order_id": 7}])
        else:
            pk = self.receipt.enqueue(order_id=7).pk

        assert {pk: JobState.AVAILABLE} == live()
        assert pk == KeyHold.objects.get().job_id
        assert abs(KeyHold.objects.get().until - self.engine.now() - HOUR) < MINUTE

    def test_time_is_over_and_the_record_still_holds_its_key(self):
        record = self.receipt.enqueue(order_id=7)
        self.lapse()

        found = self.receipt.enqueue(order_id=7)

        assert (record.pk, True) == (found.pk, found.duplicate)
        assert 1 == JobRecord.objects.count()

    def test_partitions_do_not_meet(self):
        self.receipt.using(partition="eu").enqueue(order_id=7)

        assert not self.receipt.using(partition="us").enqueue(order_id=7).duplicate

    def test_span_of_the_call_wins(self):
        self.receipt.using(unique_for=DAY).enqueue(order_id=7)

        assert KeyHold.objects.get().until > self.engine.now() + DAY - MINUTE

    def test_call_without_a_key_is_not_held(self):
        class Sometimes(self.receipt):
            name = "shop.Sometimes"

            def queue_key(self, order_id, **_):
                return None

        assert not any(Sometimes.enqueue(order_id=7).duplicate for _ in range(2))
        assert 2 == len(set(Sometimes.enqueue_many([{"order_id": 7}] * 2)))
        assert 0 == KeyHold.objects.count()

    def test_many_calls_get_the_ids_of_those_that_hold_their_keys(self):
        done = self.receipt.enqueue(order_id=1)
        self.end(done, Succeeded())
        waiting = self.receipt.enqueue(order_id=2)

        ids = self.receipt.enqueue_many({"order_id": number} for number in (1, 2, 3, 3))

        assert [done.pk, waiting.pk, ids[3]] == [ids[0], ids[1], ids[2]]
        assert {waiting.pk, ids[2]} == set(live())
        assert 3 == KeyHold.objects.count()

    def test_key_is_held_and_the_call_is_refused(self):
        record = self.strict.enqueue(order_id=7)
        self.end(record, Succeeded())

        with pytest.raises(DuplicateJob) as error:
            self.strict.enqueue(order_id=7)

        expected = f"shop.Strict: job {record.pk} holds the queue key 'order:7'."
        assert (expected, record.pk) == (str(error.value), error.value.record.pk)

    def test_waiting_holder_is_replaced_and_one_that_has_ended_is_returned(self):
        first = self.latest.enqueue(order_id=7)
        self.latest.enqueue(order_id=7, copy_to="a")
        assert {"order_id": 7, "copy_to": "a"} == stored(first).kwargs
        self.end(first, Succeeded())

        found = self.latest.enqueue(order_id=7, copy_to="b")

        assert (first.pk, True, {}) == (found.pk, found.duplicate, live())

    def test_deleted_record_gives_its_key_back(self):
        self.receipt.enqueue(order_id=7)
        self.engine.delete(JobRecord.objects.all())

        assert not self.receipt.enqueue(order_id=7).duplicate

    def test_deleted_record_leaves_the_key_to_another(self):
        old = self.receipt.enqueue(order_id=7)
        self.end(old, Failed(ErrorInfo("E", "text")))
        self.lapse()
        new = self.receipt.enqueue(order_id=7)

        self.engine.delete(JobRecord.objects.filter(pk=old.pk))

        assert new.pk == KeyHold.objects.get().job_id

    def test_lapsed_holds_are_pruned(self):
        self.receipt.enqueue(order_id=7)
        self.lapse()
        self.receipt.enqueue(order_id=8)

        assert [1, 0] == [self.engine.prune_holds() for _ in range(2)]
        assert [key_digest("", "order:8")] == list(KeyHold.objects.values_list("pk", flat=True))

    def test_failed_one_may_run_again_though_another_held_the_key_since(self):
        old = make(JobState.FAILED, queue_key="order:7")
        new = self.receipt.enqueue(order_id=7)
        self.end(new, Succeeded())

        old.retry(LATER)

        assert {old.pk: JobState.AVAILABLE} == live()


class DebounceTests(UniqueContract):
    def test_first_call_is_due_after_the_pause(self):
        before = self.engine.now()
        record = stored(self.reindex.enqueue(order_id=7))

        assert JobState.SCHEDULED == record.state
        assert before + MINUTE <= record.available_at <= self.engine.now() + MINUTE

    def test_each_call_puts_it_off_and_the_newest_arguments_stay(self):
        first = self.reindex.enqueue(order_id=7)
        JobRecord.objects.update(available_at=NOON)
        before = self.engine.now()

        found = self.reindex.enqueue(order_id=7, copy_to="a")

        record = stored(first)
        assert (first.pk, True) == (found.pk, found.duplicate)
        assert {"order_id": 7, "copy_to": "a"} == record.kwargs
        assert before + MINUTE <= record.available_at <= self.engine.now() + MINUTE
        assert record.available_at == found.available_at

    def test_it_is_put_off_no_longer_than_the_most(self):
        record = self.reindex.enqueue(order_id=7)
        first = self.engine.now() - HOUR + MINUTE / 2
        JobRecord.objects.update(created_at=first)

        self.reindex.enqueue(order_id=7)

        assert first + HOUR == stored(record).available_at

    def test_most_has_passed_and_it_is_due(self):
        record = self.reindex.enqueue(order_id=7)
        JobRecord.objects.update(created_at=NOON)

        self.reindex.enqueue(order_id=7, copy_to="a")

        assert (NOON + HOUR, "a") == (
            stored(record).available_at,
            stored(record).kwargs["copy_to"],
        )

    def test_without_a_most_it_is_put_off_for_ever(self):
        options = self.reindex.using(debounce=DAY, debounce_max=3650 * 0.01 * DAY)
        record = options.enqueue(order_id=7)
        JobRecord.objects.update(created_at=self.engine.now() - DAY)

        options.enqueue(order_id=7)

        assert stored(record).available_at > self.engine.now() + DAY - MINUTE

    @pytest.mark.parametrize("state", [JobState.RESERVED, JobState.IN_PROGRESS, JobState.RETRY])
    def test_holder_has_begun_and_is_returned_as_it_is(self, state):
        holder = make(state, queue_key="order:7")

        found = self.reindex.enqueue(order_id=7, copy_to="a")

        assert (holder.pk, True, holder.kwargs) == (
            found.pk,
            found.duplicate,
            stored(holder).kwargs,
        )

    def test_many_calls_are_put_off_too(self):
        ids = self.reindex.enqueue_many(
            {"order_id": number, "copy_to": to} for number, to in [(7, "a"), (8, "b"), (7, "c")]
        )

        assert ids[0] == ids[2]
        assert {JobState.SCHEDULED} == set(live().values())
        assert "c" == JobRecord.objects.get(pk=ids[0]).kwargs["copy_to"]


class CombinationTests(UniqueContract):
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (
                {"unique_for": 60, "debounce": 5},
                f"unique_for or debounce, got both: unique_for={MINUTE!r}, "
                f"debounce={timedelta(seconds=5)!r}",
            ),
            ({"debounce_max": 60}, f"debounce with debounce_max, got only {MINUTE!r}"),
            (
                {"debounce": 60, "debounce_max": 5},
                f"debounce_max to be at least debounce, {MINUTE!r}, got {timedelta(seconds=5)!r}",
            ),
            (
                {"debounce": 60, "delay": 5},
                f"debounce or delay, got both: debounce={MINUTE!r}, "
                f"delay={timedelta(seconds=5)!r}",
            ),
            (
                {"debounce": 60, "run_at": NOON},
                f"debounce or run_at, got both: debounce={MINUTE!r}, run_at={NOON!r}",
            ),
        ],
    )
    def test_options_that_contradict_each_other_are_refused(self, options, expected):
        class Plain(self.receipt):
            name = "shop.Plain"
            unique_for = None

        with pytest.raises(InvalidJob) as error:
            Plain.using(**options)

        assert f"shop.Plain: expected {expected}." == str(error.value)

    def test_debounce_cannot_refuse_what_it_is_to_replace(self):
        with pytest.raises(InvalidJob) as error:
            type("Both", (self.reindex,), {"name": "shop.Both", "on_duplicate": "raise"}).enqueue(
                7
            )

        expected = "shop.Both: expected debounce or on_duplicate = 'raise', got both."
        assert expected == str(error.value)

    @pytest.mark.parametrize("option", ["unique_for", "debounce"])
    def test_there_is_no_key_to_hold(self, option):
        class Free(Job):
            name = "shop.Free"

            def perform(self, order_id):
                pass

        with pytest.raises(InvalidJob) as error:
            Free.using(**{option: 60})

        assert f"shop.Free: expected a queue key with {option}, got none." == str(error.value)
        Free.using(**{option: 60}, queue_key="q").enqueue(order_id=7)

from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db import IntegrityError, OperationalError, connection, transaction

from django_jobflow import DuplicateJob, Job, UnknownJob, enqueue
from django_jobflow.attempts import key_digest
from django_jobflow.models import JobRecord
from django_jobflow.states import JobState
from tests.engines.contract import HOUR, NOON, SECOND, TICK, Contract, columns, live, make, stored

KEYS = ("q0", "q1", None, None, "q2")
TEXTS = ("é 🙂", "100 % %s %(name)s", "\"quoted\" 'twice' \\ \\n", "$.a [0]", "\t\n\x01\x7f", "")
OPTIONS = (
    {},
    {"delay": 60},
    {"run_at": NOON, "expires_at": NOON + HOUR, "timeout": None},
    {"priority": 9, "tags": ["a", "é"], "meta": {"b": [1, None]}, "queue": "reports"},
    {"partition": "eu", "execution_key": "e 🙂", "max_attempts": 1},
    {"partition": "eu", "queue_key": "q 🙂"},
    {"queue_key": "q", "execution_key": "e", "delay": timedelta(microseconds=1)},
)


def names():
    """Return the ids of the live records in the order of their birth."""
    return list(JobRecord.objects.order_by("pk").values_list("pk", flat=True))


class StoringContract(Contract):
    @pytest.fixture(autouse=True)
    def job(self, own_jobs):
        class Receipt(Job):
            queue = "email"
            max_attempts = 5
            timeout = 60
            priority = 3
            name = "shop.Receipt"

            def perform(self, order_id, *, copy_to=None):
                pass

        self.receipt = Receipt


class EnqueueTests(StoringContract):
    def test_call_is_stored_with_what_its_definition_says(self):
        before = self.engine.now()

        record = self.receipt.enqueue(7, copy_to="é@shop.example")

        after, facts = self.engine.now(), columns(stored(record))
        moments = [facts.pop(name) for name in ("created_at", "available_at", "updated_at")]
        assert all(before <= moment <= after for moment in moments)
        assert {
            "id": record.pk,
            "name": "shop.Receipt",
            "queue": "email",
            "partition": "",
            "state": JobState.AVAILABLE,
            "priority": 3,
            "args": [7],
            "kwargs": {"copy_to": "é@shop.example"},
            "attempt": 0,
            "max_attempts": 5,
            "timeout": timedelta(seconds=60),
            "queue_key": None,
            "execution_key": None,
            "held_queue_key": None,
            "held_execution_key": None,
            "parked_for": None,
            "fingerprint": None,
            "expires": None,
            "expires_at": None,
            "reserved_by": None,
            "reserved_count": 0,
            "reserved_at": None,
            "started_at": None,
            "finished_at": None,
            "cancel_requested_at": None,
            "errors": [],
            "tags": [],
            "meta": {},
            "batch_id": None,
            "progress": None,
            "progress_message": "",
        } == facts

    def test_call_is_stored_with_what_it_is_given(self):
        record = self.receipt.using(
            queue="reports",
            priority=-100,
            max_attempts=9,
            timeout=None,
            queue_key="q",
            execution_key="e",
            partition="eu",
            tags=["vip"],
            meta={"trace": "x"},
            run_at=NOON,
            expires_at=NOON + HOUR,
        ).enqueue(7)

        facts = columns(stored(record))
        assert {
            "queue": "reports",
            "priority": -100,
            "max_attempts": 9,
            "timeout": None,
            "queue_key": "q",
            "execution_key": "e",
            "held_queue_key": key_digest("eu", "q"),
            "held_execution_key": None,
            "partition": "eu",
            "tags": ["vip"],
            "meta": {"trace": "x"},
            "state": JobState.SCHEDULED,
            "available_at": NOON,
            "expires_at": NOON + HOUR,
        }.items() <= facts.items()

    def test_returned_record_is_as_it_is_stored(self):
        for options in ({}, {"queue_key": "q"}, {"delay": 60}, {"execution_key": "e"}):
            record = self.receipt.using(**options).enqueue(7)
            assert columns(stored(record)) == columns(record)
            assert not record.duplicate

    def test_delayed_call_is_due_that_much_later(self):
        delay = timedelta(days=1, microseconds=1)
        before = self.engine.now()

        record = self.receipt.using(delay=delay).enqueue(7)

        found = stored(record)
        assert JobState.SCHEDULED == found.state
        assert before + delay <= found.available_at <= self.engine.now() + delay

    def test_moment_is_kept_to_the_microsecond(self):
        record = self.receipt.using(run_at=NOON + TICK).enqueue(7)

        assert NOON + TICK == stored(record).available_at

    def test_moment_has_passed_and_the_call_is_due_at_the_next_sweep(self):
        record = self.receipt.using(run_at=NOON).enqueue(7)

        assert 1 == JobRecord.objects.activate_scheduled(NOON)
        assert JobState.AVAILABLE == stored(record).state

    def test_stored_call_is_the_next_to_be_reserved(self):
        record = self.receipt.enqueue(7)

        [reserved] = JobRecord.objects.reserve(1, worker="w", queues=["email"])

        assert (record.pk, [7], 60 * SECOND) == (reserved.pk, reserved.args, reserved.timeout)

    def test_name_is_registered_and_its_job_is_stored(self):
        record = JobRecord.objects.enqueue("shop.Receipt", 7)

        assert ("shop.Receipt", [7]) == (stored(record).name, stored(record).args)

    def test_name_is_unknown_and_nothing_is_stored(self):
        with pytest.raises(UnknownJob):
            JobRecord.objects.enqueue("shop.Reciept", 7)

        assert {} == live()

    def test_async_caller_stores_the_same(self):
        record = async_to_sync(self.receipt.aenqueue)(7)

        assert [7] == stored(record).args


class EnqueueManyTests(StoringContract):
    def test_calls_are_stored_and_their_ids_returned_in_order(self):
        ids = self.receipt.enqueue_many({"order_id": n} for n in range(3))

        found = JobRecord.objects.in_bulk(ids)
        assert [0, 1, 2] == [found[pk].kwargs["order_id"] for pk in ids]
        assert {JobState.AVAILABLE} == {record.state for record in found.values()}

    @pytest.mark.parametrize("options", OPTIONS)
    def test_each_is_stored_like_a_single_one(self, options):
        enqueuer = self.receipt.using(**options)
        [pk] = enqueuer.enqueue_many([{"order_id": 1, "copy_to": 1.5}])
        one = JobRecord.objects.get(pk=pk)
        JobRecord.objects.all().delete()

        other = columns(stored(enqueuer.enqueue(order_id=1, copy_to=1.5)))
        own = {"id", "created_at", "available_at", "updated_at"}
        assert {name: value for name, value in columns(one).items() if name not in own} == {
            name: value for name, value in other.items() if name not in own
        }
        assert all(getattr(one, name) <= other[name] for name in own)

    @pytest.mark.parametrize("text", TEXTS)
    def test_text_is_stored_as_it_is(self, text):
        single = self.receipt.enqueue(text, copy_to={text: [text]})
        [pk] = self.receipt.enqueue_many([{"order_id": text, "copy_to": {text: [text]}}])

        assert [text] == stored(single).args
        assert {"order_id": text, "copy_to": {text: [text]}} == (
            JobRecord.objects.get(pk=pk).kwargs
        )

    def test_next_calls_are_read_when_the_first_ones_are_stored(self):
        there = {}

        def calls():
            for number in range(2500):
                if number in {0, 999, 1000, 1999, 2000}:
                    there[number] = JobRecord.objects.count()
                yield {"order_id": number}

        self.receipt.enqueue_many(calls())

        assert {0: 0, 999: 0, 1000: 1000, 1999: 1000, 2000: 2000} == there

    def test_large_calls_are_stored_a_few_at_a_time(self, monkeypatch):
        monkeypatch.setattr(enqueue, "BATCH_SIZE", 100)
        there = []

        def calls():
            for _ in range(5):
                there.append(JobRecord.objects.count())
                yield {"order_id": "x" * 50}

        self.receipt.enqueue_many(calls())

        assert [0, 0, 2, 2, 4] == there

    def test_more_calls_than_one_statement_takes_are_stored(self):
        ids = self.receipt.enqueue_many({"order_id": n} for n in range(1001))

        assert 1001 == len(set(ids))
        assert ids == names()

    def test_there_are_no_calls_and_nothing_is_stored(self):
        assert [] == self.receipt.enqueue_many([])

    def test_a_later_call_is_wrong_and_none_is_stored(self):
        calls = [{"order_id": n} for n in range(1001)] + [{"order": 1}]

        with pytest.raises(TypeError):
            self.receipt.enqueue_many(calls)

        assert {} == live()

    def test_key_is_held_and_its_holder_is_in_the_list(self):
        class Keyed(Job):
            def perform(self, order_id):
                pass

            def queue_key(self, order_id):
                return f"order:{order_id}"

        holder = Keyed.enqueue(order_id=2)

        ids = Keyed.enqueue_many({"order_id": n} for n in (1, 2, 3, 1))

        assert [holder.pk, ids[0], ids[2]] == names()
        assert (holder.pk, ids[0]) == (ids[1], ids[3])

    def test_some_have_a_key_and_all_ids_are_in_order(self):
        class Sometimes(Job):
            def perform(self, number):
                pass

            def queue_key(self, number):
                return f"🙂 {number}" if number % 3 else None

        holder = Sometimes.enqueue(number=10)

        ids = Sometimes.enqueue_many({"number": number % 20} for number in range(40))

        found = JobRecord.objects.in_bulk(ids)
        assert [number % 20 for number in range(40)] == [found[pk].kwargs["number"] for pk in ids]
        assert holder.pk == ids[10] == ids[30]
        fresh = [pk for pk in ids[:20] if pk != holder.pk]
        assert sorted(fresh) == fresh
        assert ids[1] == ids[21]
        assert ids[0] != ids[20]


class SilentDatabaseTests(StoringContract):
    """A database such as MySQL, whose INSERT tells no more than the id of one row."""

    @pytest.fixture(autouse=True)
    def silent(self, db, monkeypatch):
        with connection.cursor() as cursor:
            if not hasattr(cursor, "lastrowid"):
                pytest.skip("Its driver does not tell the id of the row.")
        for feature in ("can_return_columns_from_insert", "can_return_rows_from_bulk_insert"):
            monkeypatch.setattr(type(connection.features), feature, False)

    def test_record_is_as_it_is_stored(self):
        for options in ({}, {"queue_key": "q"}, {"delay": 60}, {"execution_key": "e"}):
            record = self.receipt.using(**options).enqueue(7)
            assert columns(stored(record)) == columns(record)

    def test_key_is_held_and_its_holder_is_returned(self):
        holder = self.receipt.using(queue_key="q").enqueue(7)

        assert holder == self.receipt.using(queue_key="q").enqueue(7)

    def test_many_calls_are_stored_in_order(self):
        ids = self.receipt.enqueue_many({"order_id": n} for n in range(5))

        assert ids == names()


class TransactionTests(StoringContract):
    def test_transaction_rolls_back_and_nothing_is_stored(self):
        with transaction.atomic():
            self.receipt.enqueue(7)
            self.receipt.using(queue_key="q").enqueue(7)
            self.receipt.enqueue_many([{"order_id": 8}])
            assert 3 == len(live())
            transaction.set_rollback(True)

        assert {} == live()

    def test_savepoint_rolls_back_and_only_the_outer_call_is_stored(self):
        outer = self.receipt.enqueue(1)
        with transaction.atomic():
            self.receipt.enqueue(2)
            transaction.set_rollback(True)

        assert [outer.pk] == names()

    def test_key_of_a_call_that_was_rolled_back_is_free(self):
        with transaction.atomic():
            self.receipt.using(queue_key="q").enqueue(7)
            transaction.set_rollback(True)

        assert not self.receipt.using(queue_key="q").enqueue(7).duplicate

    def test_duplicate_leaves_the_transaction_of_the_caller_whole(self):
        self.receipt.using(queue_key="q").enqueue(1)
        with transaction.atomic():
            self.receipt.using(queue_key="q").enqueue(2)
            other = self.receipt.enqueue(3)

        assert other.pk in live()

    def test_call_after_the_commit_is_stored(self, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            transaction.on_commit(lambda: self.receipt.enqueue(7))
            assert {} == live()

        assert 1 == len(live())


both_databases = pytest.mark.django_db(databases=["default", "other"])


class OtherDatabaseTests(StoringContract):
    @both_databases
    def test_call_is_stored_there_and_not_here(self):
        record = self.receipt.using(database="other").enqueue(7)

        assert "other" == record._state.db
        assert {} == live()
        assert [7] == stored(record).args

    @both_databases
    def test_many_calls_are_stored_there(self):
        ids = self.receipt.using(database="other").enqueue_many([{"order_id": 7}])

        assert {} == live()
        assert set(ids) == set(JobRecord.objects.using("other").values_list("pk", flat=True))

    @both_databases
    def test_queryset_of_that_database_enqueues_there(self):
        record = JobRecord.objects.using("other").enqueue("shop.Receipt", 7)

        assert ("other", {}) == (record._state.db, live())

    @both_databases
    def test_settings_name_that_database_and_calls_go_there(self, settings):
        settings.JOBFLOW = {"DATABASE": "other"}

        record = self.receipt.enqueue(7)

        assert ("other", {}) == (record._state.db, live())

    @both_databases
    def test_queue_key_is_held_in_each_database_for_itself(self):
        here = self.receipt.using(queue_key="q").enqueue(7)
        there = self.receipt.using(queue_key="q", database="other").enqueue(7)
        again = self.receipt.using(queue_key="q", database="other").enqueue(7)

        assert [False, False, True] == [each.duplicate for each in (here, there, again)]

    @both_databases
    def test_transaction_of_that_database_rolls_back_and_nothing_is_stored(self):
        with transaction.atomic(using="other"):
            self.receipt.using(database="other").enqueue(7)
            transaction.set_rollback(True, using="other")

        assert not JobRecord.objects.using("other").exists()

    @both_databases
    def test_whole_life_passes_there(self):
        here = make()
        there = JobRecord.objects.using("other")
        delayed = self.receipt.using(database="other", delay=60, execution_key="e")
        record = delayed.enqueue(7)

        assert 1 == there.activate_scheduled(record.available_at)
        [record] = there.reserve(1, worker="w", now=NOON)
        record.start(NOON)
        record.fail(ValueError(), NOON)
        assert record.run_now(NOON)
        [record] = there.reserve(1, worker="w", now=NOON)
        record.start(NOON)
        assert 1 == there.activate_expired(NOON + HOUR)
        [record] = there.reserve(1, worker="w", now=NOON)
        record.release(NOON)
        assert record.cancel(NOON)
        record.retry(NOON)
        [record] = there.reserve(1, worker="w", now=NOON)
        record.start(NOON)
        record.succeed({"sent": True}, NOON)

        assert 0 == there.count()
        assert JobState.AVAILABLE == stored(here).state


class StoreTests(StoringContract):
    def test_key_is_held_and_nothing_is_stored(self):
        make(queue_key="q")
        enqueuer = self.receipt.using(queue_key="q")

        assert self.engine.store(enqueuer.terms, enqueuer._call((7,), {})) is None

        assert 1 == len(live())

    def test_keys_are_held_and_all_others_are_stored(self):
        make(queue_key="q1")
        terms = self.receipt.using().terms
        calls = [self.receipt.using(queue_key=key)._call((7,), {}) for key in KEYS]

        ids = self.engine.store_many(terms, calls)

        found = [self.engine.holder_of(key_digest("", key)) for key in ("q0", "q2")]
        assert [None, found[0].pk, found[1].pk] == [ids[1], ids[0], ids[4]]
        assert sorted(pk for pk in ids if pk) == [pk for pk in ids if pk]
        assert 5 == len(live())

    def test_all_keys_are_held_and_nothing_is_stored(self):
        make(queue_key="q1")
        enqueuer = self.receipt.using(queue_key="q1")

        assert [None] == self.engine.store_many(enqueuer.terms, [enqueuer._call((7,), {})])

    def test_row_that_is_wrong_is_an_error_and_no_duplicate(self):
        enqueuer = self.receipt.using()
        enqueuer.terms.priority = 101
        call = enqueuer._call((7,), {})

        for store in (
            lambda: self.engine.store(enqueuer.terms, call),
            lambda: self.engine.store_many(enqueuer.terms, [call]),
        ):
            with pytest.raises((IntegrityError, OperationalError)), transaction.atomic():
                store()

    def test_records_are_read_in_order(self):
        records = [make() for _ in range(3)]
        ids = [record.pk for record in records][::-1]

        assert ids == [record.pk for record in self.engine.read(ids)]

    def test_holder_is_found_by_the_digest(self):
        record = make(queue_key="q")

        assert record == self.engine.holder_of(key_digest("", "q"))
        assert self.engine.holder_of(key_digest("", "other")) is None

    def test_holders_are_found_by_their_digests(self):
        holders = {make(queue_key=key).held_queue_key: key for key in ("a", "b")}

        found = self.engine.holders_of([*holders, key_digest("", "other"), None])

        assert set(holders) == set(found)
        assert {} == self.engine.holders_of([None])

    def test_holder_changes_whenever_it_is_looked_for_and_the_call_gives_up(self):
        """A constraint that refuses a row whose holder cannot be found must not loop for ever."""

        class Vanishing(type(self.engine)):
            def holder_of(self, digest):
                return None

        make(queue_key="q")
        enqueuer = self.receipt.using(queue_key="q")
        call = enqueuer._call((7,), {})

        with pytest.raises(DuplicateJob) as error:
            enqueuer._store(Vanishing("default"), call, enqueuer.terms)

        expected = (
            "shop.Receipt: the holder of queue key 'q' changed 5 times while this call was to be "
            "stored."
        )
        assert expected == str(error.value)

import logging
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import django
import pytest
from asgiref.sync import async_to_sync
from django.db import connections, transaction

from django_jobflow import (
    ArgumentError,
    DuplicateJob,
    InvalidJob,
    Job,
    JobState,
    UnknownJob,
    enqueue,
    job,
    signals,
)
from django_jobflow.declare import call_options, registry
from django_jobflow.engines import engine_for
from django_jobflow.models import Batch, JobRecord
from tests.app.models import Order

pytestmark = pytest.mark.django_db(databases=["default", "other"])

SOME_DAY = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class SendReceipt(Job):
    queue = "email"
    max_attempts = 5
    timeout = 60
    priority = 3

    def perform(self, order_id, *, copy_to=None): ...


class ChargeOrder(Job):
    def perform(self, order_id): ...

    def queue_key(self, order_id):
        return f"order:{order_id}"


class ChargeStrictly(ChargeOrder):
    on_duplicate = "raise"


class ChargeLatest(Job):
    on_duplicate = "replace"

    def perform(self, order_id, amount=0): ...

    def queue_key(self, order_id, **_):
        return f"order:{order_id}"

    def execution_key(self, order_id, amount=0):
        return f"bank:{amount}" if amount > 100 else None


class PrintLabel(Job):
    def perform(self, order_id): ...

    def execution_key(self, order_id):
        return "printer"


@job(queue="reports")
def build_report(report_id): ...


@pytest.fixture
def now():
    return engine_for("default").now()


def facts(record, *fields):
    return {field: getattr(record, field) for field in fields}


def stored(record):
    """The row of *record* as the database has it."""
    return JobRecord.objects.using(record._state.db).get(pk=record.pk)


DATA = [field.attname for field in JobRecord._meta.concrete_fields]
MOMENTS = {"available_at", "created_at", "updated_at"}


class EnqueueTests:
    def test_call_is_stored_with_the_options_of_its_job(self):
        record = SendReceipt.enqueue(7, copy_to="a@shop.example")

        assert {
            "id": record.pk,
            "name": f"{__name__}.SendReceipt",
            "queue": "email",
            "partition": "",
            "state": JobState.AVAILABLE,
            "priority": 3,
            "args": [7],
            "kwargs": {"copy_to": "a@shop.example"},
            "attempt": 0,
            "max_attempts": 5,
            "timeout": timedelta(minutes=1),
            "queue_key": None,
            "execution_key": None,
            "held_queue_key": None,
            "held_execution_key": None,
            "parked_for": None,
            "fingerprint": None,
            "reserved_by": None,
            "reserved_count": 0,
            "reserved_at": None,
            "expires": None,
            "expires_at": None,
            "started_at": None,
            "finished_at": None,
            "cancel_requested_at": None,
            "errors": [],
            "tags": [],
            "meta": {},
            "batch_id": None,
            "progress": None,
            "progress_message": "",
        } == facts(stored(record), *(name for name in DATA if name not in MOMENTS))

    def test_returned_record_is_what_was_stored(self):
        record = SendReceipt.enqueue(7)

        assert facts(stored(record), *DATA) == facts(record, *DATA)
        assert record.duplicate is False

    def test_moments_are_those_of_the_database(self, now):
        record = SendReceipt.enqueue(7)

        after = engine_for("default").now()
        assert now <= record.created_at <= after
        assert record.created_at == record.available_at == record.updated_at

    def test_costs_one_statement(self, django_assert_num_queries):
        returning = connections["default"].features.can_return_columns_from_insert
        SendReceipt.definition()

        budget = 1 if returning and django.VERSION >= (6, 0) else 2  # what was written is read
        with django_assert_num_queries(budget, exact=False):
            SendReceipt.enqueue(7)

    def test_arguments_are_stored_by_their_type(self):
        order = Order.objects.create(number="7", email="a@shop.example", total=Decimal("9.90"))

        record = SendReceipt.enqueue(order, copy_to=Decimal("9.90"))

        assert [{"$jobflow": "model", "value": ["testapp.order", order.pk, "default"]}] == (
            stored(record).args
        )
        assert {"copy_to": {"$jobflow": "decimal", "value": "9.90"}} == stored(record).kwargs

    def test_function_is_enqueued_like_a_class(self):
        record = build_report.enqueue(report_id=7)

        assert (f"{__name__}.build_report", "reports", {"report_id": 7}) == (
            record.name,
            record.queue,
            record.kwargs,
        )

    @pytest.mark.parametrize(
        ("args", "kwargs", "reason"),
        [
            ([], {}, "missing a required argument: 'order_id'"),
            ([7, 8], {}, "too many positional arguments"),
            ([7], {"order_id": 7}, "multiple values for argument 'order_id'"),
            ([7], {"bcc": "x"}, "got an unexpected keyword argument 'bcc'"),
        ],
    )
    def test_wrong_call_is_a_type_error_at_once(self, args, kwargs, reason):
        with pytest.raises(TypeError) as caught:
            SendReceipt.enqueue(*args, **kwargs)

        sentence = f"{reason}. Expected (order_id, *, copy_to=None)."
        assert f"{__name__}.SendReceipt: {sentence}" == str(caught.value)
        assert not JobRecord.objects.exists()

    def test_argument_that_cannot_be_stored_is_refused(self):
        with pytest.raises(ArgumentError) as caught:
            SendReceipt.enqueue(7, copy_to=float("nan"))

        assert (
            f"{__name__}.SendReceipt: expected arguments that can be stored as JSON, "
            "got nan at kwargs['copy_to']."
        ) == str(caught.value)
        assert not JobRecord.objects.exists()

    def test_too_many_bytes_are_refused(self, settings):
        settings.JOBFLOW = {"MAX_ARGUMENTS_SIZE": 100}

        with pytest.raises(ArgumentError) as caught:
            SendReceipt.enqueue("x" * 100)

        assert (
            f"{__name__}.SendReceipt: expected arguments of at most 100 bytes, got 109. "
            "Store the data and pass its key."
        ) == str(caught.value)

    def test_abstract_job_cannot_be_enqueued(self):
        class Base(Job):
            abstract = True

        with pytest.raises(InvalidJob, match="is abstract, so it has no definition"):
            Base.enqueue()


class UsingTests:
    @pytest.mark.parametrize(
        ("option", "value", "kept"),
        [
            ("queue", "slow", "slow"),
            ("priority", -100, -100),
            ("max_attempts", 1, 1),
            ("timeout", 5, timedelta(seconds=5)),
            ("timeout", None, None),
            ("partition", "tenant 7", "tenant 7"),
            ("partition", "", ""),
            ("tags", ["a", "b"], ["a", "b"]),
            ("tags", ("a",), ["a"]),
            ("tags", [], []),
            ("tags", ["t" * 100] * 100, ["t" * 100] * 100),
            ("meta", {"trace": "x", "n": [1, 2]}, {"trace": "x", "n": [1, 2]}),
            ("expires_at", SOME_DAY, SOME_DAY),
            ("queue_key", "k" * 255, "k" * 255),
            ("execution_key", "printer", "printer"),
        ],
    )
    def test_option_of_the_call_wins(self, option, value, kept):
        record = SendReceipt.using(**{option: value}).enqueue(7)

        assert kept == getattr(stored(record), option)

    @pytest.mark.parametrize(
        "option", ["queue", "priority", "max_attempts", "delay", "run_at", "database", "meta"]
    )
    def test_none_leaves_the_option_to_the_job(self, option):
        record = SendReceipt.using(**{option: None}).enqueue(7)

        assert ("email", 3, 5, JobState.AVAILABLE, "default") == (
            record.queue,
            record.priority,
            record.max_attempts,
            record.state,
            record._state.db,
        )

    @pytest.mark.parametrize("delay", [60, 60.0, timedelta(minutes=1)])
    def test_delay_counts_from_the_clock_of_the_database(self, now, delay):
        record = stored(SendReceipt.using(delay=delay).enqueue(7))

        assert record.state == JobState.SCHEDULED
        assert now <= record.available_at - timedelta(minutes=1) <= engine_for("default").now()

    @pytest.mark.parametrize("delay", [0, timedelta(0)])
    def test_no_delay_is_now(self, delay):
        assert JobState.AVAILABLE == SendReceipt.using(delay=delay).enqueue(7).state

    @pytest.mark.parametrize(
        "run_at", [SOME_DAY, SOME_DAY.astimezone(timezone(timedelta(hours=5, minutes=30)))]
    )
    def test_run_at_is_a_moment(self, run_at):
        record = stored(SendReceipt.using(run_at=run_at).enqueue(7))

        assert (JobState.SCHEDULED, SOME_DAY) == (record.state, record.available_at)

    def test_delayed_job_with_an_execution_key_is_scheduled_first(self):
        record = PrintLabel.using(delay=60).enqueue(7)

        assert JobState.SCHEDULED == record.state

    def test_enqueuer_can_be_used_again(self):
        later = SendReceipt.using(delay=60, tags=["night"])

        records = [later.enqueue(order_id=number) for number in (1, 2)]

        assert [({"order_id": 1}, ["night"]), ({"order_id": 2}, ["night"])] == [
            (record.kwargs, record.tags) for record in records
        ]

    def test_tags_and_meta_are_not_shared(self):
        tags, meta = ["a"], {"b": 1}

        record = SendReceipt.using(tags=tags, meta=meta).enqueue(7)

        assert record.tags is not tags
        assert record.meta is not meta


QUEUE = "1 to 100 letters, digits, '_', '-', '.' or ':' that start with a letter, a digit or '_'"
DELAY = "seconds or a timedelta, from 0 to 100 years"
TIME = "seconds or a timedelta, above 0 to 365 days, or None"
SPAN = "seconds or a timedelta, above 0 to 100 years"
KEY = "text of 1 to 255 characters, or None"
KEEP_LOGS = "False or True or 'DEBUG' or 'INFO' or 'WARNING' or 'ERROR' or 'CRITICAL'"
ALIASES = "one of the aliases in DATABASES ['default', 'other']"
LONG_KEY = "at most 255 characters without NUL or lone surrogates"
TEXT = "at most 100 characters without NUL or lone surrogates"
META = "a dict with text keys and plain JSON in it"
AWARE = "an aware datetime, since USE_TZ is on"
NAIVE = datetime(2030, 1, 1)

BAD = [
    *(("delay", value, DELAY) for value in [-1, timedelta(seconds=-1), "60", True, 10**400]),
    ("run_at", NAIVE, AWARE),
    ("run_at", "2030-01-01", "a datetime"),
    ("run_at", SOME_DAY.date(), "a datetime"),
    ("expires_at", NAIVE, AWARE),
    ("expires_at", 60, "a datetime"),
    *(("expires_in", value, SPAN) for value in [0, -1, "60", True, SOME_DAY]),
    ("queue", "e mail", QUEUE),
    ("priority", 101, "a whole number from -100 to 100"),
    ("max_attempts", 0, "a whole number from 1 to 10000"),
    ("timeout", 0, "seconds or a timedelta, above 0 to 365 days, or None"),
    ("queue_key", "", KEY),
    ("queue_key", 7, KEY),
    ("queue_key", "k" * 256, LONG_KEY),
    ("execution_key", b"x", KEY),
    ("execution_key", "a\x00", LONG_KEY),
    ("unique_for", 0, TIME),
    ("debounce", -1, TIME),
    ("debounce_max", "60", TIME),
    ("partition", "p" * 101, TEXT),
    ("partition", 7, TEXT),
    ("partition", "\ud800", TEXT),
    ("tags", "night", "a list of at most 100 short texts"),
    ("tags", 7, "a list of at most 100 short texts"),
    ("tags", ["night"] * 101, "a list of at most 100 short texts"),
    ("meta", ["trace"], "a dict with text keys and plain JSON in it"),
    ("meta", {7: "x"}, "a dict with text keys and plain JSON in it"),
    ("batch", 7, "a batch from Batch.objects.open()"),
    ("batch", Batch(), "a batch from Batch.objects.open()"),
    ("notify", 7, "text of 1 to 1000 characters, or None"),
    ("keep_logs", "info", KEEP_LOGS),
    ("database", "nowhere", ALIASES),
    ("database", ["default"], ALIASES),
]


class RefusedOptionTests:
    @pytest.mark.parametrize(("option", "value", "expected"), BAD)
    def test_bad_value_is_refused(self, option, value, expected):
        with pytest.raises(InvalidJob) as caught:
            SendReceipt.using(**{option: value})

        assert (
            f"{__name__}.SendReceipt: expected {option} to be {expected}, got {value!r}."
        ) == str(caught.value)

    @pytest.mark.parametrize("tag", ["t" * 101, 7, "\x00"])
    def test_bad_tag_is_refused_by_itself(self, tag):
        with pytest.raises(InvalidJob) as caught:
            SendReceipt.using(tags=["night", tag])

        sentence = f"expected each of tags to be {TEXT}, got {tag!r}."
        assert f"{__name__}.SendReceipt: {sentence}" == str(caught.value)

    def test_every_option_has_a_bad_value_here(self):
        assert set(call_options.READERS) == {option for option, *_ in BAD}

    def test_delay_and_run_at_exclude_each_other(self):
        with pytest.raises(InvalidJob) as caught:
            SendReceipt.using(delay=60, run_at=SOME_DAY)

        assert (
            f"{__name__}.SendReceipt: expected delay or run_at, got both: delay=60, "
            f"run_at={SOME_DAY!r}."
        ) == str(caught.value)

    def test_expires_in_and_expires_at_exclude_each_other(self):
        with pytest.raises(InvalidJob) as caught:
            SendReceipt.using(expires_in=60, expires_at=SOME_DAY)

        assert (
            f"{__name__}.SendReceipt: expected expires_in or expires_at, got both: "
            f"expires_in=60, expires_at={SOME_DAY!r}."
        ) == str(caught.value)

    def test_unknown_option_is_answered_with_the_nearest_one(self):
        with pytest.raises(InvalidJob) as caught:
            SendReceipt.using(runat=SOME_DAY)

        assert (
            f"{__name__}.SendReceipt: 'runat' is not an option. Did you mean 'run_at'? "
            "The options are delay, run_at, queue, priority, max_attempts, timeout, queue_key, "
            "execution_key, unique_for, debounce, debounce_max, partition, tags, meta, notify, "
            "keep_logs, expires_at, expires_in, batch, database."
        ) == str(caught.value)

    def test_meta_that_cannot_be_stored_is_refused(self):
        with pytest.raises(ArgumentError):
            SendReceipt.using(meta={"callback": print})

    def test_meta_that_is_too_large_is_refused(self, settings):
        settings.JOBFLOW = {"MAX_ARGUMENTS_SIZE": 100}

        with pytest.raises(ArgumentError, match="expected arguments of at most 100 bytes"):
            SendReceipt.using(meta={"trace": "x" * 100})


class NaiveTests:
    @pytest.fixture(autouse=True)
    def without_time_zones(self, settings):
        settings.USE_TZ = False
        settings.TIME_ZONE = "UTC"

    def test_naive_moment_is_right_without_time_zones(self):
        enqueuer = SendReceipt.using(run_at=NAIVE, expires_at=NAIVE)

        assert (NAIVE, NAIVE) == (enqueuer.options["run_at"], enqueuer.options["expires_at"])

    def test_aware_moment_becomes_a_local_one(self):
        enqueuer = SendReceipt.using(run_at=SOME_DAY)

        assert SOME_DAY.replace(tzinfo=None) == enqueuer.options["run_at"]


class ByNameTests:
    def test_job_is_found_by_its_name(self):
        record = JobRecord.objects.enqueue(f"{__name__}.SendReceipt", order_id=7)

        assert ("email", {"order_id": 7}) == (record.queue, record.kwargs)

    def test_argument_may_be_called_name(self):
        from django_jobflow.declare import registry

        with registry.isolated():

            @job(name="greet")
            def greet(name): ...

            assert {"name": "Ada"} == JobRecord.objects.enqueue("greet", name="Ada").kwargs

    def test_unknown_name_is_answered_with_the_nearest_one(self):
        with pytest.raises(UnknownJob) as caught:
            JobRecord.objects.enqueue(f"{__name__}.SendReciept", order_id=7)

        assert (
            f"No job is registered under '{__name__}.SendReciept'. "
            f"Did you mean '{__name__}.SendReceipt'? "
            "Jobs are declared in the jobs.py of an installed app."
        ) == str(caught.value)

    def test_alias_of_the_queryset_is_where_it_goes(self):
        record = JobRecord.objects.using("other").enqueue(f"{__name__}.SendReceipt", order_id=7)

        assert "other" == record._state.db
        assert [0, 1] == [counted("default"), counted("other")]


def counted(alias):
    return JobRecord.objects.using(alias).count()


class DatabaseTests:
    def test_alias_of_the_call_is_where_it_goes(self):
        SendReceipt.using(database="other").enqueue(7)
        SendReceipt.using(database="other").enqueue_many([{"order_id": 8}])

        assert [0, 2] == [counted("default"), counted("other")]

    def test_alias_of_the_settings_is_where_it_goes(self, settings):
        settings.JOBFLOW = {"DATABASE": "other"}

        SendReceipt.enqueue(7)

        assert [0, 1] == [counted("default"), counted("other")]

    def test_call_comes_before_the_settings(self, settings):
        settings.JOBFLOW = {"DATABASE": "other"}

        SendReceipt.using(database="default").enqueue(7)

        assert [1, 0] == [counted("default"), counted("other")]


class TransactionTests:
    def test_record_is_gone_with_the_transaction_of_the_caller(self):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            SendReceipt.enqueue(7)
            SendReceipt.enqueue_many([{"order_id": 8}])
            raise ZeroDivisionError

        assert not JobRecord.objects.exists()

    def test_record_is_there_before_the_commit_for_its_own_transaction(self):
        with transaction.atomic():
            record = SendReceipt.enqueue(7)

            assert [record] == list(JobRecord.objects.all())

    @pytest.mark.django_db(transaction=True)
    def test_job_can_be_enqueued_after_the_commit(self):
        with transaction.atomic():
            transaction.on_commit(lambda: SendReceipt.enqueue(7))
            assert not JobRecord.objects.exists()

        assert 1 == counted("default")

    @pytest.mark.django_db(transaction=True)
    def test_nothing_is_enqueued_after_a_rollback(self):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            transaction.on_commit(lambda: SendReceipt.enqueue(7))
            raise ZeroDivisionError

        assert not JobRecord.objects.exists()


class AsyncTests:
    def test_async_code_can_enqueue(self):
        record = async_to_sync(SendReceipt.aenqueue)(7)

        assert [7] == stored(record).args

    def test_async_code_has_the_options_too(self):
        record = async_to_sync(SendReceipt.using(priority=9).aenqueue)(order_id=7)

        assert 9 == stored(record).priority

    def test_function_has_it_as_well(self):
        assert "reports" == async_to_sync(build_report.aenqueue)(7).queue

    def test_wrong_call_is_a_type_error(self):
        with pytest.raises(TypeError, match="missing a required argument: 'order_id'"):
            async_to_sync(SendReceipt.aenqueue)()


class EnqueueManyTests:
    def test_every_call_is_stored_in_order(self):
        ids = SendReceipt.enqueue_many([{"order_id": number} for number in range(5)])

        rows = JobRecord.objects.in_bulk(ids)
        assert [{"order_id": number} for number in range(5)] == [rows[pk].kwargs for pk in ids]

    def test_options_are_those_of_a_single_call(self):
        (pk,) = SendReceipt.using(delay=60, tags=["night"]).enqueue_many([{"order_id": 7}])

        one = SendReceipt.using(delay=60, tags=["night"]).enqueue(order_id=7)
        many = JobRecord.objects.get(pk=pk)
        same = set(DATA) - MOMENTS - {"id"}
        assert facts(stored(one), *same) == facts(many, *same)

    def test_generator_will_do(self):
        assert 3 == len(SendReceipt.enqueue_many({"order_id": number} for number in range(3)))

    def test_nothing_is_nothing(self):
        assert [] == SendReceipt.enqueue_many([])

    def test_batches_cost_one_statement_each(self, monkeypatch, django_assert_num_queries):
        monkeypatch.setattr(enqueue, "BATCH", 10)
        SendReceipt.definition()
        savepoint = 2  # its beginning and its end

        with django_assert_num_queries(3 + savepoint):
            ids = SendReceipt.enqueue_many({"order_id": number} for number in range(25))

        assert 25 == len(set(ids))

    @pytest.mark.parametrize("call", [7, "order_id", ["order_id"], None])
    def test_call_that_is_no_mapping_is_refused_and_all_others_with_it(self, monkeypatch, call):
        monkeypatch.setattr(enqueue, "BATCH", 1)

        with pytest.raises(InvalidJob) as caught:
            SendReceipt.enqueue_many([{"order_id": 7}, call])

        assert (
            f"{__name__}.SendReceipt: expected each call to be a mapping of keyword arguments, "
            f"got {call!r}."
        ) == str(caught.value)
        assert not JobRecord.objects.exists()

    def test_wrong_call_is_refused_and_all_others_with_it(self, monkeypatch):
        monkeypatch.setattr(enqueue, "BATCH", 1)

        with pytest.raises(TypeError, match="missing a required argument: 'order_id'"):
            SendReceipt.enqueue_many([{"order_id": 7}, {}])

        assert not JobRecord.objects.exists()

    def test_generator_that_raises_leaves_nothing(self, monkeypatch):
        monkeypatch.setattr(enqueue, "BATCH", 1)

        def calls():
            yield {"order_id": 7}
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            SendReceipt.enqueue_many(calls())

        assert not JobRecord.objects.exists()

    def test_held_queue_key_gives_the_id_of_its_holder(self):
        holder = ChargeOrder.enqueue(order_id=1)

        ids = ChargeOrder.enqueue_many([{"order_id": 2}, {"order_id": 1}, {"order_id": 2}])

        assert [ids[0], holder.pk, ids[0]] == ids
        assert 2 == counted("default")

    def test_function_has_it_as_well(self):
        assert 2 == len(build_report.enqueue_many([{"report_id": 1}, {"report_id": 2}]))


class QueueKeyTests:
    def test_key_is_kept_while_it_is_held(self):
        record = ChargeOrder.enqueue(7)

        assert "order:7" == stored(record).queue_key
        assert 32 == len(stored(record).held_queue_key)

    def test_second_call_gets_the_record_that_holds_the_key(self):
        first = ChargeOrder.enqueue(7)
        second = ChargeOrder.enqueue(7)

        assert (first.pk, True, 1) == (second.pk, second.duplicate, counted("default"))

    def test_another_key_is_another_record(self):
        assert ChargeOrder.enqueue(7) != ChargeOrder.enqueue(8)

    def test_another_partition_is_another_key(self):
        tenants = [ChargeOrder.using(partition=name).enqueue(7) for name in ("a", "b", "a")]

        assert [False, False, True] == [record.duplicate for record in tenants]

    def test_method_may_say_that_there_is_none(self):
        assert unkeyed.enqueue(1) != unkeyed.enqueue(1)

    def test_caller_can_set_the_key(self):
        first = SendReceipt.using(queue_key="once").enqueue(1)
        second = SendReceipt.using(queue_key="once").enqueue(2)

        assert (first.pk, [1]) == (second.pk, second.args)

    def test_duplicate_can_be_an_error(self):
        holder = ChargeStrictly.enqueue(7)

        with pytest.raises(DuplicateJob) as caught:
            ChargeStrictly.enqueue(7)

        assert (
            f"{__name__}.ChargeStrictly: job {holder.pk} holds the queue key 'order:7'."
        ) == str(caught.value)
        assert holder == caught.value.record

    def test_duplicate_does_not_break_the_transaction_of_the_caller(self):
        with transaction.atomic():
            ChargeOrder.enqueue(7)
            ChargeOrder.enqueue(7)
            SendReceipt.enqueue(7)

        assert 2 == counted("default")

    def test_duplicate_can_replace_what_waits(self):
        first = ChargeLatest.using(delay=60).enqueue(7, amount=1)

        second = ChargeLatest.using(priority=9).enqueue(7, amount=2)

        assert (first.pk, True) == (second.pk, second.duplicate)
        row = stored(first)
        assert ([7], {"amount": 2}, 9, JobState.AVAILABLE) == (
            row.args,
            row.kwargs,
            row.priority,
            row.state,
        )
        assert row.available_at <= engine_for("default").now()

    def test_duplicate_replaces_nothing_that_a_worker_has(self):
        ChargeLatest.enqueue(7, amount=1)
        (held,) = JobRecord.objects.reserve(1, worker="w")

        second = ChargeLatest.enqueue(7, amount=2)

        assert (held.pk, True, {"amount": 1}) == (second.pk, second.duplicate, second.kwargs)

    def test_duplicate_replaces_nothing_of_another_job(self):
        """Keys meet across jobs, and what one takes the other would be called with."""
        holder = SendReceipt.using(queue_key="order:7", delay=60).enqueue(7)

        found = ChargeLatest.enqueue(7, amount=2)
        ids = ChargeLatest.enqueue_many([{"order_id": 7, "amount": 3}])

        assert (holder.pk, True, "SendReceipt") == (
            found.pk,
            found.duplicate,
            found.name.rpartition(".")[2],
        )
        assert [holder.pk] == ids
        row = stored(holder)
        assert ([7], {}, holder.available_at) == (row.args, row.kwargs, row.available_at)

    def test_duplicate_replaces_what_was_enqueued_under_a_former_name(self):
        with registry.isolated():

            class Renamed(Job):
                name = "charge.new"
                aliases = ("charge.old",)
                on_duplicate = "replace"

                def perform(self, amount): ...

            first = Renamed.using(queue_key="k").enqueue(amount=1)
            JobRecord.objects.update(name="charge.old")

            Renamed.using(queue_key="k").enqueue(amount=2)

            assert {"amount": 2} == stored(first).kwargs

    def test_replaced_job_wakes_the_workers_of_its_queue(self, monkeypatch):
        first = ChargeLatest.using(queue="slow", delay=60).enqueue(7, amount=1)
        woken = []
        monkeypatch.setattr(
            type(engine_for("default")), "wake", lambda _, queues=None, **__: woken.append(queues)
        )

        ChargeLatest.enqueue(7, amount=2)

        assert ("slow", [["slow"]]) == (stored(first).queue, woken)

    def test_replaced_job_waits_behind_its_new_key(self, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            first = ChargeLatest.enqueue(7, amount=200)
        assert JobState.AVAILABLE == stored(first).state

        with django_capture_on_commit_callbacks(execute=True):
            ChargeLatest.enqueue(7, amount=300)

        assert (JobState.AVAILABLE, "bank:300") == (
            stored(first).state,
            stored(first).execution_key,
        )

    def test_key_that_a_replaced_job_held_goes_to_the_next(
        self, django_capture_on_commit_callbacks
    ):
        with django_capture_on_commit_callbacks(execute=True):
            ChargeLatest.enqueue(7, amount=200)
            second = ChargeLatest.enqueue(8, amount=200)
        assert JobState.WAITING == stored(second).state

        with django_capture_on_commit_callbacks(execute=True):
            ChargeLatest.enqueue(7, amount=1)

        assert JobState.AVAILABLE == stored(second).state

    @pytest.mark.parametrize("key", ["", 7, b"x"])
    def test_wrong_key_of_a_method_is_refused(self, key):
        from django_jobflow.declare import registry

        with registry.isolated():

            @job(name="charge", queue_key=lambda order_id: key)
            def charge(order_id): ...

            with pytest.raises(InvalidJob) as caught:
                charge.enqueue(7)

        assert f"charge: expected queue_key to be {KEY}, got {key!r}." == str(caught.value)

    def test_error_of_the_key_is_the_error_of_the_caller(self):
        with pytest.raises(TypeError, match="can only concatenate str"):
            faulty.enqueue("7")

    def test_holder_that_changes_again_and_again_is_an_error(self, monkeypatch):
        ChargeOrder.enqueue(7)
        monkeypatch.setattr(type(engine_for("default")), "holder_of", lambda *_: None)

        with pytest.raises(DuplicateJob) as caught:
            ChargeOrder.enqueue(7)

        assert (
            f"{__name__}.ChargeOrder: the holder of queue key 'order:7' changed 5 times while "
            "this call was to be stored."
        ) == str(caught.value)


@job(queue_key=lambda order_id: order_id + 1)
def faulty(order_id): ...


@job(queue_key=lambda order_id: None)
def unkeyed(order_id): ...


class ExecutionKeyTests:
    def test_record_waits_until_the_commit(self):
        assert (JobState.WAITING, "printer") == facts_of(PrintLabel.enqueue(7))

    def test_first_is_available_after_the_commit_and_the_second_waits(
        self, django_capture_on_commit_callbacks
    ):
        with django_capture_on_commit_callbacks(execute=True):
            first, second = PrintLabel.enqueue(1), PrintLabel.enqueue(2)

        assert [JobState.AVAILABLE, JobState.WAITING] == [
            stored(first).state,
            stored(second).state,
        ]

    def test_many_have_their_turn_one_after_the_other(self, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            ids = PrintLabel.enqueue_many([{"order_id": 1}, {"order_id": 2}])

        rows = JobRecord.objects.in_bulk(ids)
        assert [JobState.AVAILABLE, JobState.WAITING] == [rows[pk].state for pk in ids]

    def test_another_partition_is_another_key(self, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            records = [PrintLabel.using(partition=name).enqueue(1) for name in ("a", "b")]

        assert [JobState.AVAILABLE] * 2 == [stored(record).state for record in records]


def facts_of(record):
    return record.state, record.execution_key


@pytest.fixture
def heard():
    """The records of which ``job_enqueued`` told, with their senders."""
    found = []

    def receive(sender, record, **_):
        found.append((sender, record))

    signals.job_enqueued.connect(receive)
    yield found
    signals.job_enqueued.disconnect(receive)


class SignalTests:
    def test_each_stored_record_is_announced(self, heard):
        one = SendReceipt.enqueue(7)
        many = SendReceipt.enqueue_many([{"order_id": 8}, {"order_id": 9}])

        assert [(SendReceipt, pk) for pk in [one.pk, *many]] == [
            (sender, record.pk) for sender, record in heard
        ]

    def test_duplicate_is_not_announced(self, heard):
        ChargeOrder.enqueue(7)
        ChargeOrder.enqueue(7)
        ChargeOrder.enqueue_many([{"order_id": 7}])

        assert 1 == len(heard)

    def test_sender_of_a_function_is_its_class(self, heard):
        build_report.enqueue(7)

        assert build_report.job is heard[0][0]

    def test_receiver_that_raises_costs_nothing(self, caplog):
        def broken(**_):
            raise ZeroDivisionError

        signals.job_enqueued.connect(broken)
        try:
            record = SendReceipt.enqueue(7)
        finally:
            signals.job_enqueued.disconnect(broken)

        assert [7] == stored(record).args
        assert "receiver_failed" in [getattr(each, "event", "") for each in caplog.records]


class LogTests:
    def test_stored_record_is_a_line_for_debugging(self, caplog):
        caplog.set_level(logging.DEBUG, "django_jobflow.enqueue")

        record = SendReceipt.enqueue(7)

        assert [
            f"job_enqueued job_id={record.pk} job_name={__name__}.SendReceipt queue=email "
            "state=AVAILABLE"
        ] == caplog.messages


class UnknownQueueTests:
    @pytest.fixture(autouse=True)
    def nothing_said_yet(self, monkeypatch, settings):
        monkeypatch.setattr(enqueue, "_warned_queues", set())
        settings.JOBFLOW = {"QUEUES": {"default": {}, "email": {}}}

    def test_queue_that_is_not_in_the_settings_is_warned_of_once(self, caplog):
        SendReceipt.using(queue="emial").enqueue(7)
        SendReceipt.using(queue="emial").enqueue(8)

        (logged,) = caplog.records
        assert (logging.WARNING, "queue_not_in_settings", "emial") == (
            logged.levelno,
            logged.event,
            logged.job_queue,
        )
        assert (
            f"queue_not_in_settings job_name={__name__}.SendReceipt queue=emial "
            "known=\"['default', 'email']\" "
            "hint=\"Add it to JOBFLOW['QUEUES']. Did you mean 'email'?\""
        ) == logged.getMessage()
        assert 2 == counted("default")

    def test_queue_in_the_settings_is_fine(self, caplog):
        SendReceipt.enqueue(7)

        assert [] == caplog.records

    def test_any_queue_will_do_when_none_is_named(self, caplog, settings):
        settings.JOBFLOW = {}

        SendReceipt.using(queue="emial").enqueue(7)

        assert [] == caplog.records

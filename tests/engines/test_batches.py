"""What follows when the last member of a batch has ended: once, and only what is to follow."""

from contextlib import suppress
from datetime import datetime, timedelta, timezone

import pytest
from asgiref.sync import async_to_sync
from django.db import OperationalError, transaction

from django_jobflow import BatchClosed, InvalidJob, Job, maintain, operate, signals
from django_jobflow.attempts import Demand, key_digest
from django_jobflow.declare import registry
from django_jobflow.endings import decide, expired
from django_jobflow.engines.verbs import reservation_of
from django_jobflow.models import (
    Batch,
    BatchChange,
    BatchProgress,
    FailedJob,
    JobRecord,
    SucceededJob,
)
from django_jobflow.outcomes import Cancelled, Discarded, ErrorInfo, Failed, Snoozed, Succeeded
from django_jobflow.states import JobState
from django_jobflow.testing import inline
from tests.engines.contract import HOUR, LATER, MINUTE, NOON, TICK, Contract, ending, make, stored

ERROR = ErrorInfo("E", "text")
CALLBACKS = ("shop.Summary", "shop.CleanUp")


class BatchContract(Contract):
    @pytest.fixture(autouse=True)
    def jobs(self, own_jobs, django_capture_on_commit_callbacks):
        class Row(Job):
            name = "shop.Row"

            def perform(self, number):
                pass

            def queue_key(self, number):
                return f"row:{number}" if number < 0 else None

        class Summary(Job):
            name = "shop.Summary"

            def perform(self, file, when=None):
                pass

        class CleanUp(Job):
            name = "shop.CleanUp"

            def perform(self, file):
                pass

        self.row, self.summary, self.clean_up = Row, Summary, CleanUp
        self.committed = lambda: django_capture_on_commit_callbacks(execute=True)

    def open(self, **calls):
        given = {"on_success": self.summary.prepared(7), "on_finish": self.clean_up.prepared(7)}
        return Batch.objects.open("rows of 7", **given | calls)

    def closed(self, *states, **facts):
        """Return a closed batch, and its members in these *states*."""
        batch = self.open()
        members = [make(state, batch_id=batch.pk, **facts) for state in states]
        BatchChange.objects.create(batch_id=batch.pk, added=len(members))
        Batch.objects.filter(pk=batch.pk).update(closed_at=NOON)
        return batch, members

    def followed(self):
        """Return the names of what followed, in order."""
        found = JobRecord.objects.filter(name__in=CALLBACKS).order_by("pk")
        return list(found.values_list("name", flat=True))

    def settle(self, *ends):
        with self.committed():
            self.engine.settle([ending(*end) for end in ends], LATER)

    def is_finished(self, batch):
        batch.refresh_from_db()
        return batch.finished_at is not None


class FinishTests(BatchContract):
    def test_all_have_succeeded_and_both_calls_follow(self):
        batch, [one, other] = self.closed(JobState.IN_PROGRESS, JobState.IN_PROGRESS)

        self.settle((one, Succeeded()))
        assert ([], False) == (self.followed(), self.is_finished(batch))
        self.settle((other, Succeeded()))

        assert (["shop.Summary", "shop.CleanUp"], True) == (
            self.followed(),
            self.is_finished(batch),
        )
        assert {(7,)} == {tuple(each.args) for each in JobRecord.objects.all()}

    def test_both_end_in_one_statement(self):
        _, members = self.closed(JobState.IN_PROGRESS, JobState.IN_PROGRESS)

        self.settle(*((member, Succeeded()) for member in members))

        assert ["shop.Summary", "shop.CleanUp"] == self.followed()

    def test_several_batches_finish_in_one_cycle(self):
        members = [self.closed(JobState.IN_PROGRESS)[1][0] for _ in range(3)]

        self.settle(*((member, Succeeded()) for member in members))

        assert ["shop.Summary", "shop.CleanUp"] * 3 == self.followed()

    @pytest.mark.parametrize("outcome", [Failed(ERROR), Discarded(ERROR), Cancelled(ERROR)])
    def test_one_has_ended_badly_and_only_the_end_is_told(self, outcome):
        batch, [one, other] = self.closed(
            JobState.IN_PROGRESS, JobState.IN_PROGRESS, max_attempts=1
        )

        self.settle((one, outcome))
        assert not self.is_finished(batch)
        self.settle((other, Succeeded()))

        assert (["shop.CleanUp"], True) == (self.followed(), self.is_finished(batch))

    @pytest.mark.parametrize("outcome", [Failed(ERROR), Snoozed(MINUTE)])
    def test_member_will_run_again_and_nothing_follows(self, outcome):
        batch, [one] = self.closed(JobState.IN_PROGRESS)

        self.settle((one, outcome))

        assert ([], False) == (self.followed(), self.is_finished(batch))

    def test_last_one_is_lost(self):
        _, [_one] = self.closed(JobState.IN_PROGRESS, lapsed=True, spent=True)

        with self.committed():
            self.engine.fail_lost(self.engine.records, LATER)

        assert ["shop.CleanUp"] == self.followed()

    def test_last_one_is_pointless(self):
        _, [_one] = self.closed(JobState.SCHEDULED, expires_at=NOON)

        with self.committed():
            self.engine.expire(self.engine.records, LATER)

        assert ["shop.CleanUp"] == self.followed()

    def test_last_one_is_refused(self):
        _, [one] = self.closed(JobState.RESERVED)

        with self.committed():
            self.engine.settle([expired(reservation_of(one))], LATER)

        assert ["shop.CleanUp"] == self.followed()

    @pytest.mark.parametrize("state", [JobState.AVAILABLE, JobState.WAITING, JobState.RETRY])
    def test_last_one_is_cancelled(self, state):
        _, [one] = self.closed(state)

        with self.committed():
            one.cancel(LATER)

        assert ["shop.CleanUp"] == self.followed()

    @pytest.mark.parametrize("state", [JobState.AVAILABLE, JobState.FAILED])
    def test_last_one_is_deleted(self, state):
        batch, [_one, _other] = self.closed(state, JobState.AVAILABLE)

        with self.committed():
            self.engine.delete(JobRecord.objects.filter(batch_id=batch.pk))

        assert ["shop.CleanUp"] == self.followed()
        assert BatchProgress(total=2, deleted=2) == batch.progress()

    def test_one_runs_and_is_asked_to_stop_so_that_nothing_follows_yet(self):
        batch, [one, _other] = self.closed(JobState.IN_PROGRESS, JobState.AVAILABLE)

        with self.committed():
            assert 1 == batch.cancel(LATER)
        assert [] == self.followed()
        assert stored(one).cancel_requested_at is not None
        self.settle((one, Cancelled(ERROR)))

        assert ["shop.CleanUp"] == self.followed()
        assert BatchProgress(total=2, cancelled=2) == batch.progress()

    def test_open_batch_does_not_finish_before_it_is_closed(self):
        batch = self.open()
        member = make(JobState.IN_PROGRESS, batch_id=batch.pk)

        self.settle((member, Succeeded()))
        assert [] == self.followed()
        with self.committed():
            batch.close(NOON)

        assert ["shop.Summary", "shop.CleanUp"] == self.followed()

    def test_member_that_failed_runs_again_and_counts_as_it_ends_then(self):
        _, [failed, other] = self.closed(JobState.FAILED, JobState.IN_PROGRESS)

        failed.retry(LATER)
        self.settle((other, Succeeded()))
        assert [] == self.followed()
        [found] = self.engine.reserve(limit=1, worker="w", queues=None, timeout=HOUR, now=LATER)
        self.engine.start([found], lease=HOUR, now=LATER)
        self.settle((stored(failed), Succeeded()))

        assert ["shop.Summary", "shop.CleanUp"] == self.followed()

    def test_member_runs_again_after_the_finish_and_nothing_follows_once_more(self):
        _, [failed] = self.closed(JobState.FAILED)
        self.engine.finish_batches()

        failed.retry(LATER)
        with self.committed():
            stored(failed).cancel(LATER)

        assert ["shop.CleanUp"] == self.followed()

    def test_calls_are_left_out_and_the_batch_finishes_all_the_same(self):
        with self.committed(), self.open(on_success=None, on_finish=None) as batch:
            pass

        assert ([], True) == (self.followed(), self.is_finished(batch))

    def test_end_is_undone_and_nothing_follows(self):
        batch, [one] = self.closed(JobState.IN_PROGRESS)

        class Undone(Exception): ...

        with self.committed(), suppress(Undone), transaction.atomic():
            self.engine.settle([ending(one, Succeeded())], LATER)
            raise Undone

        assert ([], False) == (self.followed(), self.is_finished(batch))


class CycleTests(BatchContract):
    def exchange(self, endings):
        demand = Demand(
            worker="w",
            queues=None,
            limit=1,
            names=frozenset({"shop.Row"}),
            lease=HOUR,
            timeout=HOUR,
        )
        with self.committed():
            return self.engine.exchange(endings, [demand], 1).started

    def test_cycle_ends_one_and_takes_the_last_whose_end_finishes_the_batch(self):
        batch, [one] = self.closed(JobState.IN_PROGRESS, name="shop.Row", reserved_by="w")
        make(batch_id=batch.pk, name="shop.Row")

        [taken] = self.exchange([ending(one, Succeeded())])
        assert ([], False) == (self.followed(), self.is_finished(batch))
        self.exchange([decide(taken, Succeeded())])

        assert ["shop.Summary", "shop.CleanUp"] == self.followed()

    def test_cycle_takes_a_member_of_another_batch_and_the_one_that_ended_finishes(self):
        batch, [one] = self.closed(JobState.IN_PROGRESS, name="shop.Row", reserved_by="w")
        other, _ = self.closed(JobState.AVAILABLE, name="shop.Row")

        assert 1 == len(self.exchange([ending(one, Succeeded())]))

        assert [True, False] == [self.is_finished(each) for each in (batch, other)]


class SweepTests(BatchContract):
    def test_what_a_crash_has_left_is_finished_once(self):
        batch, _ = self.closed(JobState.FAILED, JobState.CANCELLED)
        self.closed(JobState.AVAILABLE)
        self.open()

        assert [[batch.pk], []] == [self.engine.finish_batches() for _ in range(2)]
        assert ["shop.CleanUp"] == self.followed()

    def test_closed_batch_wants_a_sweep_until_it_has_finished(self):
        assert not self.engine.glance(None).sweeps
        self.open()
        assert not self.engine.glance(None).sweeps
        self.closed(JobState.FAILED)
        assert self.engine.glance(None).sweeps
        self.engine.finish_batches()
        assert not self.engine.glance(None).sweeps


class PreparedTests(BatchContract):
    def test_call_is_enqueued_as_it_was_prepared(self):
        options = {
            "queue": "slow",
            "priority": 5,
            "max_attempts": 3,
            "timeout": None,
            "partition": "p",
            "tags": ["t"],
            "meta": {"trace": "x"},
            "run_at": NOON + HOUR,
            "expires_at": NOON + 2 * HOUR,
            "queue_key": "q",
        }
        call = self.summary.using(**options).prepared(7, when=NOON)
        with self.committed(), self.open(on_success=call):
            pass

        record = JobRecord.objects.get(name="shop.Summary")
        expected = self.summary.using(**options | {"queue_key": "r"}).enqueue(7, when=NOON)
        differing = {"id", "created_at", "updated_at", "queue_key", "held_queue_key"}
        for field in JobRecord._meta.concrete_fields:
            if field.attname not in differing:
                assert getattr(expected, field.attname) == getattr(record, field.attname)
        assert key_digest("p", "q") == record.held_queue_key

    def test_delay_is_counted_from_the_finish(self):
        call = self.summary.using(delay=HOUR, timeout=5).prepared(7)
        before = self.engine.now()
        with self.committed(), self.open(on_success=call):
            pass

        record = JobRecord.objects.get(name="shop.Summary")
        assert (JobState.SCHEDULED, timedelta(seconds=5)) == (record.state, record.timeout)
        assert before + HOUR <= record.available_at

    def test_execution_key_has_its_turn(self):
        call = self.summary.using(execution_key="e").prepared(7)
        with self.committed(), self.open(on_success=call):
            pass

        assert JobState.AVAILABLE == JobRecord.objects.get(name="shop.Summary").state

    def test_queue_key_is_held_and_the_batch_finishes_all_the_same(self):
        self.summary.using(queue_key="q").enqueue(7)
        call = self.summary.using(queue_key="q").prepared(8)
        with self.committed(), self.open(on_success=call) as batch:
            pass

        assert ["shop.Summary", "shop.CleanUp"] == self.followed()
        assert self.is_finished(batch)

    def test_enqueue_is_announced(self):
        heard = []

        def listen(sender, record, **_):
            heard.append((sender, record.args))

        signals.job_enqueued.connect(listen)
        with self.committed(), self.open():
            pass
        signals.job_enqueued.disconnect(listen)

        assert [(self.summary, [7]), (self.clean_up, [7])] == heard

    def test_call_is_checked_at_once(self):
        with pytest.raises(TypeError):
            self.summary.prepared()

    @pytest.mark.parametrize("option", ["batch", "expires_in"])
    def test_option_that_needs_an_enqueue_is_refused(self, option):
        value = self.open() if option == "batch" else MINUTE

        with pytest.raises(InvalidJob) as error:
            self.summary.using(**{option: value}).prepared(7)

        expected = f"shop.Summary: expected no {option} of a prepared call, got {value!r}."
        assert expected == str(error.value).replace(repr(MINUTE), repr(value))

    @pytest.mark.parametrize("call", ["shop.Summary", lambda: None])
    def test_anything_else_is_refused(self, call):
        with pytest.raises(InvalidJob) as error:
            Batch.objects.open(on_finish=call)

        expected = (
            "Batch: expected on_finish to be a call from Job.prepared(...), or None, "
            f"got {call!r}."
        )
        assert (expected, 0) == (str(error.value), Batch.objects.count())

    def test_description_is_too_long_and_refused(self):
        with pytest.raises(InvalidJob) as error:
            Batch.objects.open("d" * 201)

        expected = (
            "Batch: expected description to be at most 200 characters without NUL or lone "
            f"surrogates, got {'d' * 201!r}."
        )
        assert expected == str(error.value)

    @pytest.mark.parametrize("description", ["a\0b", "\ud800", None, 5])
    def test_description_that_cannot_be_stored_is_refused(self, description):
        with pytest.raises(InvalidJob, match="expected description to be at most 200"):
            Batch.objects.open(description)

    @pytest.mark.parametrize(
        ("options", "insists"),
        [({"unique_for": 60}, "unique_for"), ({"debounce": 60}, "debounce")],
    )
    def test_call_that_insists_on_its_key_is_refused(self, options, insists):
        call = self.summary.using(queue_key="q", **options).prepared(7)

        with pytest.raises(InvalidJob) as error:
            Batch.objects.open(on_success=call)

        expected = (
            "Batch: expected on_success to return the holder of its queue key, since nobody is "
            f"there to be told of one, got a call of shop.Summary with {insists}."
        )
        assert (expected, 0) == (str(error.value), Batch.objects.count())

    @pytest.mark.parametrize("policy", ["raise", "replace"])
    def test_call_whose_job_does_not_return_the_holder_is_refused(self, policy):
        class Insisting(Job):
            on_duplicate = policy

            def perform(self):
                pass

            def queue_key(self):
                return "q"

        with pytest.raises(InvalidJob, match=f"with on_duplicate = {policy!r}"):
            Batch.objects.open(on_finish=Insisting.prepared())

    def test_calls_with_one_key_are_refused(self):
        call = self.summary.using(queue_key="q").prepared(7)

        with pytest.raises(InvalidJob, match="to have different queue keys"):
            Batch.objects.open(on_success=call, on_finish=call)

    def test_call_does_not_show_what_it_holds(self):
        call = self.summary.using(meta={"secret": "x"}).prepared("y")

        assert "<Prepared call of shop.Summary>" == repr(call)

    def test_moment_that_is_none_in_utc_is_refused(self):
        late = datetime(9999, 12, 31, 23, tzinfo=timezone(-HOUR * 5))

        with pytest.raises(InvalidJob, match="expected run_at to be a datetime that is one of"):
            self.summary.using(run_at=late)

    def test_call_of_a_newer_version_follows_all_the_same(self):
        batch, _ = self.closed()
        written = Batch.objects.get(pk=batch.pk).on_finish
        written["terms"]["newer"] = written["call"]["newer"] = 1
        Batch.objects.filter(pk=batch.pk).update(on_finish=written)

        with self.committed():
            self.engine.finish_batches()

        assert ["shop.Summary", "shop.CleanUp"] == self.followed()


class TroubleTests(BatchContract):
    """What goes wrong with one batch is no other's trouble."""

    def test_batch_that_cannot_finish_keeps_no_other_from_it(self, caplog):
        bad, _ = self.closed()
        good, _ = self.closed()
        Batch.objects.filter(pk=bad.pk).update(on_finish={"terms": {}, "call": {}})

        with self.committed():
            assert [good.pk] == self.engine.finish_batches()

        assert [f"batch_unfinished batch={bad.pk}"] == [
            record.message.partition(" error=")[0] for record in caplog.records
        ]

    def test_trouble_of_the_database_with_one_keeps_no_other_from_it(self, monkeypatch):
        (bad, _), (good, _) = self.closed(), self.closed()
        finish = self.engine._finish

        def fail(pk):
            if pk == bad.pk:
                raise OperationalError("It took too long.")
            return finish(pk)

        monkeypatch.setattr(self.engine, "_finish", fail)
        with self.committed(), pytest.raises(OperationalError):
            self.engine.finish_batches()

        assert (False, True) == (self.is_finished(bad), self.is_finished(good))

    def test_it_is_told_once(self, caplog):
        bad, _ = self.closed()
        Batch.objects.filter(pk=bad.pk).update(on_finish={"terms": {}, "call": {}})

        with self.committed():
            self.engine.finish_batches()
            self.engine.finish_batches()

        assert ["ERROR"] == [each.levelname for each in caplog.records if each.levelno > 10]

    def test_many_that_cannot_finish_leave_room_for_others(self, monkeypatch):
        monkeypatch.setattr("django_jobflow.engines.batching.SWEEP_BATCH", 2)
        bad = [self.closed()[0] for _ in range(3)]
        Batch.objects.update(on_finish={"terms": {}, "call": {}})
        good, _ = self.closed()

        for _ in range(4):
            with self.committed():
                self.engine.finish_batches()

        assert self.is_finished(good)
        assert not any(map(self.is_finished, bad))

    def test_sweep_reports_what_it_has_freed_before_it_finishes_batches(self, monkeypatch):
        lost = make(JobState.IN_PROGRESS, expires=NOON, max_attempts=5)
        heard = []

        def fail(ids=None):
            raise OperationalError("no more")

        def listen(record, **_):
            heard.append(record.pk)

        monkeypatch.setattr(self.engine, "finish_batches", fail)
        signals.job_rescued.connect(listen)
        try:
            with pytest.raises(OperationalError):
                maintain.rescue(self.engine)
        finally:
            signals.job_rescued.disconnect(listen)

        assert [lost.pk] == heard

    @pytest.mark.parametrize("error", [OperationalError("locked"), ValueError("odd")])
    def test_finish_fails_and_the_end_and_other_hooks_stand(self, monkeypatch, error, caplog):
        batch, [member] = self.closed(JobState.IN_PROGRESS)
        done = []

        def fail(pk):
            raise error

        monkeypatch.setattr(self.engine, "_finish", fail)
        with self.committed(), transaction.atomic():
            self.engine.settle([ending(member, Succeeded())], LATER)
            transaction.on_commit(lambda: done.append("ran"))
        assert (["ran"], {member.pk}) == (
            done,
            {*SucceededJob.objects.values_list("pk", flat=True)},
        )

        monkeypatch.undo()
        with self.committed():
            self.engine.finish_batches()
        assert self.is_finished(batch)

    def test_held_key_is_told(self, caplog):
        self.summary.using(queue_key="q").enqueue(7)
        call = self.summary.using(queue_key="q").prepared(8)

        with self.committed(), self.open(on_success=call) as batch:
            pass

        assert f"batch_call_held batch={batch.pk} job_name=shop.Summary" in caplog.messages

    def test_batch_that_is_gone_is_named(self):
        batch = self.open()
        Batch.objects.all().delete()

        for verb in (batch.close, batch.cancel, batch.progress):
            with pytest.raises(Batch.DoesNotExist, match=f"Batch {batch.pk} does not exist in"):
                verb()

    @pytest.mark.parametrize("moment", ["x", datetime(2020, 1, 1)])
    def test_moment_of_the_end_is_checked(self, moment):
        batch = self.open()

        for verb in (batch.close, batch.cancel):
            with pytest.raises(InvalidJob, match="Batch: expected now to be"):
                verb(moment)

    @pytest.mark.parametrize("other", [None, 5, Batch, Batch(pk=5)])
    def test_what_is_no_stored_batch_takes_no_member(self, other):
        with pytest.raises(InvalidJob, match="expected batch to be a batch from"):
            self.row.using(batch=other or 0)

    def test_only_a_batch_is_cancelled(self):
        with pytest.raises(TypeError, match=r"^cancel_batch: expected a batch, got None\.$"):
            operate.cancel_batch(None)


class DeletingTests(BatchContract):
    """Members that are deleted by Django's own means."""

    def deleted(self, batch):
        assert self.is_finished(batch)
        progress = batch.progress()
        return progress.total, progress.succeeded, progress.deleted

    def test_members_are_deleted_by_a_query_and_are_no_success(self):
        batch, _ = self.closed(JobState.FAILED, JobState.AVAILABLE)
        other = make()

        with self.committed():
            assert 2 == batch.records.delete()[0]

        assert ["shop.CleanUp"] == self.followed()
        assert (2, 0, 2) == self.deleted(batch)
        assert JobRecord.objects.filter(pk=other.pk).exists()

    def test_failed_jobs_are_deleted_and_are_no_success(self):
        batch, _ = self.closed(JobState.FAILED)

        with self.committed():
            FailedJob.objects.all().delete()

        assert (1, 0, 1) == self.deleted(batch)

    def test_record_is_deleted_and_is_no_success(self):
        batch, [member] = self.closed(JobState.FAILED)

        with self.committed():
            assert 1 == member.delete()[0]

        assert (1, 0, 1) == self.deleted(batch)

    def test_member_that_is_gone_is_not_counted_as_deleted(self):
        batch, [member] = self.closed(JobState.IN_PROGRESS)
        copy = stored(member)
        self.settle((member, Succeeded()))

        with self.committed():
            assert 0 == copy.delete()[0]

        assert (1, 1, 0) == self.deleted(batch)

    def test_nothing_is_left_of_what_was_deleted_after_the_finish(self):
        _, [member] = self.closed(JobState.FAILED)
        with self.committed():
            self.engine.finish_batches()

        with self.committed():
            operate.delete_many(JobRecord.objects.filter(pk=member.pk))

        assert not BatchChange.objects.exists()

    def test_members_of_many_batches_are_counted(self):
        batches = [self.closed(JobState.FAILED, JobState.FAILED)[0] for _ in range(3)]

        with self.committed():
            assert (6, {"jobflow.JobRecord": 6}) == JobRecord.objects.distinct().delete()

        assert [(2, 0, 2)] * 3 == [self.deleted(batch) for batch in batches]

    def test_record_that_was_read_without_its_batch_is_counted(self):
        batch, [member] = self.closed(JobState.FAILED)

        with self.committed():
            JobRecord(pk=member.pk).delete()

        assert (1, 0, 1) == self.deleted(batch)

    def test_slice_is_refused_as_ever(self):
        with pytest.raises(TypeError, match="Cannot use 'limit' or 'offset' with delete"):
            JobRecord.objects.all()[:1].delete()


class InlineTests(BatchContract):
    def test_what_follows_is_executed_at_once(self):
        with inline(), self.committed(), self.open() as batch:
            self.row.using(batch=batch).enqueue(1)

        names = SucceededJob.objects.order_by("pk").values_list("name", flat=True)
        assert ["shop.Row", "shop.Summary", "shop.CleanUp"] == list(names)

    def test_error_of_what_follows_is_raised_if_errors_are(self):
        class Failing(Job):
            def perform(self):
                raise KeyError("no")

        with (
            inline(raise_errors=True),
            pytest.raises(KeyError),
            self.committed(),
            self.open(on_success=Failing.prepared()),
        ):
            pass


@pytest.mark.django_db(transaction=True)
class TestFromAsyncCode:
    def test_batch_is_opened_filled_and_closed(self, own_rows):
        async def story():
            async with await Batch.objects.aopen("rows", on_finish=own_rows.prepared()) as batch:
                await own_rows.using(batch=batch).aenqueue()
            assert 1 == (await batch.aprogress()).waiting
            return batch, await batch.acancel()

        batch, cancelled = async_to_sync(story)()

        assert 1 == cancelled
        batch.refresh_from_db()
        assert batch.closed_at is not None

    def test_block_raises_and_the_batch_stays_open(self):
        async def story():
            batch = await Batch.objects.aopen()
            with suppress(KeyError):
                async with batch:
                    raise KeyError
            return batch

        assert async_to_sync(story)().closed_at is None

    @pytest.fixture
    def own_rows(self):
        with registry.isolated():

            class Row(Job):
                def perform(self):
                    pass

            yield Row


class AddingTests(BatchContract):
    def test_members_are_added_one_by_one_and_many_at_a_time(self):
        with self.open() as batch:
            one = self.row.using(batch=batch).enqueue(1)
            ids = self.row.using(batch=batch).enqueue_many({"number": n} for n in range(3))

        assert {one.pk, *ids} == set(batch.records.values_list("pk", flat=True))
        assert batch.pk == one.batch_id
        assert BatchProgress(total=4, waiting=4) == batch.progress()

    def test_duplicate_is_no_member(self):
        self.row.enqueue(-1)
        with self.open() as batch:
            self.row.using(batch=batch).enqueue(-1)
            self.row.using(batch=batch).enqueue_many([{"number": -1}, {"number": -2}])

        assert BatchProgress(total=1, waiting=1) == batch.progress()

    @pytest.mark.parametrize("many", [False, True])
    def test_closed_batch_takes_nothing_more(self, many):
        batch, _ = self.closed()
        members = self.row.using(batch=batch)

        with pytest.raises(BatchClosed) as error:
            members.enqueue_many([{"number": 1}]) if many else members.enqueue(1)

        expected = f"Batch {batch.pk} is closed, so that nothing can be added to it."
        assert (expected, 0) == (str(error.value), JobRecord.objects.count())

    def test_batch_that_is_not_there_takes_nothing(self):
        batch = self.open()
        members = self.row.using(batch=batch)
        Batch.objects.all().delete()

        with pytest.raises(BatchClosed) as error:
            members.enqueue(1)

        assert str(error.value).endswith("does not exist, so that nothing can be added to it.")

    def test_block_raises_and_the_batch_stays_open(self):
        with pytest.raises(ValueError, match="half-way"), self.open() as batch:
            self.row.using(batch=batch).enqueue(1)
            raise ValueError("half-way")

        batch.refresh_from_db()
        assert batch.closed_at is None

    def test_success_keeps_its_batch(self):
        batch, [one] = self.closed(JobState.IN_PROGRESS)

        self.settle((one, Succeeded()))

        assert batch.pk == SucceededJob.objects.get().batch_id

    @pytest.mark.parametrize("queues", [None, ["default"]])
    def test_worker_is_told_of_the_batch(self, queues):
        make(JobState.AVAILABLE, batch_id=4711)

        [found] = self.engine.reserve(
            limit=1, worker="w", queues=queues, timeout=MINUTE, now=LATER
        )

        assert 4711 == found.batch_id


class ProgressTests(BatchContract):
    STATES = (
        *(JobState.SCHEDULED, JobState.AVAILABLE, JobState.RETRY, JobState.WAITING),
        *(JobState.RESERVED, JobState.IN_PROGRESS, JobState.FAILED, JobState.CANCELLED),
    )

    def test_members_are_counted_by_how_they_stand(self):
        batch, [*_, running, _failed, _cancelled] = self.closed(*self.STATES)
        self.settle((running, Succeeded()))

        found = batch.progress()

        expected = BatchProgress(total=8, waiting=4, running=1, succeeded=1, failed=1, cancelled=1)
        assert (expected, 3, 37) == (found, found.ended, found.percent)

    def test_finished_batch_has_its_numbers_though_nothing_is_left(self):
        batch, members = self.closed(JobState.IN_PROGRESS, JobState.IN_PROGRESS, JobState.FAILED)
        self.settle(*((member, Succeeded()) for member in members[:2]))
        JobRecord.objects.all().delete()
        SucceededJob.objects.all().delete()

        assert BatchProgress(total=3, succeeded=2, failed=1) == batch.progress()
        assert 0 == BatchChange.objects.count()

    def test_empty_batch_is_through(self):
        assert 100 == self.open().progress().percent


class PruneTests(BatchContract):
    def test_failed_member_stays_until_its_batch_has_finished(self):
        _, [failed, other] = self.closed(JobState.FAILED, JobState.AVAILABLE)

        assert 0 == self.engine.prune(self.engine.old_ended(LATER))
        other.cancel(LATER + MINUTE)
        self.engine.finish_batches()

        assert 1 == self.engine.prune(self.engine.old_ended(LATER))
        assert stored(failed) is None

    def test_finished_batch_goes_with_its_last_member(self):
        batch, _ = self.closed(JobState.FAILED)
        self.engine.finish_batches()
        Batch.objects.update(finished_at=NOON)

        assert 0 == self.engine.prune(self.engine.old_batches(NOON))
        JobRecord.objects.all().delete()
        assert 0 == self.engine.prune(self.engine.old_batches(NOON - TICK))
        assert 1 == self.engine.prune(self.engine.old_batches(NOON))
        assert not Batch.objects.filter(pk=batch.pk).exists()

    def test_batch_that_has_not_finished_stays(self):
        self.closed()
        self.open()

        assert 0 == self.engine.prune(self.engine.old_batches(LATER))

import inspect
import threading
from contextlib import contextmanager, suppress

import pytest
from django.db import OperationalError, connection, transaction

from django_jobflow import DuplicateJob, Job, NotEditable, NotRetryable
from django_jobflow.attempts import Demand
from django_jobflow.engines import Engine
from django_jobflow.models import JobRecord, KeyHold
from django_jobflow.outcomes import Succeeded
from django_jobflow.states import KEYED, JobState
from tests.concurrency.meeting import PATIENCE, Concurrent, together
from tests.engines.contract import LATER, MINUTE, NOON, ending, live, make, stored


def persistent(call):
    """Make the transaction *call* again while the database undoes it for another."""
    for _ in range(9):
        with suppress(OperationalError):
            return call()
    return call()


class KeyTests(Concurrent):
    @pytest.fixture(autouse=True)
    def jobs(self, own_jobs):
        class Receipt(Job):
            name = "shop.Receipt"

            def perform(self, number=0):
                pass

        class Strict(Receipt):
            name = "shop.Strict"
            on_duplicate = "raise"

        class Latest(Receipt):
            name = "shop.Latest"
            on_duplicate = "replace"

        self.receipt, self.strict, self.latest = Receipt, Strict, Latest


class QueueKeyTests(KeyTests):
    @pytest.mark.parametrize("count", [2, 8])
    def test_one_call_is_stored_and_the_others_are_duplicates(self, count):
        for number in range(10):
            job = self.receipt.using(queue_key=str(number))
            found = together(*[job.enqueue] * count)

            assert [False] + [True] * (count - 1) == sorted(record.duplicate for record in found)
            assert 1 == len({record.pk for record in found})
        assert 10 == JobRecord.objects.count()

    def test_one_call_is_stored_and_the_others_are_refused(self):
        for number in range(10):
            job = self.strict.using(queue_key=str(number))
            found = together(*[job.enqueue] * 4, but=DuplicateJob)

            assert 3 == sum(isinstance(each, DuplicateJob) for each in found)
        assert 10 == JobRecord.objects.count()

    def test_one_call_is_stored_and_the_last_one_stays(self):
        for number in range(10):
            job = self.latest.using(queue_key=str(number))
            together(*(lambda n=n, job=job: job.enqueue(number=n) for n in range(4)))

        assert 10 == JobRecord.objects.count()

    def test_calls_in_transactions_wait_for_each_other(self):
        def call():
            with transaction.atomic():
                return self.receipt.using(queue_key="q").enqueue()

        # The transaction is the caller's, and so is the error when InnoDB undoes one of them.
        found = together(*[lambda: persistent(call)] * 4)

        assert [False, True, True, True] == sorted(record.duplicate for record in found)

    def test_batches_share_keys_and_each_key_is_stored_once(self):
        class Keyed(Job):
            def perform(self, number):
                pass

            def queue_key(self, number):
                return str(number)

        def call(numbers):
            ids = Keyed.enqueue_many({"number": number} for number in numbers)
            return dict(zip(numbers, ids, strict=True))

        # An engine with a statement of its own takes the keys in one order, whatever the calls'.
        own = inspect.unwrap(type(self.engine).store_many) is not Engine.store_many
        numbers = range(20)
        others = numbers[::-1] if own else numbers

        for _ in range(5):
            found = together(
                *[lambda: call(numbers), lambda: call(others)] * 2,
                but=() if own else OperationalError,
            )

            undone = [each for each in found if isinstance(each, Exception)]
            assert all(self.engine.is_undone(error) for error in undone)
            stored = [each for each in found if each not in undone]
            assert all(each == stored[0] for each in stored)
            assert 20 == JobRecord.objects.count()
            JobRecord.objects.all().delete()

    def test_holder_ends_while_another_call_comes(self):
        for number in range(15):
            holder = make(JobState.IN_PROGRESS, queue_key=str(number))
            end = ending(holder, Succeeded())
            job = self.receipt.using(queue_key=str(number))

            settled, record = together(lambda end=end: self.engine.settle([end]), job.enqueue)

            assert {holder.pk} == settled
            assert (set() if record.duplicate else {record.pk}) == set(live())
            JobRecord.objects.all().delete()

    def test_record_runs_again_once(self):
        for _ in range(10):
            record = make(JobState.FAILED, queue_key="q")
            twins = [stored(record) for _ in range(4)]

            found = together(
                *(lambda twin=twin: twin.retry(LATER) for twin in twins), but=NotRetryable
            )

            assert 3 == sum(isinstance(each, NotRetryable) for each in found)
            JobRecord.objects.all().delete()

    def test_one_of_two_records_with_one_key_runs_again(self):
        for _ in range(10):
            records = [make(JobState.FAILED, queue_key="q") for _ in range(2)]

            found = together(
                *(lambda record=record: record.retry(LATER) for record in records),
                but=NotRetryable,
            )

            assert 1 == sum(isinstance(each, NotRetryable) for each in found)
            assert [JobState.AVAILABLE, JobState.FAILED] == sorted(live().values())
            JobRecord.objects.all().delete()

    def test_record_runs_again_or_a_new_call_is_stored(self):
        for _ in range(10):
            record = make(JobState.FAILED, queue_key="q")
            job = self.receipt.using(queue_key="q")

            retried, called = together(
                lambda record=record: record.retry(LATER), job.enqueue, but=NotRetryable
            )

            assert isinstance(retried, NotRetryable) is not called.duplicate
            JobRecord.objects.all().delete()

    def test_holder_is_hidden_from_an_older_snapshot_and_is_returned(self):
        """A transaction that has read before sees no later commit where it may not."""
        if not self.engine.locks_rows:
            pytest.skip("Nobody else writes during a transaction here.")
        for many in (False, True):
            job = self.receipt.using(queue_key=f"q{many}")
            began, stored = threading.Event(), threading.Event()

            def late(job=job, many=many, began=began, stored=stored):
                with transaction.atomic():
                    if connection.vendor == "mysql":
                        with connection.cursor() as cursor:
                            cursor.execute("SELECT COUNT(*) FROM jobflow_job")
                    began.set()
                    assert stored.wait(PATIENCE)
                    return job.enqueue_many([{}]) if many else [job.enqueue().pk]

            def early(job=job, began=began, stored=stored):
                assert began.wait(PATIENCE)
                found = job.enqueue().pk
                stored.set()
                return [found]

            with self.repeatable_reads():
                first, second = together(early, late)

            assert first == second

    @contextmanager
    def repeatable_reads(self):
        """Let new connections read as MariaDB and MySQL do by default."""
        options = connection.settings_dict.get("OPTIONS", {})
        before = options.get("isolation_level")
        if connection.vendor == "mysql":
            options["isolation_level"] = "repeatable read"
        yield
        if connection.vendor == "mysql":
            options["isolation_level"] = before


class UniqueForTests(KeyTests):
    @pytest.mark.parametrize("count", [2, 6])
    def test_record_has_ended_and_its_hold_lets_one_call_through(self, count):
        for number in range(8):
            job = self.receipt.using(queue_key=str(number), unique_for=60)
            done = job.enqueue()
            JobRecord.objects.all()._raw_delete("default")  # as a success: the hold stays
            KeyHold.objects.update(until=NOON)

            found = together(*[job.enqueue] * count)

            assert [False] + [True] * (count - 1) == sorted(record.duplicate for record in found)
            assert 1 == len({record.pk for record in found} - {done.pk})

    def test_record_ends_while_another_call_comes_and_its_key_is_held(self):
        for number in range(10):
            job = self.receipt.using(queue_key=str(number), unique_for=60)
            job.enqueue()
            [record] = JobRecord.objects.reserve(1, worker="w")
            record.start()
            end = ending(record, Succeeded())

            _, found = together(lambda end=end: self.engine.settle([end]), job.enqueue)

            assert (record.pk, True) == (found.pk, found.duplicate)

    def test_batches_share_keys_and_each_key_is_stored_once(self):
        class Keyed(Job):
            unique_for = 60

            def perform(self, number):
                pass

            def queue_key(self, number):
                return str(number)

        for _ in range(4):
            found = together(
                *[lambda: Keyed.enqueue_many({"number": number} for number in range(10))] * 3
            )

            assert all(each == found[0] for each in found)
            assert 10 == JobRecord.objects.count() == KeyHold.objects.count()
            JobRecord.objects.all().delete()
            KeyHold.objects.all().delete()


class ExecutionKeyTests(KeyTests):
    def holders(self):
        return [pk for pk, state in live().items() if state in KEYED]

    def test_promoters_meet_and_one_record_has_its_turn(self):
        for _ in range(10):
            first, *_ = [make(JobState.WAITING, execution_key="e") for _ in range(3)]

            together(*[lambda: self.engine.promote([("", "e")])] * 4)

            assert [first.pk] == self.holders()
            JobRecord.objects.all().delete()

    def test_promoters_of_many_keys_do_not_lock_each_other_out(self):
        keys = [("", str(number)) for number in range(10)]
        for _, key in keys * 2:
            make(JobState.WAITING, execution_key=key)

        together(
            lambda: self.engine.promote(keys),
            lambda: self.engine.promote(keys[::-1]),
            self.engine.promote_waiting,
            self.engine.promote_waiting,
        )

        assert 10 == len(self.holders())

    def test_calls_come_together_and_one_has_its_turn(self):
        for number in range(10):
            job = self.receipt.using(execution_key=str(number))
            together(*[job.enqueue] * 4)

        assert 10 == len(self.holders())

    def test_key_is_freed_while_another_call_comes_and_the_call_has_its_turn(self):
        """The one looks for a holder, the other for those that wait: neither may miss both."""
        for number in range(25):
            holder = make(JobState.IN_PROGRESS, execution_key=str(number))
            end = ending(holder, Succeeded())
            job = self.receipt.using(execution_key=str(number))

            _, record = together(lambda end=end: self.engine.settle([end]), job.enqueue)

            assert {record.pk: JobState.AVAILABLE} == live()
            JobRecord.objects.all().delete()

    def cycle(self, *holders, limit=5):
        """Return what ends *holders* and takes what is next, as a worker does."""
        demand = Demand(
            worker=holders[0].reserved_by,
            queues=None,
            limit=limit,
            names=frozenset({"shop.Receipt"}),
            lease=MINUTE,
            timeout=MINUTE,
        )
        ends = [ending(holder, Succeeded()) for holder in holders]
        return lambda: self.engine.exchange(ends, [demand], limit)

    def test_key_is_freed_in_a_cycle_while_another_call_comes(self):
        for number in range(25):
            holder = make(JobState.IN_PROGRESS, execution_key=str(number))
            job = self.receipt.using(execution_key=str(number))

            exchange, record = together(self.cycle(holder), job.enqueue)

            expected = JobState.IN_PROGRESS if exchange.started else JobState.AVAILABLE
            assert {record.pk: expected} == live()
            JobRecord.objects.all().delete()

    def test_key_is_freed_in_a_cycle_while_the_next_is_cancelled(self):
        for number in range(25):
            holder = make(JobState.IN_PROGRESS, execution_key=str(number))
            next_one, last = (
                make(JobState.WAITING, name="shop.Receipt", execution_key=str(number))
                for _ in range(2)
            )

            exchange, _ = together(self.cycle(holder), stored(next_one).cancel)

            [key_holder] = self.holders()
            states = live()
            if states[next_one.pk] == JobState.CANCELLED:
                assert last.pk == key_holder
            else:  # it was running before it was asked to stop
                assert [next_one.pk] == [key_holder] == [each.id for each in exchange.started]
            JobRecord.objects.all().delete()

    def test_next_ones_are_locked_in_another_order_and_no_caller_is_undone(self):
        def edit(records):
            with transaction.atomic():
                for record in records:
                    stored(record).update(priority=1)

        for _ in range(15):
            holders = [make(JobState.IN_PROGRESS, execution_key=key) for key in "ba"]
            waiting = [
                make(JobState.WAITING, name="shop.Receipt", execution_key=key) for key in "ba"
            ]

            # It may come too late for one that runs by then.
            together(self.cycle(*holders), lambda rows=waiting: edit(rows), but=NotEditable)

            assert {each.pk for each in waiting} == set(self.holders())
            JobRecord.objects.all().delete()

    def test_keys_are_freed_by_two_workers_and_each_is_given_on_once(self):
        for _ in range(5):
            keys = [str(number) for number in range(20)]
            holders = [
                make(JobState.IN_PROGRESS, execution_key=key, reserved_by=f"w{number % 2}")
                for number, key in enumerate(keys)
            ]
            for key in keys * 2:
                make(JobState.WAITING, name="shop.Receipt", execution_key=key)

            def work(name, holders=holders):
                ends = [ending(each, Succeeded()) for each in holders if each.reserved_by == name]
                demand = Demand(
                    worker=name,
                    queues=None,
                    limit=7,
                    names=frozenset({"shop.Receipt"}),
                    lease=MINUTE,
                    timeout=MINUTE,
                )
                return self.engine.exchange(ends, [demand], 7)

            found = together(lambda: work("w0"), lambda: work("w1"))

            taken = [each.id for exchange in found for each in exchange.started]
            assert 14 == len(taken) == len(set(taken))
            assert 20 == len(self.holders())
            JobRecord.objects.all().delete()

    def test_key_is_freed_while_another_record_is_due_and_it_has_its_turn(self):
        for number in range(15):
            holder = make(JobState.IN_PROGRESS, execution_key=str(number))
            due = make(JobState.RETRY, due=True, execution_key=str(number))
            end = ending(holder, Succeeded())

            together(
                lambda end=end: self.engine.settle([end]),
                lambda: JobRecord.objects.activate_scheduled(NOON),
            )

            assert {due.pk: JobState.AVAILABLE} == live()
            JobRecord.objects.all().delete()

    def test_one_key_is_worked_off_one_at_a_time(self):
        """The index would refuse a second holder; here nobody even tries."""
        for _ in range(12):
            make(JobState.WAITING, execution_key="e")
        self.engine.promote_waiting()

        def work(name):
            done = 0
            while JobRecord.objects.exists():
                for reservation in self.engine.reserve(
                    limit=5, worker=name, queues=None, timeout=MINUTE, now=NOON
                ):
                    record = JobRecord.objects.get(pk=reservation.id)
                    record.start(NOON)
                    record.succeed(None, NOON)
                    done += 1
            return done

        assert 12 == sum(together(*(lambda n=n: work(f"w{n}") for n in range(3))))


class PlaceTests(KeyTests):
    """Keys that several may hold at a time."""

    PLACES = 3

    @pytest.fixture(autouse=True)
    def upload(self, jobs):
        class Upload(Job):
            name = "shop.Upload"
            concurrency = self.PLACES

            def perform(self):
                pass

        self.upload = Upload.using(execution_key="e")

    def held(self):
        return JobRecord.objects.filter(state__in=sorted(KEYED)).count()

    def test_promoters_meet_and_all_places_are_filled(self):
        for _ in range(5):
            for _ in range(6):
                make(JobState.WAITING, name="shop.Upload", execution_key="e")

            together(*[lambda: self.engine.promote([("", "e")] * 2)] * 4)

            assert self.PLACES == self.held()
            JobRecord.objects.all().delete()

    def test_calls_come_together_and_fill_the_places(self):
        for _ in range(5):
            together(*[self.upload.enqueue] * 5)

            assert self.PLACES == self.held()
            JobRecord.objects.all().delete()

    def test_workers_take_and_end_and_never_more_run_than_there_are_places(self):
        """An observer reads how many run, while the others work them off."""
        for _ in range(15):
            make(JobState.WAITING, name="shop.Upload", execution_key="e")
        self.engine.promote_waiting()
        seen = []

        def work(name):
            done = 0
            while JobRecord.objects.exists():
                found = self.engine.reserve(
                    limit=2, worker=name, queues=None, timeout=MINUTE, now=NOON
                )
                started = self.engine.start(found, lease=MINUTE, now=NOON)
                ends = [ending(JobRecord.objects.get(pk=each.id), Succeeded()) for each in started]
                done += len(self.engine.settle(ends, NOON))
            return done

        def observe():
            while JobRecord.objects.exists():
                seen.append(JobRecord.objects.filter(state=JobState.IN_PROGRESS).count())
            return 0

        done = together(*(lambda n=n: work(f"w{n}") for n in range(3)), observe)

        assert 15 == sum(done)
        assert max(seen, default=0) <= self.PLACES

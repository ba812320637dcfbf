import pytest
from django.db import OperationalError, transaction

from django_jobflow import DuplicateJob, Job, NotRetryable
from django_jobflow.models import JobRecord
from django_jobflow.outcomes import Succeeded
from django_jobflow.states import KEYED, JobState
from tests.concurrency.meeting import Concurrent, together
from tests.engines.contract import LATER, MINUTE, NOON, ending, live, make, stored


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

        found = together(*[call] * 4)

        assert [False, True, True, True] == sorted(record.duplicate for record in found)

    def test_batches_share_keys_and_each_key_is_stored_once(self):
        class Keyed(Job):
            def perform(self, number):
                pass

            def queue_key(self, number):
                return str(number)

        calls = [{"number": number} for number in range(20)]

        found = together(*[lambda: Keyed.enqueue_many(calls)] * 3, but=OperationalError)

        undone = [each for each in found if isinstance(each, Exception)]
        assert all(self.engine.is_undone(error) for error in undone)
        stored = [each for each in found if each not in undone]
        assert 1 == len({tuple(ids) for ids in stored})
        assert 20 == JobRecord.objects.count()

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

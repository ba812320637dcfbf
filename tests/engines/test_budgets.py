"""How many statements each verb costs; the docstrings of the verbs promise these numbers.

Opening and closing a transaction is not counted: it is the caller's where there is one.
"""

import inspect
from contextlib import contextmanager

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_jobflow import Job
from django_jobflow.engines import Engine
from django_jobflow.engines.verbs import reservation_of
from django_jobflow.models import JobRecord
from django_jobflow.outcomes import ErrorInfo, Failed, Snoozed, Succeeded
from django_jobflow.states import JobState
from tests.engines.contract import LATER, MINUTE, NOON, Contract, ending, make

TRANSACTION = ("SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK", "BEGIN", "COMMIT")


class BudgetContract(Contract):
    @contextmanager
    def costs(self, portable, *, merged=None, verb=""):
        """Count statements; *merged* of them where the engine has *verb* in a form of its own."""
        expected = merged if verb and self.has_own(verb) else portable
        with CaptureQueriesContext(connection) as captured:
            yield
        statements = [query["sql"] for query in captured.captured_queries]
        found = [sql for sql in statements if not sql.startswith(TRANSACTION)]
        assert expected == len(found), "\n".join(found)

    @property
    def archiving(self):
        """What writing successes costs: lock, read, insert, delete; or insert from the rows."""
        return 3 if self.has_own("_keep") else 4

    def has_own(self, verb):
        return inspect.unwrap(getattr(type(self.engine), verb)) is not getattr(Engine, verb)

    @property
    def clock(self):
        """What it costs to ask the clock of the database, where it is not the host's."""
        with CaptureQueriesContext(connection) as captured:
            self.engine.now()
        return len(captured.captured_queries)


class EnqueueBudgetTests(BudgetContract):
    @pytest.fixture(autouse=True)
    def jobs(self, own_jobs):
        class Receipt(Job):
            def perform(self, order_id):
                pass

        self.receipt = Receipt
        self.keyed = Receipt.using(queue_key="q")

    def test_enqueue_is_one_insert(self):
        with self.costs(1):
            self.receipt.enqueue(1)

    def test_delayed_enqueue_is_one_insert(self):
        with self.costs(1):
            self.receipt.using(delay=60).enqueue(1)

    def test_enqueue_with_a_free_key_is_one_insert(self):
        with self.costs(1):
            self.keyed.enqueue(1)

    def test_enqueue_with_a_held_key_reads_the_holder(self):
        self.keyed.enqueue(1)

        with self.costs(2):
            self.keyed.enqueue(1)

    @pytest.mark.parametrize(("count", "inserts"), [(1, 1), (1000, 1), (1001, 2)])
    def test_many_are_one_insert_for_each_thousand(self, count, inserts):
        # A database that takes fewer parameters in a statement cuts the thousand further.
        most = connection.ops.bulk_batch_size(
            [field for field in JobRecord._meta.concrete_fields if not field.primary_key],
            [None] * 1000,
        )
        full, rest = divmod(count, 1000)
        cut = full * -(-1000 // most) + -(-rest // most)

        with self.costs(max(inserts, cut)):
            self.receipt.enqueue_many({"order_id": n} for n in range(count))


class WorkerBudgetTests(BudgetContract):
    """What the cycle of a worker costs, however many records it carries."""

    def reservations(self, count, state=JobState.RESERVED):
        return [reservation_of(make(state)) for _ in range(count)]

    @pytest.mark.parametrize("count", [1, 20])
    def test_reserve_from_any_queue(self, count):
        for _ in range(count):
            make()

        with self.costs(2, merged=1, verb="reserve"):
            self.engine.reserve(limit=50, worker="w", queues=None, timeout=MINUTE)

    def test_reserve_reads_one_range_for_each_queue(self):
        make()

        with self.costs(4, merged=1, verb="reserve"):
            self.engine.reserve(limit=50, worker="w", queues=["default", "b", "c"], timeout=MINUTE)

    def test_reserve_finds_nothing_and_writes_nothing(self):
        with self.costs(1):
            assert [] == self.engine.reserve(limit=9, worker="w", queues=None, timeout=MINUTE)

    def test_reserve_of_the_queryset_reads_the_records(self):
        make()

        with self.costs(3, merged=2, verb="reserve"):
            JobRecord.objects.reserve(1, worker="w")

    @pytest.mark.parametrize("count", [1, 20])
    def test_start(self, count):
        reservations = self.reservations(count)

        with self.costs(2, merged=1, verb="start"):
            assert count == len(self.engine.start(reservations, lease=MINUTE, now=NOON))

    def test_start_of_the_record_reads_it(self):
        record = make(JobState.RESERVED)

        with self.costs(3, merged=2, verb="start"):
            record.start(NOON)

    @pytest.mark.parametrize("count", [1, 20])
    def test_extend_is_one_update(self, count):
        ids = [reservation.id for reservation in self.reservations(count)]

        with self.costs(1):
            self.engine.extend(ids, worker="host-1:4711", lease=MINUTE)

    def test_extend_reads_what_is_left_when_something_was_lost(self):
        ids = [reservation.id for reservation in self.reservations(2)]
        JobRecord.objects.filter(pk=ids[0]).delete()

        with self.costs(2):
            self.engine.extend(ids, worker="host-1:4711", lease=MINUTE)

    @pytest.mark.parametrize("count", [1, 20])
    def test_settle_successes(self, count):
        endings = [ending(make(JobState.IN_PROGRESS), Succeeded(1)) for _ in range(count)]

        with self.costs(self.archiving, merged=1, verb="settle"):
            self.engine.settle(endings)

    @pytest.mark.parametrize("count", [1, 5])
    def test_settle_failures(self, count):
        failed = Failed(ErrorInfo("E", "text"))
        endings = [ending(make(JobState.IN_PROGRESS), failed) for _ in range(count)]

        with self.costs(1 + self.clock + count, merged=1, verb="settle"):
            self.engine.settle(endings)

    def test_settle_ends_without_an_error(self):
        endings = [ending(make(JobState.IN_PROGRESS), Snoozed(MINUTE)) for _ in range(5)]

        with self.costs(1 + 5, merged=1, verb="settle"):
            self.engine.settle(endings)

    def test_settle_of_both_kinds(self):
        endings = [
            ending(make(JobState.IN_PROGRESS), outcome)
            for outcome in (Succeeded(1), Succeeded(2), Snoozed(MINUTE), Snoozed(MINUTE))
        ]

        with self.costs(self.archiving + 2, merged=2, verb="settle"):
            self.engine.settle(endings)

    def test_settle_of_a_lost_attempt_writes_nothing(self):
        lost = ending(make(JobState.IN_PROGRESS), Succeeded(1))
        JobRecord.objects.all().delete()

        with self.costs(1):
            self.engine.settle([lost])

    def test_settle_of_a_key_looks_for_the_next(self):
        record = make(JobState.IN_PROGRESS, execution_key="e")

        with self.costs(self.archiving + 1, merged=1 + 1, verb="settle"):
            self.engine.settle([ending(record, Succeeded(1))])

    def test_settle_of_a_key_gives_the_next_its_turn(self):
        record = make(JobState.IN_PROGRESS, execution_key="e")
        make(JobState.WAITING, execution_key="e")

        with self.costs(self.archiving + 3, merged=1 + 3, verb="settle"):
            self.engine.settle([ending(record, Succeeded(1))])

    @pytest.mark.parametrize("count", [1, 20])
    def test_release_is_one_update(self, count):
        reservations = self.reservations(count)

        with self.costs(1):
            self.engine.release(reservations)

    def test_cancel_requests_are_one_look(self):
        with self.costs(1):
            self.engine.cancel_requests([1, 2], worker="w")

    def test_progress_is_one_update(self):
        [reservation] = self.reservations(1, JobState.IN_PROGRESS)

        with self.costs(1):
            self.engine.write_progress(reservation, 40, "")


class SweepBudgetTests(BudgetContract):
    def test_nothing_is_due_and_one_look_says_so(self):
        with self.costs(1):
            JobRecord.objects.activate_scheduled()

    def test_due_records_are_two_statements(self):
        for _ in range(20):
            make(JobState.SCHEDULED, due=True)

        with self.costs(2):
            JobRecord.objects.activate_scheduled(LATER)

    def test_next_moment_is_one_look_for_each_state(self):
        with self.costs(2):
            self.engine.seconds_to_next_due()

    def test_nothing_has_lapsed_and_one_look_for_each_sweep_says_so(self):
        make(JobState.RESERVED)

        with self.costs(2):
            JobRecord.objects.activate_expired(NOON)
            JobRecord.objects.fail_expired_at_max_attempts(NOON)

    def test_lapsed_reservations_are_two_statements(self):
        for _ in range(20):
            make(JobState.RESERVED, lapsed=True)

        with self.costs(2):
            JobRecord.objects.activate_expired(LATER)

    def test_lost_attempts_are_one_update_each(self):
        for _ in range(5):
            make(JobState.IN_PROGRESS, lapsed=True)

        with self.costs(1 + 5):
            JobRecord.objects.activate_expired(LATER)

    def test_nobody_waits_for_a_key_and_one_look_says_so(self):
        with self.costs(1):
            self.engine.promote_waiting()

    def test_heartbeat_is_one_update(self):
        with self.costs(1):
            self.engine.beat("w")


class OperatorBudgetTests(BudgetContract):
    def test_retry_of_many_without_keys_is_two_statements(self):
        for _ in range(20):
            make(JobState.FAILED)

        with self.costs(2):
            self.engine.retry(JobRecord.objects.all(), LATER)

    def test_retry_of_each_with_a_queue_key_is_one_more(self):
        make(JobState.FAILED)
        for number in range(3):
            make(JobState.FAILED, queue_key=str(number))

        with self.costs(2 + 3):
            self.engine.retry(JobRecord.objects.all(), LATER)

    def test_cancel_of_many_is_three_statements(self):
        for state in (JobState.AVAILABLE, JobState.SCHEDULED, JobState.IN_PROGRESS):
            for _ in range(5):
                make(state)

        with self.costs(3):
            self.engine.cancel(JobRecord.objects.all(), LATER)

    def test_run_now_of_many_is_two_statements(self):
        for _ in range(5):
            make(JobState.SCHEDULED)

        with self.costs(2):
            self.engine.run_now(JobRecord.objects.all(), LATER)

    def test_delete_of_many_is_two_statements(self):
        for _ in range(5):
            make(JobState.SCHEDULED)

        with self.costs(2):
            self.engine.delete(JobRecord.objects.all())

    def test_prune_of_less_than_a_batch_is_two_statements(self):
        for _ in range(5):
            make(JobState.FAILED)

        with self.costs(2):
            self.engine.prune_ended(LATER)

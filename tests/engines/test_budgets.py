"""How many statements each verb costs; the docstrings of the verbs promise these numbers.

Opening and closing a transaction is not counted: it is the caller's where there is one.
"""

import inspect
from contextlib import contextmanager

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_jobflow import InvalidJob, Job, signals
from django_jobflow.attempts import Demand
from django_jobflow.control import WAIT
from django_jobflow.engines import Engine
from django_jobflow.engines.surveying import HEAD
from django_jobflow.engines.verbs import reservation_of
from django_jobflow.models import Batch, JobRecord
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
        # Django 5.2 has no text for a statement whose parameters the server binds.
        statements = [query["sql"] or "(bound)" for query in captured.captured_queries]
        found = [sql for sql in statements if not sql.startswith(TRANSACTION)]
        assert expected == len(found), "\n".join(found)

    @property
    def archiving(self):
        """What writing successes costs: lock, read, insert, delete; or insert from the rows."""
        return 3 if self.has_own("_keep") else 4

    @property
    def taking(self):
        """What taking costs: reading, reserving, locking and starting, or less of that."""
        if not self.has_own("_take"):
            return 4
        return 2 if connection.features.has_select_for_update else 1

    def other_ends(self, count):
        """What writing *count* ends costs that are no success: one statement each, or one."""
        return 1 if self.has_own("_end") else count

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

        class OwnKey(Receipt):
            def queue_key(self, order_id):
                return str(order_id)

        self.receipt, self.own_key = Receipt, OwnKey
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

    def test_enqueue_with_a_key_that_is_held_for_a_time_is_a_look_and_two_inserts(self):
        with self.costs(3):
            self.receipt.using(queue_key="q", unique_for=60).enqueue(1)

    def test_enqueue_of_a_member_is_a_look_and_two_inserts(self):
        batch = Batch.objects.open()

        with self.costs(3):
            self.receipt.using(batch=batch).enqueue(1)

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

        with self.costs(max(inserts, cut), merged=inserts, verb="store_many"):
            self.receipt.enqueue_many({"order_id": n} for n in range(count))

    @pytest.mark.parametrize("count", [1, 20])
    def test_many_with_free_keys_are_one_insert(self, count):
        with self.costs(2, merged=1, verb="store_many"):
            self.own_key.enqueue_many({"order_id": n} for n in range(count))

    def test_many_with_held_keys_are_an_insert_and_a_look_for_the_holders(self):
        self.own_key.enqueue_many({"order_id": n} for n in range(3))

        with self.costs(3, merged=2, verb="store_many"):
            self.own_key.enqueue_many({"order_id": n} for n in range(20))

    def test_key_comes_twice_and_costs_nothing_more(self):
        with self.costs(2, merged=1, verb="store_many"):
            self.own_key.enqueue_many({"order_id": 1} for _ in range(3))

    def test_records_are_read_for_those_who_listen(self):
        heard = []

        def listen(record, **_):
            heard.append(record)

        with self.listening(listen), self.costs(1 + 1):
            ids = self.receipt.enqueue_many({"order_id": n} for n in range(20))

        assert ids == [record.pk for record in heard]

    @contextmanager
    def listening(self, receiver):
        signals.job_enqueued.connect(receiver)
        yield
        signals.job_enqueued.disconnect(receiver)


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
        lanes = 1 if self.has_own("waiting_lanes") else 3 + 1
        reading = 1 + 1  # one range, since one lane has work, and the update

        with self.costs(lanes + reading, merged=1 + 1, verb="reserve"):
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
        reservations = self.reservations(count)

        with self.costs(1):
            self.engine.extend(reservations, lease=MINUTE)

    def test_extend_reads_what_is_left_when_something_was_lost(self):
        reservations = self.reservations(2)
        JobRecord.objects.filter(pk=reservations[0].id).delete()

        with self.costs(2):
            self.engine.extend(reservations, lease=MINUTE)

    @pytest.mark.parametrize("count", [1, 20])
    def test_settle_successes(self, count):
        endings = [ending(make(JobState.IN_PROGRESS), Succeeded(1)) for _ in range(count)]

        with self.costs(self.archiving, merged=1, verb="settle"):
            self.engine.settle(endings)

    @pytest.mark.parametrize("count", [1, 5])
    def test_settle_failures(self, count):
        failed = Failed(ErrorInfo("E", "text"))
        endings = [ending(make(JobState.IN_PROGRESS), failed) for _ in range(count)]

        with self.costs(1 + self.clock + self.other_ends(count), merged=1, verb="settle"):
            self.engine.settle(endings)

    def test_settle_ends_without_an_error(self):
        endings = [ending(make(JobState.IN_PROGRESS), Snoozed(MINUTE)) for _ in range(5)]

        with self.costs(1 + self.other_ends(5), merged=1, verb="settle"):
            self.engine.settle(endings)

    def test_settle_of_both_kinds(self):
        endings = [
            ending(make(JobState.IN_PROGRESS), outcome)
            for outcome in (Succeeded(1), Succeeded(2), Snoozed(MINUTE), Snoozed(MINUTE))
        ]

        with self.costs(self.archiving + self.other_ends(2), merged=1, verb="settle"):
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

        with self.costs(self.archiving + 3, merged=1 + 1, verb="settle"):
            self.engine.settle([ending(record, Succeeded(1))])

    @pytest.mark.parametrize("count", [2, 20])
    def test_settle_of_many_keys_gives_the_next_of_each_its_turn(self, count):
        keys = [f"e{number}" for number in range(count)]
        endings = [
            ending(make(JobState.IN_PROGRESS, execution_key=key), Succeeded(1)) for key in keys
        ]
        for key in keys:
            make(JobState.WAITING, execution_key=key)
        turns = 1 if self.has_own("_hand") else count

        with self.costs(self.archiving + 2 + turns, merged=1 + 1, verb="settle"):
            self.engine.settle(endings)

    def demand_of(self, endings):
        """Return what the worker of *endings* asks for in their place."""
        return Demand(
            worker=endings[0].reservation.worker,
            queues=None,
            limit=50,
            names=frozenset({"known"}),
            lease=MINUTE,
            timeout=MINUTE,
        )

    @pytest.mark.parametrize("count", [1, 20])
    def test_exchange_of_successes_for_new_work(self, count):
        endings = [ending(make(JobState.IN_PROGRESS), Succeeded(1)) for _ in range(count)]
        for _ in range(count):
            make(name="known")
        self.engine.exchange((), (), 0)  # sets the session up
        demand = self.demand_of(endings)

        with self.costs(self.archiving + self.taking, merged=1, verb="settle"):
            assert count == len(self.engine.exchange(endings, [demand], 50).started)

    @pytest.mark.parametrize("count", [1, 20])
    def test_exchange_that_frees_keys_takes_who_waited_for_them(self, count):
        keys = [f"e{number}" for number in range(count)]
        endings = [
            ending(make(JobState.IN_PROGRESS, execution_key=key), Succeeded(1)) for key in keys
        ]
        for key in keys:
            make(JobState.WAITING, execution_key=key, name="known")
        self.engine.exchange((), (), 0)  # sets the session up
        demand = self.demand_of(endings)
        turns = 1 if self.has_own("_hand") else count

        # In a form of its own: three for the successes, who is next, what is AVAILABLE, the start.
        with self.costs(
            self.archiving + 2 + turns + self.taking,
            merged=1 if connection.vendor == "postgresql" else 6,
            verb="exchange",
        ):
            assert count == len(self.engine.exchange(endings, [demand], 50).started)

    @pytest.mark.parametrize("count", [1, 20])
    def test_release_is_one_update(self, count):
        reservations = self.reservations(count)

        with self.costs(1):
            self.engine.release(reservations)

    def test_cancel_requests_are_one_look(self):
        reservations = self.reservations(2, JobState.IN_PROGRESS)

        with self.costs(1):
            self.engine.cancel_requests(reservations)

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

    @pytest.mark.parametrize("queues", [None, ["a", "b"]])
    def test_glance_is_one_statement(self, queues):
        self.engine.glance(queues)  # the first one may set the session up

        with self.costs(1):
            self.engine.glance(queues)

    def test_queues_with_work_are_one_statement_or_one_each(self):
        for queue in ("a", "a", "b"):
            make(queue=queue)

        with self.costs(2 + 1, merged=1, verb="waiting_queues"):
            self.engine.waiting_queues()

    @pytest.mark.parametrize(("count", "more"), [(1, 0), (HEAD, 2)])
    def test_waits_are_one_statement_or_a_few_for_each_queue(self, count, more):
        for _ in range(count):
            make(queue="a", priority=1)
            make(queue="a")
        make(queue="b")

        lanes = 2 + 2  # for each queue its partition, and that there is no other
        with self.costs(lanes + 2 + more, merged=1, verb="waits"):
            self.engine.waits(["a", "b"])

    def test_delays_are_one_statement(self):
        with self.costs(1):
            self.engine.delays()

    def test_beats_of_all_workers_are_one_statement(self):
        with self.costs(1):
            self.engine.beats(100)

    def test_what_all_workers_serve_is_one_statement(self):
        with self.costs(1):
            self.engine.services(MINUTE)

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

    def test_nothing_is_pointless_and_one_look_says_so(self):
        make(expires_at=LATER)

        with self.costs(1):
            self.engine.expire(JobRecord.objects, NOON)

    def test_pointless_records_are_three_statements_and_the_clock(self):
        for _ in range(20):
            make(expires_at=NOON)

        with self.costs(3 + self.clock):
            self.engine.expire(JobRecord.objects, None)

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

    def test_purge_reads_each_state_and_deletes_a_thousand_in_three_statements(self):
        for _ in range(20):
            make()

        with self.costs(len(WAIT) + 3):
            self.engine.purge(JobRecord.objects.all(), WAIT)

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

    def test_reschedule_of_many_is_two_statements(self):
        for state in (JobState.SCHEDULED, JobState.AVAILABLE, JobState.RETRY):
            for _ in range(5):
                make(state)

        with self.costs(2):
            self.engine.reschedule(JobRecord.objects.all(), delay=MINUTE)

    def test_reschedule_of_the_record_reads_it(self):
        record = make()

        with self.costs(3):
            record.reschedule(delay=60)

    def test_reschedule_gives_the_next_of_the_key_its_turn(self):
        record = make(execution_key="e")
        make(JobState.WAITING, execution_key="e")

        with self.costs(3 + 3):
            record.reschedule(delay=60)

    def test_update_of_many_is_one_statement(self):
        for _ in range(20):
            make()

        with self.costs(1):
            self.engine.edit(JobRecord.objects.all(), {"priority": 5, "queue": "b"}, LATER)

    def test_update_of_the_record_reads_it(self):
        record = make(execution_key="e", queue_key="q")

        with self.costs(2):
            record.update(priority=5)

    def test_update_of_a_key_locks_the_record(self):
        record = make(execution_key="e")

        with self.costs(3):
            record.update(queue_key="q", execution_key="e")

    def test_update_of_the_execution_key_gives_both_keys_to_the_next(self):
        record = make(execution_key="e")
        make(JobState.WAITING, execution_key="e")

        with self.costs(3 + 2 + 2, merged=3 + 3, verb="_hand"):  # both keys in one go
            record.update(execution_key="f")

    def test_update_that_is_wrong_costs_nothing(self):
        record = make()

        with self.costs(0), pytest.raises(InvalidJob):
            record.update(priority=101)

    def test_delete_of_many_is_three_statements(self):
        for _ in range(5):
            make(JobState.SCHEDULED)

        with self.costs(3):
            self.engine.delete(JobRecord.objects.all())

    def test_prune_of_less_than_a_batch_is_three_statements(self):
        for _ in range(5):
            make(JobState.FAILED)

        with self.costs(3):
            self.engine.prune(self.engine.old_ended(LATER))

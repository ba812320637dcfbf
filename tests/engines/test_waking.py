"""What idle workers are told, and when; and what a glance shows them."""

import logging
from datetime import timedelta

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_jobflow import Job
from django_jobflow.engines import engine_for
from django_jobflow.engines.postgresql_news import Said, payload_of, read_payload
from django_jobflow.models import JobRecord
from django_jobflow.states import EDITABLE, HELD, PENDING, JobState
from tests.engines.contract import HOUR, MINUTE, NOON, TICK, Contract, ServedByEngines, make

PATIENCE = 30  # seconds after which a test gives up waiting for a notice

each_pending = pytest.mark.parametrize("state", sorted(PENDING))


class GlanceTests(Contract):
    def glance(self, *queues):
        return self.engine.glance(queues or None, NOON)

    def test_nothing_is_there(self):
        make(JobState.FAILED)
        make(JobState.CANCELLED)

        found = self.glance()

        assert (False, False, None, False) == (
            found.available,
            found.elsewhere,
            found.next_due,
            found.sweeps,
        )

    def test_available_record_is_seen(self):
        make()

        assert self.glance().available
        assert self.glance("default").available
        assert self.glance("a", "default").available

    def test_one_on_another_queue_is_elsewhere(self):
        make(queue="b")

        found = self.glance("a", "c")

        assert (False, True) == (found.available, found.elsewhere)

    def test_no_queue_has_no_work(self):
        make()

        assert not self.engine.glance([]).available

    @each_pending
    def test_distance_of_the_next_has_microseconds(self, state):
        make(state, available_at=NOON + timedelta(seconds=61, microseconds=1))

        assert pytest.approx(61.000001, abs=1e-7) == self.glance().next_due

    def test_earliest_of_both_states_counts(self):
        make(JobState.SCHEDULED, available_at=NOON + HOUR)
        make(JobState.RETRY, available_at=NOON + MINUTE)
        make(JobState.RETRY, available_at=NOON + 2 * HOUR)

        assert pytest.approx(60) == self.glance().next_due

    def test_overdue_one_has_a_negative_distance(self):
        make(JobState.SCHEDULED, available_at=NOON - MINUTE)

        assert pytest.approx(-60) == self.glance().next_due

    def test_clock_is_that_of_the_database(self):
        make(JobState.SCHEDULED, available_at=self.engine.now() + HOUR)

        assert 3000 < self.engine.glance(None).next_due <= 3600

    @pytest.mark.parametrize("state", sorted(HELD))
    def test_lapsed_record_wants_a_sweep(self, state):
        make(state, lapsed=True)

        assert self.glance().sweeps

    @pytest.mark.parametrize("state", sorted(HELD))
    def test_held_record_does_not(self, state):
        make(state)

        assert not self.glance().sweeps

    @pytest.mark.parametrize("state", sorted(EDITABLE))
    def test_pointless_record_wants_one(self, state):
        make(state, expires_at=NOON)

        assert self.glance().sweeps

    @pytest.mark.parametrize("facts", [{"expires_at": NOON + TICK}, {"state": JobState.FAILED}])
    def test_record_that_is_not_pointless_yet_or_has_ended_does_not(self, facts):
        make(**{"expires_at": NOON} | facts)

        assert not self.glance().sweeps

    def test_waiting_record_wants_one(self):
        make(JobState.WAITING)

        assert self.glance().sweeps


class PayloadTests:
    @pytest.mark.parametrize(
        ("queues", "due_in", "payload"),
        [
            (["default"], None, "default"),
            (["b", "a"], None, "a,b"),
            (["a", "*"], None, "*"),
            ([], 0.5, "@0.5000"),
            (["a"], 12, "a@12.0000"),
        ],
    )
    def test_it_is_read_as_it_was_written(self, queues, due_in, payload):
        assert payload == payload_of(queues, due_in)

        expected = None if "*" in queues else frozenset(queues)
        assert (expected, due_in) == read_payload(payload)

    @pytest.mark.parametrize("queues", [[f"queue-{n}" for n in range(1000)], ["o'clock"], ["é"]])
    def test_what_cannot_be_said_is_any_queue(self, queues):
        assert "*" == payload_of(queues)


class SaidTests:
    def test_queue_is_not_named_again_at_once(self):
        said = Said()

        assert ["a", "", "b", ""] == [
            said.news(["a"], None, 100.0),
            said.news(["a"], None, 100.004),
            said.news(["a", "b"], None, 100.004),
            said.news(["b"], None, 100.005),
        ]

    def test_queue_is_named_again_after_the_pause(self):
        said = Said()
        said.news(["a"], None, 100.0)

        assert "a" == said.news(["a"], None, 100.0051)

    def test_later_due_time_is_not_told_while_an_earlier_one_lies_ahead(self):
        said = Said()

        assert ["@0.5000", "", "@0.2000", ""] == [
            said.news([], 100.5, 100.0),
            said.news([], 100.6, 100.1),
            said.news([], 100.3, 100.1),
            said.news([], 100.3, 100.2),
        ]

    def test_due_time_is_told_when_the_earlier_one_has_passed(self):
        said = Said()
        said.news([], 100.5, 100.0)

        assert "@0.3000" == said.news([], 100.8, 100.5)

    def test_due_time_that_has_passed_is_told_once_a_pause(self):
        said = Said()

        assert ["@0.0050", "", "@0.0050"] == [
            said.news([], 99.0, 100.0),
            said.news([], 99.0, 100.004),
            said.news([], 99.0, 100.006),
        ]

    def test_far_due_time_is_not_told(self, settings):
        settings.JOBFLOW = {"POLL_INTERVAL": 10}

        assert ["", "@20.0000"] == [
            Said().news([], 120.1, 100.0),
            Said().news([], 120.0, 100.0),
        ]

    def test_what_nobody_heard_is_said_again(self):
        said = Said()
        said.news(["a"], 101.0, 100.0)
        said.forget()

        assert "a@1.0000" == said.news(["a"], 101.0, 100.0)

    def test_memory_is_bounded(self):
        said = Said()
        for number in range(30_000):
            said.news([str(number)], None, 100.0)

        assert len(said._queues) <= 10_001


@pytest.mark.django_db(transaction=True)
class NotifyTests(ServedByEngines):
    """What another connection hears."""

    @pytest.fixture(autouse=True)
    def jobs(self, served_by, own_jobs):
        if self.engine.cannot_listen():
            pytest.skip("This engine wakes nobody.")
        from django_jobflow.engines import postgresql_waking

        class Receipt(Job):
            def perform(self, order_id):
                pass

        self.receipt = Receipt
        postgresql_waking._said.clear()

    @pytest.fixture
    def heard(self, jobs):
        """Return what was said since the last call."""
        other = connection.copy()
        with other.cursor() as cursor:
            cursor.execute("LISTEN jobflow")

        def heard():
            with connection.cursor() as cursor:
                cursor.execute("NOTIFY jobflow, '?end'")
            said = []
            for notice in other.connection.notifies(timeout=PATIENCE):
                if notice.payload == "?end":
                    break
                said.append(notice.payload)
            return said

        yield heard
        other.close()

    def test_enqueue_names_its_queue(self, heard):
        self.receipt.enqueue(1)
        assert ["default"] == heard()

        self.receipt.using(queue="email").enqueue(1)
        assert ["email"] == heard()

    def test_enqueue_is_one_insert_and_one_notify(self):
        with CaptureQueriesContext(connection) as captured:
            self.receipt.enqueue(1)

        assert ["INSERT", "NOTIFY"] == [each["sql"].split()[0] for each in captured]

    def test_transaction_says_it_once_and_after_its_commit(self, heard):
        with transaction.atomic():
            for number in range(20):
                self.receipt.enqueue(number)
            with transaction.atomic():
                self.receipt.using(queue="email").enqueue(1)
            assert 1 == len(connection.run_on_commit)
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")

        assert ["default,email"] == heard()

    def test_notify_is_outside_of_the_transaction(self):
        seen = []

        def note(execute, sql, params, many, context):
            seen.append((sql.split()[0], connection.in_atomic_block))
            return execute(sql, params, many, context)

        with connection.execute_wrapper(note), transaction.atomic():
            self.receipt.enqueue(1)

        assert [("INSERT", True), ("NOTIFY", False)] == seen

    def test_transaction_that_is_undone_says_nothing(self, heard):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            self.receipt.enqueue(1)
            raise ZeroDivisionError

        assert [] == heard()

    def test_savepoint_that_is_undone_says_nothing(self, heard):
        with transaction.atomic():
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                self.receipt.using(queue="email").enqueue(1)
                raise ZeroDivisionError
            self.receipt.enqueue(1)

        assert ["default"] == heard()

    def test_savepoint_that_stays_speaks_for_itself(self, heard):
        with transaction.atomic():
            with transaction.atomic():
                self.receipt.using(queue="email").enqueue(1)
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                self.receipt.enqueue(1)
                raise ZeroDivisionError

        assert ["email"] == heard()

    def test_many_say_it_once(self, heard):
        self.receipt.enqueue_many({"order_id": number} for number in range(2500))

        assert ["default"] == heard()

    def test_transaction_by_hand_is_left_alone(self, heard):
        connection.set_autocommit(False)
        try:
            self.receipt.enqueue(1)
            connection.commit()
        finally:
            connection.set_autocommit(True)

        assert [] == heard()
        assert JobRecord.objects.exists()

    def test_due_time_is_told(self, heard):
        self.receipt.using(delay=1.5).enqueue(1)

        [said] = heard()
        assert "@1." == said[:3]

    def test_moment_is_told_a_little_early(self, heard):
        self.receipt.using(run_at=timezone.now() + timedelta(seconds=1.5)).enqueue(1)

        [said] = heard()
        assert 1 < float(said[1:]) <= 1.4

    def test_moment_that_has_passed_is_soon(self, heard):
        self.receipt.using(run_at=timezone.now() - HOUR).enqueue(1)

        assert ["@0.0050"] == heard()

    def test_far_due_time_is_not_told(self, heard):
        self.receipt.using(delay=60).enqueue(1)

        assert [] == heard()

    def test_keyed_record_is_told_when_it_has_its_turn(self, heard):
        record = self.receipt.using(execution_key="e").enqueue(1)

        assert ["default"] == heard()
        record.refresh_from_db()
        assert JobState.AVAILABLE == record.state

    def test_duplicate_is_not_told(self, heard):
        self.receipt.using(queue_key="q").enqueue(1)
        heard()

        self.receipt.using(queue_key="q", queue="email").enqueue(1)

        assert [] == heard()

    @pytest.mark.parametrize(
        ("state", "verb"), [(JobState.FAILED, "retry"), (JobState.SCHEDULED, "run_now")]
    )
    def test_verb_of_an_operator_wakes_all(self, heard, state, verb):
        record = make(state)

        getattr(record, verb)()

        assert ["*"] == heard()

    def test_verb_without_effect_wakes_nobody(self, heard):
        self.engine.retry(JobRecord.objects.all())
        self.engine.run_now(JobRecord.objects.all(), None)

        assert [] == heard()

    @pytest.mark.parametrize("verb", ["cancel", "delete"])
    def test_freed_key_wakes_all(self, heard, verb):
        holder = self.receipt.using(execution_key="e").enqueue(1)
        self.receipt.using(execution_key="e", queue="next").enqueue(1)
        heard()

        getattr(self.engine, verb)(JobRecord.objects.filter(pk=holder.pk))

        assert ["*"] == heard()

    @pytest.mark.parametrize("verb", ["cancel", "delete"])
    def test_no_key_is_freed_and_nobody_is_woken(self, heard, verb):
        make()

        getattr(self.engine, verb)(JobRecord.objects.all())

        assert [] == heard()

    def test_setting_poll_says_nothing(self, heard, settings):
        settings.JOBFLOW = {"WAKE_UP": "poll"}

        self.receipt.enqueue(1)
        make(JobState.FAILED).retry()

        assert [] == heard()

    def test_client_of_a_pooler_wakes_those_that_are_not(self, heard, monkeypatch):
        monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)

        self.receipt.enqueue(1)

        assert ["default"] == heard()
        assert self.engine.cannot_listen()

    def test_trouble_is_logged_and_the_job_is_stored(self, heard, caplog):
        caplog.set_level(logging.WARNING)

        def refuse(execute, sql, params, many, context):
            if sql.startswith("NOTIFY"):
                raise OperationalError("gone")
            return execute(sql, params, many, context)

        with connection.execute_wrapper(refuse):
            record = self.receipt.enqueue(1)
        self.receipt.enqueue(2)

        assert JobRecord.objects.filter(pk=record.pk).exists()
        assert "wake_up_failed error=OperationalError('gone')" in caplog.text
        assert ["default"] == heard()

    def test_hooks_that_a_test_runs_in_its_transaction_say_nothing(
        self, heard, django_capture_on_commit_callbacks
    ):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            with django_capture_on_commit_callbacks(execute=True):
                self.receipt.enqueue(1)
            raise ZeroDivisionError

        self.receipt.using(queue="email").enqueue(1)
        assert ["email"] == heard()


@pytest.mark.django_db(transaction=True)
class PortableTests:
    def test_enqueue_is_one_statement_where_nobody_can_be_woken(self):
        if not engine_for("default").cannot_listen():
            pytest.skip("This database wakes its clients.")

        class Receipt(Job):
            def perform(self, order_id):
                pass

        with CaptureQueriesContext(connection) as captured:
            Receipt.enqueue(1)

        inserts = [each["sql"] for each in captured if each["sql"].startswith("INSERT")]
        assert [] == [each for each in captured if "NOTIFY" in each["sql"]]
        assert 1 == len(inserts)

"""What waits until it has become pointless ends, whether or not a worker would come to it."""

from datetime import datetime, timedelta

import pytest

from django_jobflow import Job
from django_jobflow.attempts import key_digest
from django_jobflow.endings import POINTLESS
from django_jobflow.models import JobRecord
from django_jobflow.states import EDITABLE, JobState
from tests.engines.contract import (
    HOUR,
    LATER,
    MINUTE,
    NOON,
    TICK,
    Contract,
    changes,
    live,
    make,
    make_many,
    stored,
)

BATCH = 1000


class ExpireTests(Contract):
    def expire(self, now=LATER):
        return [ending.reservation.id for ending in self.engine.expire(JobRecord.objects, now)]

    @pytest.mark.parametrize("state", sorted(EDITABLE))
    def test_waiting_record_ends_and_says_why(self, state):
        record = make(state, expires_at=LATER, queue_key="q")

        assert [record.pk] == self.expire()

        differences = changes(record)
        assert record.errors == differences["errors"][:-1]
        entry = differences.pop("errors")[-1]
        assert LATER == datetime.fromisoformat(entry.pop("at"))
        assert {
            "number": record.attempt,
            "worker": None,
            "exception": "django_jobflow.exceptions.Discard",
            "message": f"Not started by {LATER}, when it became pointless.",
            "traceback": "",
        } == entry
        differences.pop("held_execution_key", None)
        assert {
            "state": JobState.FAILED,
            "finished_at": LATER,
            "updated_at": LATER,
            "held_queue_key": None,
            "fingerprint": POINTLESS.digest,
        } == differences

    @pytest.mark.parametrize("state", sorted(set(JobState) - EDITABLE))
    def test_record_that_a_worker_has_or_that_has_ended_is_left(self, state):
        record = make(state, expires_at=NOON)

        assert [] == self.expire()
        assert {} == changes(record)

    def test_record_is_pointless_in_a_microsecond_and_is_left(self):
        record = make(expires_at=LATER + TICK)

        assert [] == self.expire()
        assert {} == changes(record)

    def test_record_without_an_expiry_is_left(self):
        record = make()

        assert [] == self.expire()
        assert {} == changes(record)

    def test_moment_is_left_out_and_comes_from_the_database(self):
        past, future = (make(expires_at=self.engine.now() + by) for by in (-MINUTE, HOUR))

        assert [past.pk] == self.expire(None)
        assert {} == changes(future)

    def test_queue_key_is_free_again(self):
        class Receipt(Job):
            def perform(self):
                pass

        make(JobState.SCHEDULED, expires_at=LATER, queue_key="q")
        self.expire()

        assert not Receipt.using(queue_key="q").enqueue().duplicate

    def test_execution_key_is_given_to_the_next(self):
        make(expires_at=LATER, execution_key="e")
        waiting = make(JobState.WAITING, execution_key="e")

        self.expire()

        assert key_digest("", "e") == stored(waiting).held_execution_key

    def test_more_than_one_statement_takes_and_all_end(self):
        make_many(BATCH + 1, JobState.AVAILABLE, expires_at=LATER)

        assert BATCH + 1 == len(self.expire())
        assert {JobState.FAILED} == set(live().values())

    def test_ended_record_can_run_again_and_ends_again_if_it_is_still_pointless(self):
        record = make(expires_at=LATER)
        self.expire()
        record = stored(record)

        record.retry(LATER)

        assert JobState.AVAILABLE == stored(record).state
        assert [record.pk] == self.expire()
        assert 2 == len(stored(record).errors)


class ExpiresInTests(Contract):
    @pytest.fixture(autouse=True)
    def jobs(self, own_jobs):
        class Receipt(Job):
            name = "shop.Receipt"

            def perform(self, order_id):
                pass

        self.receipt = Receipt

    def span(self, record, since):
        return stored(record).expires_at - since

    def test_span_is_counted_from_each_enqueue(self):
        options = self.receipt.using(expires_in=60)
        for _ in range(2):
            before = self.engine.now()
            record = options.enqueue(7)

            found = self.span(record, before)
            assert MINUTE - timedelta(seconds=1) < found < MINUTE + HOUR
            assert stored(record).expires_at == record.expires_at

        first, second = JobRecord.objects.order_by("pk").values_list("expires_at", flat=True)
        assert first < second

    def test_span_is_counted_from_when_it_is_due(self):
        record = self.receipt.using(expires_in=MINUTE, run_at=NOON).enqueue(7)

        assert NOON + MINUTE == stored(record).expires_at

    def test_span_is_counted_from_the_end_of_a_delay(self):
        record = self.receipt.using(expires_in=MINUTE, delay=HOUR).enqueue(7)

        after_due = stored(record).expires_at - stored(record).available_at
        assert abs(after_due - MINUTE) < timedelta(seconds=30)

    def test_many_calls_have_it(self):
        self.receipt.using(expires_in=MINUTE, run_at=NOON).enqueue_many(
            {"order_id": number} for number in range(3)
        )

        found = set(JobRecord.objects.values_list("expires_at", flat=True))
        assert {NOON + MINUTE} == found

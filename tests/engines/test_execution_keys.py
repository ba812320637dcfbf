import pytest
from django.db import transaction

from django_jobflow import Job
from django_jobflow.attempts import key_digest
from django_jobflow.endings import expired, unknown_job
from django_jobflow.engines.verbs import reservation_of
from django_jobflow.models import JobRecord
from django_jobflow.outcomes import (
    Cancelled,
    Discarded,
    ErrorInfo,
    Failed,
    Released,
    Snoozed,
    Succeeded,
)
from django_jobflow.states import KEYED, JobState
from tests.engines.contract import (
    HOUR,
    LATER,
    MINUTE,
    NOON,
    SECOND,
    Contract,
    changes,
    ending,
    live,
    make,
    stored,
)

ERROR = ErrorInfo("E", "text")


class ExecutionKeyContract(Contract):
    def holder(self, state=JobState.IN_PROGRESS, **facts):
        return make(state, **{"execution_key": "e"} | facts)

    def waiting(self, **facts):
        return make(JobState.WAITING, **{"execution_key": "e"} | facts)

    def assert_promoted(self, record, digest=None):
        found = stored(record)
        expected = (JobState.AVAILABLE, digest or key_digest("", "e"))
        assert expected == (found.state, found.held_execution_key)


class EnqueueKeyTests(ExecutionKeyContract):
    @pytest.fixture(autouse=True)
    def job(self, own_jobs):
        class Mail(Job):
            def perform(self, order_id):
                pass

            def execution_key(self, order_id):
                return f"smtp:{order_id % 2}"

        self.mail = Mail

    def test_key_is_free_and_the_record_has_its_turn_after_the_commit(
        self, django_capture_on_commit_callbacks
    ):
        with django_capture_on_commit_callbacks(execute=True):
            record = self.mail.enqueue(2)
            assert JobState.WAITING == stored(record).state

        self.assert_promoted(record, key_digest("", "smtp:0"))

    def test_key_is_held_and_the_record_waits(self, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            first, second, other = (self.mail.enqueue(n) for n in (2, 4, 3))

        assert {
            first.pk: JobState.AVAILABLE,
            second.pk: JobState.WAITING,
            other.pk: JobState.AVAILABLE,
        } == live()

    def test_many_calls_share_keys_and_one_of_each_is_available(
        self, django_capture_on_commit_callbacks
    ):
        with django_capture_on_commit_callbacks(execute=True):
            ids = self.mail.enqueue_many({"order_id": n} for n in range(6))

        available = [pk for pk in ids if live()[pk] == JobState.AVAILABLE]
        assert ids[:2] == available

    def test_delayed_call_neither_holds_nor_waits(self, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            record = self.mail.using(delay=60).enqueue(2)
            second = self.mail.enqueue(4)

        assert {record.pk: JobState.SCHEDULED, second.pk: JobState.AVAILABLE} == live()

    def test_waiting_record_is_not_reserved(self):
        self.waiting()

        assert [] == JobRecord.objects.reserve(1, worker="w", now=LATER)

    def test_one_key_is_worked_off_in_order(self, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            ids = self.mail.enqueue_many({"order_id": 0} for _ in range(4))

        done = []
        while reserved := JobRecord.objects.reserve(10, worker="w", now=LATER):
            [record] = reserved
            record.start(LATER)
            record.succeed(None, LATER)
            done.append(record.pk)

        assert ids == done


class FreedByTests(ExecutionKeyContract):
    OUTCOMES = {
        "success": Succeeded(),
        "retry": Failed(ERROR, MINUTE),
        "discard": Discarded(ERROR),
        "snooze": Snoozed(MINUTE),
        "cancel": Cancelled(ERROR),
    }

    @pytest.mark.parametrize("name", OUTCOMES)
    def test_attempt_ends_and_the_next_has_its_turn(self, name):
        holder, waiting = self.holder(), self.waiting()

        self.engine.settle([ending(holder, self.OUTCOMES[name])], LATER)

        self.assert_promoted(waiting)
        assert {None} >= set(
            JobRecord.objects.filter(pk=holder.pk).values_list("held_execution_key", flat=True)
        )

    def test_last_attempt_fails_and_the_next_has_its_turn(self):
        holder, waiting = self.holder(spent=True), self.waiting()

        self.engine.settle([ending(holder, Failed(ERROR))], LATER)

        self.assert_promoted(waiting)

    def test_attempt_is_released_and_the_key_is_kept(self):
        holder, waiting = self.holder(), self.waiting()

        self.engine.settle([ending(holder, Released())], LATER)

        self.assert_promoted(holder)
        assert {} == changes(waiting)

    def test_code_is_unknown_here_and_the_next_has_its_turn(self):
        holder, waiting = self.holder(JobState.RESERVED), self.waiting()

        self.engine.settle([unknown_job(reservation_of(holder), LATER)], LATER)

        self.assert_promoted(waiting)

    def test_record_has_become_pointless_and_the_next_has_its_turn(self):
        holder, waiting = self.holder(JobState.RESERVED, expires_at=NOON), self.waiting()

        self.engine.settle([expired(reservation_of(holder))], LATER)

        self.assert_promoted(waiting)

    @pytest.mark.parametrize("state", [JobState.AVAILABLE, JobState.RESERVED])
    def test_holder_is_cancelled_and_the_next_has_its_turn(self, state):
        holder, waiting = self.holder(state), self.waiting()

        stored(holder).cancel(LATER)

        self.assert_promoted(waiting)

    def test_running_holder_is_asked_to_stop_and_the_key_is_kept(self):
        holder, waiting = self.holder(), self.waiting()

        stored(holder).cancel(LATER)

        assert {} == changes(waiting)

    @pytest.mark.parametrize("state", [JobState.AVAILABLE, JobState.RESERVED])
    def test_holder_is_deleted_and_the_next_has_its_turn(self, state):
        holder, waiting = self.holder(state), self.waiting()

        self.engine.delete(JobRecord.objects.filter(pk=holder.pk))

        self.assert_promoted(waiting)

    @pytest.mark.parametrize("state", [JobState.RESERVED, JobState.IN_PROGRESS])
    def test_lease_lapses_and_the_same_record_has_its_turn_again(self, state):
        holder, waiting = self.holder(state, lapsed=True), self.waiting()

        JobRecord.objects.activate_expired(LATER)

        self.assert_promoted(holder)
        assert {} == changes(waiting)

    def test_attempt_that_was_lost_does_not_free_the_key_of_the_next(self):
        holder, waiting = self.holder(lapsed=True), self.waiting()
        JobRecord.objects.activate_expired(NOON)

        assert set() == self.engine.settle([ending(holder, Succeeded())], LATER)
        assert {} == changes(waiting)

    def test_end_is_rolled_back_and_the_key_is_kept(self):
        holder, waiting = self.holder(), self.waiting()

        with transaction.atomic():
            self.engine.settle([ending(holder, Succeeded())], LATER)
            transaction.set_rollback(True)

        assert [{}, {}] == [changes(holder), changes(waiting)]

    def test_many_end_at_once_and_the_next_of_each_key_has_its_turn(self):
        keys = ["a", "b", "c"]
        holders = [self.holder(execution_key=key) for key in keys]
        waiting = [self.waiting(execution_key=key) for key in keys for _ in range(2)]

        self.engine.settle([ending(holder, Succeeded()) for holder in holders], LATER)

        states = [stored(record).state for record in waiting]
        assert [JobState.AVAILABLE, JobState.WAITING] * 3 == states


class PromoteTests(ExecutionKeyContract):
    def promote(self, *keys):
        self.engine.promote(keys or [("", "e")])

    def test_first_of_the_order_has_its_turn(self):
        low = self.waiting(priority=-1)
        late = self.waiting(priority=1, available_at=NOON)
        early = self.waiting(priority=1, available_at=NOON - SECOND)
        twin = self.waiting(priority=1, available_at=NOON - SECOND)

        self.promote()

        self.assert_promoted(early)
        assert [{}, {}, {}] == [changes(record) for record in (low, late, twin)]

    @pytest.mark.parametrize("state", sorted(KEYED))
    def test_key_is_held_and_nobody_has_a_turn(self, state):
        self.holder(state)
        waiting = self.waiting()

        self.promote()

        assert {} == changes(waiting)

    def test_nobody_waits_and_nothing_happens(self):
        record = make()

        self.promote()

        assert {} == changes(record)

    def test_key_is_none_and_nothing_is_asked(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            self.promote(("", None), ("eu", None))

    def test_keys_are_each_for_one_partition(self):
        self.holder(partition="eu")
        there, here = self.waiting(partition="eu"), self.waiting(partition="us")

        self.promote(("eu", "e"), ("us", "e"))

        assert {} == changes(there)
        self.assert_promoted(here, key_digest("us", "e"))

    @pytest.mark.parametrize("key", ["E", "e ", "é"])
    def test_keys_are_told_apart_letter_by_letter(self, key):
        other = self.waiting(execution_key=key)

        self.promote()

        assert {} == changes(other)

    def test_key_is_named_twice_and_one_has_its_turn(self):
        first, second = self.waiting(), self.waiting()

        self.promote(("", "e"), ("", "e"))

        self.assert_promoted(first)
        assert {} == changes(second)

    def test_keys_in_one_call_do_not_disturb_each_other(self):
        waiting = [self.waiting(execution_key=key) for key in "abc"]
        self.holder(execution_key="b")

        self.promote(*(("", key) for key in "cba"))

        states = [stored(record).state for record in waiting]
        assert [JobState.AVAILABLE, JobState.WAITING, JobState.AVAILABLE] == states


class PromoteWaitingTests(ExecutionKeyContract):
    """What heals a key whose next was not promoted: a crash after a commit, a deleted holder."""

    def test_free_keys_are_found_and_the_next_of_each_has_its_turn(self):
        waiting = [
            self.waiting(execution_key=key, partition=partition)
            for partition in ("", "eu")
            for key in ("a", "A", "b")
            for _ in range(2)
        ]
        self.holder(execution_key="b", partition="eu")

        self.engine.promote_waiting()

        expected = [JobState.AVAILABLE, JobState.WAITING] * 5 + [JobState.WAITING] * 2
        assert expected == [stored(record).state for record in waiting]

    def test_nobody_waits_and_nothing_happens(self):
        records = [self.holder(), make(JobState.SCHEDULED, execution_key="b")]

        self.engine.promote_waiting()

        assert [{}, {}] == [changes(record) for record in records]

    def test_record_that_was_healed_is_worked_off(self):
        waiting = self.waiting()
        self.engine.promote_waiting()

        [record] = JobRecord.objects.reserve(1, worker="w", now=LATER)

        assert waiting.pk == record.pk


class ReturnToKeyTests(ExecutionKeyContract):
    """A record with a key that is due again waits for its turn like a new one."""

    def test_retry_is_due_while_another_runs_and_waits(self):
        record = self.holder(attempt=1)
        following = self.waiting()
        self.engine.settle([ending(record, Failed(ERROR, MINUTE))], NOON)
        [following] = JobRecord.objects.reserve(1, worker="w", now=NOON)
        following.start(NOON)

        JobRecord.objects.activate_scheduled(NOON + MINUTE)
        assert JobState.WAITING == stored(record).state
        following.succeed(None, NOON + HOUR)

        self.assert_promoted(record)

    @pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
    def test_ended_record_runs_again_when_its_key_is_free(self, state):
        record = self.holder(state)

        stored(record).retry(LATER)

        self.assert_promoted(record)

    @pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
    def test_ended_record_waits_when_its_key_is_held(self, state):
        self.holder()
        record = self.holder(state)

        stored(record).retry(LATER)

        found = stored(record)
        assert (JobState.WAITING, None) == (found.state, found.held_execution_key)

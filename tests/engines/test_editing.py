from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import transaction

from django_jobflow import ArgumentError, InvalidJob, Job, NotEditable, NotRetryable, UnknownJob
from django_jobflow.attempts import key_digest
from django_jobflow.calls import CLOCK_SKEW
from django_jobflow.models import JobRecord
from django_jobflow.states import EDITABLE, ENDED, KEYED, JobState
from tests.engines.contract import (
    HOUR,
    LATER,
    NOON,
    Contract,
    changes,
    columns,
    live,
    make,
    stored,
)

OTHERS = frozenset(JobState) - EDITABLE
CAN = "Only one that is AVAILABLE, RETRY, SCHEDULED or WAITING can."

each_editable = pytest.mark.parametrize("state", sorted(EDITABLE))
each_other = pytest.mark.parametrize("state", sorted(OTHERS))


class RescheduleTests(Contract):
    @each_editable
    def test_waiting_record_is_due_at_the_moment(self, state):
        record = make(state, queue_key="q", execution_key="e")

        stored(record).reschedule(run_at=LATER + HOUR, now=LATER)

        expected = {
            "state": JobState.SCHEDULED,
            "available_at": LATER + HOUR,
            "updated_at": LATER,
            "held_execution_key": None,
        }
        before = columns(record)
        assert changes(record) == {
            column: value for column, value in expected.items() if value != before[column]
        }

    @each_editable
    def test_waiting_record_is_due_after_the_delay(self, state):
        record = make(state)

        record.reschedule(delay=90, now=LATER)

        assert (JobState.SCHEDULED, LATER + timedelta(seconds=90)) == (
            record.state,
            record.available_at,
        )
        assert columns(stored(record)) == columns(record)

    def test_moment_is_left_out_and_comes_from_the_database(self):
        record, before = make(), self.engine.now()

        record.reschedule(delay=HOUR)

        assert before <= record.available_at - HOUR <= self.engine.now()
        assert before <= record.updated_at

    def test_attempts_and_errors_of_a_retry_are_kept(self):
        record = make(JobState.RETRY, attempt=2, max_attempts=3)
        assert 2 == len(record.errors)

        record.reschedule(delay=60)

        assert (2, 2) == (record.attempt, len(record.errors))

    @pytest.mark.parametrize("due", [{"delay": 0}, {"run_at": NOON}])
    def test_record_is_due_at_once_and_the_next_look_activates_it(self, due):
        record = make(JobState.SCHEDULED)
        record.reschedule(**due, now=LATER)

        JobRecord.objects.activate_scheduled(LATER)

        assert {record.pk: JobState.AVAILABLE} == live()

    def test_next_of_the_execution_key_has_its_turn(self):
        first = make(execution_key="e")
        second = make(JobState.WAITING, execution_key="e")

        first.reschedule(delay=60)

        assert {first.pk: JobState.SCHEDULED, second.pk: JobState.AVAILABLE} == live()
        assert key_digest("", "e") == stored(second).held_execution_key

    @each_other
    def test_record_does_not_wait_and_is_refused(self, state):
        record = make(state)

        with pytest.raises(NotEditable) as error:
            stored(record).reschedule(delay=60)

        assert f"Job {record.pk} cannot be rescheduled: it is {state}. {CAN}" == str(error.value)
        assert {} == changes(record)

    def test_record_has_gone_and_is_refused(self):
        record = make()
        JobRecord.objects.all().delete()

        with pytest.raises(NotEditable) as error:
            record.reschedule(delay=60)

        why = "it has succeeded or was deleted"
        assert f"Job {record.pk} cannot be rescheduled: {why}. {CAN}" == str(error.value)

    @pytest.mark.parametrize(
        ("due", "message"),
        [
            ({}, "shop.Mail: expected run_at or delay, got neither."),
            (
                {"delay": 1, "run_at": NOON},
                f"shop.Mail: expected delay or run_at, got both: delay=1, run_at={NOON!r}.",
            ),
            (
                {"delay": -1},
                "shop.Mail: expected delay to be seconds or a timedelta, from 0 to 100 years, "
                "got -1.",
            ),
            (
                {"run_at": datetime(2030, 1, 1)},
                "shop.Mail: expected run_at to be an aware datetime, since USE_TZ is on, "
                "got datetime.datetime(2030, 1, 1, 0, 0).",
            ),
        ],
    )
    def test_time_is_wrong_and_nothing_is_written(self, due, message):
        record = make(name="shop.Mail")

        with pytest.raises(InvalidJob) as error:
            stored(record).reschedule(**due)

        assert message == str(error.value)
        assert {} == changes(record)


class UpdateContract(Contract):
    @pytest.fixture(autouse=True)
    def jobs(self, own_jobs):
        class Mail(Job):
            name = "shop.Mail"
            max_attempts = 3

            def perform(self, order_id, *, copy_to=None):
                pass

        class Keyed(Mail):
            name = "shop.Keyed"

            def queue_key(self, order_id, **_):
                return f"order:{order_id}"

            def execution_key(self, order_id, *, copy_to=None):
                return copy_to

        self.mail, self.keyed = Mail, Keyed

    def make(self, state=JobState.AVAILABLE, **facts):
        return make(state, **{"name": "shop.Mail", "kwargs": {"order_id": 1}} | facts)


class UpdateTests(UpdateContract):
    @each_editable
    def test_options_are_changed_and_nothing_else(self, state):
        record = self.make(state, queue_key="q", execution_key="e")
        changed = {
            "queue": "night",
            "priority": 40,
            "max_attempts": 9,
            "timeout": timedelta(seconds=70),
            "tags": ["a", "b"],
            "meta": {"by": "ada"},
            "expires_at": LATER + HOUR,
        }

        stored(record).update(**changed | {"timeout": 70}, now=LATER)

        assert changed | {"updated_at": LATER} == changes(record)

    @each_editable
    def test_arguments_are_changed_and_nothing_else(self, state):
        record = self.make(state, queue_key="q", execution_key="e")

        stored(record).update(args=[2], kwargs={"copy_to": "ada"}, now=LATER)

        expected = {"args": [2], "kwargs": {"copy_to": "ada"}, "updated_at": LATER}
        assert expected == changes(record)

    def test_updated_record_is_as_it_is_stored(self):
        record = self.make(tags=["a"])

        record.update(kwargs={"order_id": date(2030, 1, 1)})

        assert columns(stored(record)) == columns(record)

    def test_arguments_are_stored_as_by_enqueue(self):
        call = {"order_id": date(2030, 1, 1), "copy_to": (1, {2})}
        record = self.make()

        record.update(kwargs=call)

        assert self.mail.enqueue(**call).kwargs == record.kwargs

    def test_arguments_are_the_whole_call(self):
        record = self.make(args=[1], kwargs={"copy_to": "ada"})

        record.update(args=(2,))
        assert ([2], {}) == (record.args, record.kwargs)

        record.update(kwargs={"order_id": 3})
        assert ([], {"order_id": 3}) == (record.args, record.kwargs)

    def test_none_is_a_value(self):
        record = self.make(expires_at=LATER)
        assert record.timeout is not None

        record.update(timeout=None, expires_at=None)

        assert (None, None) == (record.timeout, record.expires_at)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({}, "expected one or more of args, kwargs, queue_key, execution_key, queue, "),
            ({"prioriti": 1}, "'prioriti' is not an option. Did you mean 'priority'? "),
            (
                {"priority": 101},
                "expected priority to be a whole number from -100 to 100, got 101.",
            ),
            ({"priority": None}, "expected priority to be a whole number from -100 to 100, got "),
            ({"queue": ""}, "expected queue to be 1 to 100 letters, "),
            ({"max_attempts": 0}, "expected max_attempts to be a whole number from 1 to 10000, "),
            (
                {"timeout": 0},
                "expected timeout to be seconds or a timedelta, above 0 to 365 days, ",
            ),
            (
                {"tags": "night"},
                "expected tags to be a list of at most 100 short texts, got 'night'.",
            ),
            ({"meta": {1: 2}}, "expected meta to be a dict with text keys and plain JSON in it, "),
            ({"expires_at": 5}, "expected expires_at to be a datetime, got 5."),
            ({"queue_key": ""}, "expected queue_key to be text of 1 to 255 characters, or None, "),
            ({"args": "abc"}, "expected args to be a list or tuple, got 'abc'."),
            ({"kwargs": None}, "expected kwargs to be a dict with text keys, got None."),
            ({"kwargs": {1: 2}}, "expected kwargs to be a dict with text keys, got {1: 2}."),
        ],
    )
    def test_change_is_wrong_and_nothing_is_written(self, change, message):
        record = self.make()

        with pytest.raises(InvalidJob) as error:
            stored(record).update(**{"priority": 1} | change if change else {})

        assert str(error.value).startswith(f"shop.Mail: {message}")
        assert {} == changes(record)

    @pytest.mark.parametrize(
        "call", [{"kwargs": {}}, {"args": [1, 2]}, {"kwargs": {"order_id": object()}}]
    )
    def test_call_is_wrong_and_nothing_is_written(self, call):
        record = self.make()

        with pytest.raises(TypeError) as error:
            stored(record).update(**call, priority=1)

        assert error.type is ArgumentError
        assert {} == changes(record)

    def test_job_is_unknown_and_only_its_options_can_be_changed(self):
        record = self.make(name="shop.Gone")

        record.update(priority=1)
        with pytest.raises(UnknownJob):
            record.update(kwargs={"order_id": 2})

        assert (1, {"order_id": 1}) == (stored(record).priority, stored(record).kwargs)

    @each_editable
    @pytest.mark.parametrize(
        "change", [{"max_attempts": 2}, {"max_attempts": 2, "queue_key": "k"}]
    )
    def test_attempts_so_far_leave_none_and_nothing_is_written(self, state, change):
        record = self.make(state, attempt=2, max_attempts=3)

        with pytest.raises(InvalidJob) as error:
            stored(record).update(**change)

        assert (
            f"shop.Mail: expected max_attempts of job {record.pk} to be above 2, the attempts so "
            "far, got 2."
        ) == str(error.value)
        assert {} == changes(record)

    @each_other
    @pytest.mark.parametrize(
        "change", [{"priority": 1}, {"queue_key": "k"}, {"max_attempts": 9}, {"max_attempts": 1}]
    )
    def test_record_does_not_wait_and_is_refused(self, state, change):
        record = self.make(state)

        with pytest.raises(NotEditable) as error:
            stored(record).update(**change)

        assert f"Job {record.pk} cannot be updated: it is {state}. {CAN}" == str(error.value)
        assert {} == changes(record)


class QueueKeyTests(UpdateContract):
    @each_editable
    def test_key_is_computed_of_the_new_arguments(self, state):
        record = self.make(state, name="shop.Keyed", queue_key="order:1", partition="p")

        record.update(kwargs={"order_id": 2})

        assert ("order:2", key_digest("p", "order:2")) == (
            record.queue_key,
            record.held_queue_key,
        )

    def test_key_of_a_job_without_the_method_stays(self):
        record = self.make(queue_key="own")

        record.update(kwargs={"order_id": 2})

        assert ("own", key_digest("", "own")) == (record.queue_key, record.held_queue_key)

    def test_key_is_named_and_is_not_computed(self):
        record = self.make(name="shop.Keyed", queue_key="order:1")

        record.update(kwargs={"order_id": 2}, queue_key="own")
        assert ("own", key_digest("", "own")) == (record.queue_key, record.held_queue_key)

        record.update(queue_key=None)
        assert (None, None) == (record.queue_key, record.held_queue_key)

    def test_key_is_the_same_and_is_still_held(self):
        record = self.make(name="shop.Keyed", queue_key="order:1")

        record.update(kwargs={"order_id": 1, "copy_to": None})

        assert key_digest("", "order:1") == record.held_queue_key

    def test_another_holds_the_key_and_nothing_is_written(self):
        self.keyed.enqueue(2)
        record = self.make(name="shop.Keyed", queue_key="order:1")

        with transaction.atomic(), pytest.raises(NotEditable) as error:
            stored(record).update(kwargs={"order_id": 2}, priority=7)

        assert (
            f"Job {record.pk} cannot be updated: another unfinished job holds the queue key "
            "'order:2'."
        ) == str(error.value)
        assert {} == changes(record)

    def test_key_that_was_given_up_is_free(self):
        record = self.make(name="shop.Keyed", queue_key="order:1")
        record.update(kwargs={"order_id": 2})

        assert not self.keyed.enqueue(1).duplicate
        assert self.keyed.enqueue(2).duplicate


class ExecutionKeyTests(UpdateContract):
    def states(self, *records):
        return [stored(record).state for record in records]

    @pytest.mark.parametrize("state", sorted(EDITABLE - {JobState.AVAILABLE, JobState.WAITING}))
    def test_record_that_is_not_due_has_the_key_and_holds_none(self, state):
        record = self.make(state, name="shop.Keyed", execution_key="a")

        record.update(args=[1], kwargs={"copy_to": "b"})

        assert ("b", None, state) == (
            record.execution_key,
            record.held_execution_key,
            record.state,
        )

    @pytest.mark.parametrize("state", [JobState.AVAILABLE, JobState.WAITING])
    def test_due_record_holds_the_new_key_which_is_free(self, state):
        record = self.make(state, execution_key="a")

        record.update(execution_key="b")

        assert (JobState.AVAILABLE, key_digest("", "b")) == (
            record.state,
            record.held_execution_key,
        )

    def test_new_key_is_held_and_the_record_waits_for_its_turn(self):
        holder = make(JobState.IN_PROGRESS, execution_key="b")
        record = self.make(execution_key="a")

        record.update(execution_key="b")
        assert JobState.WAITING == record.state

        holder.release()
        holder.cancel()
        assert [JobState.AVAILABLE] == self.states(record)

    def test_record_has_no_key_any_more_and_is_available(self):
        make(execution_key="a")
        record = self.make(JobState.WAITING, execution_key="a")

        record.update(execution_key=None)

        assert (JobState.AVAILABLE, None) == (record.state, record.held_execution_key)

    def test_next_of_the_old_key_has_its_turn(self):
        record = self.make(execution_key="a")
        second = make(JobState.WAITING, execution_key="a")

        record.update(execution_key="b")

        assert [JobState.AVAILABLE] * 2 == self.states(record, second)
        assert key_digest("", "a") == stored(second).held_execution_key

    def test_key_is_the_same_and_is_still_held(self):
        record = self.make(name="shop.Keyed", execution_key="a")
        waiting = self.make(JobState.WAITING, execution_key="a", priority=100)

        record.update(args=[2], kwargs={"copy_to": "a"})

        assert [JobState.AVAILABLE, JobState.WAITING] == self.states(record, waiting)
        assert key_digest("", "a") == record.held_execution_key

    @pytest.mark.parametrize("state", sorted(KEYED - {JobState.AVAILABLE}))
    def test_record_that_a_worker_has_keeps_its_key(self, state):
        record = self.make(state, execution_key="a")

        with pytest.raises(NotEditable):
            stored(record).update(execution_key="b")

        assert {} == changes(record)


class RetryTests(UpdateContract):
    @pytest.mark.parametrize("state", sorted(ENDED))
    def test_ended_record_runs_again_with_what_is_changed(self, state):
        record = self.make(state, name="shop.Keyed", attempt=3, queue_key="order:1")

        record.retry(LATER, kwargs={"order_id": 2, "copy_to": "a"}, max_attempts=1, queue="b")

        assert {
            "state": JobState.AVAILABLE,
            "attempt": 0,
            "kwargs": {"order_id": 2, "copy_to": "a"},
            "max_attempts": 1,
            "queue": "b",
            "queue_key": "order:2",
            "held_queue_key": key_digest("", "order:2"),
            "execution_key": "a",
            "held_execution_key": key_digest("", "a"),
        }.items() <= columns(record).items()
        assert columns(stored(record)) == columns(record)

    def test_execution_key_is_taken_away_and_the_record_is_available(self):
        make(execution_key="a")
        record = self.make(JobState.FAILED, execution_key="a")

        record.retry(execution_key=None)

        assert (JobState.AVAILABLE, None) == (record.state, record.held_execution_key)

    def test_another_holds_the_new_key_and_nothing_is_written(self):
        self.keyed.enqueue(2)
        record = self.make(JobState.FAILED, name="shop.Keyed", queue_key="order:1")

        with pytest.raises(NotRetryable) as error:
            stored(record).retry(kwargs={"order_id": 2})

        assert (
            f"Job {record.pk} cannot be retried: another unfinished job holds its queue key "
            "'order:2'."
        ) == str(error.value)
        assert {} == changes(record)

    def test_another_holds_the_former_key_and_the_new_one_is_free(self):
        self.keyed.enqueue(1)
        record = self.make(JobState.FAILED, name="shop.Keyed", queue_key="order:1")

        record.retry(kwargs={"order_id": 2})

        assert JobState.AVAILABLE == stored(record).state

    def test_change_is_wrong_and_nothing_is_written(self):
        record = self.make(JobState.FAILED)

        with pytest.raises(TypeError):
            stored(record).retry(kwargs={})

        assert {} == changes(record)


class AnnouncingTests(UpdateContract):
    """What idle workers are told of."""

    @pytest.fixture(autouse=True)
    def told(self, monkeypatch):
        self.heard = []

        def wake(engine, queues=None, *, delay=None):
            self.heard.append((queues, delay))

        monkeypatch.setattr(type(self.engine), "wake", wake)

    def test_new_time_is_told(self):
        self.make().reschedule(delay=60)

        assert [(None, timedelta(seconds=60))] == self.heard

    def test_moment_is_told_a_little_early(self):
        at = datetime.now(UTC) + HOUR

        self.make().reschedule(run_at=at)

        [(queues, delay)] = self.heard
        assert queues is None
        assert timedelta(0) < delay <= HOUR - CLOCK_SKEW

    def test_key_becomes_free_and_all_are_told(self):
        self.make(execution_key="a").reschedule(delay=60)

        assert (None, None) in self.heard

    def test_workers_of_the_new_queue_are_told(self):
        self.make().update(queue="night")

        assert [(["night"], None)] == self.heard

    def test_new_execution_key_is_told(self):
        self.make(JobState.WAITING, execution_key="a").update(execution_key="b")

        assert [(None, None)] == self.heard

    def test_nothing_that_a_worker_waits_for_is_not_told(self):
        self.make().update(tags=["a"])

        assert [] == self.heard

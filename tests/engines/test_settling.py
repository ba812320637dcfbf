from datetime import datetime, timedelta

import pytest
from django.db import transaction

from django_jobflow import Job, Levels
from django_jobflow.exceptions import InvalidResult, ReservationLost
from django_jobflow.fingerprints import fingerprint
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.outcomes import (
    Cancelled,
    Discarded,
    ErrorInfo,
    Failed,
    Released,
    Snoozed,
    Succeeded,
)
from django_jobflow.states import ENDED, JobState
from tests.engines.contract import (
    FREE,
    HOUR,
    LATER,
    MINUTE,
    NOON,
    SECOND,
    TICK,
    Contract,
    changes,
    columns,
    ending,
    live,
    make,
    stored,
    succeeded,
)

REFUSED = ErrorInfo("shop.errors.Refused", "The card was refused.", "Traceback ...\n")
KIND = fingerprint("shop.errors.Refused", "", "The card was refused.")
ENTRY = {
    "number": 1,
    "worker": "host-1:4711",
    "exception": "shop.errors.Refused",
    "message": "The card was refused.",
    "traceback": "Traceback ...\n",
}
OUTCOMES = {
    "succeeded": Succeeded({"sent": True}),
    "failed": Failed(REFUSED, MINUTE),
    "discarded": Discarded(REFUSED),
    "snoozed": Snoozed(MINUTE),
    "cancelled": Cancelled(REFUSED),
    "released": Released(),
}
every_outcome = pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)


def with_moments(found):
    """Return changes with the moments in ``errors`` read: databases write them differently."""
    if "errors" not in found:
        return found
    errors = [entry | {"at": datetime.fromisoformat(entry["at"])} for entry in found["errors"]]
    return found | {"errors": errors}


class SettleContract(Contract):
    def settle(self, *endings, now=LATER):
        return self.engine.settle(endings, now)


class SucceedTests(SettleContract):
    FACTS = {
        "queue": "email",
        "partition": "eu",
        "priority": -3,
        "args": [1, {"a": None}],
        "queue_key": "q",
        "execution_key": "e",
        "attempt": 2,
        "tags": ["vip", "é"],
        "meta": {"trace": "x"},
        "progress": 99,
        "progress_message": "99 of 100",
    }

    def test_record_leaves_the_live_table_with_all_its_facts(self):
        record = make(JobState.IN_PROGRESS, **self.FACTS)

        stored(record).succeed({"sent": True}, LATER)

        success = SucceededJob.objects.get()
        facts = columns(success)
        assert {} == live()
        assert {"result": {"sent": True}, "succeeded_at": LATER} == {
            name: facts.pop(name) for name in ("result", "succeeded_at")
        }
        assert facts == {name: columns(record)[name] for name in facts}

    def test_only_what_a_success_cannot_have_is_dropped(self):
        kept = {field.attname for field in SucceededJob._meta.concrete_fields}
        of_record = {field.attname for field in JobRecord._meta.concrete_fields}

        assert {
            "state",
            "expires",
            "expires_at",
            "finished_at",
            "updated_at",
            "cancel_requested_at",
            "reserved_count",
            "held_queue_key",
            "held_execution_key",
            "parked_for",
            "fingerprint",
        } == of_record - kept

    @pytest.mark.parametrize(
        "result",
        [
            None,
            True,
            0,
            -1.5,
            "",
            "écrit 🙂",
            [],
            [1, [None]],
            {},
            {"a": {"b": [1]}},
            "null",
            10**15,
        ],
    )
    def test_result_comes_back_as_it_went_in(self, result):
        record = make(JobState.IN_PROGRESS)

        record.succeed(result, LATER)

        found = SucceededJob.objects.get().result
        assert (type(result), result) == (type(found), found)

    def test_result_is_not_json_and_nothing_is_written(self):
        record = make(JobState.IN_PROGRESS)

        with pytest.raises(InvalidResult):
            stored(record).succeed(object(), LATER)

        assert {} == changes(record)
        assert set() == succeeded()

    def test_job_keeps_no_successes_and_the_row_is_only_deleted(self):
        class Ping(Job):
            retain_succeeded = 0

            def perform(self):
                pass

        record = make(JobState.IN_PROGRESS, name=Ping.definition().name)

        record.succeed(None, LATER)

        assert ({}, set()) == (live(), succeeded())

    def test_settings_keep_no_successes_and_the_row_is_only_deleted(self, settings):
        settings.JOBFLOW = {"RETAIN_SUCCEEDED": 0}
        record = make(JobState.IN_PROGRESS)

        record.succeed(None, LATER)

        assert ({}, set()) == (live(), succeeded())

    def test_success_is_kept_for_ever_and_is_written(self, settings):
        settings.JOBFLOW = {"RETAIN_SUCCEEDED": None}
        record = make(JobState.IN_PROGRESS)

        record.succeed(None, LATER)

        assert {record.pk} == succeeded()

    def test_some_of_a_batch_are_kept(self, settings):
        class Ping(Job):
            retain_succeeded = 0

            def perform(self):
                pass

        dropped = make(JobState.IN_PROGRESS, name=Ping.definition().name)
        kept = make(JobState.IN_PROGRESS)

        written = self.settle(ending(dropped, Succeeded(1)), ending(kept, Succeeded(2)))

        assert {dropped.pk, kept.pk} == written
        assert ({}, {kept.pk}) == (live(), succeeded())
        assert 2 == SucceededJob.objects.get().result

    def test_moment_is_left_out_and_comes_from_the_database(self):
        record = make(JobState.IN_PROGRESS)
        before = self.engine.now()

        record.succeed()

        assert before <= SucceededJob.objects.get().succeeded_at <= self.engine.now()


class FailTests(SettleContract):
    def test_attempts_are_left_and_the_record_waits_for_its_retry(self):
        record = make(JobState.IN_PROGRESS, queue_key="q")

        self.settle(ending(record, Failed(REFUSED, timedelta(seconds=90, microseconds=1))))

        assert {
            "state": JobState.RETRY,
            "available_at": LATER + 90 * SECOND + TICK,
            "errors": [ENTRY | {"at": LATER}],
            "updated_at": LATER,
        } | FREE == with_moments(changes(record))

    def test_no_attempt_is_left_and_the_record_is_failed(self):
        record = make(JobState.IN_PROGRESS, attempt=1, max_attempts=1)

        self.settle(ending(record, Failed(REFUSED, MINUTE)))

        assert {
            "state": JobState.FAILED,
            "finished_at": LATER,
            "errors": [ENTRY | {"at": LATER}],
            "fingerprint": KIND.digest,
            "updated_at": LATER,
        } | FREE == with_moments(changes(record))

    def test_errors_of_former_attempts_are_kept(self):
        record = make(JobState.IN_PROGRESS, attempt=2)

        self.settle(ending(record, Failed(REFUSED)))

        errors = stored(record).errors
        assert record.errors == errors[:1]
        assert [1, 2] == [entry["number"] for entry in errors]

    def test_delay_comes_from_the_job(self):
        class Charge(Job):
            max_attempts = 3
            backoff = Levels([5, 70])

            def perform(self):
                pass

        record = make(JobState.IN_PROGRESS, attempt=2, name=Charge.definition().name)

        self.settle(ending(record, Failed(REFUSED)))

        assert LATER + 70 * SECOND == stored(record).available_at

    def test_exception_is_described(self):
        record = make(JobState.IN_PROGRESS)

        try:
            raise ValueError("No order 7.")
        except ValueError as error:
            record.fail(error, LATER)

        [entry] = record.errors
        trace = entry.pop("traceback")
        assert {
            "number": 1,
            "at": LATER,
            "worker": "host-1:4711",
            "exception": "builtins.ValueError",
            "message": "No order 7.",
        } == entry | {"at": datetime.fromisoformat(entry["at"])}
        assert trace.startswith("Traceback (most recent call last):\n")
        assert trace.endswith('raise ValueError("No order 7.")\nValueError: No order 7.\n')
        assert "builtins.ValueError: No order 7." == record.exception

    def test_record_that_failed_is_as_it_is_stored(self):
        record = make(JobState.IN_PROGRESS)

        record.fail(ValueError(), LATER)

        assert columns(stored(record)) == columns(record)

    @pytest.mark.parametrize(
        ("text", "kept"),
        [
            ("a\x00b", "a\ufffdb"),
            ("lone \ud800", "lone ?"),
            ("🙂 é 中文", "🙂 é 中文"),
            ("x" * 10_001, "x" * 10_000),
            ('"quoted" \\n %s {}', '"quoted" \\n %s {}'),
        ],
        ids=["nul", "surrogate", "beyond ASCII", "long", "quoted"],
    )
    def test_message_is_stored_on_every_database(self, text, kept):
        record = make(JobState.IN_PROGRESS)

        record.fail(ValueError(text), LATER)

        assert kept == record.errors[0]["message"]

    def test_error_is_dated_by_the_clock_of_the_database(self):
        record = make(JobState.IN_PROGRESS)
        before = self.engine.now()

        record.fail(ValueError())

        at = datetime.fromisoformat(record.errors[0]["at"])
        assert before <= at <= self.engine.now()
        assert at.utcoffset() == timedelta(0)


class OtherEndsTests(SettleContract):
    def test_discarded_record_is_failed_at_once(self):
        record = make(JobState.IN_PROGRESS, attempt=1, max_attempts=9)

        self.settle(ending(record, Discarded(REFUSED)))

        assert {
            "state": JobState.FAILED,
            "finished_at": LATER,
            "errors": [ENTRY | {"at": LATER}],
            "fingerprint": KIND.digest,
            "updated_at": LATER,
        } | FREE == with_moments(changes(record))

    def test_cancelled_record_says_why(self):
        record = make(JobState.IN_PROGRESS, cancel_requested_at=NOON)

        self.settle(ending(record, Cancelled(REFUSED)))

        assert {
            "state": JobState.CANCELLED,
            "finished_at": LATER,
            "errors": [ENTRY | {"at": LATER}],
            "updated_at": LATER,
        } | FREE == with_moments(changes(record))

    def test_snoozed_record_has_its_attempt_given_back(self):
        record = make(JobState.IN_PROGRESS, attempt=2)

        self.settle(ending(record, Snoozed(HOUR)))

        assert {
            "state": JobState.SCHEDULED,
            "attempt": 1,
            "available_at": LATER + HOUR,
            "updated_at": LATER,
        } | FREE == changes(record)

    def test_released_record_has_its_attempt_given_back_and_is_due(self):
        record = make(JobState.IN_PROGRESS, attempt=2, execution_key="e")

        self.settle(ending(record, Released()))

        expected = {"state": JobState.AVAILABLE, "attempt": 1, "updated_at": LATER} | FREE
        assert expected == changes(record)


class FenceTests(SettleContract):
    """A row that another attempt, worker or end has got is not written."""

    @every_outcome
    @pytest.mark.parametrize(
        "other",
        [{"attempt": 2}, {"reserved_by": "other"}, {"reserved_by": "HOST-1:4711"}],
        ids=["attempt", "holder", "case of the holder"],
    )
    def test_row_is_of_another_attempt_and_nothing_is_written(self, outcome, other):
        record = make(JobState.IN_PROGRESS, **other)
        stale = stored(record)
        stale.attempt, stale.reserved_by = 1, "host-1:4711"

        assert set() == self.settle(ending(stale, outcome))
        assert {} == changes(record)
        assert set() == succeeded()

    @every_outcome
    @pytest.mark.parametrize("state", sorted(set(JobState) - {JobState.IN_PROGRESS}))
    def test_row_is_in_another_state_and_nothing_is_written(self, outcome, state):
        record = make(state)
        stale = stored(record)
        stale.reserved_by = "host-1:4711"

        assert set() == self.settle(ending(stale, outcome))
        assert {} == changes(record)
        assert set() == succeeded()

    @every_outcome
    def test_row_is_gone_and_nothing_is_written(self, outcome):
        record = make(JobState.IN_PROGRESS)
        end = ending(record, outcome)
        JobRecord.objects.all().delete()

        assert set() == self.settle(end)
        assert ({}, set()) == (live(), succeeded())

    @every_outcome
    def test_attempt_is_settled_once(self, outcome):
        record = make(JobState.IN_PROGRESS)
        end = ending(record, outcome)
        assert {record.pk} == self.settle(end)
        before, archive = live(), succeeded()

        assert set() == self.settle(end, now=LATER + HOUR)
        assert (before, archive) == (live(), succeeded())

    @every_outcome
    def test_next_attempt_of_the_same_worker_is_not_ended(self, outcome):
        """Where a job was rescued and the same worker got it again."""
        record = make(JobState.IN_PROGRESS, lapsed=True)
        end = ending(record, outcome)
        JobRecord.objects.activate_expired(NOON)
        [again] = JobRecord.objects.reserve(1, worker=record.reserved_by, now=NOON)
        assert set() == self.settle(end)
        again.start(NOON)

        assert set() == self.settle(end)
        assert {} == changes(again)
        assert set() == succeeded()

    @every_outcome
    def test_lease_has_lapsed_but_nobody_took_the_record_and_it_is_settled(self, outcome):
        record = make(JobState.IN_PROGRESS, lapsed=True)

        assert {record.pk} == self.settle(ending(record, outcome), now=NOON + HOUR)

    @pytest.mark.parametrize("verb", ["succeed", "fail", "release"])
    def test_verb_of_the_record_says_that_the_reservation_is_lost(self, verb):
        record = make(JobState.IN_PROGRESS, attempt=2)
        stale = stored(record)
        stale.attempt = 1
        arguments = [ValueError("x")] if verb == "fail" else []

        with pytest.raises(ReservationLost) as error:
            getattr(stale, verb)(*arguments, now=LATER)

        expected = (
            f"Job {record.pk} (shop.jobs.SendReceipt) is no longer held by 'host-1:4711' at "
            "attempt 1 in state IN_PROGRESS; nothing was written."
        )
        assert expected == str(error.value)
        assert {} == changes(record)

    @pytest.mark.parametrize("verb", ["succeed", "fail"])
    @pytest.mark.parametrize("state", sorted(set(JobState) - {JobState.IN_PROGRESS}))
    def test_record_does_not_run_and_cannot_be_settled(self, verb, state):
        record = make(state)
        arguments = [ValueError("x")] if verb == "fail" else []

        with pytest.raises(ReservationLost):
            getattr(stored(record), verb)(*arguments, now=LATER)

        assert {} == changes(record)


class SettleManyTests(SettleContract):
    def test_every_kind_of_end_in_one_call(self):
        records = {name: make(JobState.IN_PROGRESS) for name in OUTCOMES}

        written = self.settle(*(ending(records[name], OUTCOMES[name]) for name in OUTCOMES))

        assert {record.pk for record in records.values()} == written
        assert {records["succeeded"].pk} == succeeded()
        assert {
            "failed": JobState.RETRY,
            "discarded": JobState.FAILED,
            "snoozed": JobState.SCHEDULED,
            "cancelled": JobState.CANCELLED,
            "released": JobState.AVAILABLE,
        } == {name: live()[record.pk] for name, record in records.items() if record.pk in live()}

    def test_each_record_gets_its_own_result_and_error(self):
        good = [make(JobState.IN_PROGRESS) for _ in range(3)]
        bad = [make(JobState.IN_PROGRESS) for _ in range(3)]

        self.settle(
            *(ending(record, Succeeded(n)) for n, record in enumerate(good)),
            *(
                ending(record, Failed(ErrorInfo("E", str(n)), n * SECOND))
                for n, record in enumerate(bad)
            ),
        )

        results = dict(SucceededJob.objects.values_list("pk", "result"))
        assert {record.pk: n for n, record in enumerate(good)} == results
        assert [(str(n), LATER + n * SECOND) for n in range(3)] == [
            (found.errors[0]["message"], found.available_at) for found in map(stored, bad)
        ]

    def test_lost_ones_are_left_out_and_the_others_are_written(self):
        ours = [make(JobState.IN_PROGRESS), make(JobState.IN_PROGRESS)]
        lost = [make(JobState.IN_PROGRESS), make(JobState.IN_PROGRESS)]
        endings = [
            ending(ours[0], Succeeded(1)),
            ending(lost[0], Succeeded(2)),
            ending(ours[1], Failed(REFUSED)),
            ending(lost[1], Failed(REFUSED)),
        ]
        for record in lost:
            record.release(NOON)

        assert {record.pk for record in ours} == self.settle(*endings)
        assert {ours[0].pk} == succeeded()
        assert [{}, {}] == [changes(record) for record in lost]

    def test_nothing_has_ended_and_nothing_is_written(self):
        assert set() == self.settle()

    def test_surrounding_transaction_rolls_back_and_all_is_as_before(self):
        """What a ``transactional`` job rests on: its end goes with its writes."""
        records = [make(JobState.IN_PROGRESS, queue_key=name) for name in OUTCOMES]
        endings = [ending(*pair) for pair in zip(records, OUTCOMES.values(), strict=True)]

        with transaction.atomic():
            assert 6 == len(self.settle(*endings))
            transaction.set_rollback(True)

        assert [{}] * 6 == [changes(record) for record in records]
        assert set() == succeeded()

    @pytest.mark.parametrize("name", OUTCOMES)
    def test_queue_key_is_held_until_the_job_ends(self, name):
        record = make(JobState.IN_PROGRESS, queue_key="q", execution_key="e")

        self.settle(ending(record, OUTCOMES[name]))

        found = stored(record)
        if found is None:
            assert "succeeded" == name
        else:
            assert (found.state in ENDED) == (found.held_queue_key is None)

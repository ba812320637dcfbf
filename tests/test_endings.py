import logging
from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest

from django_jobflow import Job, Levels
from django_jobflow.arguments import DOTS
from django_jobflow.attempts import Ending, Reservation, key_digest
from django_jobflow.declare import registry
from django_jobflow.endings import (
    POINTLESS,
    decide,
    expired,
    lost_error,
    lost_fingerprint,
    refusal,
    unknown_job,
)
from django_jobflow.fingerprints import fingerprint
from django_jobflow.outcomes import (
    Cancelled,
    Discarded,
    ErrorInfo,
    Failed,
    Released,
    Snoozed,
    Succeeded,
)
from django_jobflow.states import JobState

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
REFUSED = ErrorInfo("shop.errors.Refused", "The card was refused.", "Traceback ...\n")
ENTRY = {
    "number": 2,
    "worker": "host-1:4711",
    "exception": "shop.errors.Refused",
    "message": "The card was refused.",
    "traceback": "Traceback ...\n",
}
KIND = fingerprint("shop.errors.Refused", "", "The card was refused.")


def reserved(**facts):
    values = {
        "id": 7,
        "name": "shop.jobs.Charge",
        "queue": "default",
        "partition": "",
        "priority": 0,
        "args": [],
        "kwargs": {},
        "attempt": 2,
        "max_attempts": 3,
        "timeout": None,
        "queue_key": None,
        "execution_key": None,
        "available_at": NOON,
        "created_at": NOON,
        "errors": [],
        "tags": [],
        "meta": {},
        "expires_at": None,
        "batch_id": None,
        "reserved_count": 1,
        "worker": "host-1:4711",
    }
    return Reservation(**values | facts)


def said(ending):
    """Return what *ending* says otherwise than one that says nothing."""
    nothing = Ending(reservation=ending.reservation, state=None, attempt=2, event="")
    return {
        field.name: getattr(ending, field.name)
        for field in fields(Ending)
        if getattr(ending, field.name) != getattr(nothing, field.name)
    }


@pytest.fixture(autouse=True)
def own_jobs():
    with registry.isolated():
        yield


def declare(**options):
    body = {"perform": lambda self: None, "name": "shop.jobs.Charge"} | options
    return type("Charge", (Job,), body)


class DecideTests:
    def test_success_leaves_the_table_with_its_result(self):
        ending = decide(reserved(), Succeeded({"sent": True}))

        assert {"result": {"sent": True}, "event": "job_succeeded"} == said(ending)

    def test_failure_with_attempts_left_is_tried_again(self):
        ending = decide(reserved(attempt=2), Failed(REFUSED, MINUTE))

        assert {
            "state": JobState.RETRY,
            "delay": MINUTE,
            "error": ENTRY,
            "event": "job_retried",
            "fingerprint": KIND,
        } == said(ending)

    @pytest.mark.parametrize("most", [2, 1])
    def test_failure_without_an_attempt_left_is_the_end(self, most):
        """Fewer than were made: somebody has lowered the limit meanwhile."""
        ending = decide(reserved(attempt=2, max_attempts=most), Failed(REFUSED, MINUTE))

        assert {
            "state": JobState.FAILED,
            "error": ENTRY,
            "event": "job_failed",
            "fingerprint": KIND,
        } == said(ending)

    def test_discard_is_the_end_whatever_is_left(self):
        ending = decide(reserved(max_attempts=9), Discarded(REFUSED))

        assert {
            "state": JobState.FAILED,
            "error": ENTRY,
            "event": "job_failed",
            "discarded": True,
            "fingerprint": KIND,
        } == said(ending)

    def test_cancelled_is_not_failed(self):
        ending = decide(reserved(), Cancelled(REFUSED))

        assert {
            "state": JobState.CANCELLED,
            "error": ENTRY,
            "event": "job_cancelled",
        } == said(ending)

    def test_snooze_gives_the_attempt_back(self):
        ending = decide(reserved(), Snoozed(MINUTE, "Too early."))

        assert {
            "state": JobState.SCHEDULED,
            "attempt": 1,
            "delay": MINUTE,
            "event": "job_snoozed",
        } == said(ending)

    def test_release_gives_the_attempt_back_and_waits_for_nothing(self):
        ending = decide(reserved(), Released())

        assert {"state": JobState.AVAILABLE, "attempt": 1, "event": "job_released"} == said(ending)

    def test_release_may_wait(self):
        ending = decide(reserved(), Released("No database.", delay=MINUTE))

        assert {
            "state": JobState.SCHEDULED,
            "attempt": 1,
            "delay": MINUTE,
            "event": "job_released",
        } == said(ending)

    def test_ending_keeps_its_reservation(self):
        reservation = reserved()

        assert decide(reservation, Succeeded()).reservation is reservation

    def test_it_is_no_outcome_and_is_refused(self):
        with pytest.raises(TypeError) as error:
            decide(reserved(), "done")

        assert "shop.jobs.Charge: expected an outcome, got 'done'." == str(error.value)


class RetentionTests:
    @pytest.mark.parametrize(
        ("of_settings", "kept"), [(0, False), (None, True), (7 * 86400, True)]
    )
    def test_settings_say_whether_a_success_is_kept(self, settings, of_settings, kept):
        settings.JOBFLOW = {"RETAIN_SUCCEEDED": of_settings}
        declare()

        assert kept is decide(reserved(), Succeeded()).keep
        assert kept is decide(reserved(name="shop.jobs.Unknown"), Succeeded()).keep

    @pytest.mark.parametrize(("of_job", "kept"), [(0, False), (None, True), (MINUTE, True)])
    def test_job_says_whether_its_success_is_kept(self, settings, of_job, kept):
        settings.JOBFLOW = {"RETAIN_SUCCEEDED": MINUTE if of_job == 0 else 0}
        declare(retain_succeeded=of_job)

        assert kept is decide(reserved(), Succeeded()).keep


class DelayTests:
    def test_job_says_how_long_to_wait(self):
        declare(backoff=Levels([5, 70]))

        assert 70 * SECOND == decide(reserved(attempt=2), Failed(REFUSED)).delay

    def test_record_of_a_former_name_waits_as_its_job_says(self):
        declare(backoff=Levels([5]), aliases=["shop.Old"])

        assert 5 * SECOND == decide(reserved(name="shop.Old"), Failed(REFUSED)).delay

    def test_failure_says_how_long_and_wins(self):
        declare(backoff=Levels([5]))

        assert timedelta(0) == decide(reserved(), Failed(REFUSED, timedelta(0))).delay

    def test_job_is_unknown_and_the_wait_is_a_second(self):
        assert SECOND == decide(reserved(name="shop.jobs.Gone"), Failed(REFUSED)).delay

    @pytest.mark.parametrize(
        "broken", [lambda attempt: 1 / 0, lambda attempt: "soon", lambda attempt: -1]
    )
    def test_backoff_is_broken_and_the_failure_is_recorded_all_the_same(self, broken, caplog):
        declare(backoff=broken, base_delay=9)

        with caplog.at_level(logging.ERROR, "django_jobflow.settle"):
            ending = decide(reserved(), Failed(REFUSED))

        assert (JobState.RETRY, 9 * SECOND) == (ending.state, ending.delay)
        assert ["backoff_failed job_name=shop.jobs.Charge"] == caplog.messages


class MetaTests:
    @pytest.mark.parametrize("outcome", [Failed, Discarded, Cancelled])
    @pytest.mark.parametrize("attempt", [2, 3])
    def test_outcome_may_replace_the_meta(self, outcome, attempt):
        ending = decide(reserved(attempt=attempt, meta={"a": 1}), outcome(REFUSED, meta={"b": 2}))

        assert {"b": 2} == ending.meta
        assert decide(reserved(attempt=attempt), outcome(REFUSED)).meta is None


class SoughtJobTests:
    """A record whose job is declared only when it is looked for."""

    @pytest.fixture
    def sought(self, monkeypatch):
        names = []
        monkeypatch.setattr(registry, "_seekers", [])
        registry.add_seeker(names.append)
        with registry.isolated():
            yield names

    def test_job_that_is_found_lets_its_record_start_anew(self, sought):
        def declare(name):
            type("Found", (Job,), {"name": name, "perform": lambda self: None})

        registry.add_seeker(declare)

        ending = refusal(reserved(name="shop.tasks.late"), NOON)

        assert (JobState.RESERVED, JobState.AVAILABLE, 2, timedelta(0)) == (
            ending.origin,
            ending.state,
            ending.attempt,
            ending.delay,
        )
        assert "Found" == registry.find("shop.tasks.late").__name__

    def test_job_that_is_not_found_is_waited_for(self, sought):
        ending = refusal(reserved(name="shop.tasks.none"), NOON)

        assert (JobState.SCHEDULED, MINUTE) == (ending.state, ending.delay)
        assert ["shop.tasks.none"] == sought

    def test_job_that_is_declared_is_not_looked_for(self, sought):
        type("Known", (Job,), {"name": "known", "perform": lambda self: None})

        assert "Known" == registry.seek("known").__name__
        assert [] == sought


class UnknownJobTests:
    """A rolling deploy: a newer worker may know the job."""

    def test_record_is_put_back_for_a_minute_at_no_cost(self):
        ending = unknown_job(reserved(attempt=2, meta={"trace": "x"}), NOON)

        assert {
            "origin": JobState.RESERVED,
            "state": JobState.SCHEDULED,
            "delay": MINUTE,
            "meta": {"trace": "x", "jobflow.unknown_since": NOON.isoformat()},
            "event": "job_postponed",
        } == said(ending)

    def test_first_time_is_remembered(self):
        meta = unknown_job(reserved(), NOON).meta

        again = unknown_job(reserved(meta=meta), NOON + 9 * MINUTE)

        assert (JobState.SCHEDULED, meta) == (again.state, again.meta)

    def test_ten_minutes_have_passed_and_the_record_fails(self):
        meta = unknown_job(reserved(), NOON).meta

        ending = unknown_job(reserved(meta=meta), NOON + 10 * MINUTE)

        assert {
            "origin": JobState.RESERVED,
            "state": JobState.FAILED,
            "error": {
                "number": 2,
                "worker": "host-1:4711",
                "exception": "django_jobflow.exceptions.UnknownJob",
                "message": "No job is registered under 'shop.jobs.Charge' in any worker that "
                "tried it for 0:10:00.",
                "traceback": ending.error["traceback"],
            },
            "event": "job_failed",
            "discarded": True,
            "fingerprint": fingerprint(
                "django_jobflow.exceptions.UnknownJob",
                "",
                "No job is registered under '…' in any worker that tried it for #.",
            ),
        } == said(ending)

    def test_a_moment_is_left_and_the_record_is_put_back(self):
        meta = unknown_job(reserved(), NOON).meta
        almost = NOON + 10 * MINUTE - timedelta(microseconds=1)

        assert JobState.SCHEDULED == unknown_job(reserved(meta=meta), almost).state

    def test_record_that_somebody_retried_has_its_ten_minutes_again(self):
        meta = unknown_job(reserved(), NOON).meta
        later = NOON + timedelta(days=1)

        ending = unknown_job(reserved(meta=meta, available_at=later), later)

        assert JobState.SCHEDULED == ending.state
        assert {"jobflow.unknown_since": later.isoformat()} == ending.meta

    @pytest.mark.parametrize(
        "said",
        [
            "soon",
            7,
            None,
            [],
            {"at": NOON.isoformat()},
            "2026-11-21T11:00:00",  # of no zone
            "9999-12-31T23:59:59+00:00",
        ],
    )
    def test_meta_that_a_caller_has_made_up_is_no_moment(self, said):
        ending = unknown_job(reserved(meta={"jobflow.unknown_since": said}), NOON)

        assert JobState.SCHEDULED == ending.state
        assert {"jobflow.unknown_since": NOON.isoformat()} == ending.meta

    def test_record_that_is_put_back_again_and_again_fails_in_the_end(self):
        now, meta, due = NOON, {}, NOON
        for _ in range(20):
            ending = unknown_job(reserved(meta=meta, available_at=due), now)
            if ending.state == JobState.FAILED:
                break
            due = now + ending.delay + SECOND
            now, meta = due + SECOND, ending.meta

        assert JobState.FAILED == ending.state
        assert NOON + 10 * MINUTE <= now <= NOON + 11 * MINUTE


class ExpiredTests:
    def test_record_that_became_pointless_is_discarded_unstarted(self):
        ending = expired(reserved(expires_at=NOON))

        assert {
            "origin": JobState.RESERVED,
            "state": JobState.FAILED,
            "error": {
                "number": 2,
                "worker": "host-1:4711",
                "exception": "django_jobflow.exceptions.Discard",
                "message": "Not started by 2026-11-21 12:00:00.123456+00:00, when it became "
                "pointless.",
                "traceback": "",
            },
            "event": "job_failed",
            "discarded": True,
            "fingerprint": POINTLESS,
        } == said(ending)


class FingerprintTests:
    def test_failure_that_is_tried_again_is_none_that_the_row_keeps(self):
        again, last = (decide(reserved(attempt=attempt), Failed(REFUSED)) for attempt in (2, 3))

        assert (KIND, None) == (again.fingerprint, again.failed_as)
        assert (KIND, KIND.digest) == (last.fingerprint, last.failed_as)

    def test_what_is_hidden_tells_failures_apart_as_little_as_its_dots(self):
        class Pay(Job):
            sensitive = frozenset({"card"})

            def perform(self, card):
                pass

        name = Pay.definition().name
        endings = [
            decide(reserved(name=name, kwargs={"card": card}), Failed(ErrorInfo("E", card)))
            for card in ("fourtytwo", "seventeen")
        ]

        assert {fingerprint("E", "", DOTS)} == {each.fingerprint for each in endings}

    def test_lost_attempts_of_all_workers_are_of_one_kind(self):
        kind = lost_fingerprint("was killed by SIGKILL")

        assert "Its worker was killed by SIGKILL." == kind.message
        assert kind.digest != lost_fingerprint().digest


class ErrorEntryTests:
    def test_lost_worker_is_named(self):
        assert {
            "number": 3,
            "worker": "host-1:4711",
            "exception": "django_jobflow.exceptions.WorkerLost",
            "message": "Worker host-1:4711 stopped renewing its lease.",
            "traceback": "",
        } == lost_error(3, "host-1:4711")


class KeyDigestTests:
    def test_digest_is_short_plain_text(self):
        digest = key_digest("eu", "🙂" * 255)

        assert 32 == len(digest)
        assert digest.isascii()

    def test_digest_is_the_same_in_every_version(self):
        """It is stored: another one would let two hold a key during an upgrade."""
        assert "167512706929fbf1cab4b6732ecedc77" == key_digest("", "order:7")

    @pytest.mark.parametrize(
        ("one", "other"),
        [(("", "a"), ("", "A")), (("", "a"), ("", "a ")), (("a", "b"), ("", "ab"))],
    )
    def test_other_keys_have_other_digests(self, one, other):
        assert key_digest(*one) != key_digest(*other)

from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from django.test import override_settings

from django_jobflow.admin.timeline import error_moment, timeline, waited
from django_jobflow.models import JobRecord
from django_jobflow.observe import spans
from django_jobflow.states import JobState
from tests.factories import WORKER, JobRecordFactory, SucceededJobFactory, error_entry

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def noon():
    with mock.patch("django.utils.timezone.now", return_value=NOON):
        yield


def story(job):
    """Return what the timeline of *job* tells, without its times."""
    return [
        " ".join(filter(None, [event.label, event.detail, event.gap])).replace(
            spans.NO_BREAK_SPACE, " "
        )
        for event in timeline(job)
    ]


def test_nothing_has_waited_since_before_its_enqueue():
    job = SucceededJobFactory.build(
        created_at=NOON, available_at=NOON - 60 * MINUTE, started_at=NOON + SECOND
    )

    assert waited(job) == SECOND


class TestTimeline:
    def test_success_tells_its_wait_and_its_length(self):
        job = SucceededJobFactory.build(now=NOON)

        expected = [
            "Enqueued waited 1 min 58 s",
            f"Reserved {WORKER} waited 1.0 s",
            "Started ran for 1.0 s",
            "Succeeded",
        ]
        assert expected == story(job)

    def test_failed_record_tells_of_each_attempt(self):
        record = JobRecordFactory.build(
            state=JobState.FAILED,
            now=NOON,
            max_attempts=2,
            available_at=NOON - 3 * SECOND,
            errors=[error_entry(1, NOON - MINUTE), error_entry(2, NOON)],
        )

        expected = [
            "Enqueued 1 min later",
            "Attempt 1 failed ConnectionError 57 s later",
            "Due waited 2.0 s",
            "Started ran for 1.0 s",
            "Attempt 2 failed ConnectionError",
            "Failed for good",
        ]
        assert expected == story(record)

    def test_attempt_after_which_somebody_retried_it_had_failed_for_good(self):
        errors = [error_entry(number, NOON - MINUTE) for number in (1, 2, 1)]
        waiting = JobRecordFactory.build(now=NOON, attempt=0, errors=errors[:1])
        running = JobRecordFactory.build(
            state=JobState.IN_PROGRESS, now=NOON, attempt=2, errors=errors
        )
        retrying = JobRecordFactory.build(
            state=JobState.RETRY, now=NOON, attempt=1, errors=errors[:1]
        )

        assert 1 == " ".join(story(waiting)).count("Failed for good")
        lines = [line for line in story(running) if "ailed" in line]
        assert ["Attempt 1", "Attempt 2", "Failed fo", "Attempt 1"] == [line[:9] for line in lines]
        assert "Failed for good" not in " ".join(story(retrying))

    def test_scheduled_record_tells_when_it_is_due(self):
        record = JobRecordFactory.build(state=JobState.SCHEDULED, now=NOON)

        events = timeline(record)

        assert ["Enqueued 1 h 2 min later", "Due"] == story(record)
        assert ["enqueued", "ahead"] == [event.kind for event in events]

    def test_running_record_tells_of_its_lease_and_of_a_request_to_stop(self):
        record = JobRecordFactory.build(
            state=JobState.IN_PROGRESS, now=NOON, cancel_requested_at=NOON
        )

        expected = [
            "Enqueued waited 1 min 58 s",
            f"Reserved {WORKER} waited 1.0 s",
            "Started 1.0 s later",
            "Asked to stop 1 min later",
            "Lease ends unless it is renewed",
        ]
        assert expected == story(record)

    @pytest.mark.parametrize(
        ("times", "told"),
        [
            (1, "waited"),
            (2, "(after a worker gave it back 1 time)"),
            (4, "(after workers gave it back 3 times)"),
        ],
    )
    def test_reservation_tells_of_those_before_it(self, times, told):
        record = JobRecordFactory.build(
            state=JobState.IN_PROGRESS, attempt=1, now=NOON, reserved_count=times
        )

        enqueued, reserved, *_ = story(record)
        if times == 1:
            assert ("Enqueued waited 1 min 58 s", f"Reserved {WORKER} waited 1.0 s") == (
                enqueued,
                reserved,
            )
        else:  # nobody knows which part of that it waited
            assert ("Enqueued 1 min 58 s later", f"Reserved {WORKER} {told} waited 1.0 s") == (
                enqueued,
                reserved,
            )

    @pytest.mark.parametrize("state", [JobState.FAILED, JobState.RETRY, JobState.IN_PROGRESS])
    def test_attempts_that_failed_were_not_given_back(self, state):
        errors = [error_entry(1, NOON - MINUTE), error_entry(2, NOON - SECOND)]
        record = JobRecordFactory.build(
            state=state,
            now=NOON,
            attempt=2 + (state == JobState.IN_PROGRESS),
            errors=errors,
            reserved_count=2 + (state == JobState.IN_PROGRESS),
        )

        assert not [line for line in story(record) if "gave it back" in line]

    def test_cancelled_record_tells_when(self):
        record = JobRecordFactory.build(state=JobState.CANCELLED, now=NOON)

        assert ["Enqueued 2 min later", "Cancelled"] == story(record)

    def test_record_tells_when_it_becomes_pointless(self):
        record = JobRecordFactory.build(now=NOON, expires_at=NOON + MINUTE)

        assert ["Enqueued 3 min later", "Pointless to start after this"] == story(record)

    def test_error_without_a_moment_is_left_out(self):
        record = JobRecordFactory.build(
            state=JobState.RETRY, now=NOON, errors=[{"exception": "E"}, "what", {"at": "soon"}]
        )

        assert not [line for line in story(record) if "failed" in line]


class TestErrorMoment:
    def test_moment_without_a_zone_is_one_of_utc(self):
        assert NOON == error_moment({"at": "2026-11-21T12:00:00"})

    @override_settings(USE_TZ=False, TIME_ZONE="Europe/Berlin")
    def test_moment_is_local_without_use_tz(self):
        local = datetime(2026, 11, 21, 13)

        with mock.patch("django.utils.timezone.now", return_value=local):
            assert local == error_moment({"at": NOON.isoformat()})
            assert local == error_moment({"at": local.isoformat()})


class TestWaited:
    def test_wait_is_counted_from_when_it_was_due(self):
        record = JobRecord(created_at=NOON, available_at=NOON, started_at=NOON + SECOND)
        late = JobRecord(created_at=NOON, available_at=NOON - MINUTE, started_at=NOON + SECOND)

        assert SECOND == waited(record) == waited(late)

    def test_record_that_has_not_started_has_not_waited(self):
        assert waited(JobRecord(created_at=NOON, available_at=NOON)) is None

from datetime import UTC, datetime, timedelta

from django_jobflow.admin.picture import WIDTH, picture
from django_jobflow.admin.timeline import Event, timeline
from django_jobflow.states import JobState
from tests.factories import JobRecordFactory, SucceededJobFactory, error_entry

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def drawn(job):
    return [part.kind for part in picture(timeline(job)).parts]


class TestPicture:
    def test_success_has_waited_and_run(self):
        assert ["waiting", "waiting", "running"] == drawn(SucceededJobFactory.build(now=NOON))

    def test_each_attempt_has_its_length_and_its_pause(self):
        errors = [error_entry(1, NOON - MINUTE) | {"seconds": 4.0}, error_entry(2, NOON)]
        record = JobRecordFactory.build(
            state=JobState.FAILED,
            now=NOON,
            max_attempts=2,
            available_at=NOON - 3 * SECOND,
            errors=errors,
        )

        found = picture(timeline(record))

        kinds = ["waiting", "running", "pause", "waiting", "running"]
        assert kinds == [part.kind for part in found.parts]
        assert "running: 4.0\N{NO-BREAK SPACE}s" == found.parts[1].label
        assert ["plain", "plain", "failed", "plain", "plain", "failed"] == [
            mark.kind for mark in found.marks
        ]
        assert kinds[:3] == [kind for kind, _ in found.legend if kind != "scheduled"][:3]

    def test_time_until_somebody_retried_it_is_no_pause(self):
        record = JobRecordFactory.build(
            now=NOON, attempt=0, available_at=NOON, errors=[error_entry(1, NOON - MINUTE)]
        )

        found = picture(timeline(record))

        assert ["waiting", "ended"] == [part.kind for part in found.parts]
        assert ["plain", "failed", "plain"] == [mark.kind for mark in found.marks]

    def test_time_in_which_a_worker_gave_it_back_is_no_mere_wait(self):
        record = JobRecordFactory.build(state=JobState.IN_PROGRESS, now=NOON, reserved_count=2)

        assert ["given-back", "waiting", "running"] == drawn(record)[:3]

    def test_what_is_ahead_is_apart(self):
        later = datetime.now(UTC) + timedelta(hours=1)
        record = JobRecordFactory.build(state=JobState.SCHEDULED, available_at=later)

        assert ["ahead"] == drawn(record)

    def test_job_that_runs_has_run_until_now(self):
        record = JobRecordFactory.build(state=JobState.IN_PROGRESS, now=NOON)
        events = timeline(record)

        found = picture(events, NOON + SECOND)

        assert ["waiting", "waiting", "running", "waiting"] == [part.kind for part in found.parts]
        assert "running: 2.0\N{NO-BREAK SPACE}s" == found.parts[2].label

    def test_job_has_run_until_its_lease_lapsed(self):
        record = JobRecordFactory.build(state=JobState.IN_PROGRESS, now=NOON)

        found = picture(timeline(record), NOON + 2 * MINUTE)

        assert ["waiting", "waiting", "running", "waiting"] == [part.kind for part in found.parts]
        assert (
            "running: 1\N{NO-BREAK SPACE}min\N{NO-BREAK SPACE}1\N{NO-BREAK SPACE}s"
            == found.parts[2].label
        )

    def test_parts_fill_the_picture_in_their_order(self):
        found = picture(timeline(SucceededJobFactory.build(now=NOON)))

        ends = [float(part.x) + float(part.width) for part in found.parts]
        assert 0.0 == float(found.parts[0].x)
        assert abs(WIDTH - ends[-1]) < 1
        begins = [float(part.x) for part in found.parts[1:]]
        assert all(abs(end - x) < 0.2 for end, x in zip(ends[:-1], begins, strict=True))

    def test_one_moment_is_no_picture(self):
        assert picture([]) is None
        assert picture([Event(NOON, "enqueued", "a"), Event(NOON, "due", "b")]) is None

    def test_length_that_somebody_made_up_is_left_out(self):
        for seconds in (-1, "4", None, 10**12, float("nan")):
            entry = error_entry(1, NOON) | {"seconds": seconds}
            record = JobRecordFactory.build(state=JobState.RETRY, now=NOON, errors=[entry])

            assert "Attempt 1 started" not in [event.label for event in timeline(record)]

from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from django.utils import translation

from django_jobflow.admin import cells
from django_jobflow.models import JobRecord
from django_jobflow.states import JobState
from tests.factories import JobRecordFactory, error_entry

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def noon():
    with mock.patch("django.utils.timezone.now", return_value=NOON):
        yield


class TestLength:
    @pytest.mark.parametrize(
        ("span", "expected"),
        [
            (-SECOND, "0 ms"),
            (timedelta(0), "0 ms"),
            (timedelta(milliseconds=12.4), "12 ms"),
            (timedelta(milliseconds=999), "999 ms"),
            (timedelta(milliseconds=999.6), "1.0 s"),
            (timedelta(seconds=9.94), "9.9 s"),
            (timedelta(seconds=9.96), "10 s"),
            (timedelta(seconds=59.6), "1 min"),
            (timedelta(seconds=61), "1 min 1 s"),
            (timedelta(hours=2, minutes=5, seconds=9), "2 h 5 min"),
            (timedelta(hours=2, seconds=9), "2 h 9 s"),
            (timedelta(days=400, hours=1), "400 d 1 h"),
        ],
    )
    def test_span_is_told_in_its_two_largest_units(self, span, expected):
        assert expected.replace(" ", cells.NO_BREAK_SPACE) == cells.length(span)

    def test_number_is_written_as_the_locale_writes_it(self):
        with translation.override("de"):
            assert "1,5" in cells.length(timedelta(seconds=1.5))


class TestDistance:
    @pytest.mark.parametrize(
        ("at", "expected"),
        [
            (NOON, "now"),
            (NOON + SECOND / 2, "now"),
            (NOON - 3 * SECOND, "3 s ago"),
            (NOON - timedelta(hours=5, minutes=50), "5 h ago"),
            (NOON + timedelta(minutes=2), "in 2 min"),
        ],
    )
    def test_distance_from_now_is_told_in_one_unit(self, at, expected):
        assert expected == cells.distance(at)

    def test_age_below_a_second_is_none(self):
        assert "0 s" == cells.age(NOON)


class TestMoment:
    def test_full_value_is_in_the_title(self):
        expected = (
            '<time datetime="2026-11-21T11:58:00+00:00" title="Nov. 21, 2026, 11:58:00 UTC">'
            "2 min ago</time>"
        )
        assert expected == cells.moment(NOON - timedelta(minutes=2)).strip()

    def test_missing_moment_has_no_cell(self):
        assert (None, None) == (cells.moment(None), cells.full(None))

    def test_missing_end_makes_no_span(self):
        assert (None, None) == (cells.between(None, NOON), cells.between(NOON, None))


class TestBadge:
    def test_state_is_shown_by_its_word(self):
        expected = '<span class="jobflow-badge jobflow-badge-in_progress">In progress</span>'
        assert expected == cells.badge(JobState.IN_PROGRESS).strip()

    def test_state_that_is_not_known_here_is_shown_as_it_is(self):
        assert '<span class="jobflow-badge">PAUSED</span>' == cells.badge("PAUSED").strip()


class TestNextRun:
    def test_available_record_may_run_now(self):
        assert "now" == cells.next_run(JobRecord(state=JobState.AVAILABLE))

    def test_scheduled_record_has_its_time(self):
        record = JobRecordFactory.build(state=JobState.SCHEDULED, now=NOON)

        assert "in 1 h" in cells.next_run(record)

    @pytest.mark.parametrize("state", sorted(set(JobState) - {"AVAILABLE", "SCHEDULED", "RETRY"}))
    def test_other_record_waits_for_no_time(self, state):
        assert cells.next_run(JobRecordFactory.build(state=state, now=NOON)) is None


class TestLastError:
    def test_class_stands_without_its_module_and_the_whole_in_the_title(self):
        record = JobRecord(errors=[error_entry(1, NOON), error_entry(2, NOON)])

        expected = (
            '<span class="jobflow-error" title="builtins.ConnectionError: Attempt 2 was refused.">'
            "<b>ConnectionError</b> Attempt 2 was refused.</span>"
        )
        assert expected == cells.last_error(record).strip()

    def test_long_message_is_cut_and_on_one_line(self):
        record = JobRecord(errors=[{"exception": "E", "message": "one\n two " * 100}])

        shown = cells.last_error(record)

        assert f"<b>E</b> {('one two ' * 10)[:79]}…</span>" in shown

    def test_record_without_errors_has_no_cell(self):
        assert cells.last_error(JobRecord()) is None

    @pytest.mark.parametrize("entry", ["what", 7, None, {}, {"message": None}])
    def test_entry_that_no_attempt_has_written_is_shown_too(self, entry):
        assert "jobflow-error" in cells.last_error(JobRecord(errors=[entry]))


def test_name_may_break_behind_its_dots():
    assert "shop.<wbr>jobs.<wbr>&lt;b&gt;" == cells.name(JobRecord(name="shop.jobs.<b>")).strip()

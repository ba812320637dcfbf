from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest

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


class TestMoment:
    def test_full_value_is_in_the_title(self):
        expected = (
            '<time datetime="2026-11-21T11:58:00+00:00" title="Nov. 21, 2026, 11:58:00 UTC">'
            "2 min ago</time>"
        )
        assert expected == cells.moment(NOON - timedelta(minutes=2)).strip()

    def test_missing_moment_has_no_cell(self):
        assert (None, None) == (cells.moment(None), cells.full(None))


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

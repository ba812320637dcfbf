from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from django.utils import translation

from django_jobflow.observe import spans

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
        assert expected.replace(" ", spans.NO_BREAK_SPACE) == spans.length(span)

    def test_number_is_written_as_the_locale_writes_it(self):
        with translation.override("de"):
            assert "1,5" in spans.length(timedelta(seconds=1.5))


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
        assert expected == spans.distance(at)

    def test_age_below_a_second_is_none(self):
        assert "0 s" == spans.age(NOON)


class TestBetween:
    def test_missing_end_makes_no_span(self):
        assert (None, None) == (spans.between(None, NOON), spans.between(NOON, None))

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_jobflow.quotas import rate_text, read_rate

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/m", (100, 60 * SECOND)),
        ("5/s", (5, SECOND)),
        ("1/h", (1, 3600 * SECOND)),
        ("2/d", (2, timedelta(days=1))),
        ("10/30s", (10, 30 * SECOND)),
        ("10/1.5s", (10, 1.5 * SECOND)),
        ("3/2h", (3, 7200 * SECOND)),
    ],
)
def test_rate_is_so_many_in_a_time(text, rate):
    assert rate == read_rate(text)
    assert rate == read_rate(rate_text(*rate))


@pytest.mark.parametrize(
    "value", ["", "100", "/m", "0/m", "1/0s", "1/m ", "1/-3s", "1/9999999999d", "١/m", 5, None]
)
def test_what_is_none_is_none(value):
    assert read_rate(value) is None


def test_rate_is_shown_as_it_is_written():
    shown = [rate_text(*read_rate(text)) for text in ("100/m", "10/30s", "10/1.5s", "3/2h")]

    assert ["100/m", "10/30s", "10/1.5s", "3/7200s"] == shown


@given(st.integers(1, 10**9 - 1), st.timedeltas(timedelta.resolution, timedelta(days=99)))
def test_text_is_read_as_what_it_was(number, period):
    assert (number, period) == read_rate(rate_text(number, period))

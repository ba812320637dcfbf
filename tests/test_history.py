"""Classes of durations, and what can be read from them again."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_jobflow import history
from django_jobflow.endings import decide, expired
from django_jobflow.history import EDGES, RUN, WAIT, WORDS, Numbers, class_of, mean, quantile
from tests.worker.test_tallies import ENDS, reservation

NOON = datetime(2026, 11, 21, 12, 34, 56, 789, tzinfo=UTC)
DURATIONS = st.floats(min_value=0.001, max_value=50_000, exclude_max=True)


def numbers_of(kind, durations):
    return Numbers(WORDS[kind][class_of(each)] for each in durations)


@given(st.lists(DURATIONS, min_size=1), st.sampled_from([0.5, 0.95, 1.0]))
def test_percentile_is_in_the_class_of_the_true_one(durations, share):
    found = quantile(numbers_of(WAIT, durations), WAIT, share)

    # That which so many do not exceed; of 0.5 and two, the first.
    true = sorted(durations)[max(-int(-share * len(durations) // 1) - 1, 0)]
    number = class_of(true)
    assert EDGES[number - 1] <= found <= EDGES[min(number, len(EDGES) - 1)]


def test_durations_of_a_class_are_taken_to_be_spread_evenly():
    numbers = Numbers({WORDS[RUN][class_of(1.5)]: 10})

    assert [1.5, 1.95, 2.0] == [quantile(numbers, RUN, share) for share in (0.5, 0.95, 1.0)]


@given(st.lists(DURATIONS, min_size=1))
def test_mean_is_within_what_the_classes_leave_open(durations):
    found = mean(numbers_of(RUN, durations), RUN)

    true = sum(durations) / len(durations)
    assert true / 2.5 <= found <= true * 2.5  # as wide as the widest class is


def test_mean_of_one_class_is_its_middle():
    assert 1.5 == mean(numbers_of(RUN, [1.1, 1.2]), RUN)
    assert mean(numbers_of(RUN, [1]), WAIT) is None


def test_nothing_has_no_percentile():
    assert quantile(numbers_of(RUN, [1]), WAIT, 0.5) is None


def test_what_is_too_short_or_too_long_has_a_class_too():
    assert 0.0005 == quantile(numbers_of(RUN, [-1]), RUN, 0.5)
    found = quantile(numbers_of(RUN, [1e9]), RUN, 0.5)
    assert EDGES[-1] < found == pytest.approx(EDGES[-1])  # to be told from what is within


@pytest.mark.parametrize("length", history.LEVELS)
def test_period_begins_by_utc(length):
    east = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))

    start = history.beginning(east, length)

    assert start <= NOON < start + timedelta(seconds=length)
    assert start == history.beginning(start, length) == history.beginning(NOON, length)
    assert 0 == start.timestamp() % length


def test_every_end_has_a_word():
    endings = [decide(reservation(), outcome) for outcome in ENDS] + [expired(reservation())]

    assert {each.event for each in endings} <= history.OUTCOMES.keys()
    assert "released" == history.OUTCOMES["job_postponed"]

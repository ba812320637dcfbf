from dataclasses import FrozenInstanceError
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_jobflow import Exponential, Immediate, InvalidJob, Levels, Linear
from django_jobflow.backoff import DAY, LONGEST, delay_after

ATTEMPTS = st.integers(1, 10_000)
ANY_ATTEMPTS = st.integers(1, 10**9)
DURATIONS = st.timedeltas(timedelta(0), timedelta(days=400))
SECONDS = "seconds or a timedelta, from 0 to 100 years"


class ExponentialTests:
    def test_doubles_from_a_second_to_a_day_by_default(self):
        assert Exponential(timedelta(seconds=1), 2, DAY, 0.1) == Exponential()

    @pytest.mark.parametrize(
        ("strategy", "seconds"),
        [
            (Exponential(jitter=0), [1, 2, 4, 8]),
            (Exponential(5, factor=3, jitter=0), [5, 15, 45, 135]),
            (Exponential(timedelta(minutes=1), factor=1, jitter=0), [60, 60, 60, 60]),
            (Exponential(10, cap=25, jitter=0), [10, 20, 25, 25]),
            (Exponential(0, jitter=0), [0, 0, 0, 0]),
        ],
    )
    def test_grows_by_its_factor_up_to_its_cap(self, strategy, seconds):
        assert seconds == [strategy(attempt).total_seconds() for attempt in (1, 2, 3, 4)]

    @given(
        base=DURATIONS,
        factor=st.floats(1, 100),
        cap=DURATIONS,
        jitter=st.floats(0, 1),
        attempt=ANY_ATTEMPTS,
    )
    def test_never_passes_its_cap(self, base, factor, cap, jitter, attempt):
        delay = Exponential(base, factor, cap, jitter)(attempt)

        assert timedelta(0) <= delay <= cap

    @given(jitter=st.floats(0, 1), attempt=st.integers(1, 16))
    def test_stays_as_near_as_its_jitter_says(self, jitter, attempt):
        middle = 2 ** (attempt - 1)

        seconds = Exponential(jitter=jitter)(attempt).total_seconds()

        assert middle * (1 - jitter) - 1e-6 <= seconds <= middle * (1 + jitter) + 1e-6

    @given(attempt=ATTEMPTS)
    def test_grows_without_jitter(self, attempt):
        strategy = Exponential(jitter=0)

        assert strategy(attempt) <= strategy(attempt + 1)

    def test_jobs_that_failed_together_do_not_come_back_together(self):
        assert 1 < len({Exponential(100)(1) for _ in range(20)})

    @given(attempt=ANY_ATTEMPTS)
    def test_base_of_nothing_stays_nothing(self, attempt):
        assert timedelta(0) == Exponential(0)(attempt)

    @pytest.mark.parametrize("field", ["base", "cap"])
    @pytest.mark.parametrize("value", [-1, timedelta(seconds=-1), "5", None, True, 10**400])
    def test_wrong_duration_is_refused(self, field, value):
        with pytest.raises(InvalidJob) as caught:
            Exponential(**{field: value})

        assert f"Exponential: expected {field} to be {SECONDS}, got {value!r}." == str(
            caught.value
        )

    @pytest.mark.parametrize(
        ("field", "value", "limits"),
        [
            ("factor", 0.5, "1 to 100"),
            ("factor", 101, "1 to 100"),
            ("factor", True, "1 to 100"),
            ("factor", "2", "1 to 100"),
            ("jitter", -0.1, "0 to 1"),
            ("jitter", 1.5, "0 to 1"),
            ("jitter", None, "0 to 1"),
            ("jitter", float("nan"), "0 to 1"),
        ],
    )
    def test_number_out_of_range_is_refused(self, field, value, limits):
        with pytest.raises(InvalidJob) as caught:
            Exponential(**{field: value})

        sentence = f"Exponential: expected {field} to be a number from {limits}, got {value!r}."
        assert sentence == str(caught.value)


class LinearTests:
    def test_grows_by_its_base(self):
        assert [5, 10, 15] == [Linear(5)(attempt).total_seconds() for attempt in (1, 2, 3)]

    def test_base_is_a_second_by_default(self):
        assert Linear(timedelta(seconds=1)) == Linear()

    @given(base=DURATIONS, attempt=st.integers(1, 10**30))
    def test_never_passes_a_year(self, base, attempt):
        assert min(base * min(attempt, 10**5), LONGEST) <= Linear(base)(attempt) <= LONGEST

    def test_wrong_base_is_refused(self):
        with pytest.raises(InvalidJob) as caught:
            Linear(-1)

        assert f"Linear: expected base to be {SECONDS}, got -1." == str(caught.value)


class LevelsTests:
    def test_last_level_repeats(self):
        strategy = Levels([1, timedelta(minutes=1), 3600])

        assert [1, 60, 3600, 3600, 3600] == [
            strategy(attempt).total_seconds() for attempt in (1, 2, 3, 4, 10_000)
        ]

    @given(levels=st.lists(DURATIONS, min_size=1), attempt=ATTEMPTS)
    def test_delay_is_one_of_the_levels(self, levels, attempt):
        assert Levels(levels)(attempt) in levels

    @pytest.mark.parametrize("levels", [[], (), "15", 5, None, {1, 2}])
    def test_no_list_of_delays_is_refused(self, levels):
        with pytest.raises(InvalidJob) as caught:
            Levels(levels)

        assert f"Levels: expected a list of at least one delay, got {levels!r}." == str(
            caught.value
        )

    def test_wrong_level_is_refused(self):
        with pytest.raises(InvalidJob) as caught:
            Levels([1, -3])

        assert f"Levels: expected each level to be {SECONDS}, got -3." == str(caught.value)


class ImmediateTests:
    @given(attempt=ATTEMPTS)
    def test_is_no_delay_at_all(self, attempt):
        assert timedelta(0) == Immediate()(attempt)


class StrategyTests:
    @pytest.mark.parametrize("make", [Exponential, Linear, lambda: Levels([1]), Immediate])
    def test_is_a_frozen_value(self, make):
        strategy = make()

        assert (make(), hash(make())) == (strategy, hash(strategy))
        with pytest.raises(FrozenInstanceError):
            strategy.base = 5


class DelayAfterTests:
    @given(
        answer=st.one_of(
            st.integers(0), st.floats(0), st.timedeltas(timedelta(0)), st.just(float("inf"))
        ),
        attempt=ATTEMPTS,
    )
    def test_any_callable_gets_a_year_at_most(self, answer, attempt):
        assert timedelta(0) <= delay_after(lambda _: answer, attempt, name="send") <= LONGEST

    def test_callable_is_given_the_attempt(self):
        assert timedelta(seconds=9) == delay_after(lambda attempt: attempt**2, 3, name="send")

    @pytest.mark.parametrize(
        "answer", [None, "5", -1, timedelta(seconds=-1), True, float("nan"), -(10**400)]
    )
    def test_other_answer_is_refused(self, answer):
        with pytest.raises(InvalidJob) as caught:
            delay_after(lambda attempt: answer, 3, name="send")

        assert f"send: expected backoff(3) to be {SECONDS}, got {answer!r}." == str(caught.value)

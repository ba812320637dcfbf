from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_jobflow import Exponential, InvalidJob, Levels
from django_jobflow.moments import reservation_expiry, retry_time

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class ReservationExpiryTests:
    @pytest.mark.parametrize("timeout", [90, 90.0, timedelta(seconds=90)])
    def test_is_the_timeout_from_now(self, timeout):
        assert datetime(2030, 1, 2, 3, 5, 35, 678901, UTC) == reservation_expiry(NOW, timeout)

    def test_nothing_is_rounded(self):
        assert NOW + timedelta(microseconds=1) == reservation_expiry(NOW, 0.000001)

    @pytest.mark.parametrize("timeout", [-1, None, "60", timedelta(days=40_000)])
    def test_wrong_timeout_is_refused(self, timeout):
        with pytest.raises(InvalidJob) as caught:
            reservation_expiry(NOW, timeout)

        assert (
            "reservation_expiry: expected timeout to be seconds or a timedelta, "
            f"from 0 to 100 years, got {timeout!r}."
        ) == str(caught.value)


class RetryTimeTests:
    @given(attempt=st.integers(1, 10))
    def test_delay_doubles_from_the_base_delay(self, attempt):
        delay = (retry_time(NOW, attempt, base_delay=5) - NOW).total_seconds()

        assert delay == pytest.approx(5 * 2 ** (attempt - 1), rel=0.1)

    def test_backoff_comes_before_base_delay(self):
        moment = retry_time(NOW, 2, base_delay=5, backoff=Levels([1, 60]))

        assert NOW + timedelta(minutes=1) == moment

    def test_any_callable_is_a_backoff(self):
        assert NOW + timedelta(seconds=30) == retry_time(NOW, 3, backoff=lambda n: n * 10)

    @given(attempt=st.integers(1, 10**9), base=st.floats(0, 10**9))
    def test_is_never_before_now_nor_more_than_a_day_after(self, attempt, base):
        assert NOW <= retry_time(NOW, attempt, base_delay=base) <= NOW + timedelta(days=1)

    def test_cap_of_more_than_a_year_is_a_year(self):
        strategy = Exponential(cap=timedelta(days=1000), jitter=0)

        assert NOW + timedelta(days=365) == retry_time(NOW, 100, backoff=strategy)

    def test_wrong_answer_is_refused(self):
        with pytest.raises(InvalidJob) as caught:
            retry_time(NOW, 3, backoff=lambda attempt: "soon")

        assert (
            "retry_time: expected backoff(3) to be seconds or a timedelta, "
            "from 0 to 100 years, got 'soon'."
        ) == str(caught.value)

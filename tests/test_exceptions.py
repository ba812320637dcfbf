import inspect
from datetime import timedelta

import pytest

from django_jobflow import (
    ArgumentError,
    Cancel,
    Discard,
    DuplicateJob,
    InvalidJob,
    InvalidResult,
    JobflowError,
    JobInterrupt,
    JobTimeout,
    Retry,
    Snooze,
    UnknownJob,
    exceptions,
)


def subclasses(of):
    return [
        value
        for value in vars(exceptions).values()
        if inspect.isclass(value) and issubclass(value, of)
    ]


class FamilyTests:
    def test_one_base_catches_every_error(self):
        assert [] == [kind for kind in subclasses(Exception) if not issubclass(kind, JobflowError)]

    def test_interrupt_gets_through_an_except_exception(self):
        assert [] == [kind for kind in subclasses(JobInterrupt) if issubclass(kind, Exception)]

    @pytest.mark.parametrize(
        ("error", "builtin"),
        [
            (ArgumentError, TypeError),
            (InvalidResult, TypeError),
            (UnknownJob, LookupError),
            (JobTimeout, TimeoutError),
        ],
    )
    def test_error_is_also_what_python_calls_it(self, error, builtin):
        assert issubclass(error, builtin)

    def test_every_error_says_what_it_means(self):
        assert [] == [kind for kind in subclasses(BaseException) if not inspect.getdoc(kind)]


class EndTests:
    @pytest.mark.parametrize("delay", [60, 60.0, timedelta(minutes=1)])
    def test_delay_is_seconds_or_a_timedelta(self, delay):
        assert [timedelta(minutes=1)] * 2 == [Retry(delay=delay).delay, Snooze(delay).delay]

    def test_retry_without_a_delay_asks_the_backoff(self):
        assert (None, "busy") == (Retry("busy").delay, str(Retry("busy")))

    def test_retry_at_once_is_a_delay(self):
        assert timedelta(0) == Retry(delay=0).delay

    def test_reason_is_the_text(self):
        ends = [Retry("why"), Snooze(1, "why"), Discard("why"), Cancel("why")]

        assert ["why"] * 4 == [str(end) for end in ends]

    @pytest.mark.parametrize("end", [lambda delay: Retry(delay=delay), Snooze])
    @pytest.mark.parametrize("delay", [-1, timedelta(seconds=-1), "5", True, timedelta.max, 1e300])
    def test_wrong_delay_is_refused(self, end, delay):
        with pytest.raises(InvalidJob) as caught:
            end(delay)

        subject, _, sentence = str(caught.value).partition(": ")
        assert subject in {"Retry", "Snooze"}
        assert (
            f"expected delay to be seconds or a timedelta, from 0 to 100 years, got {delay!r}."
        ) == sentence

    def test_duplicate_carries_the_record_that_holds_the_key(self):
        holder = object()

        assert ("taken", holder) == (
            str(DuplicateJob("taken", holder)),
            DuplicateJob("taken", holder).record,
        )

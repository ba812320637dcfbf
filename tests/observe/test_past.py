"""What is read of the sums, folded or not."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import TestCase

from django_jobflow import observe
from django_jobflow.engines import engine_for
from django_jobflow.history import RUN, WORDS, class_of
from django_jobflow.models import History
from django_jobflow.observe import Count
from django_jobflow.observe.past import rates
from tests.factories import JobRecordFactory, WorkerFactory

NOON = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def write(minutes_ago, samples=0, **numbers):
    """Add what a worker has counted so long ago, by queue; ``_`` stands for all of them."""
    found = {"" if queue == "_" else queue: said for queue, said in numbers.items()}
    engine_for("default").write_history(NOON - minutes_ago * MINUTE, found, samples)


def fold():
    engine_for("default").fold_history()


class HistoryTests(TestCase):
    def assert_alike(self, expected, read):
        """Say that *read* returns *expected* before the rows are folded, and afterwards."""
        before = read()
        assert History.objects.exists()
        fold()

        assert expected == before == read()

    def test_span_has_all_of_its_periods(self):
        for name, span in observe.SPANS.items():
            with self.subTest(span=name):
                periods = observe.history(name, now=NOON)

                assert span.count == len(periods)
                assert {span.length} == {period.length for period in periods}
                assert (
                    periods[-1].start <= NOON < periods[-1].start + timedelta(seconds=span.length)
                )

    def test_numbers_are_in_their_periods(self):
        write(0, a={"succeeded": 1}, b={"succeeded": 10})
        write(2, a={"succeeded": 100, "failed": 1})
        write(90, a={"succeeded": 1000})

        for queue, expected in (("", [101, 0, 11]), ("a", [101, 0, 1]), ("c", [0, 0, 0])):
            with self.subTest(queue=queue):
                self.assert_alike(
                    expected,
                    lambda queue=queue: [
                        period.ends for period in observe.history("hour", queue, now=NOON)[-3:]
                    ],
                )

    def test_long_periods_have_what_short_ones_have(self):
        for minutes in (1, 30, 600):
            write(minutes, a={"succeeded": 1})
        fold()

        found = [
            sum(period.ends for period in observe.history(span, now=NOON))
            for span in ("hour", "day", "week")
        ]

        assert [2, 3, 3] == found

    def test_backlog_is_the_mean_of_the_samples(self):
        write(1, samples=1, _={}, a={"waiting": 10, "held": 1}, b={"waiting": 1})
        write(1, samples=1, _={"cut": 1}, a={"waiting": 30, "held": 3})

        self.assert_alike(
            (20.0, 2.0, True),
            lambda: (
                (period := observe.history("hour", "a", now=NOON)[-2]).waiting,
                period.held,
                observe.history("hour", now=NOON)[-2].is_cut,
            ),
        )
        assert 20.5 == observe.history("hour", now=NOON)[-2].waiting

    def test_backlog_is_not_known_without_a_sample(self):
        write(1, a={"succeeded": 1})

        assert [None, None] == [
            getattr(observe.history("hour", now=NOON)[-2], name) for name in ("waiting", "held")
        ]

    def test_span_is_one_statement(self):
        with self.assertNumQueries(1):
            observe.history("week", "a", now=NOON)


class OverviewTests(TestCase):
    def test_each_queue_has_its_facts(self):
        WorkerFactory(now=NOON, queues=["a"], threads=3)
        for _ in range(2):
            JobRecordFactory(queue="a", now=NOON - MINUTE)
        JobRecordFactory(state="IN_PROGRESS", queue="a")
        JobRecordFactory(state="FAILED", queue="b")
        JobRecordFactory(state="RETRY", queue="b")
        write(1, a={"succeeded": 60, WORDS[RUN][class_of(1.5)]: 60})

        seen = observe.overview(now=NOON)

        by_name = {facts.queue: facts for facts in [seen.total, *seen.queues]}
        a, b, total = by_name["a"], by_name["b"], by_name[""]
        assert (Count(2), Count(1), Count(0), 60.0) == (a.waiting, a.running, a.failed, a.oldest)
        assert (1.5, 1.95) == a.runs
        assert (None, None) == a.waits
        assert (1, 3, 0, 0) == (a.workers, a.slots, b.workers, b.slots)
        assert (Count(1), Count(1), None) == (b.failed, b.retrying, b.oldest)
        assert (Count(2), 60.0, (1.5, 1.95), 1) == (
            total.waiting,
            total.oldest,
            total.runs,
            total.workers,
        )
        assert a.rate_out == total.rate_out == pytest.approx(60 / 270)
        assert "default" in by_name  # a job is declared on it


def periods(*found):
    """Return minutes before NOON: of each the ends, and what waits, or None without a sample."""
    result = []
    for back, (count, waiting) in zip(reversed(range(len(found))), found, strict=True):
        period = observe.Period(NOON.replace(second=0) - back * MINUTE, 60)
        period.numbers["succeeded"] = count
        if waiting is not None:
            period.samples, period.numbers["waiting"] = 1, waiting
        result.append(period)
    return result


class RateTests:
    @pytest.mark.parametrize(
        ("found", "expected"),
        [
            ([], (None, 0.0)),
            ([(45, None), (45, None)], (None, 1.0)),
            ([(45, 0), (45, None)], (None, 1.0)),
            ([(45, 0), (45, 0)], (1.0, 1.0)),
            ([(45, 0), (45, 120)], (3.0, 1.0)),
            ([(45, 120), (45, 90)], (0.5, 1.0)),
            ([(0, 120), (0, 0)], (0.0, 0.0)),
        ],
    )
    def test_what_comes_in_is_what_goes_out_and_what_stays(self, found, expected):
        assert expected == rates(periods(*found), NOON)

    def test_it_is_not_known_where_not_all_was_counted(self):
        found = periods((45, 0), (45, 120))
        found[0].numbers["cut"] = 1

        assert (None, 1.0) == rates(found, NOON)

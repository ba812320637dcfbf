"""What was measured, stored and read again."""

import pytest

from benchmarks import run
from benchmarks.figures import Figure, Results, percentile


def figure(measure="noop", runs=(1.0,), missing=""):
    return Figure(suite="drain", side="ours", measure=measure, runs=list(runs), missing=missing)


def test_median_is_that_of_the_runs():
    assert 3 == figure(runs=[9, 1, 3]).median
    assert figure(runs=[], missing="it was not there").median is None


def test_results_are_read_as_they_were_written(tmp_path):
    results = Results(about={"date": "today"}, sides={"ours": {}}, figures=[figure()])
    results.write(tmp_path / "results.json")

    assert results == Results.read(tmp_path / "results.json")


def test_new_figure_takes_the_place_of_the_old_one():
    results = Results(figures=[figure(runs=[1.0]), figure("insert")])
    results.add([figure(runs=[2.0])])

    assert [figure("insert"), figure(runs=[2.0])] == results.figures


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100)], ids=["p50", "p99", "most"]
)
def test_percentile_is_a_value_that_was_there(share, expected):
    assert expected == percentile(list(range(100, 0, -1)), share)


def test_percentile_of_few_values_is_the_largest():
    assert 3 == percentile([1, 2, 3], 0.99)


def test_failures_are_told_without_paths():
    text = 'connection to "/somewhere/else/.s.PGSQL.5432" failed:\n\tNo such file'

    assert 'connection to "(path)" failed: No such file' == run.presentable(text)

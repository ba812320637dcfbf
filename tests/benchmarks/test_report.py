"""The page of the documentation shows the latest results, as the command renders them."""

import re
from pathlib import Path

import pytest

from benchmarks import plots, report, run, tables
from benchmarks.figures import Figure, Results

SAMPLE = Results.read(Path(__file__).parent / "sample.json")


def test_every_side_has_a_row():
    rows = tables.side_by_side(SAMPLE).splitlines()[2:]

    assert list(SAMPLE.sides) == [row.split(" | ")[0].strip("|* ") for row in rows]


def test_side_of_ours_without_a_figure_in_the_columns_has_no_row():
    figure = Figure(suite="turns", side="ours-driver", measure="x", unit="%", runs=[124.0])
    results = Results(
        sides={"ours-driver": SAMPLE.sides["ours"], "huey-redis": SAMPLE.sides["huey-redis"]},
        figures=[figure],
    )

    rows = tables.side_by_side(results).splitlines()[2:]

    assert ["huey-redis"] == [row.split(" | ")[0].strip("|* ") for row in rows]


def test_row_shows_medians_and_dashes():
    rows = tables.side_by_side(SAMPLE).splitlines()

    assert (
        "| **ours** | postgresql | 27,200 | 2,020 | - | - | 1,120 | 4,530 | 22.3 | 42.9 | 14.0 "
        "| 1.00 | 81.8 | 0.0122 |"
    ) in rows
    assert "| huey-redis | redis | - | - | - | - | - | - | - | - | - | - | - | - |" in rows


def test_what_waits_for_the_ends_is_shown_where_there_is_both():
    row = next(row for row in tables.side_by_side(SAMPLE).splitlines() if "pgqueuer" in row)

    assert "| pgqueuer | postgresql | 15,000 |" in row
    assert [("ours", 27234.5), ("pgqueuer", 15000.0)] == plots.bars_of(SAMPLE, plots.PLOTS[0])


def test_what_is_missing_is_told():
    assert "- huey-redis, drain: no Redis answers." in tables.not_measured(SAMPLE).splitlines()


@pytest.mark.parametrize(
    ("runs", "invocations", "expected"),
    [(3, 1, "All figures come from one run"), (1, 1, "a short look"), (3, 6, "6 invocations")],
)
def test_page_says_how_its_figures_came_about(runs, invocations, expected):
    options = {"runs": runs, "most": 5000, "seconds": 0.5}

    said = tables.caution(Results(about={"options": options, "invocations": invocations}))

    assert expected in said


def test_figures_of_several_days_claim_the_least_care_of_all():
    earlier = {"date": "2026-01-01", "options": {"runs": 2, "seconds": 1.0, "most": 9, "idle": 5}}
    now = {"date": "2026-01-02", "options": {"runs": 3, "seconds": 0.5, "most": 9, "idle": 9}}

    said = run.together(run.together({}, earlier), now)

    assert "2026-01-01 to 2026-01-02" == said["date"]
    assert 2 == said["invocations"]
    assert {"runs": 2, "seconds": 0.5, "most": 9, "idle": 5} == said["options"]


def test_figures_from_before_an_option_claim_nothing_of_it():
    earlier = {"date": "2026-01-01", "options": {"runs": 2}}
    now = {"date": "2026-01-01", "options": {"runs": 2, "warm_up": 600}}

    assert 600 == run.together({}, now)["options"]["warm_up"]
    assert 0 == run.together(earlier, now)["options"]["warm_up"]


def test_plots_compare_the_same_body():
    figures = [
        Figure(suite="real", side=side, measure=measure, runs=[runs])
        for side, measure, runs in [
            ("ours", "insert", 1.0),
            ("ours", "insert-raw-grouped", 4.0),
            ("pgqueuer", "insert", 3.0),
            ("pgqueuer", "insert-orm", 2.0),
        ]
    ]
    sides = {"ours": {"versions": {"Django": "6"}}, "pgqueuer": {"versions": {}}}
    bars = {
        plot.file: plots.bars_of(Results(sides=sides, figures=figures), plot)
        for plot in plots.PLOTS
    }

    assert [("pgqueuer", 2.0), ("ours", 1.0)] == bars["orm"]
    assert [("ours, grouped", 4.0), ("pgqueuer", 3.0)] == bars["real"]


def test_transactions_stand_side_by_side():
    figures = [
        Figure(suite=suite, side="ours", measure=measure, runs=[runs])
        for suite, measure, runs in [
            ("real", "insert-grouped", 400.0),
            ("real", "insert-raw-grouped", 900.0),
            ("real", "insert-raw-grouped, until settled", 800.0),
            ("real", "insert-raw-grouped, transactions a job", 0.5),
            ("disk", "insert-raw-grouped", 700.0),
        ]
    ]

    rows = tables.of_transactions(Results(figures=figures)).splitlines()

    assert '| `"grouped"` | 400 | 800 | 700 | 0.50 |' == rows[-1]
    assert "| `False` | - | - | - | - |" == rows[2]


def test_only_the_marked_part_of_a_page_is_filled():
    page = "before\n<!-- results: about -->\nold\n<!-- end of results -->\nafter\n"

    filled = report.fill(page, SAMPLE)

    assert filled.startswith("before\n<!-- results: about -->\n\n| what |")
    assert filled.endswith("|\n\n<!-- end of results -->\nafter\n")
    assert "old" not in filled
    assert filled == report.fill(filled, SAMPLE)


def test_page_has_a_place_for_every_part():
    assert set(report.PARTS) == set(
        re.findall(r"<!-- results: (\w+) -->", report.PAGE.read_text())
    )


def test_page_shows_the_latest_results():
    page = report.PAGE.read_text()

    assert page == report.fill(page, Results.read(report.latest()))


def test_plots_of_the_same_results_are_the_same(tmp_path):
    pytest.importorskip("matplotlib")
    drawn = {path.name: path.read_bytes() for path in plots.draw(SAMPLE, tmp_path)}

    assert drawn == {path.name: path.read_bytes() for path in plots.draw(SAMPLE, tmp_path)}
    assert {"drain.svg", "orm.svg"} <= set(drawn)


@pytest.mark.parametrize(
    ("amount", "expected"),
    [(27_234.5, "27,200"), (404.2, "404"), (22.27, "22.3"), (3.444, "3.44"), (0.0122, "0.0122")],
)
def test_numbers_have_three_digits(amount, expected):
    assert expected == tables.number(amount)

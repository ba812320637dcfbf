"""The results as plots that can be read on a light and on a dark page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.figures import Results
from benchmarks.tables import BARE, BY_ORM, measure_of

# In the middle between black and white, and nothing behind them.
INK = "#7d7d7d"
PEER = "#8a9bb0"
OURS = "#2a9d76"
WIDTH = 7.0  # inches
ROW = 0.26  # inches of height for each bar


class Plot(NamedTuple):
    """One plot: bars of one measure, for all sides that have it."""

    file: str
    title: str
    suite: str
    measure: str
    lower_is_better: bool = False


# What comes after the names of the jobs that write a row where they do so in another transaction.
WAYS = ("transactional", "pipelined", "grouped")

PLOTS = [
    Plot("drain", "no-op jobs a second", "drain", "noop"),
    Plot("orm", "jobs with one INSERT by the ORM a second", "real", BY_ORM),
    Plot("real", "jobs with one bare INSERT a second", "real", BARE),
    Plot("disk", "the same where a flush takes a millisecond longer", "disk", BARE),
    Plot("enqueue", "enqueues a second, one by one", "enqueue", "one by one"),
    Plot("bulk", "enqueues a second, in bulk", "enqueue", "in bulk"),
    Plot("latency", "call to start, p50 in ms", "latency", "call to start, p50", True),
    Plot("tail", "call to start, p99 in ms", "latency", "call to start, p99", True),
    Plot("memory", "memory, MiB", "idle", "memory", True),
]


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw all plots that there are figures for; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for plot in PLOTS:
        if bars := bars_of(results, plot):
            paths.append(folder / f"{plot.file}.svg")
            _draw(plot, bars, paths[-1])
    return paths


def bars_of(results: Results, plot: Plot) -> list[tuple[str, float]]:
    """Return each side's median, the best first."""
    additions = {"": ""}
    if plot.measure in {BY_ORM, BARE}:
        additions |= {f"-{way}": f", {way}" for way in WAYS}
    found = [
        (f"{side}{addition}", figure.median)
        for side, said in results.sides.items()
        for way, addition in additions.items()
        if (figure := results.ended(plot.suite, side, measure_of(said, plot.measure) + way))
        and figure.median
    ]
    return sorted(found, key=lambda bar: bar[1], reverse=not plot.lower_is_better)


def _draw(plot: Plot, bars: list[tuple[str, float]], path: Path) -> None:
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(WIDTH, 0.9 + ROW * len(bars)))
    names, values = [name for name, _ in bars], [value for _, value in bars]
    colors = [OURS if name.startswith("ours") else PEER for name in names]
    drawn = axes.barh(names, values, color=colors, height=0.7)
    axes.bar_label(drawn, labels=[f"{value:,.4g}" for value in values], padding=3, color=INK)
    axes.set_xscale("log")
    axes.set_xlim(right=max(values) * 2.2)
    axes.invert_yaxis()
    better = "shorter" if plot.lower_is_better else "longer"
    axes.set_title(f"{plot.title} ({better} is better, logarithmic)", color=INK, loc="left")
    axes.tick_params(colors=INK, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
    # It ends its lines with blanks.
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("svg")
    # The same results give the same bytes, and the page's reader chooses the letters.
    mpl.rcParams.update(
        {
            "svg.hashsalt": "benchmarks",
            "svg.fonttype": "none",
            "font.size": 9,
            "font.family": "sans-serif",
        }
    )
    from matplotlib import pyplot

    return pyplot

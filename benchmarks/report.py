"""The page of the documentation that shows the latest results.

The text of the page is written by hand. What lies between two marks is put there from the
results, and nothing in it is ever typed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from benchmarks import plots, tables
from benchmarks.figures import Results

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
PAGE = ROOT / "docs" / "explanation" / "benchmarks.md"
PICTURES = ROOT / "docs" / "_static" / "benchmarks"
MARKED = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end of results -->)", re.DOTALL)

PARTS: dict[str, Callable[[Results], str]] = {
    "about": tables.about,
    "caution": tables.caution,
    "detail": tables.in_detail,
    "missing": tables.not_measured,
    "peers": tables.of_peers,
    "settings": tables.settings,
    "sides": tables.side_by_side,
    "transactions": tables.of_transactions,
}


class NoResults(Exception):
    """There is nothing to report."""


def latest(folder: Path = RESULTS) -> Path:
    """Return the newest result.

    Raises:
        NoResults: There is none.
    """
    found = sorted(folder.glob("*.json"))
    if not found:
        raise NoResults("There are no results yet. Run: tox run -e benchmarks")
    return found[-1]


def fill(page: str, results: Results) -> str:
    """Return the text of the page with its marked parts made from *results*."""
    return MARKED.sub(lambda mark: f"{mark[1]}\n{PARTS[mark[2]](results)}\n\n{mark[3]}", page)


def report(path: Path | None = None) -> list[Path]:
    """Write the tables of a result beside it, and fill the page; return the files."""
    path = path or latest()
    results = Results.read(path)
    beside = path.with_suffix(".md")
    beside.write_text(f"{tables.side_by_side(results)}\n\n{tables.in_detail(results)}\n")
    PAGE.write_text(fill(PAGE.read_text(), results))
    return [beside, PAGE, *plots.draw(results, PICTURES)]

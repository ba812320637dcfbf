"""The page of the documentation that shows the latest long run of each database.

The text of the page is written by hand. What lies between two marks is put there from the
results, and nothing in it is ever typed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tests.chaos.results import Results, happenings, run, summary, table

ROOT = Path(__file__).parent.parent.parent
RESULTS = Path(__file__).parent / "results"
PAGE = ROOT / "docs" / "explanation" / "chaos.md"
MARKED = re.compile(r"(<!-- chaos: (\w+) (\w+) -->\n).*?(<!-- end of chaos -->)", re.DOTALL)
NOTHING = "There is no long run of it yet."

PARTS: dict[str, Callable[[Results], str]] = {
    "run": run,
    "summary": summary,
    "faults": table,
    "happenings": happenings,
}


def fill(page: str, found: dict[str, Results]) -> str:
    """Return the text of the page with its marked parts made from what was *found*."""

    def part(mark: re.Match[str]) -> str:
        results = found.get(mark[2])
        text = NOTHING if results is None else PARTS[mark[3]](results)
        return f"{mark[1]}\n{text}\n\n{mark[4]}"

    return MARKED.sub(part, page)


def latest() -> dict[str, Results]:
    """Return the results that are kept, by their names: that of the database, mostly."""
    return {path.stem: Results.read(path) for path in sorted(RESULTS.glob("*.json"))}


def report(*new: str) -> None:
    """Keep *new* results, each as ``name=file``, and fill the page with all that there are."""
    for name, _, path in (each.partition("=") for each in new):
        Results.read(Path(path)).write(RESULTS / f"{name}.json")
    PAGE.write_text(fill(PAGE.read_text(), latest()))

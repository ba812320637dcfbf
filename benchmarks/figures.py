"""What was measured, as it is stored and read again."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SETTLED = ", until settled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measure of one side: its median, or why there is none.

    Attributes:
        suite: What was measured with it.
        side: Who was measured.
        measure: What it says, in a word or two.
        unit: Of the median and of the runs.
        runs: What each run gave.
        missing: Why it was not measured. Empty when it was.
    """

    suite: str
    side: str
    measure: str
    unit: str = ""
    runs: Sequence[float] = ()
    missing: str = ""

    @property
    def median(self) -> float | None:
        return statistics.median(self.runs) if self.runs else None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.suite, self.side, self.measure


@dataclass(kw_only=True)
class Results:
    """All figures of one run, and what has to be known to read them.

    Attributes:
        about: The machine, the servers, the options and the date.
        sides: What each side says about itself.
        figures: In the order in which they were measured.
    """

    about: dict[str, Any] = field(default_factory=dict)
    sides: dict[str, dict[str, Any]] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)

    def add(self, figures: Iterable[Figure]) -> None:
        """Take in new figures, each in place of an older one of the same kind."""
        new = list(figures)
        keys = {figure.key for figure in new}
        self.figures = [figure for figure in self.figures if figure.key not in keys] + new

    def find(self, suite: str, side: str, measure: str) -> Figure | None:
        """Return a figure, or None."""
        wanted = (suite, side, measure)
        return next((figure for figure in self.figures if figure.key == wanted), None)

    def ended(self, suite: str, side: str, measure: str) -> Figure | None:
        """Return the figure that waits for the ends to be stored, where the side can tell.

        The rate of the bodies alone praises whoever fetches most at once: a large batch runs
        in memory long before the end of its first job is committed.
        """
        settled = self.find(suite, side, f"{measure}{SETTLED}")
        return settled or self.find(suite, side, measure)

    def write(self, path: Path) -> None:
        """Write them as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=1, sort_keys=False)
        path.write_text(text + "\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read what ``write`` wrote."""
        stored = json.loads(path.read_text())
        figures = [Figure(**figure) for figure in stored.pop("figures")]
        return cls(figures=figures, **stored)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that so large a share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(-(-len(ordered) * round(share * 100) // 100) - 1, 0)]

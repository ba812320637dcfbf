"""What a run has come to, as it is stored and shown."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.invariants import Evidence, Verdict, judge
from tests.chaos.rescue import Rescue, rescues
from tests.chaos.stage import Stage

# What the workers have logged, and what it means.
EVENTS = {
    "database_trouble": "a statement failed, and the worker paused",
    "database_back": "it went on",
    "worker_died": "a supervisor noticed a dead child",
    "worker_stuck": "a supervisor killed a child that stood still",
    "supervisor_lost": "a worker noticed that its supervisor was gone",
    "job_rescued": "what a dead worker held was given back",
    "job_lost": "it was the last attempt, so the job failed",
    "heartbeat_late": "a worker could not renew its leases in time",
    "lease_lost": "another had taken a record meanwhile",
    "reservation_lost": "an end was refused by the fence: nothing was written",
}


@dataclass(kw_only=True)
class Row:
    """What there is to say of one kind of fault.

    Attributes:
        held: Records that its victims held.
        p50, longest: Seconds until those were free again, or FAILED for want of an attempt.
        again_p50, again_longest: Seconds until they were started again, behind all that waited.
        quiet: Those in whose time nothing else was broken.
        quiet_p50, quiet_longest: Seconds until these were free.
    """

    fault: str
    faults: int
    held: int = 0
    p50: float | None = None
    longest: float | None = None
    again_p50: float | None = None
    again_longest: float | None = None
    quiet: int = 0
    quiet_p50: float | None = None
    quiet_longest: float | None = None


@dataclass(kw_only=True)
class Results:
    """One run."""

    about: dict[str, Any]
    rows: list[Row]
    verdict: Verdict
    errors: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)

    @property
    def faults(self) -> int:
        return sum(row.faults for row in self.rows)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        stored = json.loads(path.read_text())
        rows = [Row(**row) for row in stored.pop("rows")]
        return cls(rows=rows, verdict=Verdict(**stored.pop("verdict")), **stored)


def results(stage: Stage, about: dict[str, Any]) -> Results:
    """Return what a run has come to whose processes have ended."""
    evidence = Evidence(stage)
    made = [strike for strike in stage.strikes if not strike.missed]
    found = rescues(made, evidence.moves)
    counts = Counter(strike.fault for strike in made)
    exceptions = Counter(error["exception"] for row in evidence.rows for error in row.errors)
    return Results(
        about=about,
        rows=[_row(fault, count, found) for fault, count in sorted(counts.items())],
        verdict=judge(stage),
        errors=dict(exceptions.most_common()),
        events={event: stage.heard(event) for event in EVENTS},
    )


def _row(fault: str, count: int, found: Iterable[Rescue]) -> Row:
    ours = [each for each in found if each.fault == fault]
    times = [each.freed for each in ours]
    again = [each.again for each in ours]
    quiet = [each.freed for each in ours if each.in_quiet]
    return Row(
        fault=fault,
        faults=count,
        held=len(times),
        p50=_median(times),
        longest=max(times, default=None),
        again_p50=_median(again),
        again_longest=max(again, default=None),
        quiet=len(quiet),
        quiet_p50=_median(quiet),
        quiet_longest=max(quiet, default=None),
    )


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def about_this(kind: str, **more: Any) -> dict[str, Any]:
    """Return what has to be known to read the results."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "database": kind,
        "Python": platform.python_version(),
        "cores": os.cpu_count(),
        **more,
    }


# As Markdown


def table(results: Results) -> str:
    """Return one row for each kind of fault."""
    rows = [
        [
            row.fault,
            str(row.faults),
            str(row.held) if row.held else "-",
            *map(_seconds, (row.p50, row.longest, row.again_p50, row.again_longest)),
            str(row.quiet) if row.quiet else "-",
            *map(_seconds, (row.quiet_p50, row.quiet_longest)),
        ]
        for row in results.rows
    ]
    titles = ["fault", "made", "jobs struck", "free again after, p50", "longest"]
    titles += ["begun again after, p50", "longest", "undisturbed", "free after, p50", "longest"]
    return _table(titles, [*rows, ["**all**", f"**{results.faults}**", *"--------"]])


def summary(results: Results) -> str:
    """Return what became of the jobs."""
    verdict = results.verdict
    rows = [
        ["faults", f"{results.faults:,}"],
        ["jobs enqueued and committed", f"{verdict.jobs:,}"],
        ["lost, or without an end", f"{verdict.lost:,}"],
        ["done twice", f"{verdict.doubled:,}"],
        ["other violations", f"{len(verdict.violations):,}"],
        ["given up: the worker died in the only attempt", f"{verdict.given_up:,}"],
        ["bodies run again", f"{verdict.repeated:,}"],
    ]
    return _table(["what", "how many"], rows)


def happenings(results: Results) -> str:
    """Return how often the workers have said what."""
    rows = [[f"`{each}`", EVENTS[each], f"{n:,}"] for each, n in results.events.items()]
    return _table(["logged", "that is", "how often"], rows)


def run(results: Results) -> str:
    """Return what was run where."""
    return _table(["what", "as it was"], [[k, str(v)] for k, v in results.about.items()])


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

"""How long and how large everything is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run measures, and with how much patience.

    Attributes:
        suites: Names of what is measured. Empty means all.
        sides: Names of who is measured. Empty means all.
        processes: Of each side's worker, where it has processes.
        runs: Of which the median counts, after one that warms up.
        seconds: That a drain and an enqueue are to last.
        most: Jobs in one drain at most.
        latencies: Jobs that are timed one by one.
        rest: Seconds that a worker gets to become idle, and its sessions to report what they did.
        idle: Seconds that an idle worker is watched for.
        bulk: Jobs in one bulk enqueue.
        large: Jobs in the bulk enqueue whose memory is measured.
        rows: The million of the flat cost.
        minutes: That the old snapshot is held for.
        warm_up: Megabytes that PostgreSQL writes before the first side is measured.
        lock: File to hold a lock on while something is measured, where others use the machine.
        results: Folder that the result is written to.
        update: An earlier result, whose other figures are kept.
    """

    suites: frozenset[str] = frozenset()
    sides: frozenset[str] = frozenset()
    processes: int = 2
    runs: int = 3
    seconds: float = 2.0
    most: int = 60_000
    latencies: int = 100
    rest: float = 12.0
    idle: float = 10.0
    bulk: int = 10_000
    large: int = 100_000
    rows: int = 1_000_000
    minutes: float = 1.0
    warm_up: int = 600
    lock: Path | None = None
    results: Path = Path(__file__).parent / "results"
    update: Path | None = None

    def wants(self, suite: str, side: str) -> bool:
        return (not self.suites or suite in self.suites) and (not self.sides or side in self.sides)


QUICK = Options(
    runs=1,
    seconds=0.5,
    most=5_000,
    latencies=40,
    rest=3.0,
    idle=3.0,
    bulk=2_000,
    large=20_000,
    rows=50_000,
    minutes=0.1,
    warm_up=0,
)


def parse(arguments: Sequence[str], suites: Sequence[str], sides: Sequence[str]) -> Options:
    """Read the command line of a run."""
    given = vars(_parser(suites, sides).parse_args(arguments))
    base = QUICK if given.pop("quick") else Options()
    chosen = {name: value for name, value in given.items() if value is not None}
    for name in ("suites", "sides"):
        chosen[name] = frozenset(chosen.get(name, ()))
    return replace(base, **chosen)


def _parser(suites: Sequence[str], sides: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure this queue and its peers. 'report' renders the results anew.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="Short and small: a look whether all works.")
    add("--suites", nargs="+", choices=suites, metavar="SUITE", help=", ".join(suites))
    add("--sides", nargs="+", choices=sides, metavar="SIDE", help=", ".join(sides))
    for name, kind in _NUMBERS.items():
        default = getattr(Options(), name.replace("-", "_"))
        add(f"--{name}", type=kind, metavar="N", help=f"Default: {default}.")
    add("--lock", type=Path, metavar="FILE", help="Hold a lock on it while measuring.")
    add("--results", type=Path, metavar="FOLDER", help="Where the result is written to.")
    add("--update", type=Path, metavar="JSON", help="Keep the other figures of this result.")
    return parser


_NUMBERS = {
    "processes": int,
    "runs": int,
    "seconds": float,
    "most": int,
    "latencies": int,
    "rest": float,
    "idle": float,
    "bulk": int,
    "large": int,
    "rows": int,
    "minutes": float,
    "warm-up": int,
}

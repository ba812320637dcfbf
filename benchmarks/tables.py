"""The results as tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.figures import Figure, Results

NOTHING = "-"
OURS = "ours"
ENOUGH_RUNS = 3  # for a median that means something

BY_ORM, BARE = "INSERT by the ORM", "bare INSERT"
# What these two are called on a side that has Django, and on one that has not.
INSERTS = {BY_ORM: ("insert", "insert-orm"), BARE: ("insert-raw", "insert")}

OUR_INSERTS = [names[0] for names in INSERTS.values()]
ENDINGS = {
    "False": "",
    "True": "-transactional",
    '"pipelined"': "-pipelined",
    '"grouped"': "-grouped",
}

# Title of the column, and the suite and the measure that stand in it.
COLUMNS = [
    ("no-op, jobs/s", "drain", "noop"),
    ("with one INSERT by the ORM, jobs/s", "real", BY_ORM),
    ("with one bare INSERT, jobs/s", "real", BARE),
    ("that on a slower disk, jobs/s", "disk", BARE),
    ("enqueue one, /s", "enqueue", "one by one"),
    ("enqueue many, /s", "enqueue", "in bulk"),
    ("call to start, p50 ms", "latency", "call to start, p50"),
    ("p99 ms", "latency", "call to start, p99"),
    ("idle transactions/s", "idle", "transactions"),
    ("idle CPU, % of a core", "idle", "CPU"),
    ("memory, MiB", "idle", "memory"),
    ("transactions a no-op job", "drain", "noop, transactions a job"),
]


def side_by_side(results: Results) -> str:
    """Return one row for each side, but for those of ours that none of these columns is about."""
    titles = ["", "jobs wait in", *(title for title, *_ in COLUMNS)]
    rows = [
        [
            f"**{side}**" if side.startswith(OURS) else side,
            said["server"],
            *(
                shown(results.ended(suite, side, measure_of(said, measure)))
                for _, suite, measure in COLUMNS
            ),
        ]
        for side, said in results.sides.items()
        if not side.startswith(OURS) or _is_shown(results, side, said)
    ]
    return table(titles, rows)


def _is_shown(results: Results, side: str, said: Mapping[str, Any]) -> bool:
    return any(
        results.ended(suite, side, measure_of(said, measure)) for _, suite, measure in COLUMNS
    )


def of_transactions(results: Results) -> str:
    """Return what our own jobs with one INSERT cost, by where its transaction ends."""
    rows = [
        [
            f"`{value}`",
            *(shown(results.ended("real", OURS, f"{body}{ending}")) for body in OUR_INSERTS),
            shown(results.ended("disk", OURS, f"{OUR_INSERTS[-1]}{ending}")),
            shown(results.ended("real", OURS, f"{OUR_INSERTS[-1]}{ending}, transactions a job")),
        ]
        for value, ending in ENDINGS.items()
    ]
    titles = [BY_ORM, BARE, "that on a slower disk", "its transactions a job"]
    return table(["`transactional`", *titles], rows)


def measure_of(said: Mapping[str, Any], measure: str) -> str:
    """Return what *measure* is called on the side that has *said* what it is."""
    with_django, without = INSERTS.get(measure, (measure, measure))
    return with_django if "Django" in said["versions"] else without


def in_detail(results: Results) -> str:
    """Return every figure of our own, with what each run gave."""
    rows = [
        [figure.side, figure.suite, figure.measure, *value(figure)]
        for figure in in_order(results)
        if figure.side.startswith(OURS)
    ]
    return table(["", "suite", "measure", "median", "unit", "runs"], rows)


def of_peers(results: Results) -> str:
    """Return the figures of the peers that were measured in several runs."""
    rows = [
        [figure.side, figure.suite, figure.measure, *value(figure)]
        for figure in in_order(results)
        if not figure.side.startswith(OURS) and (len(figure.runs) > 1 or figure.missing)
    ]
    return table(["", "suite", "measure", "median", "unit", "runs"], rows)


def settings(results: Results) -> str:
    """Return what each side was set to, and its versions."""
    rows = [
        [
            side,
            ", ".join(f"{name} {number}" for name, number in said["versions"].items()),
            "; ".join(f"`{name}`: {setting}" for name, setting in said["settings"].items()),
        ]
        for side, said in results.sides.items()
    ]
    return table(["", "versions", "settings beside the defaults"], rows)


def about(results: Results) -> str:
    """Return the machine, the server and the options of the run."""
    names = ("date", "invocations")
    rows = [[name, str(results.about[name])] for name in names if name in results.about]
    for part in ("machine", "PostgreSQL", "options"):
        rows += [[name, str(said)] for name, said in results.about[part].items()]
    return table(["what", "as it was"], rows)


def caution(results: Results) -> str:
    """Return how far the figures can be trusted, by how they came about."""
    options, invocations = results.about["options"], results.about.get("invocations", 1)
    said = []
    if options["runs"] < ENOUGH_RUNS:
        said.append(
            f"These figures come from a short look: {options['runs']} run of each, with at most "
            f"{options['most']:,} jobs and about {options['seconds']:g} seconds in it. "
            "They vary by a third and more, and the fastest queues are over before they are warm."
        )
    if invocations > 1:
        said.append(
            f"They were put together from {invocations} invocations of the command, one after "
            "the other on the machine described below or others of its size, so not all of "
            "them stood side by side."
        )
    return "\n".join(said) or "All figures come from one run of one command."


def not_measured(results: Results) -> str:
    """Return a list of what is missing, and why."""
    lines = [
        f"- {figure.side}, {figure.suite}: {figure.missing}."
        for figure in in_order(results)
        if figure.missing
    ]
    return "\n".join(dict.fromkeys(lines)) or "Nothing is missing."


def in_order(results: Results) -> list[Figure]:
    """Return the figures side after side, as the sides were measured."""
    places = {side: place for place, side in enumerate(results.sides)}
    return sorted(results.figures, key=lambda figure: places.get(figure.side, len(places)))


def value(figure: Figure) -> list[str]:
    if figure.median is None:
        return ["not measured", "", figure.missing]
    runs = " ".join(number(run) for run in figure.runs) if len(figure.runs) > 1 else ""
    return [number(figure.median), figure.unit, runs]


def shown(figure: Figure | None) -> str:
    return NOTHING if figure is None or figure.median is None else number(figure.median)


def number(amount: float) -> str:
    """Return *amount* with as many digits as a reader can use."""
    if amount >= 100:
        rounded = round(amount, 2 - len(str(int(amount))) + 1)
        return f"{rounded:,.0f}"
    if amount >= 10:
        return f"{amount:.1f}"
    return f"{amount:.2f}" if amount >= 0.1 or not amount else f"{amount:.4f}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines
    )

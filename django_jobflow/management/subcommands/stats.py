"""``manage.py jobflow stats``: how many jobs are there?"""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import CommandError, CommandParser

from django_jobflow import control, observe
from django_jobflow.management.arguments import batch_id
from django_jobflow.management.controls import (
    limit_json,
    limit_sentence,
    pause_json,
    pause_sentence,
)
from django_jobflow.management.output import Output, printable
from django_jobflow.management.subcommands.base import Asking
from django_jobflow.models import Batch
from django_jobflow.observe import COLUMNS, SUCCEEDED, Count, Counts
from django_jobflow.states import JobState

KINDS = COLUMNS[1:]  # what a line may stand for; the states are beside each other
NO_JOB = Count(0)


def kinds(text: str) -> tuple[str, ...]:
    """Read what a line stands for: queue, name and partition, separated by commas."""
    names = tuple(name.strip() for name in text.split(","))
    if set(names) <= set(KINDS) and len(set(names)) == len(names):
        return names
    raise argparse.ArgumentTypeError(f"expected some of {', '.join(KINDS)}, got {text!r}")


class Stats(Asking):
    """Counts the jobs in each state, by queue or by what is asked for."""

    name = "stats"
    help = "Count the jobs in each state. Of large numbers it says the least: 10,000+."

    @classmethod
    def add_arguments(cls, parser: CommandParser) -> None:
        parser.add_argument(
            "--by",
            type=kinds,
            default=("queue",),
            metavar="A,B",
            help="What a line stands for: queue, name, partition, or several of them. "
            "Default: queue.",
        )
        parser.add_argument(
            "--batch",
            type=batch_id,
            metavar="ID",
            help="Only members of the batch of this number.",
        )
        super().add_arguments(parser)

    def answer(self, alias: str, output: Output, options: dict[str, Any]) -> int:
        counts = observe.counts(alias, batch=_batch(options["batch"], alias))
        pauses, limits = control.paused(database=alias), observe.limits(alias)
        if options["json"]:
            output.json(
                _as_json(alias, counts, options["by"])
                | {
                    "pauses": [pause_json(pause) for pause in pauses],
                    "limits": [limit_json(limit) for limit in limits],
                }
            )
            return 0
        _print(output, counts, options["by"])
        for line in (*map(pause_sentence, pauses), *map(limit_sentence, limits)):
            output.line(printable(line))
        return 0


def _batch(pk: int | None, alias: str) -> Batch | None:
    if pk is None:
        return None
    batch = Batch.objects.using(alias).filter(pk=pk).first()
    if batch is None:
        raise CommandError(f"There is no batch {pk} in the database {alias!r}.")
    return batch


def _print(output: Output, counts: Counts, by: tuple[str, ...]) -> None:
    states = [state for (state,) in counts.by("state")]
    if not states:
        output.line("There are no jobs.")
        return
    cells = counts.by(*by, "state")
    totals = counts.by("state")
    rows = [
        [*kind, *(cells.get((*kind, state), NO_JOB) for state in states), count]
        for kind, count in counts.by(*by).items()
    ]
    total = ["all", *[""] * (len(by) - 1)]
    rows.append([*total, *(totals[(state,)] for state in states), counts.total])
    numbers = [*(state.lower().replace("_", " ") for state in states), "total"]
    output.table([*by, *numbers], rows, numbers=numbers)


def _as_json(alias: str, counts: Counts, by: tuple[str, ...]) -> dict[str, Any]:
    states = [*JobState.values, SUCCEEDED]
    totals, cells = counts.by("state"), counts.by(*by, "state")
    return {
        "database": alias,
        "states": {state: _count(totals.get((state,), NO_JOB)) for state in states},
        "groups": [
            dict(zip(by, kind, strict=True))
            | {
                "states": {
                    state: _count(cells[(*kind, state)])
                    for state in states
                    if (*kind, state) in cells
                }
            }
            for kind in counts.by(*by)
        ],
    }


def _count(count: Count) -> dict[str, Any]:
    return {"count": count.number, "more": count.is_more}

"""``manage.py jobflow list``: which jobs are there?"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from django_jobflow import observe
from django_jobflow.management import presenting
from django_jobflow.management.arguments import from_zero
from django_jobflow.management.output import Output
from django_jobflow.management.selecting import add_filters, selection_of
from django_jobflow.management.subcommands.base import Asking

LIMIT = 50


class Listing(Asking):
    """Lists the jobs that the options mean."""

    name = "list"
    help = "List jobs, the next to run first; of what has ended and of all, the latest."

    @classmethod
    def add_arguments(cls, parser: CommandParser) -> None:
        add_filters(parser)
        parser.add_argument(
            "--limit",
            type=from_zero,
            default=LIMIT,
            metavar="N",
            help=f"How many at most. Default: {LIMIT}.",
        )
        super().add_arguments(parser)

    def answer(self, alias: str, output: Output, options: dict[str, Any]) -> int:
        selection = selection_of(options)
        limit = options["limit"]
        rows = observe.select(selection, alias).defer(*presenting.LARGE)
        found = list(rows[: limit + 1])
        jobs, has_more = found[:limit], len(found) > limit
        if options["json"]:
            output.json({"jobs": [presenting.as_json(job) for job in jobs], "more": has_more})
            return 0
        if not jobs:
            output.line("There are no such jobs.")
            return 0
        heads = presenting.heads(is_of_succeeded=selection.is_of_succeeded)
        output.table(heads, map(presenting.row, jobs), numbers=["id", "attempts", "age"])
        if has_more:
            output.line(f"There are more than these {limit}.")
        return 0

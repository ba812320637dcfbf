"""``manage.py jobflow list``: which jobs are there?"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from django_jobflow import observe
from django_jobflow.management import presenting
from django_jobflow.management.arguments import from_zero
from django_jobflow.management.output import Output
from django_jobflow.management.selecting import add_filters, add_search, searched, selection_of
from django_jobflow.management.subcommands.base import Asking
from django_jobflow.observe.searching import wants_succeeded

LIMIT = 50


class Listing(Asking):
    """Lists the jobs that the options mean."""

    name = "list"
    help = "List jobs, the next to run first; of what has ended and of all, the latest."

    @classmethod
    def add_arguments(cls, parser: CommandParser) -> None:
        add_filters(parser)
        add_search(parser)
        parser.add_argument(
            "--limit",
            type=from_zero,
            default=LIMIT,
            metavar="N",
            help=f"How many at most. Default: {LIMIT}.",
        )
        super().add_arguments(parser)

    def answer(self, alias: str, output: Output, options: dict[str, Any]) -> int:
        limit, looked_at = options["limit"], None
        if options["search"] is not None:
            search = searched(options)
            found_rows = observe.find_rows(search, alias)
            rows, is_of_succeeded = found_rows.rows, wants_succeeded(search)
            looked_at = found_rows.looked_at if found_rows.is_cut else None
        else:
            selection = selection_of(options)
            rows = observe.select(selection, alias)
            is_of_succeeded = selection.is_of_succeeded
        found = list(rows.defer(*presenting.LARGE)[: limit + 1])
        jobs, has_more = found[:limit], len(found) > limit
        if options["json"]:
            told = {"jobs": [presenting.as_json(job) for job in jobs], "more": has_more}
            output.json(told | ({} if options["search"] is None else {"looked_at": looked_at}))
            return 0
        if jobs:
            heads = presenting.heads(is_of_succeeded=is_of_succeeded)
            output.table(heads, map(presenting.row, jobs), numbers=["id", "attempts", "age"])
        elif not has_more:
            output.line("There are no such jobs.")
        if has_more:
            output.line(f"There are more than these {limit}.")
        if looked_at is not None:
            output.line(
                f"Only {looked_at:,} jobs were looked through; name a state to see others."
            )
        return 0

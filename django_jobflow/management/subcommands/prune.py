"""``manage.py jobflow prune``: deleting what is older than its retention."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import QuerySet

from django_jobflow import maintain
from django_jobflow.engines import engine_for
from django_jobflow.management.output import Output
from django_jobflow.management.subcommands.acting import MOST_COUNTED, add_safety, jobs
from django_jobflow.management.subcommands.base import Asking
from django_jobflow.observe import Count


class Prune(Asking):
    """Does at once what the workers do from time to time."""

    name = "prune"
    help = (
        "Delete what is older than retain_succeeded of its job, JOBFLOW['RETAIN_SUCCEEDED'] or "
        "JOBFLOW['RETAIN_FAILED'], as workers do."
    )

    @classmethod
    def add_arguments(cls, parser: CommandParser) -> None:
        add_safety(parser)
        super().add_arguments(parser)

    def answer(self, alias: str, output: Output, options: dict[str, Any]) -> int:
        engine = engine_for(alias)
        if options["dry_run"] or not options["yes"]:
            count = sum(map(_counted, maintain.prunable(engine)), Count(0))
            text = f"This would delete {jobs(count)}."
            if not options["dry_run"]:
                raise CommandError(f"{text} Add --yes to do it.")
            if options["json"]:
                output.json({"dry_run": True, "count": count.number, "more": count.is_more})
            else:
                output.line(text)
            return 0
        deleted = maintain.prune(engine)
        if options["json"]:
            output.json({"dry_run": False, "done": deleted})
        else:
            output.line(f"{jobs(deleted)} deleted.")
        return 0


def _counted(rows: QuerySet[Any]) -> Count:
    # In no order: what has failed and what was cancelled are two ranges of one index.
    number = rows.values("pk")[: MOST_COUNTED + 1].count()
    return Count(min(number, MOST_COUNTED), number > MOST_COUNTED)

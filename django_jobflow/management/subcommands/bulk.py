"""``manage.py jobflow bulk``: a verb for everything that a search finds."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from django_jobflow import bulk
from django_jobflow.engines import Engine, engine_for
from django_jobflow.management.arguments import WRONG_USAGE, from_one
from django_jobflow.management.carrying import carry_out
from django_jobflow.management.operator import operator
from django_jobflow.management.output import Output, printable
from django_jobflow.management.selecting import add_search, searched
from django_jobflow.management.subcommands.acting import jobs
from django_jobflow.management.subcommands.base import Asking
from django_jobflow.models import BulkOperation
from django_jobflow.models.bulk import RATE
from django_jobflow.observe import Count, spans

SHOWN = 50  # operations of a list, the newest
TURNS = ("stop", "resume", "run", "show")
STARTS = {str(action).replace("_", "-"): str(action) for action in bulk.ACTIONS}
HEADS = ("id", "action", "search", "state", "done", "skipped", "by", "started")


class Bulk(Asking):
    """Looks first, starts operations, and stops them; workers carry them out."""

    name = "bulk"
    help = (
        "Do something to everything that a search finds: workers carry it out, a part at a time. "
        "Without a word, list the operations."
    )

    @classmethod
    def add_arguments(cls, parser: CommandParser) -> None:
        add = parser.add_argument
        add(
            "word",
            nargs="?",
            choices=[*STARTS, *TURNS],
            metavar="WORD",
            help=f"What to start: {', '.join(STARTS)}. Or of an operation: {', '.join(TURNS)}; "
            "run carries it out here.",
        )
        add("operation", nargs="?", type=from_one, metavar="ID", help="The operation's number.")
        add_search(parser)
        add(
            "--rate",
            type=from_one,
            default=RATE,
            metavar="N",
            help=f"Jobs that are changed in a second, at most. Default: {RATE:,}.",
        )
        add("--dry-run", action="store_true", help="Start nothing; say what it would do.")
        add("--yes", action="store_true", help="Do it without being asked for this.")
        super().add_arguments(parser)

    def answer(self, alias: str, output: Output, options: dict[str, Any]) -> int:
        engine, word = engine_for(alias), options["word"]
        if word is None:
            self._list(engine, output, options)
        elif word in STARTS:
            self._start(STARTS[word], alias, output, options)
        else:
            operation = _named(engine, word, options["operation"])
            if word == "stop":
                bulk.stop(operation, by=operator())
            elif word == "resume":
                bulk.resume(operation, by=operator())
            elif word == "run":
                carry_out(engine, operation)
            operation.refresh_from_db(using=alias)
            _print(operation, output, options)
        return 0

    def _start(self, action: str, alias: str, output: Output, options: dict[str, Any]) -> None:
        if options["search"] is None:
            raise CommandError(f"{self.name}: expected --search.", returncode=WRONG_USAGE)
        search, rate = searched(options), options["rate"]
        if options["yes"] and not options["dry_run"]:
            operation = bulk.start(action, search, by=operator(), rate=rate, database=alias)
            _print(operation, output, options)
            return
        preview = bulk.preview(action, search, rate=rate, database=alias)
        if options["dry_run"] and options["json"]:
            told = asdict(preview) | {"search": str(preview.search)}
            output.json({"dry_run": True} | told)
            return
        text = _told(action, preview)
        if not options["dry_run"]:
            raise CommandError(f"{text} Add --yes to do it.")
        output.line(printable(text))

    def _list(self, engine: Engine, output: Output, options: dict[str, Any]) -> None:
        found = list(bulk.operations(engine).order_by("-id")[:SHOWN])
        if options["json"]:
            output.json({"operations": [_json(each) for each in found]})
        elif found:
            output.table(HEADS, map(_row, found), numbers=["id", "done", "skipped"])
        else:
            output.line("There are no bulk operations.")


def _named(engine: Engine, word: str, number: int | None) -> BulkOperation:
    if number is None:
        raise CommandError(f"bulk {word}: expected a number.", returncode=WRONG_USAGE)
    operation = bulk.operations(engine).filter(pk=number).first()
    if operation is None:
        raise CommandError(f"There is no bulk operation {number}.")
    return operation


def _told(action: str, preview: bulk.Preview) -> str:
    number = jobs(Count(preview.count, preview.is_more))
    about = "about " if preview.is_estimate else ""
    text = f"This would {action.replace('_', ' ')} {about}{number}"
    if preview.run_seconds is not None and preview.count:
        length = spans.length(timedelta(seconds=max(preview.run_seconds, 1)))
        text += f", which take about {length} at the present rate"
    return f"{text}."


def _print(operation: BulkOperation, output: Output, options: dict[str, Any]) -> None:
    if options["json"]:
        output.json(_json(operation))
        return
    asked = f", {operation.asked:,} asked to stop" if operation.asked else ""
    skipped = f", {operation.skipped:,} skipped" if operation.skipped else ""
    error = f": {operation.error}" if operation.error else ""
    output.line(
        printable(
            f"Operation {operation.pk} ({operation.action} {operation.search}) is "
            f"{operation.get_state_display()}{error}: {operation.done:,} done{asked}{skipped}, "
            f"{operation.looked:,} looked at."
        )
    )


def _row(operation: BulkOperation) -> list[Any]:
    return [
        operation.pk,
        operation.action,
        operation.search,
        operation.get_state_display(),
        f"{operation.done:,}",
        f"{operation.skipped:,}",
        operation.by,
        spans.distance(operation.created_at),
    ]


def _json(operation: BulkOperation) -> dict[str, Any]:
    names = ("action", "search", "state", "by", "origin", "rate", "expected", "looked")
    more = ("done", "asked", "skipped", "created_at", "finished_at", "error")
    return {"id": operation.pk} | {name: getattr(operation, name) for name in (*names, *more)}

"""``manage.py jobflow limit``: how much of something may run over all hosts?"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from django_jobflow import control, observe
from django_jobflow.management import controls
from django_jobflow.management.arguments import WRONG_USAGE, from_one, rate, text
from django_jobflow.management.operator import operator
from django_jobflow.management.output import Output, printable
from django_jobflow.management.subcommands.base import Asking
from django_jobflow.models import LimitKind
from django_jobflow.observe import LimitFacts

LIMITS = ["concurrency", "rate", "burst"]
CHANGES = [*LIMITS, "unlimited", "clear"]


class Limiting(Asking):
    """Shows limits, sets one, or lets the settings decide again."""

    name = "limit"
    help = (
        "Limit a queue, a job or an execution key over all hosts, or show its limit. Without one, "
        "list all limits."
    )

    @classmethod
    def add_arguments(cls, parser: CommandParser) -> None:
        controls.add_named(parser, LimitKind)
        parser.add_argument(
            "--concurrency", type=from_one, metavar="N", help="So many may run at a time."
        )
        parser.add_argument(
            "--rate", type=rate, metavar="RATE", help="So many may start in a time, as 100/m."
        )
        parser.add_argument(
            "--burst",
            type=from_one,
            metavar="N",
            help="So many may start at once after a time without any. Default: those of the rate.",
        )
        change = parser.add_mutually_exclusive_group()
        change.add_argument(
            "--unlimited", action="store_true", help="Lift the limit that the settings have."
        )
        change.add_argument(
            "--clear", action="store_true", help="Let the settings and the code decide again."
        )
        parser.add_argument("--by", type=text, metavar="NAME", help="Who sets it.")
        super().add_arguments(parser)

    def answer(self, alias: str, output: Output, options: dict[str, Any]) -> int:
        named = controls.named(options, LimitKind)
        if named is None:
            controls.refuse_without_name(self.name, options, [*CHANGES, "by"])
            _print(observe.limits(alias), output, options)
            return 0
        wanted = [name for name in CHANGES if options[name]]
        if (options["unlimited"] or options["clear"]) and len(wanted) > 1:
            raise CommandError(
                f"{self.name}: expected a limit or --{wanted[-1]}, got both.",
                returncode=WRONG_USAGE,
            )
        if options["clear"]:
            control.clear_limit(**named, by=operator(options["by"]), database=alias)
        elif wanted:
            said: dict[str, Any] = {name: options[name] for name in LIMITS}
            by = operator(options["by"])
            control.set_limit(**named, **said, by=by, database=alias)
        [(kind, name)] = named.items()
        found = observe.limits(alias, only=[(kind, name)])
        if options["json"]:
            _print(found, output, options)
            return 0
        told = [controls.limit_sentence(limit) for limit in found]
        for line in told or [f"{controls.SUBJECTS[kind]} {name!r} has no limit."]:
            output.line(printable(line))
        return 0


def _print(limits: list[LimitFacts], output: Output, options: dict[str, Any]) -> None:
    if options["json"]:
        output.json({"limits": [controls.limit_json(limit) for limit in limits]})
    elif limits:
        rows = map(controls.limit_row, limits)
        output.table(controls.LIMIT_HEADS, rows, numbers=controls.LIMIT_NUMBERS)
    else:
        output.line("There are no limits.")

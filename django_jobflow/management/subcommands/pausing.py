"""``manage.py jobflow pause`` and ``resume``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from django_jobflow import control
from django_jobflow.management import controls
from django_jobflow.management.arguments import moment, span, text
from django_jobflow.management.operator import operator
from django_jobflow.management.output import Output, printable
from django_jobflow.management.subcommands.base import Asking
from django_jobflow.models import Pause, PauseKind

SAID = ["until", "for", "reason", "by"]


class Pausing(Asking):
    """Holds back a queue, a job or a partition, or lists what is held back."""

    name = "pause"
    help = "Pause a queue, a job or a partition; what runs goes on. Without one, list the pauses."

    @classmethod
    def add_arguments(cls, parser: CommandParser) -> None:
        controls.add_named(parser, PauseKind)
        end = parser.add_mutually_exclusive_group()
        end.add_argument(
            "--until",
            type=moment,
            metavar="MOMENT",
            help="When the pause ends by itself, as 2030-01-31T18:00. Default: with resume.",
        )
        end.add_argument(
            "--for",
            type=span,
            metavar="SPAN",
            help="After which time it ends by itself. In seconds, or as 90s, 15m, 6h, 7d.",
        )
        parser.add_argument("--reason", type=text, metavar="TEXT", help="For others to read.")
        parser.add_argument("--by", type=text, metavar="NAME", help="Who pauses it.")
        super().add_arguments(parser)

    def answer(self, alias: str, output: Output, options: dict[str, Any]) -> int:
        named = controls.named(options, PauseKind)
        if named is None:
            controls.refuse_without_name(self.name, options, SAID)
            _print(control.paused(database=alias), output, options)
            return 0
        control.pause(
            **named,
            until=options["until"],
            for_=options["for"],
            reason=options["reason"] or "",
            by=operator(options["by"]),
            database=alias,
        )
        found = control.paused(database=alias)
        pauses = [pause for pause in found if {pause.kind: pause.value} == named]
        if options["json"]:
            output.json({"pauses": [controls.pause_json(pause) for pause in pauses]})
            return 0
        for pause in pauses:
            output.line(printable(controls.pause_sentence(pause)))
        if not pauses:
            output.line("That moment has passed: nothing is paused.")
        return 0


class Resuming(Asking):
    """Ends a pause."""

    name = "resume"
    help = "End the pause of a queue, a job or a partition."

    @classmethod
    def add_arguments(cls, parser: CommandParser) -> None:
        controls.add_named(parser, PauseKind, required=True)
        super().add_arguments(parser)

    def answer(self, alias: str, output: Output, options: dict[str, Any]) -> int:
        named = controls.named(options, PauseKind) or {}
        resumed = control.resume(**named, by=operator(), database=alias)
        [(kind, name)] = named.items()
        if options["json"]:
            output.json({"kind": kind, "name": name, "resumed": resumed})
        else:
            fact = "is resumed" if resumed else "was not paused"
            output.line(printable(f"{controls.SUBJECTS[kind]} {name!r} {fact}."))
        return 0


def _print(pauses: list[Pause], output: Output, options: dict[str, Any]) -> None:
    if options["json"]:
        output.json({"pauses": [controls.pause_json(pause) for pause in pauses]})
    elif pauses:
        output.table(controls.PAUSE_HEADS, map(controls.pause_row, pauses))
    else:
        output.line("Nothing is paused.")

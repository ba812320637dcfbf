"""``manage.py jobflow stop``: asking workers to stop."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from django_jobflow import control
from django_jobflow.management.arguments import text
from django_jobflow.management.operator import operator
from django_jobflow.management.output import Output, printable
from django_jobflow.management.subcommands.base import Asking


class Stop(Asking):
    """Asks a worker, or all of its command, to stop."""

    name = "stop"
    help = "Ask a worker and all of its runjobs to stop, on whatever host; what runs may end."

    @classmethod
    def add_arguments(cls, parser: CommandParser) -> None:
        add = parser.add_argument
        add("worker", type=text, metavar="NAME", help="The worker, as jobflow workers names it.")
        add(
            "--recycle",
            action="store_true",
            help="Only this process; its supervisor starts another in its place.",
        )
        add("--by", type=text, metavar="NAME", help="Who asks.")
        super().add_arguments(parser)

    def answer(self, alias: str, output: Output, options: dict[str, Any]) -> int:
        name = options["worker"]
        asked = control.stop_worker(
            name, recycle=options["recycle"], by=operator(options["by"]), database=alias
        )
        if not asked:
            raise CommandError(f"There is no worker {printable(name)!r}.")
        if options["json"]:
            output.json({"asked": asked})
        for each in () if options["json"] else asked:
            output.line(printable(f"{each} was asked to stop."))
        return 0

"""``manage.py jobflow why``: why does this job not run?"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from django_jobflow import observe
from django_jobflow.management.arguments import job_id
from django_jobflow.management.output import Output, printable
from django_jobflow.management.subcommands.base import Asking
from django_jobflow.management.subcommands.show import found


class Why(Asking):
    """Says in a sentence why one job does not run."""

    name = "why"
    help = "Say in a sentence why a job does not run, or that it does."

    @classmethod
    def add_arguments(cls, parser: CommandParser) -> None:
        parser.add_argument("id", type=job_id, metavar="ID", help="The job's number.")
        super().add_arguments(parser)

    def answer(self, alias: str, output: Output, options: dict[str, Any]) -> int:
        reason = observe.why(found(alias, options["id"]))
        if options["json"]:
            told = {"id": options["id"], "cause": reason.cause, "sentence": reason.sentence}
            output.json(told | {"facts": reason.facts})
        else:
            output.line(printable(reason.sentence))
        return 0

"""What a sub-command is."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser, OutputWrapper
from django.core.management.color import Style

from django_jobflow.engines import engine_for
from django_jobflow.management.arguments import database_alias
from django_jobflow.management.output import Output


class Subcommand:
    """One word behind ``manage.py jobflow``.

    Attributes:
        name: The word.
        help: What it does, in a sentence.
    """

    name: str
    help: str

    def __init__(self, stdout: OutputWrapper, style: Style) -> None:
        self.stdout = stdout
        self.style = style

    @classmethod
    def add_arguments(cls, parser: CommandParser) -> None:
        """Add the options that are its own."""

    def run(self, options: dict[str, Any]) -> int:
        """Do it; return the exit code."""
        raise NotImplementedError


class Asking(Subcommand):
    """A sub-command that asks one database and prints what it says."""

    @classmethod
    def add_arguments(cls, parser: CommandParser) -> None:
        parser.add_argument(
            "--database",
            type=database_alias,
            metavar="ALIAS",
            help="The database that holds the jobs. Default: JOBFLOW['DATABASE'].",
        )
        parser.add_argument("--json", action="store_true", help="Print one JSON document.")

    def run(self, options: dict[str, Any]) -> int:
        output = Output(self.stdout, self.style, is_quiet=options["verbosity"] == 0)
        return self.answer(engine_for(options["database"]).alias, output, options)

    def answer(self, alias: str, output: Output, options: dict[str, Any]) -> int:
        """Ask the database behind *alias* and print; return the exit code."""
        raise NotImplementedError

"""``manage.py jobflow doctor``: is the database in good health?"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from django_jobflow import doctor
from django_jobflow.doctor import Severity
from django_jobflow.doctor.asking import shown
from django_jobflow.management.output import GAP, Output, printable
from django_jobflow.management.subcommands.base import Asking
from django_jobflow.sentences import moment

FOUND = 1
WIDTH = 7  # of the longest severity
HEADS = ("table", "rows", "size", "indexes", "dead rows", "last vacuum")


def severity(text: str) -> Severity:
    """Read a severity."""
    try:
        return Severity[text.upper()]
    except KeyError as error:
        words = ", ".join(each.word for each in Severity)
        raise argparse.ArgumentTypeError(f"expected one of {words}, got {text!r}") from error


class Doctor(Asking):
    """Says what is wrong with the database, and what to do."""

    name = "doctor"
    help = (
        "Examine the database: its tables, settings and sessions, and the clocks and wake-ups of "
        "the workers. Ends with 0 if there is nothing to do, and with 1 if there is."
    )

    @classmethod
    def add_arguments(cls, parser: CommandParser) -> None:
        parser.add_argument(
            "--fail-on",
            type=severity,
            default=Severity.WARNING,
            metavar="SEVERITY",
            help="The least severity that it ends with 1 for: notice, warning or error. "
            "Default: warning.",
        )
        super().add_arguments(parser)

    def answer(self, alias: str, output: Output, options: dict[str, Any]) -> int:
        found = doctor.examine(alias)
        if options["json"]:
            output.json(
                {
                    "database": found.database,
                    "server": found.server,
                    "findings": [finding.as_json() for finding in found.findings],
                    "tables": [asdict(size) for size in found.sizes],
                }
            )
        else:
            self._print(found, output)
        return FOUND if found.is_as_bad_as(options["fail_on"]) else 0

    def _print(self, found: doctor.Diagnosis, output: Output) -> None:
        output.line(f"{found.database}: {printable(found.server)}")
        if found.sizes:
            rows = [_row(size) for size in found.sizes]
            output.table(HEADS, rows, numbers=["rows", "size", "indexes", "dead rows"])
        if not found.findings:
            output.line(self.style.SUCCESS("Nothing to do."))
        for finding in found.findings:
            word = self._styled(finding.severity)
            output.line(f"{word}{GAP}{finding.code}: {printable(finding.text)}")
            if finding.advice:
                output.line(f"{' ' * WIDTH}{GAP}{printable(finding.advice)}")

    def _styled(self, severity: Severity) -> str:
        style = {
            Severity.ERROR: self.style.ERROR,
            Severity.WARNING: self.style.WARNING,
            Severity.NOTICE: self.style.NOTICE,
        }[severity]
        return style(f"{severity.word:{WIDTH}}")


def _row(size: doctor.Size) -> list[Any]:
    return [
        size.table,
        _number(size.rows),
        None if size.bytes is None else shown(size.bytes),
        None if size.index_bytes is None else shown(size.index_bytes),
        _number(size.dead_rows),
        size.vacuumed_at and moment(size.vacuumed_at),
    ]


def _number(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"

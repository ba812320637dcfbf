"""``manage.py jobflow purge``: emptying a queue."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from django_jobflow import control
from django_jobflow.management.arguments import state_word, text
from django_jobflow.management.operator import operator
from django_jobflow.management.subcommands.deleting import Deleting
from django_jobflow.observe import Count


class Purge(Deleting):
    """Deletes what waits in one queue."""

    name = "purge"
    help = "Delete for good what waits in a queue, but for what runs and what has ended."

    @classmethod
    def add_arguments(cls, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--queue", type=text, required=True, metavar="QUEUE", help="The queue of this name.")
        add("--name", type=text, metavar="NAME", help="Only jobs of this name.")
        add("--partition", type=text, metavar="P", help="Only of it; '' is the common one.")
        add(
            "--state",
            type=state_word,
            action="append",
            metavar="STATE",
            help="Only jobs in this state; may be given several times. Failed and cancelled ones "
            "are deleted only if they are named. Default: all that wait.",
        )
        super().add_arguments(parser)

    def count(self, alias: str, options: dict[str, Any]) -> Count:
        return Count(self._purge(alias, options, dry_run=True))

    def delete(self, alias: str, options: dict[str, Any]) -> int:
        return self._purge(alias, options)

    def _purge(self, alias: str, options: dict[str, Any], *, dry_run: bool = False) -> int:
        return control.purge(
            queue=options["queue"],
            job=options["name"],
            partition=options["partition"],
            states=options["state"],
            dry_run=dry_run,
            by=operator(),
            database=alias,
        )

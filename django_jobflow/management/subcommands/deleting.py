"""What the sub-commands have in common that delete what is meant, and not what is named."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from django_jobflow.management.output import Output
from django_jobflow.management.subcommands.acting import add_safety, jobs
from django_jobflow.management.subcommands.base import Asking
from django_jobflow.observe import Count


class Deleting(Asking):
    """A sub-command that deletes for good, after a yes."""

    @classmethod
    def add_arguments(cls, parser: CommandParser) -> None:
        add_safety(parser)
        super().add_arguments(parser)

    def count(self, alias: str, options: dict[str, Any]) -> Count:
        """Return how many jobs would be deleted."""
        raise NotImplementedError

    def delete(self, alias: str, options: dict[str, Any]) -> int:
        """Delete them; return how many that were."""
        raise NotImplementedError

    def answer(self, alias: str, output: Output, options: dict[str, Any]) -> int:
        is_real = options["yes"] and not options["dry_run"]
        if is_real:
            done = self.delete(alias, options)
            told, text = {"done": done}, f"{jobs(done)} deleted."
        else:
            count = self.count(alias, options)
            told, text = {"count": count.number, "more": count.is_more}, f"{jobs(count)}."
            text = f"This would delete {text}"
            if not options["dry_run"]:
                raise CommandError(f"{text} Add --yes to do it.")
        if options["json"]:
            output.json({"dry_run": not is_real} | told)
        else:
            output.line(text)
        return 0

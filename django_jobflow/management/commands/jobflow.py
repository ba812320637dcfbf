"""``manage.py jobflow``: what an operator asks of the jobs, a sub-command each."""

from __future__ import annotations

import argparse
import copy
import os
import sys
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
)
from django.utils import translation

from django_jobflow.exceptions import InvalidJob
from django_jobflow.management.arguments import WRONG_USAGE
from django_jobflow.management.subcommands import SUBCOMMANDS

NOT_READ = 128 + 13  # as a shell has it of a program that SIGPIPE has ended


class Command(BaseCommand):
    help = "Look after background jobs."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        choices = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True)
        for subcommand in SUBCOMMANDS:
            described = choices.add_parser(
                subcommand.name,
                help=subcommand.help,
                description=subcommand.help,
                formatter_class=DjangoHelpFormatter,
            )
            subcommand.add_arguments(described)
            take_options_of(parser, described)

    def handle(self, *args: Any, **options: Any) -> None:
        [subcommand] = [each for each in SUBCOMMANDS if each.name == options["subcommand"]]
        try:
            with translation.override(None):  # what it prints is in one language, as its options
                code = subcommand(self.stdout, self.style).run(options)
            self.stdout.flush()
        except BrokenPipeError:  # who reads it, as ``head``, has seen enough
            code = NOT_READ
            self._drop_the_rest()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        except InvalidJob as error:  # what was given is none that is expected
            raise CommandError(str(error), returncode=WRONG_USAGE) from error
        if code:
            sys.exit(code)

    def _drop_the_rest(self) -> None:
        """Let what is left go nowhere: Python writes it out when it ends, which would fail."""
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), self.stdout.fileno())


def take_options_of(parser: CommandParser, subparser: CommandParser) -> None:
    """Let what stands before the name of a sub-command, as --verbosity, stand behind it, too."""
    for action in parser._actions:
        if action.option_strings and action.dest != "help":
            same = copy.copy(action)
            same.default = argparse.SUPPRESS  # or it would undo what stands before the name
            subparser._add_action(same)

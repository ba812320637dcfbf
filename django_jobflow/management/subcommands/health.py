"""``manage.py jobflow health``: do jobs get done?"""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser

from django_jobflow import health
from django_jobflow.health.limits import MAX_WAIT, MIN_WORKERS, TIMEOUT
from django_jobflow.health.values import Fact
from django_jobflow.management.arguments import database_alias, from_zero, queue_names, seconds
from django_jobflow.management.subcommands.base import Subcommand

UNHEALTHY = 1
WIDTH = 10  # of the longest subject, and of the space behind it


class Health(Subcommand):
    """Says whether jobs get done, in words or as JSON."""

    name = "health"
    help = "Say whether jobs get done. Ends with 0 if so, and with 1 if not."

    @classmethod
    def add_arguments(cls, parser: CommandParser) -> None:
        parser.add_argument(
            "--max-wait",
            type=seconds,
            default=MAX_WAIT,
            metavar="SECONDS",
            help="Longest that a job may wait for a worker: to be started when it is available, "
            f"made available when it is due, rescued when its worker is gone. Default: "
            f"{MAX_WAIT.total_seconds():.0f}.",
        )
        parser.add_argument(
            "--max-beat",
            type=seconds,
            metavar="SECONDS",
            help="Since the last heartbeat of a worker that counts as alive. Default: "
            "JOBFLOW['LEASE'].",
        )
        parser.add_argument(
            "--min-workers",
            type=from_zero,
            default=MIN_WORKERS,
            metavar="N",
            help=f"Workers that have to be alive. Default: {MIN_WORKERS}.",
        )
        parser.add_argument(
            "--queues",
            type=queue_names,
            metavar="A,B",
            help="Only jobs that wait on these, and workers that serve one of them. Default: all.",
        )
        parser.add_argument(
            "--database",
            type=database_alias,
            metavar="ALIAS",
            help="The database that holds the jobs. Default: JOBFLOW['DATABASE'].",
        )
        parser.add_argument(
            "--timeout",
            type=seconds,
            default=TIMEOUT,
            metavar="SECONDS",
            help="After which a database that has not answered counts as silent. Default: "
            f"{TIMEOUT.total_seconds():.0f}.",
        )
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def run(self, options: dict[str, Any]) -> int:
        limits = health.Limits(
            **{name: options[name] for name in ("max_wait", "max_beat", "min_workers", "queues")}
        )
        found = health.check(options["database"], limits, options["timeout"])
        if options["verbosity"] > 0:
            self._print(found, as_json=options["json"])
        return 0 if found.is_healthy else UNHEALTHY

    def _print(self, found: health.Health, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(found.report(), indent=2))
            return
        for fact in found.facts:
            self.stdout.write(self._line(fact))

    def _line(self, fact: Fact) -> str:
        if fact.finding is None:
            return f"{self.style.SUCCESS('ok  ')}  {fact.subject:{WIDTH}}{fact.text}"
        return f"{self.style.ERROR('FAIL')}  {fact.subject:{WIDTH}}{fact.text}"

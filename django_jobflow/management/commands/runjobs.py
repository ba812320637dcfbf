"""``manage.py runjobs``: work off the jobs."""

from __future__ import annotations

import argparse
import logging
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.utils import autoreload
from django.utils.translation import gettext as _

from django_jobflow import conf
from django_jobflow.declare.options import read_option
from django_jobflow.exceptions import InvalidJob
from django_jobflow.worker.coordinator import Coordinator
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.process import work

LEVELS = {0: logging.ERROR, 1: logging.INFO, 2: logging.DEBUG, 3: logging.DEBUG}


def queue_names(text: str) -> tuple[str, ...]:
    """Read a list of queues, separated by commas."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError(f"expected queue names separated by commas, got {text!r}")
    try:
        return tuple(read_option("--queues", "queue", name) for name in names)
    except InvalidJob as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def from_one(text: str) -> int:
    """Read a whole number from 1."""
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")


class Command(BaseCommand):
    help = "Work off background jobs until SIGTERM or Ctrl-C."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--queues",
            type=queue_names,
            metavar="A,B",
            help="Serve only these queues. Default: all.",
        )
        parser.add_argument(
            "--exclude",
            type=queue_names,
            default=(),
            metavar="A,B",
            help="Do not serve these queues.",
        )
        parser.add_argument(
            "--threads",
            type=from_one,
            default=4,
            metavar="N",
            help="Jobs that are executed at a time. Default: 4.",
        )
        parser.add_argument(
            "--drain",
            action="store_true",
            help="End once nothing is left to run now. Jobs that are due later are not awaited.",
        )
        parser.add_argument(
            "--max-jobs",
            type=from_one,
            metavar="N",
            help="End after N executions, to be started anew by what supervises the process.",
        )
        parser.add_argument(
            "--database",
            metavar="ALIAS",
            help="The database that holds the jobs. Default: JOBFLOW['DATABASE'].",
        )
        parser.add_argument(
            "--reload",
            action="store_true",
            help="Start anew when the code changes; for development.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        worker_options = self._options(options)
        self._set_up_logging(options["verbosity"])
        if not options["reload"]:
            self._prepare(worker_options)
            work(worker_options)
            return
        run_reloading(lambda: self._prepare(worker_options), worker_options)

    def _options(self, options: dict[str, Any]) -> WorkerOptions:
        alias = options["database"] or conf.current().DATABASE
        if alias not in connections:
            raise CommandError(
                f"--database: expected one of the aliases in DATABASES {sorted(connections)}, "
                f"got {alias!r}."
            )
        served = set(options["queues"] or ()) - set(options["exclude"])
        if options["queues"] and not served:
            raise CommandError("--exclude: expected at least one of --queues to be left.")
        self._warn_of_unknown_queues(options["queues"] or ())
        return WorkerOptions(
            database=alias,
            queues=options["queues"] and tuple(sorted(served)),
            exclude=() if options["queues"] else options["exclude"],
            threads=options["threads"],
            drain=options["drain"],
            max_jobs=options["max_jobs"],
        )

    def _warn_of_unknown_queues(self, queues: tuple[str, ...]) -> None:
        known = conf.current().QUEUES
        for queue in queues:
            if known and queue not in known:
                self.stderr.write(
                    f"--queues: {queue!r} is not in JOBFLOW['QUEUES'].{conf.nearest(queue, known)}"
                )

    def _prepare(self, options: WorkerOptions) -> None:
        """Refuse to start where it could not work."""
        self.check(display_num_errors=False, databases=[options.database])
        _refuse_missing_migrations(options.database)

    def _set_up_logging(self, verbosity: int) -> None:
        """Show the worker's lines on the terminal, unless the project's LOGGING does."""
        package_logger = logging.getLogger("django_jobflow")
        if package_logger.hasHandlers():
            return
        handler = logging.StreamHandler(self.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        package_logger.addHandler(handler)
        package_logger.setLevel(LEVELS[verbosity])


def _refuse_missing_migrations(alias: str) -> None:
    connection = connections[alias]
    try:
        executor = MigrationExecutor(connection)
        targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] == "jobflow"]
        missing = executor.migration_plan(targets)
    except DatabaseError as error:
        raise CommandError(
            _("The database %(alias)r cannot be read: %(error)s")
            % {"alias": alias, "error": error}
        ) from error
    if missing:
        raise CommandError(
            _("The tables of jobflow are missing or old. Run: manage.py migrate --database %s")
            % alias
        )


def run_reloading(prepare: Any, options: WorkerOptions) -> None:
    """Work in a thread beside Django's reloader, and stop it well before each restart."""
    current: list[tuple[Coordinator, threading.Thread]] = []

    def inner() -> None:
        prepare()
        coordinator = Coordinator(options)
        current.append((coordinator, threading.current_thread()))
        coordinator.run()

    def stop(**_: Any) -> None:
        """Let what runs end; answering None lets the restart go on."""
        while current:
            coordinator, thread = current.pop()
            coordinator.request_stop()
            thread.join(conf.current().SHUTDOWN_TIMEOUT.total_seconds() + 1)

    autoreload.file_changed.connect(stop, weak=False)
    try:
        autoreload.run_with_reloader(inner)
    finally:
        stop()

"""``manage.py runjobs``: work off the jobs."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.utils import autoreload
from django.utils.translation import gettext as _

from django_jobflow import conf
from django_jobflow.declare.call_options import read_call_options
from django_jobflow.declare.options import read_option
from django_jobflow.exceptions import InvalidJob
from django_jobflow.worker import affinity, processes
from django_jobflow.worker.coordinator import Coordinator
from django_jobflow.worker.options import WorkerOptions
from django_jobflow.worker.process import work
from django_jobflow.worker.supervisor import supervise

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
BYTES = {"k": 1024, "m": 1024**2, "g": 1024**3}
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


def partition_names(text: str) -> tuple[str, ...]:
    """Read a list of partitions, separated by commas; between two of them, nothing is one."""
    names = [name.strip() for name in text.split(",")]
    try:
        read = [read_call_options("--partitions", {"partition": name}) for name in names]
    except InvalidJob as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return tuple(sorted({options["partition"] for options in read}))


def from_one(text: str) -> int:
    """Read a whole number from 1."""
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")


def from_zero(text: str) -> int:
    """Read a whole number from 0."""
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text!r}")


def duration(text: str) -> timedelta:
    """Read a number of seconds, or of what its last letter says."""
    return timedelta(seconds=_measured(text, SECONDS, "a time like 90s, 30m, 12h or 7d"))


def size(text: str) -> int:
    """Read a number of bytes in the unit that its last letter says."""
    return int(_measured(text, BYTES, "a size like 300M or 1.5G"))


def _measured(text: str, units: dict[str, int], expected: str) -> float:
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([A-Za-z]?)", text)
    unit = units.get(found[2].lower()) if found else None
    if found is None or unit is None or not float(found[1]):
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return float(found[1]) * unit


def writable_file(text: str) -> Path:
    """Read the path of a file that can be written, and is there or can be made."""
    path = Path(text).absolute()  # a job may change the folder
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(
            f"expected a file in a folder that can be written to, got {text!r}"
        )
    return path


def address(text: str) -> tuple[str, int]:
    """Read a port, after a host or alone: then this host's own address is meant."""
    host, _, port = text.rpartition(":")
    if port.isdecimal() and 0 < int(port) < 2**16:
        return host.strip("[]") or "127.0.0.1", int(port)
    raise argparse.ArgumentTypeError(
        f"expected a port from 1 to 65535, or HOST:PORT, got {text!r}"
    )


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
            "--partitions",
            type=partition_names,
            metavar="A,B",
            help="Serve only these partitions. An empty name is the default one: ',acme' is that "
            "and 'acme'. Default: all.",
        )
        parser.add_argument(
            "--processes",
            type=from_zero,
            metavar="N",
            help="Worker processes, kept up by one that does no work. 0 is this process alone. "
            "Default: 2; 1 on SQLite and on a single core; 0 with --reload, on macOS, on Windows "
            "and by call_command().",
        )
        parser.add_argument(
            "--threads",
            type=from_one,
            default=4,
            metavar="N",
            help="Jobs that one process executes at a time. Default: 4.",
        )
        parser.add_argument(
            "--cpu-affinity",
            action="store_true",
            help="Have each worker process keep to cores of its own, with all that its bodies "
            "start. On Linux.",
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
            help="Replace a worker process after N executions. With --drain or --processes 0 it "
            "just ends.",
        )
        parser.add_argument(
            "--max-age",
            type=duration,
            metavar="TIME",
            help="Replace a worker process after so long: 90s, 30m, 12h, 7d. With --processes 0 "
            "it just ends. Running jobs are let end first.",
        )
        parser.add_argument(
            "--max-memory",
            type=size,
            metavar="SIZE",
            help="Replace a worker process that has more memory than that: 300M, 1.5G. With "
            "--processes 0 it just ends. Running jobs are let end first.",
        )
        parser.add_argument(
            "--heartbeat-file",
            type=writable_file,
            metavar="FILE",
            help="Touch FILE about each second while the database answers; for probes.",
        )
        parser.add_argument(
            "--metrics-port",
            type=address,
            metavar="[HOST:]PORT",
            help="Answer Prometheus there, for all processes of this worker together. Without "
            "a host, only from this host. Needs the extra prometheus.",
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
        count = self._processes(options, worker_options.database)
        if options["cpu_affinity"]:
            _refuse_affinity(count)
        self._set_up_logging(options["verbosity"])
        with measured(options["metrics_port"], worker_options.database):
            if options["reload"]:
                run_reloading(lambda: self._prepare(worker_options), worker_options)
                return
            self._prepare(worker_options)
            if count == 0:
                work(worker_options)
            elif not supervise(worker_options, count):
                raise CommandError("A worker did not end well; the log says which.")

    def _processes(self, options: dict[str, Any], alias: str) -> int:
        asked: int | None = options["processes"]
        obstacle = "with --reload" if options["reload"] else processes.obstacle()
        if asked is None:
            # Whoever calls the command from code has a process, and perhaps a transaction, open.
            by_hand = getattr(self, "_called_from_command_line", False)
            return processes.default_processes(alias) if by_hand and not obstacle else 0
        if asked and obstacle:
            raise CommandError(f"--processes: expected 0 {obstacle}, got {asked}.")
        return asked

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
            partitions=options["partitions"],
            exclude=() if options["queues"] else options["exclude"],
            threads=options["threads"],
            drain=options["drain"],
            max_jobs=options["max_jobs"],
            max_age=options["max_age"],
            max_memory=options["max_memory"],
            cpu_affinity=options["cpu_affinity"],
            heartbeat_file=options["heartbeat_file"],
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
        with readable(options.database):
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


@contextmanager
def measured(address: tuple[str, int] | None, alias: str) -> Iterator[None]:
    """Let the workers that are started meanwhile answer Prometheus, if that is asked for."""
    if address is None:
        yield
        return
    try:
        from django_jobflow.integrations.prometheus import exposed
    except ImproperlyConfigured as error:
        raise CommandError(f"--metrics-port: {error}") from error
    with exposed(address, alias):
        yield


@contextmanager
def readable(alias: str) -> Iterator[None]:
    """Say in one line that the database cannot be read; Django's own checks may ask it, too."""
    try:
        yield
    except DatabaseError as error:
        raise CommandError(
            _("The database %(alias)r cannot be read: %(error)s")
            % {"alias": alias, "error": error}
        ) from error


def _refuse_affinity(count: int) -> None:
    """Refuse to deal out cores where there is nobody to have them, or no way to."""
    if not affinity.is_there():
        raise CommandError(
            "--cpu-affinity: expected a system that keeps a process to some of its cores, such "
            f"as Linux, got one without os.sched_setaffinity(): {sys.platform!r}."
        )
    if not count:
        raise CommandError(
            "--cpu-affinity: expected worker processes to deal the cores out to, got none, as "
            "with --processes 0."
        )


def _refuse_missing_migrations(alias: str) -> None:
    executor = MigrationExecutor(connections[alias])
    targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] == "jobflow"]
    if executor.migration_plan(targets):
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

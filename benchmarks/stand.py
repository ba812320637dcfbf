"""One side on its own database, ready to be measured: its client and its worker."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from typing import Any

from benchmarks import counters
from benchmarks.client import REPOSITORY, Client, ClientError
from benchmarks.counters import Counters, Tally
from benchmarks.databases import Database
from benchmarks.figures import Figure
from benchmarks.options import Options
from benchmarks.peers.base import PROCESSES_VARIABLE
from benchmarks.processes import Worker
from benchmarks.servers import Servers, Unavailable, postgresql
from benchmarks.sides import Entry

PATIENCE = 120.0  # seconds for what was enqueued to be worked off
SESSIONS = 1.0  # seconds for the server to see that a worker has gone
GLANCE = 0.01  # seconds between two looks at the counters


class Stuck(Exception):
    """A worker does not get on; says how far it came."""


class Stand:
    """A side with a fresh database, a client and no worker yet; use it in a ``with``."""

    def __init__(self, entry: Entry, servers: Servers, options: Options) -> None:
        self.entry = entry
        self.servers = servers
        self.options = options
        self.exits = ExitStack()

    def __enter__(self) -> Stand:
        with self.exits:
            self._open()
            self.exits = self.exits.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self.exits.close()

    def _open(self) -> None:
        if missing := [each for each in self.entry.packages if find_spec(each) is None]:
            raise Unavailable(f"{', '.join(missing)} is not installed")
        # Two runs at once on one server do not meet.
        name = f"benchmark_{self.entry.name.replace('-', '_')}_{os.getpid()}"
        kind = self.entry.server if self.entry.server in {"sqlite", "mariadb"} else "postgresql"
        self.database: Database = self.exits.enter_context(self.servers.database(kind, name))
        self.folder = self.servers.home / "logs"
        self.folder.mkdir(exist_ok=True)
        self.environment = self._environment()
        log = self.folder / f"{self.entry.name}-client.log"
        self.client = Client(self.entry.target, self.environment, log)
        self.exits.callback(self.client.close)
        self.said: dict[str, Any] = self.client.ask("describe")
        self.environment |= self.said.get("environment", {})
        self.client.ask("set_up")
        self.exits.callback(self._tear_down)

    def _tear_down(self) -> None:
        with suppress(ClientError):  # it may be what went wrong
            self.client.ask("tear_down")

    def _environment(self) -> dict[str, str]:
        added = self.database.environment() | {
            "PYTHONPATH": str(REPOSITORY),
            PROCESSES_VARIABLE: str(self.options.processes),
        }
        match self.entry.server:
            case "redis":
                added["BENCHMARK_REDIS"] = self.servers.redis
            case "rabbitmq":
                added["BENCHMARK_AMQP"] = self.servers.rabbitmq
        return os.environ | added

    @property
    def is_on_postgresql(self) -> bool:
        return self.entry.server == "postgresql"

    def enqueue(self, job: str, count: int) -> None:
        """Enqueue in the quickest way that the side offers."""
        verb = "many" if self.said["bulk"] else "one_by_one"
        self.client.ask(verb, job=job, count=count)

    @contextmanager
    def worker(self) -> Iterator[tuple[Worker, Counters]]:
        """Start the side's worker; stop it at the end."""
        counting = Counters(self.folder / f"{self.entry.name}.counters")
        environment = self.environment | {counters.PATH: str(counting.path)}
        if self.is_on_postgresql:
            ((self.started_at,),) = self.execute("SELECT clock_timestamp()")
        commands = self.client.ask("workers", processes=self.options.processes)
        worker = Worker(commands, environment, self.folder / f"{self.entry.name}-worker.log")
        try:
            yield worker, counting
        finally:
            worker.stop()
            self._see_sessions_end()

    def _see_sessions_end(self) -> None:
        """Wait for the sessions of a worker that ended, which report what they did as they end."""
        if not self.is_on_postgresql:
            return
        with postgresql(self.servers.postgresql) as execute:
            deadline = time.monotonic() + SESSIONS
            while time.monotonic() < deadline:
                found = execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = %s "
                    "AND backend_start > %s",
                    [self.database.name, self.started_at],
                ).fetchone()
                if not found[0]:
                    return
                time.sleep(GLANCE)

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Execute a statement in the side's database, on PostgreSQL; return its rows, if any."""
        with postgresql(self.database) as execute:
            cursor = execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def figure(self, suite: str, measure: str, unit: str, runs: Sequence[float]) -> Figure:
        """Return what was measured of this side."""
        return Figure(
            suite=suite, side=self.entry.name, measure=measure, unit=unit, runs=list(runs)
        )

    def missing(self, suite: str, measure: str, why: str) -> Figure:
        """Return that something was not measured of this side."""
        return Figure(suite=suite, side=self.entry.name, measure=measure, missing=why)

    def transactions(self) -> int:
        """Return how many transactions the side's database has seen, but for this look."""
        with postgresql(self.servers.postgresql) as execute:
            row = execute(
                "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s",
                [self.database.name],
            ).fetchone()
        return int(row[0])

    @contextmanager
    def remaining(self) -> Iterator[Callable[[], int]]:
        """Yield a function that counts what has not ended, in one transaction for all looks."""
        if self.said["remaining"] is None or not self.is_on_postgresql:
            yield lambda: 0
            return
        with postgresql(self.database) as execute:
            # READ COMMITTED: each look sees what is committed, and none holds back vacuum.
            execute("BEGIN")
            yield lambda: int(execute(self.said["remaining"]).fetchone()[0])


def wait_for(worker: Worker, counting: Counters, count: int, patience: float = PATIENCE) -> Tally:
    """Wait until so many bodies have run.

    Raises:
        WorkerEnded: A process of the worker is no more.
        Stuck: Nothing ran for *patience* seconds.
    """
    seen, since = 0, time.monotonic()
    while (tally := counting.tally()).count < count:
        worker.check()
        if tally.count > seen:
            seen, since = tally.count, time.monotonic()
        elif time.monotonic() - since > patience:
            raise Stuck(f"{tally.count} of {count} jobs had run when nothing more happened.")
        time.sleep(GLANCE)
    return tally

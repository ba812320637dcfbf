"""A database, hosts on it and a producer: where faults are made."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.chaos import ledger
from tests.chaos.ledger import Book
from tests.chaos.processes import Guard, Host, Producer, Started
from tests.chaos.servers import Database, serving
from tests.chaos.settings import JOBFLOW_VARIABLE

PATIENCE = 90.0  # seconds after which something is not to be expected any more
GLANCE = 0.02  # seconds between two looks
SAID = 10_000  # letters of the hosts' logs that are shown where something did not come

SETTINGS = {
    "LEASE": 5,
    "SWEEP_INTERVAL": 1,
    "SHUTDOWN_TIMEOUT": 10,
    "RETAIN_SUCCEEDED": None,
}
LIVE = "SELECT COUNT(*) FROM jobflow_job WHERE state NOT IN ('FAILED', 'CANCELLED')"


class Impatient(Exception):
    """Something that was waited for did not come."""


@dataclass(kw_only=True)
class Strike:
    """One fault that was made.

    Attributes:
        began: When, by ``time.time``; the database's clock is the same.
        victims: The processes that were killed or frozen.
        missed: Why it was not made after all.
    """

    fault: str
    began: float = field(default_factory=time.time)
    ended: float | None = None
    victims: list[int] = field(default_factory=list)
    missed: str = ""

    def hit(self, *victims: int) -> None:
        """Note that it is made now."""
        self.began = time.time()
        self.victims += victims


class Stage:
    """What a run works with; use it in a ``with``.

    Args:
        database: Empty, and used by nobody else.
        folder: For logs and ledgers.
        hosts: How many.
        settings: ``JOBFLOW`` of all processes, beside ``SETTINGS``.
    """

    def __init__(
        self, database: Any, folder: Path, guard: Guard, *, hosts: int = 1, **settings: Any
    ) -> None:
        self.database = database
        self.folder = folder
        self.guard = guard
        self.settings = SETTINGS | settings
        self.hosts: list[Host] = []
        self.count = hosts
        self.producer: Producer | None = None
        self.strikes: list[Strike] = []
        self.enqueued = Book(folder, ledger.ENQUEUED)
        self.ran = Book(folder, ledger.RAN)
        self._tending = threading.Event()
        self._tender = threading.Thread(target=self._tend, daemon=True)

    @property
    def lease(self) -> float:
        return float(self.settings["LEASE"])

    def __enter__(self) -> Stage:
        common = {"environment": self._environment(), "folder": self.folder, "guard": self.guard}
        options = ["--processes=2", "--threads=4"]
        self.hosts = [Host(number, options, **common) for number in range(self.count)]
        self._common = common
        self._tender.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.leave_alone()
        for process in self.processes():
            process.kill()

    def _environment(self) -> dict[str, str]:
        return self.database.environment() | {
            JOBFLOW_VARIABLE: json.dumps(self.settings),
            ledger.FOLDER_VARIABLE: str(self.folder),
            "PYTHONUNBUFFERED": "1",
        }

    def processes(self) -> list[Started]:
        return [*self.hosts, *([self.producer] if self.producer else [])]

    # While it runs

    def produce(self, seed: str, pause: float) -> None:
        """Have jobs enqueued from now on, a transaction each *pause* seconds on average."""
        self.producer = Producer(seed, pause, **self._common)

    def _tend(self) -> None:
        while not self._tending.wait(GLANCE):
            for process in self.processes():
                process.tend()

    def leave_alone(self) -> None:
        """Start no process anew from now on."""
        self._tending.set()
        if self._tender.is_alive() and threading.current_thread() is not self._tender:
            self._tender.join()

    @contextmanager
    def strike(self, fault: str) -> Iterator[Strike]:
        """Note a fault while it lasts."""
        strike = Strike(fault=fault)
        self.strikes.append(strike)
        try:
            yield strike
        finally:
            strike.ended = time.time()

    def until(self, condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
        """Wait until *condition* holds; return what it returned."""
        deadline = time.monotonic() + patience
        while not (found := condition()):
            if time.monotonic() > deadline:
                error = Impatient(f"{what} did not come about in {patience:g} s.")
                error.add_note(self.output()[-SAID:])
                raise error
            time.sleep(GLANCE)
        return found

    def output(self) -> str:
        """Return what all hosts have logged."""
        return "".join(host.output for host in self.hosts)

    def heard(self, event: str) -> int:
        """Return how often an event was logged."""
        return len(re.findall(rf" {event}\b", self.output()))

    def ended(self) -> int:
        """Return how many bodies have come to their end."""
        return sum(line["what"] == "ended" for line in self.ran.read())

    # Its end

    def try_to_finish(self) -> list[str]:
        """Finish; return what there is to say if that fails."""
        try:
            codes = self.finish()
        except Exception as error:
            return [f"The end did not come. {error!r}"]
        return [f"A host ended with {code}." for code in codes if code]

    def _let_end(self) -> None:
        """Wait for the end of all jobs, for as long as there are fewer and fewer."""
        left = self._left()
        while left:
            self.until(partial(self._are_fewer, left), "the end of another job")
            left = self._left()

    def _are_fewer(self, than: int) -> bool:
        return self._left() < than

    def _left(self) -> int:
        [(left,)] = self.database.execute(LIVE)
        return int(left)

    def finish(self) -> list[int]:
        """Enqueue no more, let all jobs end, stop the hosts; return their exit codes."""
        if self.producer is not None:
            self.until(lambda: self.producer and self.producer.is_up, "a producer")
            producer, self.producer = self.producer, None
            producer.stop(PATIENCE)
        self._let_end()
        self.leave_alone()
        codes = [host.stop(PATIENCE) for host in self.hosts if host.is_up]
        self.until(lambda: all(host.is_gone() for host in self.hosts), "the end of all processes")
        return codes


@contextmanager
def house(kind: str) -> Iterator[tuple[Database, Guard, Path]]:
    """Have a database of a *kind* for stages, one after the other, and room for them."""
    folder = Path(f"/tmp/jobflow-chaos-{secrets.token_hex(4)}")  # short, since a socket is in it
    folder.mkdir(mode=0o711)
    guard = Guard(folder)
    try:
        with serving(kind, folder) as database:
            yield database, guard, folder
    finally:
        guard.release()
        shutil.rmtree(folder, ignore_errors=True)

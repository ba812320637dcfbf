"""What is broken, each in a way that can be made good again."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from tests.chaos.processes import Host
from tests.chaos.stage import Impatient, Stage, Strike

EVERYWHERE = frozenset({"postgresql", "mariadb", "sqlite"})
SERVED = frozenset({"postgresql", "mariadb"})
POSTGRESQL = frozenset({"postgresql"})

WAITING = 5.0  # seconds in which a session may come to wait for a lock
ROWS = 10  # that a competing session locks

Felt = Callable[[], Any]
"""Says whether somebody has noticed the fault."""
Make = Callable[[Stage, Strike, random.Random], AbstractContextManager[Felt]]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One kind of fault.

    Attributes:
        make: Breaks something, yields who says whether it is felt, and makes it good again.
        on: The kinds of databases that can have it.
        lasts: Seconds, at least and at most, when it is made at random.
        lane: Faults of one lane are never made at the same time.
        hosts: How many there have to be, so that one can help the other.
        lapses: Whether it has to last longer than a lease.
    """

    name: str
    make: Make
    on: frozenset[str] = EVERYWHERE
    lasts: tuple[float, float] = (0.0, 0.0)
    lane: str = "database"
    hosts: int = 1
    lapses: bool = False


FAULTS: dict[str, Fault] = {}


def fault(name: str, **about: Any) -> Callable[[Any], Any]:
    """Register a generator as a fault."""

    def register(make: Callable[[Stage, Strike, random.Random], Iterator[Felt]]) -> Any:
        FAULTS[name] = Fault(name=name, make=contextmanager(make), **about)
        return make

    return register


# Processes


def choose_worker(stage: Stage, chance: random.Random) -> tuple[Host, int]:
    """Return a worker process, one that has work if that can be found out."""

    def choose() -> tuple[Host, int] | None:
        found = [(host, pid) for host in stage.hosts for pid in host.workers()]
        busy = busy_workers(stage)
        return chance.choice([each for each in found if each[1] in busy] or found or [None])

    return stage.until(choose, "a worker")


def busy_workers(stage: Stage) -> set[int]:
    """Return the process ids of those that hold a job, as far as the database answers."""
    with suppress(Exception):
        rows = stage.database.execute(
            "SELECT DISTINCT reserved_by FROM jobflow_job WHERE state = 'IN_PROGRESS'"
        )
        return {int(name.split(":")[1]) for (name,) in rows}
    return set()


def choose_host(stage: Stage, chance: random.Random) -> Host:
    return stage.until(
        lambda: chance.choice([host for host in stage.hosts if host.workers()] or [None]),
        "a host with workers",
    )


@fault("child killed", lane="process")
def kill_child(stage: Stage, strike: Strike, chance: random.Random) -> Iterator[Felt]:
    before = stage.heard("worker_died")
    _, pid = choose_worker(stage, chance)
    strike.hit(pid)
    _send(pid, signal.SIGKILL)
    yield lambda: stage.heard("worker_died") > before


@fault("supervisor killed", lane="process")
def kill_supervisor(stage: Stage, strike: Strike, chance: random.Random) -> Iterator[Felt]:
    before = stage.heard("supervisor_lost")
    host = choose_host(stage, chance)
    strike.hit()
    host.send(signal.SIGKILL)
    yield lambda: stage.heard("supervisor_lost") > before


@fault("host killed", lane="process", hosts=2)
def kill_host(stage: Stage, strike: Strike, chance: random.Random) -> Iterator[Felt]:
    choose_worker(stage, chance)  # so that there is one with work
    host = choose_host(stage, chance)
    known, victims = host.begun(), set(host.children())
    strike.hit(*victims)
    host.send_all(signal.SIGKILL)
    strike.victims += host.begun() - known - victims  # forked in the last moment
    yield lambda: stage.heard("job_rescued") or not busy_workers(stage) & victims


@fault("child frozen", lane="freezer", lapses=True)
def freeze_child(stage: Stage, strike: Strike, chance: random.Random) -> Iterator[Felt]:
    before = stage.heard("worker_stuck")
    _, pid = choose_worker(stage, chance)
    strike.hit(pid)
    _send(pid, signal.SIGSTOP)
    try:
        yield lambda: stage.heard("worker_stuck") > before
    finally:
        _send(pid, signal.SIGCONT)


@fault("host frozen", lane="freezer", lapses=True, hosts=2)
def freeze_host(stage: Stage, strike: Strike, chance: random.Random) -> Iterator[Felt]:
    before = stage.heard("job_rescued")
    choose_worker(stage, chance)  # so that there is one with work
    host = choose_host(stage, chance)
    group = host.process.pid
    strike.hit(*host.children())
    host.send_all(signal.SIGSTOP)
    while not stage.database.can_be_written():
        host.send_all(signal.SIGCONT)
        strike.hit(*host.children())
        host.send_all(signal.SIGSTOP)
    frozen = set(host.children())
    try:
        # It may have been frozen without a job in its hands, so that nobody has to be rescued.
        yield lambda: stage.heard("job_rescued") > before or not busy_workers(stage) & frozen
    finally:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGCONT)


@fault("deploy", lane="process")
def deploy(stage: Stage, strike: Strike, chance: random.Random) -> Iterator[Felt]:
    before = stage.heard("supervisor_stopped")
    host = choose_host(stage, chance)
    strike.hit()
    host.send(signal.SIGTERM)
    yield lambda: stage.heard("supervisor_stopped") > before


@fault("producer killed", lane="process")
def kill_producer(stage: Stage, strike: Strike, chance: random.Random) -> Iterator[Felt]:
    producer = stage.producer
    assert producer is not None
    before = producer.starts
    strike.hit()
    producer.send(signal.SIGKILL)
    yield lambda: producer.starts > before


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


# Servers and sessions


def in_trouble(stage: Stage) -> Felt:
    """Return what says whether a worker has had trouble since now."""
    before = stage.heard("database_trouble")
    return lambda: stage.heard("database_trouble") > before


@fault("server restarted", on=SERVED)
def restart_server(stage: Stage, strike: Strike, chance: random.Random) -> Iterator[Felt]:
    felt = in_trouble(stage)
    strike.hit()
    stage.database.restart(well=True)
    yield felt


@fault("server crash", on=SERVED)
def crash_server(stage: Stage, strike: Strike, chance: random.Random) -> Iterator[Felt]:
    felt = in_trouble(stage)
    strike.hit()
    stage.database.restart(well=False)
    yield felt


@fault("all connections cut", on=SERVED)
def cut_all(stage: Stage, strike: Strike, chance: random.Random) -> Iterator[Felt]:
    felt = in_trouble(stage)
    strike.hit()
    stage.database.cut_all()
    yield felt


@fault("one connection cut", on=SERVED)
def cut_one(stage: Stage, strike: Strike, chance: random.Random) -> Iterator[Felt]:
    before = stage.ended()
    sessions = [number for number, *_ in stage.database.sessions()]
    strike.hit()
    stage.database.cut([chance.choice(sessions)] if sessions else [])
    yield lambda: stage.ended() > before + 10


@fault("cut while it waits", on=SERVED, lasts=(0.0, 0.5))
def cut_waiting(stage: Stage, strike: Strike, chance: random.Random) -> Iterator[Felt]:
    """Cut connections in the middle of a statement, which waits for a lock."""
    felt = in_trouble(stage)
    with stage.database.locked_table():
        strike.hit()
        with suppress(Impatient):
            waiting = stage.until(lambda: waiting_sessions(stage), "a wait", WAITING)
            stage.database.cut(waiting)
        yield felt


def waiting_sessions(stage: Stage) -> list[int]:
    return [number for number, _, waits in stage.database.sessions() if waits]


@fault("table locked", lasts=(0.5, 4))
def lock_table(stage: Stage, strike: Strike, chance: random.Random) -> Iterator[Felt]:
    with stage.database.locked_table():
        strike.hit()
        yield lambda: is_waited_for(stage)


def is_waited_for(stage: Stage) -> Any:
    if stage.database.kind == "sqlite":
        return stage.heard("database_trouble")
    return waiting_sessions(stage)


@fault("rows locked", on=SERVED, lasts=(0.5, 4))
def lock_rows(stage: Stage, strike: Strike, chance: random.Random) -> Iterator[Felt]:
    with closing(stage.database.connect()) as connection, closing(connection.cursor()) as cursor:
        strike.hit()
        cursor.execute("BEGIN")
        cursor.execute(
            "SELECT id FROM jobflow_job WHERE state IN ('IN_PROGRESS', 'AVAILABLE')"
            f" ORDER BY id LIMIT {ROWS} FOR UPDATE SKIP LOCKED"
        )
        yield lambda: is_waited_for(stage) or not cursor.rowcount
        cursor.execute("ROLLBACK")


@fault("deadlocks", on=SERVED, lasts=(0.5, 2))
def deadlock(stage: Stage, strike: Strike, chance: random.Random) -> Iterator[Felt]:
    """Compete for rows in the order in which nobody else locks them."""
    rounds: list[bool] = []
    stopped = threading.Event()
    rival = threading.Thread(target=_compete, args=(stage.database, rounds, stopped))
    strike.hit()
    rival.start()
    try:
        yield lambda: len(rounds) > 50
    finally:
        stopped.set()
        rival.join()


def _compete(database: Any, rounds: list[bool], stopped: threading.Event) -> None:
    with closing(database.connect()) as connection, closing(connection.cursor()) as cursor:
        while not stopped.wait(0.005):
            try:
                cursor.execute(
                    "SELECT id FROM jobflow_job WHERE state IN ('IN_PROGRESS', 'AVAILABLE')"
                    f" ORDER BY id DESC LIMIT {ROWS}"
                )
                ids = [pk for (pk,) in cursor.fetchall()]
                cursor.execute("BEGIN")
                for pk in ids:
                    cursor.execute(f"UPDATE jobflow_job SET priority = priority WHERE id = {pk}")
                    stopped.wait(0.002)
                cursor.execute("COMMIT")
                rounds.append(True)
            except Exception:  # the deadlock that it is here for
                with suppress(Exception):
                    cursor.execute("ROLLBACK")
                rounds.append(False)


@fault("too many connections", on=SERVED, lasts=(0.5, 3))
def limit_connections(stage: Stage, strike: Strike, chance: random.Random) -> Iterator[Felt]:
    felt = in_trouble(stage)
    strike.hit()
    with stage.database.few_connections(chance.randint(1, 4)):
        yield felt


def _role_setting(name: str, setting: str, lasts: tuple[float, float], *more: str) -> None:
    @fault(name, on=POSTGRESQL, lasts=lasts)
    def set_role(stage: Stage, strike: Strike, chance: random.Random) -> Iterator[Felt]:
        felt = in_trouble(stage)
        before = stage.ended()
        with ExitStack() as exits:
            strike.hit()
            for each in (setting, *more):
                exits.enter_context(stage.database.role_setting(each))
            yield lambda: felt() and stage.ended() > before + 10


_role_setting("statement timeout", "statement_timeout = '5ms'", (0.5, 2))
_role_setting("idle in transaction", "idle_in_transaction_session_timeout = '10ms'", (0.5, 2))
_role_setting("serializable", "default_transaction_isolation = 'serializable'", (0.5, 3))
_role_setting("repeatable read", "default_transaction_isolation = 'repeatable read'", (0.5, 3))


@fault("lock timeout", on=POSTGRESQL, lasts=(0.5, 2))
def time_locks(stage: Stage, strike: Strike, chance: random.Random) -> Iterator[Felt]:
    felt = in_trouble(stage)
    with stage.database.role_setting("lock_timeout = '20ms'"), stage.database.locked_table():
        strike.hit()
        yield felt


@fault("read only", on=SERVED, lasts=(0.5, 3))
def refuse_writes(stage: Stage, strike: Strike, chance: random.Random) -> Iterator[Felt]:
    felt = in_trouble(stage)
    with stage.database.read_only():
        strike.hit()
        yield felt


@fault("disk full", on=frozenset({"postgresql", "sqlite"}), lasts=(0.5, 3))
def fill_disk(stage: Stage, strike: Strike, chance: random.Random) -> Iterator[Felt]:
    felt = in_trouble(stage)
    with stage.database.full_disk():
        strike.hit()
        yield felt

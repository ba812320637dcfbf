"""django_jobflow itself."""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta
from functools import cache
from itertools import repeat
from typing import Any, ClassVar

from benchmarks.peers.base import PROCESSES, Command, database, python
from benchmarks.peers.django import DjangoSide
from benchmarks.project.bodies import PREPARING
from django_jobflow.worker import affinity

THREADS = 4  # of each process
KEYED = {"keyed", "hot", "hot-10ms"}  # jobs whose calls differ
POLLING = {"WAKE_UP": "poll"}
ON_DRIVER = 8  # threads of each process, each with a connection; the pools of the peers have 10
ON_LOOP = 300  # async bodies of each process at a time, most of which wait for the pool


def best(threads: int) -> list[str]:
    """Return the options of ``runjobs`` that serve a busy worker best, but for its processes."""
    return ["--threads", str(threads), *["--cpu-affinity"] * affinity.is_there()]


def shown(threads: int) -> str:
    """Return those as the report shows them."""
    return " ".join([f"--processes {PROCESSES}", *best(threads)])


class Ours(DjangoSide):
    """With the settings that serve it best.

    Attributes:
        threads: Of each process; also the async bodies at a time.
        bare: The job with the bare INSERT.
    """

    threads = THREADS
    bare = "insert-raw"
    packages = ("Django",)
    settings = {"runjobs": shown(THREADS)}
    remaining = "SELECT count(*) FROM jobflow_job WHERE state <> 'FAILED'"
    jobs = (
        "noop",
        "insert",
        "insert-transactional",
        "insert-pipelined",
        "insert-grouped",
        "insert-raw",
        "insert-raw-transactional",
        "insert-raw-pipelined",
        "insert-raw-grouped",
    )
    has_bulk = True
    django: ClassVar[dict[str, Any]] = {"apps": ["django_jobflow"]}

    def workers(self, processes: int) -> list[Command]:
        return runjobs(processes, *best(self.threads))

    def enqueue(self, job: str, *args: Any) -> None:
        self._job(job).enqueue(*args)

    def enqueue_many(self, job: str, count: int) -> None:
        calls = ({"number": n} for n in range(count)) if job in KEYED else repeat({}, count)
        self._job(job).enqueue_many(calls)

    def enqueue_at(self, moment: datetime, job: str, *args: Any) -> None:
        self._job(job).using(run_at=moment).enqueue(*args)

    def fill_limited(self, limit: int, behind: int) -> None:
        """Have a queue with a limit, as many jobs of it as may run elsewhere, and more behind."""
        from django.utils import timezone

        from django_jobflow import control
        from django_jobflow.models import JobRecord

        control.set_limit(queue="limited", concurrency=limit)
        slow = self._job("slow").using(queue="limited")
        slow.enqueue_many(repeat({}, limit + behind))
        for record in JobRecord.objects.reserve(limit, worker="nobody", queues=["limited"]):
            record.start()
        held = JobRecord.objects.filter(reserved_by="nobody")
        held.update(expires=timezone.now() + timedelta(days=1))

    def _job(self, name: str) -> Any:
        from django_jobflow.declare import registry

        return registry.get(self.bare if name == "insert-raw" else name)

    def describe(self) -> dict[str, Any]:
        from django_jobflow import __version__

        said = super().describe()
        said["versions"] = {"django-jobflow": __version__, **said["versions"]}
        said["versions"] |= driver()
        return said


class Preparing(Ours):
    """With bodies that commit by themselves, and Django told to prepare their statements."""

    settings = Ours.settings | {"OPTIONS of the database": str(PREPARING)}
    jobs = ("insert", "insert-raw")
    django: ClassVar[dict[str, Any]] = Ours.django | {"OPTIONS": PREPARING}


class Driver(Ours):
    """With a bare driver in its threads, as the peers are measured that have threads."""

    threads = ON_DRIVER
    bare = "insert-driver"
    settings = {
        "runjobs": shown(threads),
        "body": "psycopg, a connection for each thread",
    }
    jobs = ("insert-raw",)


class OnLoop(Ours):
    """With async bodies and a bare driver, as the peers on asyncio are measured."""

    packages = ("Django", "asyncpg")
    threads = ON_LOOP
    bare = "insert-async"
    settings = {
        "runjobs": shown(threads),
        "body": "async, asyncpg, a pool of 2 to 10 without resets, on uvloop",
    }
    jobs = ("insert-raw",)


class Defaults(Ours):
    """As ``runjobs`` is without an option."""

    settings = {"runjobs": "no option"}

    def workers(self, processes: int) -> list[Command]:
        return [command()]


class Single(Ours):
    """With one process that executes one job at a time."""

    settings = {"runjobs": "--processes 1 --threads 1"}

    def workers(self, processes: int) -> list[Command]:
        return runjobs(1, "--threads", "1")


class Sqlite(Ours):
    """In one process, since one connection writes at a time."""

    settings = {"runjobs": f"--processes 1 --threads {THREADS}"}

    def workers(self, processes: int) -> list[Command]:
        return runjobs(1, "--threads", str(THREADS))


class Polling(Ours):
    """Woken by nothing: it asks the table."""

    settings = {"runjobs": shown(THREADS), "JOBFLOW": str(POLLING)}
    django: ClassVar[dict[str, Any]] = Ours.django | {"JOBFLOW": POLLING}


def command(*options: str) -> Command:
    return python("-m", "django", "runjobs", *options)


def runjobs(processes: int, *options: str) -> list[Command]:
    """Return the commands of one supervisor, or of as many workers where there is none."""
    if "--processes" in _help():
        return [command("--processes", str(processes), *options)]
    return [command(*options)] * processes


@cache
def _help() -> str:
    return subprocess.run(command("--help"), capture_output=True, text=True, check=True).stdout


def driver() -> dict[str, str]:
    """Return the driver of the database and its version."""
    from importlib.metadata import version

    match database().kind:
        case "postgresql":
            return {"psycopg": version("psycopg")}
        case "mysql":
            return {"mysqlclient": version("mysqlclient")}
        case _:
            return {}

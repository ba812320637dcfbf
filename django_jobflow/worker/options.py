"""What a worker process is told on its command line."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path


def worker_name(pid: int, letters: str) -> str:
    """Return the name of the worker in process *pid* of this host."""
    return f"{socket.gethostname()[:100]}:{pid}:{letters}"


def new_name() -> str:
    """Return a name that no other worker has: host, process and four random bytes."""
    return worker_name(os.getpid(), secrets.token_hex(4))


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How one worker process works.

    Attributes:
        database: Alias of the database that holds the jobs.
        queues: The queues to serve. None means all.
        exclude: Queues not to serve.
        partitions: The partitions to serve. None means all.
        threads: Slots: jobs that are executed at a time.
        drain: Whether to end once nothing is left to run now.
        max_jobs: End after so many executions. None means never.
        max_age: End after so long. None means never.
        max_memory: End once the process has more than so many bytes. None means never.
        cpu_affinity: Whether each process of a supervisor keeps to cores of its own.
        heartbeat_file: Touched while the database answers. None means no file.
        name: What the rows that this process holds say in ``reserved_by``.
        supervisor: The name that all processes of one supervisor share; empty without one.
    """

    database: str
    queues: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    partitions: tuple[str, ...] | None = None
    threads: int = 4
    drain: bool = False
    max_jobs: int | None = None
    max_age: timedelta | None = None
    max_memory: int | None = None
    cpu_affinity: bool = False
    heartbeat_file: Path | None = None
    name: str = field(default_factory=new_name)
    supervisor: str = ""

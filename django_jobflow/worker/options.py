"""What a worker process is told on its command line."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass, field


def new_name() -> str:
    """Return a name that no other worker has: host, process and four random bytes."""
    return f"{socket.gethostname()[:100]}:{os.getpid()}:{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How one worker process works.

    Attributes:
        database: Alias of the database that holds the jobs.
        queues: The queues to serve. None means all.
        exclude: Queues not to serve.
        threads: Slots: jobs that are executed at a time.
        drain: Whether to end once nothing is left to run now.
        max_jobs: End after so many executions. None means never.
        name: What the rows that this process holds say in ``reserved_by``.
    """

    database: str
    queues: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    threads: int = 4
    drain: bool = False
    max_jobs: int | None = None
    name: str = field(default_factory=new_name)

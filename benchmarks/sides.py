"""Who is measured, and on what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One side.

    Attributes:
        name: As the report calls it.
        target: The module and the class that speak for it.
        server: Where its jobs wait: postgresql, sqlite, mariadb, redis or rabbitmq.
        packages: The modules without which it cannot be measured.
        suites: What is measured of it.
    """

    name: str
    target: str
    suites: frozenset[str]
    server: str = "postgresql"
    packages: tuple[str, ...] = ("django", "psycopg")


def _ours(name: str, kind: str, suites: str, **more: Any) -> Entry:
    target = f"benchmarks.peers.ours:{kind}"
    return Entry(name=name, target=target, suites=frozenset(suites.split()), **more)


def _peer(name: str, target: str, server: str, packages: str) -> Entry:
    return Entry(
        name=name,
        target=f"benchmarks.peers.{target}",
        server=server,
        packages=tuple(packages.split()),
        suites=frozenset({"drain", "real", "disk", "enqueue", "latency", "idle"}),
    )


ALL = "drain keys real disk turns enqueue latency due idle flat beside snapshot"

ENTRIES = [
    _ours("ours", "Ours", ALL),
    _ours("ours-preparing", "Preparing", "turns"),
    _ours("ours-driver", "Driver", "turns"),
    _ours("ours-async", "OnLoop", "real disk turns", packages=("django", "psycopg", "asyncpg")),
    _ours("ours-defaults", "Defaults", "drain latency idle"),
    _ours("ours-single", "Single", "drain"),
    _ours("ours-polling", "Polling", "latency idle"),
    _ours("ours-sqlite", "Sqlite", "drain keys latency", server="sqlite", packages=("django",)),
    _ours("ours-mariadb", "Ours", "drain keys latency", server="mariadb", packages=("MySQLdb",)),
    _peer("django-tasks-db", "django_tasks_db:DjangoTasksDb", "postgresql", "django_tasks_db"),
    _peer("procrastinate", "procrastinate:Procrastinate", "postgresql", "procrastinate"),
    _peer("pgqueuer", "pgqueuer:PgQueuerSide", "postgresql", "pgqueuer asyncpg uvloop"),
    _peer("oban", "oban:ObanSide", "postgresql", "oban uvloop"),
    _peer("dj-queue", "dj_queue:DjQueue", "postgresql", "dj_queue"),
    _peer("django-ox", "django_ox:DjangoOx", "postgresql", "django_ox"),
    _peer("celery-rabbitmq", "celery:CelerySide", "rabbitmq", "celery"),
    _peer("celery-redis", "celery:CelerySide", "redis", "celery redis"),
    _peer("dramatiq-rabbitmq", "dramatiq:DramatiqSide", "rabbitmq", "dramatiq pika"),
    _peer("dramatiq-redis", "dramatiq:DramatiqSide", "redis", "dramatiq redis"),
    _peer("huey-redis", "huey:HueySide", "redis", "huey redis"),
]

BY_NAME = {entry.name: entry for entry in ENTRIES}

"""Which database the tests use, and how Django is told about it.

``JOBFLOW_TEST_DB`` chooses ``sqlite`` (the default), ``postgresql`` or ``mariadb``. A
``DATABASE_URL`` of one of these kinds wins. Nothing here opens a connection.
"""

import os
import secrets
from functools import cache
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

RUN_DIRECTORY = "JOBFLOW_TEST_RUN_DIRECTORY"
DATABASE_NAMES = "JOBFLOW_TEST_DATABASE_NAMES"
KINDS = ("sqlite", "postgresql", "mariadb")

env = environ.Env()

OPTIONS: dict[str, dict[str, Any]] = {
    "sqlite": {
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
    },
    "postgresql": {},
    "mariadb": {"isolation_level": "read committed", "charset": "utf8mb4"},
}


@cache
def run_directory() -> Path:
    """The folder of the databases of one run of pytest, which makes and removes it.

    Every process that descends from the first one to ask is given the same answer.
    """
    # Short, since the path of a socket inside it has at most 107 bytes.
    name = os.environ.setdefault(RUN_DIRECTORY, f"/tmp/jobflow-tests-{secrets.token_hex(4)}")
    return Path(name)


def kind() -> str:
    """One of *KINDS*."""
    if given := env.str("DATABASE_URL", default=""):
        scheme = given.partition(":")[0]
        named = {"postgres": "postgresql", "psql": "postgresql", "mysql": "mariadb"}.get(
            scheme, scheme
        )
        source = "DATABASE_URL"
    else:
        named, source = env.str("JOBFLOW_TEST_DB", default="sqlite"), "JOBFLOW_TEST_DB"
    if named not in KINDS:
        raise ImproperlyConfigured(f"{source}: expected one of {', '.join(KINDS)}, got {named!r}.")
    return named


def server_directory() -> Path:
    """Where the PostgreSQL server of these tests lives; its socket is among its data."""
    return run_directory() / "postgresql"


def needs_own_server() -> bool:
    """Whether the PostgreSQL server has to be started for these tests."""
    return kind() == "postgresql" and not env.str("DATABASE_URL", default="")


def url() -> str:
    """Where the database is that holds, or stands beside, the test databases."""
    if given := env.str("DATABASE_URL", default=""):
        return given
    match kind():
        case "postgresql":
            return f"postgresql://postgres@/{server_directory()}/data/jobflow"
        case "mariadb":
            return env.str(
                "JOBFLOW_TEST_MARIADB_URL", default="mysql://root@127.0.0.1:3306/jobflow"
            )
        case _:
            return "sqlite://:memory:"


def django_databases() -> dict[str, dict[str, Any]]:
    """The setting ``DATABASES``: ``default``, and ``other`` beside it on the same server."""
    return {alias: _database(alias) for alias in ("default", "other")}


def _database(alias: str) -> dict[str, Any]:
    database = env.db_url_config(url())
    database["OPTIONS"] = OPTIONS[kind()] | database.get("OPTIONS", {})
    match kind():
        case "sqlite":  # a file, since several threads and processes work on it
            database["TEST"] = {"NAME": str(run_directory() / f"test_{alias}.sqlite3")}
        case "postgresql":
            database["NAME"] += f"_{_run()}_{alias}"
        case "mariadb":
            database["NAME"] += f"_{_run()}_{alias}"
            database["TEST"] = {"CHARSET": "utf8mb4"}
    # A process that is to work on the databases of a running test is given their names.
    names = env.json(DATABASE_NAMES, default={})
    return database | ({"NAME": names[alias]} if alias in names else {})


def _run() -> str:
    """What tells the databases of this run from those of another on the same server."""
    return run_directory().name.rpartition("-")[2]

"""Where a database is, in the forms that Django and the drivers want."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

VARIABLE = "BENCHMARK_DATABASE"
KINDS = {"postgres": "postgresql", "postgresql": "postgresql", "mysql": "mysql"}

OPTIONS: dict[str, dict[str, Any]] = {
    "sqlite3": {
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
    },
    "postgresql": {},
    "mysql": {"isolation_level": "read committed", "charset": "utf8mb4"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """One database; *kind* is the last part of Django's name for its engine."""

    kind: str
    name: str
    host: str = ""
    port: str = ""
    user: str = ""
    password: str = ""

    @classmethod
    def at(cls, url: str) -> Database:
        """Read the URL of a server's database."""
        parts = urlsplit(url)
        return cls(
            kind=KINDS[parts.scheme],
            name=unquote(parts.path.lstrip("/")),
            host=unquote(parts.hostname or "") or parse_qs(parts.query).get("host", [""])[0],
            port=str(parts.port or ""),
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )

    @classmethod
    def from_environment(cls) -> Database:
        """Return the one that a process of the benchmark was given."""
        return cls(**json.loads(os.environ[VARIABLE]))

    @classmethod
    def file(cls, path: Path) -> Database:
        """Return a database of SQLite."""
        return cls(kind="sqlite3", name=str(path))

    def named(self, name: str) -> Database:
        """Return another database of the same server."""
        return replace(self, name=name)

    def environment(self) -> dict[str, str]:
        return {VARIABLE: json.dumps(asdict(self))}

    def django(self) -> dict[str, Any]:
        """Return the entry of ``DATABASES``."""
        return {
            "ENGINE": f"django.db.backends.{self.kind}",
            "NAME": self.name,
            "HOST": self.host,
            "PORT": self.port,
            "USER": self.user,
            "PASSWORD": self.password,
            "OPTIONS": OPTIONS[self.kind],
            "CONN_MAX_AGE": None,  # as each Django peer advises; a connection a job is no measure
        }

    def keywords(self) -> dict[str, str]:
        """Return what ``psycopg.connect()`` takes."""
        given = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "dbname": self.name,
        }
        return {key: value for key, value in given.items() if value}

    def url(self) -> str:
        """Return what libpq, asyncpg and the peers' command lines take."""
        secret = f":{quote(self.password, safe='')}" if self.password else ""
        is_socket = self.host.startswith("/")
        host = "" if is_socket else self.host + (f":{self.port}" if self.port else "")
        query = f"?host={quote(self.host, safe='/')}" if is_socket else ""
        return f"postgresql://{quote(self.user, safe='')}{secret}@{host}/{self.name}{query}"

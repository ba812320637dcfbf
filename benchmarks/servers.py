"""The servers that are measured on: one PostgreSQL for all, and what the peers need beside it.

What is not given and not found is started where its program is installed, with its own defaults
but for what is written here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.databases import Database

# Durable as PostgreSQL is by default. A checkpoint in the middle of one run and not of another
# would be told as a difference between the two, so there is room for none.
POSTGRESQL = """
listen_addresses = ''
unix_socket_directories = '{directory}'
max_connections = 200
shared_buffers = 512MB
max_wal_size = 8GB
checkpoint_timeout = 30min
fsync = on
synchronous_commit = on
timezone = 'UTC'
"""
SHOWN = ("fsync", "synchronous_commit", "shared_buffers", "max_wal_size")
PATIENCE = 30.0  # seconds until a server that was started answers


class Unavailable(Exception):
    """A server cannot be had; says why."""


class Servers:
    """The servers, each found or started when it is first asked for; close them at the end."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.started = ExitStack()

    def close(self) -> None:
        self.started.close()

    @cached_property
    def postgresql(self) -> Database:
        """The server of ``DATABASE_URL``, or one of our own."""
        if given := os.environ.get("DATABASE_URL"):
            return Database.at(given)
        from tests.servers import PostgresqlServer, ServerUnavailable

        server = PostgresqlServer(self.home / "postgresql", POSTGRESQL)
        try:
            server.start()
        except ServerUnavailable as error:
            raise Unavailable(str(error)) from error
        self.started.callback(server.stop)
        return Database(kind="postgresql", name="postgres", user="postgres", host=str(server.data))

    def warm_up(self, megabytes: int) -> None:
        """Have PostgreSQL write so much, before anything is measured.

        Memory that it touches for the first time, and the first files of its log, cost the one
        that comes first a fifth of its speed.
        """
        with postgresql(self.postgresql) as execute:
            execute("CREATE TABLE warm_up (text text)")
            # Not CREATE TABLE AS, nor any that goes through a small ring of buffers.
            execute(
                "INSERT INTO warm_up SELECT repeat('x', 1000) FROM generate_series(1, %s)",
                [megabytes * 1000],
            )
            execute("DROP TABLE warm_up")
            execute("CHECKPOINT")

    @cached_property
    def mariadb(self) -> Database:
        """The server of ``MARIADB_URL``, or one on this host that lets root in."""
        given = os.environ.get("MARIADB_URL", "mysql://root@127.0.0.1:3306/mysql")
        database = Database.at(given)
        try:
            with mysql(database):
                return database
        except Exception as error:  # whatever a driver that may be missing raises
            raise Unavailable(f"no MariaDB answers ({error})") from error

    @cached_property
    def redis(self) -> str:
        """A URL: that of ``REDIS_URL``, or of a Redis of our own with its defaults."""
        if given := os.environ.get("REDIS_URL"):
            return given
        program = shutil.which("redis-server")
        if program is None:
            raise Unavailable("REDIS_URL is not set and there is no redis-server")
        port, folder = free_port(), self.home / "redis"
        folder.mkdir()
        # Not the one that may already run on this host: it may hold somebody's data.
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._start(command, port)
        return f"redis://127.0.0.1:{port}/0"

    @cached_property
    def rabbitmq(self) -> str:
        """A URL: that of ``AMQP_URL``, or of a RabbitMQ on this host with its first user."""
        given = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
        parts = urlsplit(given)
        if answers(parts.hostname or "127.0.0.1", parts.port or 5672):
            return given
        program = shutil.which("rabbitmq-server")
        if program is None or "AMQP_URL" in os.environ:
            raise Unavailable(f"no RabbitMQ answers at {parts.hostname}:{parts.port}")
        return self._start_rabbitmq(program)

    def _start_rabbitmq(self, program: str) -> str:
        port, folder = free_port(), self.home / "rabbitmq"
        folder.mkdir()
        shutil.chown(folder, *(("rabbitmq", "rabbitmq") if os.geteuid() == 0 else (os.getuid(),)))
        environment = os.environ | {
            "RABBITMQ_NODENAME": f"benchmark{port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        }
        self._start([program], port, environment)
        return f"amqp://guest:guest@127.0.0.1:{port}/"

    def _start(self, command: list[str], port: int, environment: Any = None) -> None:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        self.started.callback(_stop, process)
        deadline = time.monotonic() + PATIENCE
        while not answers("127.0.0.1", port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"{Path(command[0]).name} did not start")
            time.sleep(0.1)

    # Databases on them

    @contextmanager
    def database(self, kind: str, name: str) -> Iterator[Database]:
        """Make an empty database on the server of this *kind*; it goes at the end."""
        match kind:
            case "sqlite":
                with tempfile.TemporaryDirectory(dir=self.home) as folder:
                    yield Database.file(Path(folder) / "jobs.sqlite3")
            case "mariadb":
                with self._made(self.mariadb, name, mysql, "") as database:
                    yield database
            case _:
                with self._made(self.postgresql, name, postgresql, "WITH (FORCE)") as database:
                    yield database

    @contextmanager
    def _made(
        self, server: Database, name: str, connect: Callable[..., Any], force: str
    ) -> Iterator[Database]:
        drop = f"DROP DATABASE IF EXISTS {name} {force}"
        with connect(server) as execute:
            execute(drop)
            execute(f"CREATE DATABASE {name}")
        try:
            yield server.named(name)
        finally:
            with connect(server) as execute:
                execute(drop)


@contextmanager
def postgresql(database: Database) -> Iterator[Any]:
    """Yield the function that executes a statement there, each in a transaction of its own."""
    import psycopg

    keywords: dict[str, Any] = database.keywords()
    with psycopg.connect(autocommit=True, **keywords) as connection:
        yield connection.execute


@contextmanager
def mysql(database: Database) -> Iterator[Any]:
    """Yield the function that executes a statement there."""
    import MySQLdb

    connection = MySQLdb.connect(
        host=database.host,
        port=int(database.port or 3306),
        user=database.user,
        password=database.password,
        database=database.name,
        connect_timeout=5,
        autocommit=True,
    )
    with contextlib.closing(connection):
        yield connection.query


def answers(host: str, port: int) -> bool:
    """Say whether something listens there."""
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

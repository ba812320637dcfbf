"""The databases of a chaos run: servers of its own, that it may break."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.chaos import audit
from tests.chaos.settings import DATABASES_VARIABLE
from tests.servers import PostgresqlServer, ServerUnavailable

REPOSITORY = Path(__file__).parent.parent.parent
TABLES = (
    "jobflow_job",
    "jobflow_succeeded",
    "jobflow_worker",
    "chaos_effect",
    "chaos_run",
    "chaos_move",
)
USER = "chaos"
PATIENCE = 60.0  # seconds until a server that was started answers
ROOM = "256m"  # of the file system that can be filled up


class Database:
    """A database, for the processes on it by Django, and for the run by a bare driver.

    Args:
        home: Where its files are.

    Attributes:
        kind: "postgresql", "mariadb" or "sqlite".
        can_fill: Whether its disk is a small one, which may be filled up.
    """

    kind: str
    can_fill = False

    def __init__(self, home: Path) -> None:
        self.home = home
        self.disk = home / "disk"

    # For the processes

    def django(self) -> dict[str, Any]:
        """Return the entry of ``DATABASES``."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
        return os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            "PYTHONPATH": path,
            DATABASES_VARIABLE: json.dumps({"default": self.django()}),
        }

    # For the run

    def connect(self) -> Any:
        """Return a connection in autocommit, with the rights to do anything."""
        raise NotImplementedError

    def quote(self, name: str) -> str:
        """Return the name of a column, which may be a word of the language."""
        return f'"{name}"'

    def seconds(self, column: str) -> str:
        """Return the expression for a moment in seconds since 1970."""
        raise NotImplementedError

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Execute *statements* on a connection of their own; return the rows of the last."""
        rows: list[tuple[Any, ...]] = []
        with closing(self.connect()) as connection:
            for statement in statements:
                with closing(connection.cursor()) as cursor:
                    cursor.execute(statement)
                    rows = list(cursor.fetchall()) if cursor.description else []
        return rows

    def can_be_written(self) -> bool:
        """Say whether nobody who may be frozen keeps all others from writing."""
        return True

    # Its life

    def start(self) -> None:
        """Start it and make the tables.

        Raises:
            ServerUnavailable: It cannot be had.
        """
        self.home.mkdir(mode=0o711)
        self._make_disk()
        self._start()
        self.migrate()

    def stop(self) -> None:
        """Stop it; its data goes with it."""
        self._stop()
        if self.can_fill:
            subprocess.run(["umount", "--lazy", self.disk], check=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def _start(self) -> None:
        pass

    def _stop(self) -> None:
        pass

    def _make_disk(self) -> None:
        """Have a small file system, where this process may mount one."""
        self.disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", self.disk]
        with suppress(OSError):
            done = subprocess.run(command, check=False, capture_output=True)
            self.can_fill = done.returncode == 0

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """Leave no room on its disk for a while."""
        filler = self.disk / "filler"
        try:
            with filler.open("wb", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(4096))
            yield
        finally:
            filler.unlink(missing_ok=True)

    def migrate(self) -> None:
        """Make the tables and the triggers."""
        subprocess.run(
            [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity=0"],
            env=self.environment(),
            check=True,
        )
        self.execute(*self._triggers())

    def _triggers(self) -> list[str]:
        raise NotImplementedError

    def clear(self) -> None:
        """Empty the tables; nobody may be at work on them."""
        self.execute(*(f"DELETE FROM {table}" for table in TABLES))


class Served(Database):
    """A database with a server, whose clients have sessions to be cut."""

    def sessions(self) -> list[tuple[int, str, bool]]:
        """Return the sessions of the processes: id, statement, whether it waits for a lock."""
        raise NotImplementedError

    def cut(self, sessions: Sequence[int]) -> None:
        """End these sessions, whatever they are at."""
        raise NotImplementedError

    def cut_all(self) -> None:
        self.cut([number for number, *_ in self.sessions()])

    def restart(self, *, well: bool) -> None:
        """Restart the server: it ends all sessions first, or it dies."""
        raise NotImplementedError

    @contextmanager
    def locked_table(self) -> Iterator[None]:
        """Keep the table of jobs from being written."""
        raise NotImplementedError
        yield

    def clear(self) -> None:
        self.cut_all()
        super().clear()


# Small, and quick to see a deadlock.
POSTGRESQL = """
listen_addresses = ''
unix_socket_directories = '{directory}'
max_connections = 100
shared_buffers = 64MB
deadlock_timeout = 100ms
fsync = off  # it is killed, but the host is not
timezone = 'UTC'
"""


class PostgreSQL(Served):
    """A PostgreSQL server from the wheel."""

    kind = "postgresql"

    def _start(self) -> None:
        self.server = PostgresqlServer(self.home / "server", POSTGRESQL)
        self.server.start()
        try:
            self._make_database()
        except BaseException:
            self.server.stop()
            raise

    def _make_database(self) -> None:
        place = ""
        statements = [f"CREATE ROLE {USER} LOGIN"]
        if self.can_fill:
            owner = self.server.identity.get("user", os.geteuid())
            space = self.disk / "space"
            space.mkdir()
            os.chown(space, owner, -1)
            statements.append(f"CREATE TABLESPACE small LOCATION '{space}'")
            place = "TABLESPACE small"
        statements.append(f"CREATE DATABASE {USER} OWNER {USER} {place}")
        with closing(self.connect("postgres")) as connection:
            for statement in statements:
                connection.execute(statement)

    def _stop(self) -> None:
        self.server.stop()

    def django(self) -> dict[str, Any]:
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": USER,
            "USER": USER,
            "HOST": str(self.server.data),
        }

    def connect(self, name: str = USER) -> Any:
        import psycopg

        return psycopg.connect(
            host=str(self.server.data), user="postgres", dbname=name, autocommit=True
        )

    def seconds(self, column: str) -> str:
        return f"EXTRACT(EPOCH FROM {column})"

    def sessions(self) -> list[tuple[int, str, bool]]:
        return self.execute(
            "SELECT pid, query, COALESCE(wait_event_type, '') = 'Lock' FROM pg_stat_activity"
            f" WHERE usename = '{USER}'"
        )

    def cut(self, sessions: Sequence[int]) -> None:
        self.execute(*(f"SELECT pg_terminate_backend({number})" for number in sessions))

    def restart(self, *, well: bool) -> None:
        mode = "fast" if well else "immediate"
        log = self.server.data / "log"
        self.server._run("pg_ctl", "--wait", f"--mode={mode}", f"--log={log}", "restart")

    @contextmanager
    def locked_table(self) -> Iterator[None]:
        with closing(self.connect()) as connection, connection.transaction():
            # Whoever writes in a transaction now may wait for another that waits for us.
            connection.execute("LOCK TABLE jobflow_job IN EXCLUSIVE MODE")
            yield

    @contextmanager
    def role_setting(self, setting: str) -> Iterator[None]:
        """Let the sessions that begin have a setting, and have all begin anew."""
        name = setting.partition(" ")[0]
        try:
            self.execute(f"ALTER ROLE {USER} SET {setting}")
            self.cut_all()
            yield
        finally:
            self.execute(f"ALTER ROLE {USER} RESET {name}")

    def read_only(self) -> AbstractContextManager[None]:
        """Refuse to write, as the server does that was the primary until now.

        Sessions that begin meanwhile stay so for ever.
        """
        return self.role_setting("default_transaction_read_only = on")

    @contextmanager
    def few_connections(self, most: int) -> Iterator[None]:
        """Allow no more sessions than *most*, and have all begin anew."""
        try:
            self.execute(f"ALTER ROLE {USER} CONNECTION LIMIT {most}")
            self.cut_all()
            yield
        finally:
            self.execute(f"ALTER ROLE {USER} CONNECTION LIMIT -1")

    def _triggers(self) -> list[str]:
        return audit.postgresql()

    def clear(self) -> None:
        self.cut_all()
        self.execute(f"TRUNCATE {', '.join(TABLES)}")


class SQLite(Database):
    """A file, as the documentation advises to set it up."""

    kind = "sqlite"

    @property
    def path(self) -> Path:
        return self.disk / "jobs.sqlite3"

    def django(self) -> dict[str, Any]:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(self.path),
            "OPTIONS": {
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
                "transaction_mode": "IMMEDIATE",
                "timeout": 2,  # seconds, so that it is exceeded
            },
        }

    def connect(self) -> Any:
        return sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)

    def seconds(self, column: str) -> str:
        return f"(julianday({column}) - 2440587.5) * 86400"

    def can_be_written(self) -> bool:
        with closing(sqlite3.connect(self.path, timeout=1, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            connection.execute("ROLLBACK")
        return True

    @contextmanager
    def locked_table(self) -> Iterator[None]:
        """Keep everybody from writing."""
        with closing(self.connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")

    def _triggers(self) -> list[str]:
        return audit.sqlite()


MARIADB = {
    "innodb-flush-log-at-trx-commit": "2",  # it is killed, but the host is not
    "innodb-buffer-pool-size": "64M",
    "innodb-lock-wait-timeout": "50",
    "max-connections": "100",
    "skip-networking": "ON",
    "character-set-server": "utf8mb4",
}


class MariaDB(Served):
    """A MariaDB server from the programs of this host."""

    kind = "mariadb"

    def _start(self) -> None:
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
        self.program = shutil.which("mariadbd", path=path)
        install = shutil.which("mariadb-install-db", path=path)
        if self.program is None or install is None:
            raise ServerUnavailable("MariaDB: there is no mariadbd to start.")
        self.user = pwd.getpwnam("nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())[0])
        self.data = self.home / "data"
        self._install(install)
        self._launch()
        self.execute(
            f"CREATE USER '{USER}'@'localhost'",
            f"CREATE DATABASE {USER}",
            f"GRANT ALL ON {USER}.* TO '{USER}'@'localhost'",
        )

    def _install(self, program: str, attempts: int = 2) -> None:
        """Make the data; that has failed once beside a full suite, so it is tried again."""
        self.data.mkdir()
        shutil.chown(self.data, self.user.pw_uid)
        done = subprocess.run(
            [
                program,
                "--no-defaults",
                f"--datadir={self.data}",
                f"--user={self.user.pw_name}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
            ],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode != 0:
            if attempts == 1:
                raise ServerUnavailable(f"MariaDB: {program} failed. {done.stdout.strip()}")
            shutil.rmtree(self.data)
            self._install(program, attempts - 1)

    @property
    def socket(self) -> str:
        return str(self.data / "socket")

    def _launch(self) -> None:
        assert self.program is not None
        options = [f"--{name}={value}" for name, value in MARIADB.items()]
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    self.program,
                    "--no-defaults",
                    f"--datadir={self.data}",
                    f"--socket={self.socket}",
                    f"--pid-file={self.data / 'pid'}",
                    f"--user={self.user.pw_name}",
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._await_answer()

    def _await_answer(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.connect("").close()
            except Exception as error:  # whatever the driver raises
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise ServerUnavailable(f"MariaDB did not start. {error}") from error
                time.sleep(0.02)
            else:
                return

    def _stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def django(self) -> dict[str, Any]:
        return {
            "ENGINE": "django.db.backends.mysql",
            "NAME": USER,
            "USER": USER,
            "HOST": self.socket,
            "OPTIONS": {"charset": "utf8mb4"},
        }

    def connect(self, name: str | None = None) -> Any:
        import MySQLdb

        known = name if name is not None else self._name
        return MySQLdb.connect(
            unix_socket=self.socket, user="root", database=known, autocommit=True
        )

    _name = ""

    def quote(self, name: str) -> str:
        return f"`{name}`"

    def seconds(self, column: str) -> str:
        return f"TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {column}) / 1000000"

    def migrate(self) -> None:
        self._name = USER
        super().migrate()

    def sessions(self) -> list[tuple[int, str, bool]]:
        return [
            (number, info or "", "lock" in (state or ""))
            for number, info, state in self.execute(
                f"SELECT ID, INFO, STATE FROM information_schema.PROCESSLIST WHERE USER = '{USER}'"
            )
        ]

    def cut(self, sessions: Sequence[int]) -> None:
        with closing(self.connect()) as connection, closing(connection.cursor()) as cursor:
            for number in sessions:
                with suppress(Exception):  # it has gone by itself
                    cursor.execute(f"KILL {number}")

    def restart(self, *, well: bool) -> None:
        if well:
            self.process.terminate()
        else:
            self.process.kill()
        self.process.wait(PATIENCE)
        self._launch()

    @contextmanager
    def locked_table(self) -> Iterator[None]:
        with closing(self.connect()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute("LOCK TABLES jobflow_job WRITE")
            yield
            cursor.execute("UNLOCK TABLES")

    @contextmanager
    def few_connections(self, most: int) -> Iterator[None]:
        try:
            self.execute(f"ALTER USER '{USER}'@'localhost' WITH MAX_USER_CONNECTIONS {most}")
            self.cut_all()
            yield
        finally:
            self.execute(f"ALTER USER '{USER}'@'localhost' WITH MAX_USER_CONNECTIONS 0")

    @contextmanager
    def read_only(self) -> Iterator[None]:
        try:
            self.execute("SET GLOBAL read_only = 1")
            yield
        finally:
            self.execute("SET GLOBAL read_only = 0")

    def _triggers(self) -> list[str]:
        return audit.mysql()


KINDS: dict[str, Callable[[Path], Database]] = {
    "postgresql": PostgreSQL,
    "mariadb": MariaDB,
    "sqlite": SQLite,
}


@contextmanager
def serving(kind: str, folder: Path) -> Iterator[Database]:
    """Have a database of this *kind* in *folder*, as long as it is used."""
    database = KINDS[kind](folder / "database")
    database.start()
    try:
        yield database
    finally:
        database.stop()

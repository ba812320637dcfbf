"""Databases that are not as they should be, for the connections that are yet to be opened."""

import contextlib
import socket

from django.db import connection, connections

needs_server = connection.vendor != "sqlite"


def use(monkeypatch, **settings):
    """Let new connections of "default" have these settings; those that are open stay."""
    monkeypatch.setitem(
        connections.settings, "default", connections.settings["default"] | settings
    )


def use_file(monkeypatch, path):
    """Let new connections of "default" be to the SQLite database at *path*."""
    use(monkeypatch, ENGINE="django.db.backends.sqlite3", NAME=str(path), OPTIONS={})


@contextlib.contextmanager
def closed_port():
    """Give a port of this host that refuses connections, and stays so."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextlib.contextmanager
def silent_port():
    """Give a port of this host that takes connections in and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextlib.contextmanager
def unreachable(monkeypatch, tmp_path):
    """Let the database of new connections be one that cannot be reached."""
    if not needs_server:
        use_file(monkeypatch, tmp_path / "nowhere" / "jobs.sqlite3")
        yield
        return
    with closed_port() as port:
        use(monkeypatch, HOST="127.0.0.1", PORT=port)
        yield

"""Real trouble with a real file."""

import pytest
from django.db import connection

from django_jobflow.doctor import sqlite
from tests.doctor.test_examining import found, run

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="It is about SQLite."),
]


@pytest.fixture(autouse=True)
def anew():
    yield
    connection.close()  # the next one sets what the settings say


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("PRAGMA busy_timeout = 100", "busy_timeout"),
        ("PRAGMA synchronous = OFF", "synchronous_off"),
    ],
)
def test_setting_of_the_connection_is_told(statement, code):
    assert [] == found(code)
    run(statement)

    assert 1 == len(found(code))


def test_journal_that_keeps_writers_waiting_is_told():
    run("PRAGMA journal_mode = DELETE")
    try:
        [finding] = found("journal_mode")
    finally:
        run("PRAGMA journal_mode = WAL")

    assert {"mode": "delete"} == finding.facts
    assert [] == found("journal_mode")


def test_late_write_lock_is_told(monkeypatch):
    connection.ensure_connection()
    monkeypatch.setattr(connection, "transaction_mode", None)

    assert 1 == len(found("transaction_mode"))


def test_file_that_is_mostly_empty_and_its_log_are_told(monkeypatch):
    monkeypatch.setattr(sqlite, "LARGE", 1)
    monkeypatch.setattr(sqlite, "EMPTY_SHARE", 0.01)
    run("CREATE TABLE filling AS SELECT zeroblob(4000000) AS filling")
    run("DROP TABLE filling")

    assert 1 == len(found("file_empty"))
    assert 1 == len(found("log_grows"))

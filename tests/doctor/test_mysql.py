"""Real trouble on a real MariaDB."""

import pytest
from django.db import connection, connections

from django_jobflow.doctor import mysql
from tests.doctor.test_examining import found, run

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "mysql", reason="It is about MariaDB and MySQL."),
]


def test_table_without_transactions_is_mended_by_the_advice():
    run("ALTER TABLE jobflow_key_hold ENGINE = MyISAM")

    [finding] = found("no_transactions")
    run(finding.advice.partition(": ")[2])

    assert "jobflow_key_hold is kept by MyISAM, which has no transactions." == finding.text
    assert [] == found("no_transactions")


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SET SESSION sql_mode = ''", "not_strict"),
        ("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", "isolation"),
    ],
)
def test_setting_of_the_session_is_told(statement, code):
    run(statement)
    try:
        assert 1 == len(found(code))
    finally:
        connection.close()
    assert [] == found(code)


def test_transaction_that_is_open_for_long_is_told(monkeypatch):
    monkeypatch.setattr(mysql, "OLD_TRANSACTION", 0)
    other = connections["default"].copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT CONNECTION_ID()")
            [thread] = cursor.fetchone()
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            cursor.execute("SELECT 1 FROM jobflow_job")

            told = [each for each in found("old_transaction") if each.facts["thread"] == thread]
    finally:
        other.close()

    [finding] = told
    assert f"KILL {thread};" in finding.advice


def test_missing_skip_locked_is_a_notice(monkeypatch):
    monkeypatch.setattr(connection.features, "has_select_for_update_skip_locked", False)

    assert 1 == len(found("no_skip_locked"))

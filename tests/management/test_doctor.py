import json
from datetime import timedelta

import pytest
from django.db import connection

from django_jobflow.doctor import Severity
from tests.doctor.test_examining import EXPECTED
from tests.factories import WorkerFactory
from tests.management.asking import ask

pytestmark = pytest.mark.django_db

USUAL = EXPECTED[connection.vendor]


@pytest.fixture
def skewed():
    row = WorkerFactory(pid=1)
    row.clock_at = row.heartbeat_at + timedelta(seconds=5)
    row.save()


def test_findings_are_printed_with_what_to_do(skewed):
    code, printed = ask("doctor")

    assert 1 == code
    assert printed.startswith("default: ")
    assert (
        "warning  clock_skew: The clock of the worker host-1:1 is 5.0 s ahead of the database's.\n"
        "         Let NTP keep the clocks of all hosts."
    ) in printed


def test_json_says_the_same(skewed):
    code, printed = ask("doctor", "--json")
    told = json.loads(printed)

    assert 1 == code
    assert {"database", "server", "findings", "tables"} == {*told}
    [finding] = [each for each in told["findings"] if each["code"] == "clock_skew"]
    assert ("warning", {"whose": "the worker host-1:1", "seconds": 5.0}) == (
        finding["severity"],
        finding["facts"],
    )


@pytest.mark.parametrize(("least", "code"), [("notice", 1), ("warning", 1), ("error", 0)])
def test_status_follows_the_severity_that_is_asked_for(skewed, least, code):
    assert code == ask("doctor", "--fail-on", least)[0]


def test_sound_database_ends_well():
    code, printed = ask("doctor", "--fail-on", "error")

    assert 0 == code
    assert ("Nothing to do." in printed) == (USUAL == [])
    assert Severity.WARNING.word not in printed or USUAL

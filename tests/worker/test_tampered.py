"""Rows that somebody has written by SQL: a worker runs no code that they choose, and goes on."""

import json
import os
import sys

import pytest
from django.contrib.auth.models import User
from django.db import connection

from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.states import JobState
from tests.app import jobs
from tests.arguments import samples
from tests.factories import JobRecordFactory

MARK = "jobflow_tampered_module"


@pytest.fixture
def module(tmp_path, monkeypatch, settings):
    """A module that leaves a file when it is imported; it is part of an installed app, too."""
    left = tmp_path / "imported"
    package = tmp_path / MARK
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "scripts.py").write_text(
        f"import enum, pathlib\npathlib.Path({str(left)!r}).touch()\n"
        "class Colour(enum.Enum):\n    RED = 1\n"
        "def perform(*args, **kwargs): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, MARK]
    yield left
    for name in [name for name in sys.modules if name.partition(".")[0] == MARK]:
        del sys.modules[name]


def stored(kind, *value):
    return {"$jobflow": kind, "value": list(value)}


def write(record, **columns):
    """Write JSON columns as they are, past Django."""
    quote = connection.ops.quote_name
    pairs = ", ".join(f"{quote(column)} = %s" for column in columns)
    with connection.cursor() as cursor:
        statement = f"UPDATE {quote(record._meta.db_table)} SET {pairs} WHERE id = %s"
        cursor.execute(statement, [*map(json.dumps, columns.values()), record.pk])


class NameTests:
    @pytest.mark.parametrize(
        "name",
        [
            "os.system",
            "builtins.eval",
            f"{MARK}.scripts.perform",
            "tests.app.jobs.set_and_sleep",
            "tests.app.jobs.add.job",
            "tests.app.jobs.Anything.perform",
            "django_jobflow.declare.job.Job",
            "",
            "../../etc/passwd",
            "__import__('os').abort()",
        ],
    )
    def test_name_that_is_not_registered_is_never_executed(self, drain, module, name):
        record = JobRecordFactory(name=name, args=["touch /tmp/never"], kwargs={})

        assert 0 == drain()

        record.refresh_from_db()
        assert (JobState.SCHEDULED, 0, []) == (record.state, record.attempt, record.errors)
        assert not module.exists()
        assert f"{MARK}.scripts" not in sys.modules


MEMBERS = [
    stored("enum", f"{MARK}.scripts", "Colour", "RED"),
    stored("enum", f"{MARK}.scripts", "perform", "RED"),
    stored("enum", "antigravity", "Colour", "RED"),
    stored("enum", "os", "system", "RED"),
    stored("enum", "os", "environ.clear", "RED"),
    stored("enum", "builtins", "exit", "RED"),
    stored("enum", "subprocess", "Popen", "RED"),
    stored("enum", samples.__name__, "Colour.__class__", "RED"),
    stored("enum", samples.__name__, "Colour", "__class__"),
    stored("enum", samples.__name__, "Colour", "mro"),
    stored("enum", samples.__name__, "Parcel", "objects"),
    stored("enum", "os.path", "os.system", "RED"),
    stored("enum", ".scripts", "Colour", "RED"),
    stored("enum", {"a": 1}, "Colour", "RED"),
]
INSTANCES = [
    stored("model", "auth.nosuchmodel", 1, "default"),
    stored("model", f"{MARK}.scripts", 1, "default"),
    stored("model", "auth.user", 1, "nowhere"),
    stored("model", "auth.user", {"pk__gt": 0}, "default"),
    stored("model", "auth.user", "1 OR 1=1", "default"),
    stored("model", "auth.user", [1, 2], "default"),
    stored("model", "auth.user", stored("model", "auth.user", 1, "default"), "default"),
    stored("model", ["auth", "user"], 1, "default"),
    stored("model", "auth.user", 10**30, "default"),
]
OTHERS = [
    stored("object", "os.system", "touch"),
    {"$jobflow": "__reduce__", "value": ["os.system", ["touch"]]},
    {"$jobflow": "bytes", "value": "cos\nsystem\n(S'touch'\ntR."},
    {"$jobflow": "datetime", "value": ["2026-01-01", "../../../../etc/passwd", 0]},
    {"$jobflow": "datetime", "value": ["2026-01-01", f"../{MARK}/scripts", 0]},
    {"$jobflow": "datetime", "value": ["2026-01-01", "/etc/passwd", 0]},
    {"$jobflow": "int", "value": "9" * 100_000},
    {"$jobflow": "set", "value": [[1]]},
    {"$jobflow": "timedelta", "value": [10**12, 0, 0]},
    {"$jobflow": {"$jobflow": "set"}, "value": 1},
]


class ArgumentTests:
    @pytest.mark.parametrize("value", [*MEMBERS, *INSTANCES, *OTHERS], ids=str)
    def test_value_that_no_enqueue_has_written_fails_the_attempt(self, drain, module, value):
        User.objects.create_user("somebody")
        before = {*sys.modules}, dict(os.environ)
        record = jobs.Anything.enqueue("place")
        write(record, args=[value])

        assert 1 == drain()

        record.refresh_from_db()
        assert (JobState.FAILED, 1) == (record.state, record.attempt)
        assert "django_jobflow.exceptions.ArgumentError" == record.errors[0]["exception"]
        assert not module.exists()
        assert set() == {name for name in {*sys.modules} - before[0] if name.startswith(MARK)}
        assert before[1] == dict(os.environ)

    def test_enum_that_is_imported_is_only_looked_up(self, drain):
        jobs.Anything.enqueue(samples.Colour.RED)

        assert 1 == drain()

        assert SucceededJob.objects.exists()


STRANGE = [None, 7, "text", {"a": 1}, [7], {"jobflow.unknown_since": "soon"}]


class PoisonTests:
    """One row that nobody can read keeps no other from being executed."""

    @pytest.mark.parametrize("column", ["args", "kwargs", "meta", "tags", "errors"])
    @pytest.mark.parametrize("value", STRANGE, ids=str)
    @pytest.mark.parametrize("name", ["tests.app.jobs.end_by", "shop.jobs.Gone"])
    def test_worker_goes_on(self, drain, column, value, name):
        poisoned = JobRecordFactory(
            name=name, args=["error"], kwargs={}, max_attempts=1, priority=10
        )
        write(poisoned, **{column: value})
        jobs.add.enqueue(1)

        drain(threads=1)

        assert [2] == list(SucceededJob.objects.values_list("result", flat=True))
        expected = JobState.FAILED if "end_by" in name else JobState.SCHEDULED
        assert expected == JobRecord.objects.get().state

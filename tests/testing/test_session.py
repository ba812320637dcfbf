"""The plugin of pytest, in the sessions of others."""

import json
import os
import subprocess
import sys

import pytest

from tests.docs.pages import REPOSITORY

TEST_FILE = """
from django_jobflow.models import JobRecord
from tests.app.jobs import add

def test_fails_beside_a_worker(jobflow_worker):
    jobflow_worker.wait_for(add.enqueue(1))
    assert False

def test_rolls_back(jobflow):
    add.enqueue(1)
    assert 1 == len(jobflow.drain())

def test_sees_nothing_of_the_other(jobflow):
    jobflow.refute_enqueued(ended=True)
"""

SETTINGS = """
from tests.settings import *
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "TEST": {"NAME": %r}}}
TASKS = {}  # one of which is about a database that is not here
"""


@pytest.fixture
def session(tmp_path):
    """Run pytest in a project of its own, on SQLite, and return what it has written."""

    def run(*options):
        (tmp_path / "test_it.py").write_text(TEST_FILE)
        (tmp_path / "own_settings.py").write_text(SETTINGS % str(tmp_path / "test.sqlite3"))
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "own_settings",
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(tmp_path)]),
        }
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "pytest_django_jobflow",
            "-p",
            "no:randomly",
        ]
        ended = subprocess.run(
            [*command, "-p", "no:cacheprovider", *options],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return ended.stdout + ended.stderr

    return run


class SessionTests:
    def test_log_of_the_worker_is_shown_with_a_failure_under_xdist(self, session):
        written = session("-n2")

        assert "1 failed, 2 passed" in written
        assert "Log of the jobflow worker" in written
        assert "worker_started" in written

    def test_plugin_imports_nothing_for_those_who_do_not_use_it(self, tmp_path):
        code = (
            "import json, sys, pytest_django_jobflow;"
            "print(json.dumps([each for each in sys.modules if 'django' in each]))"
        )

        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )

        assert ["pytest_django_jobflow"] == json.loads(ended.stdout)

"""What ``runjobs`` refuses, and what it says then."""

import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError

from django_jobflow.management.commands import runjobs
from tests import databases


class RefusingTests:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--threads=0"], "argument --threads: expected a whole number from 1, got '0'"),
            (["--processes=-1"], "argument --processes: expected a whole number from 0, got '-1'"),
            (
                ["--max-age=soon"],
                "--max-age: expected a time like 90s, 30m, 12h or 7d, got 'soon'",
            ),
            (["--max-age=0"], "--max-age: expected a time like 90s, 30m, 12h or 7d, got '0'"),
            (["--max-memory=300"], "--max-memory: expected a size like 300M or 1.5G, got '300'"),
            (
                ["--heartbeat-file=/nowhere/beat"],
                "--heartbeat-file: expected a file in a folder that can be written to, "
                "got '/nowhere/beat'",
            ),
            (["--max-jobs=x"], "argument --max-jobs: expected a whole number from 1, got 'x'"),
            (["--queues=,"], "argument --queues: expected queue names separated by commas"),
            (
                ["--queues=a b"],
                "--queues: expected queue to be 1 to 100 letters, digits, '_', '-', '.' or ':' "
                "that start with a letter, a digit or '_', got 'a b'.",
            ),
            (
                ["--queues=a", "--exclude=a"],
                "--exclude: expected at least one of --queues to be left.",
            ),
            (["--processes=2", "--reload"], "--processes: expected 0 with --reload, got 2."),
            (
                ["--processes=0", "--cpu-affinity"],
                "--cpu-affinity: expected worker processes to deal the cores out to, got none, "
                "as with --processes 0.",
            ),
        ],
    )
    def test_wrong_option_is_named(self, arguments, message):
        with pytest.raises(CommandError) as caught:
            call_command("runjobs", *arguments)

        assert message in str(caught.value)

    def test_affinity_is_refused_where_the_system_has_none(self, monkeypatch):
        monkeypatch.delattr("os.sched_setaffinity", raising=False)

        with pytest.raises(CommandError) as caught:
            call_command("runjobs", "--processes=2", "--cpu-affinity")

        assert (
            "--cpu-affinity: expected a system that keeps a process to some of its cores, such as "
            f"Linux, got one without os.sched_setaffinity(): {sys.platform!r}."
        ) == str(caught.value)

    def test_unknown_database_is_named(self):
        with pytest.raises(CommandError) as caught:
            call_command("runjobs", "--database=nowhere")

        assert (
            "--database: expected one of the aliases in DATABASES ['default', 'other'], "
            "got 'nowhere'."
        ) == str(caught.value)

    def test_wrong_settings_are_refused(self, settings, db):
        settings.JOBFLOW = {"LEASE": 0}

        with pytest.raises((SystemCheckError, Exception), match="LEASE"):
            call_command("runjobs", "--drain")

    def test_database_without_tables_says_what_to_type(self, worker_env, tmp_path):
        env = worker_env | {"DATABASE_URL": f"sqlite:///{tmp_path}/empty.sqlite3"}
        env.pop("JOBFLOW_TEST_DATABASE_NAMES")

        ended = subprocess.run(
            [sys.executable, "-m", "django", "runjobs", "--drain"],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )

        assert 1 == ended.returncode
        assert (
            "CommandError: The tables of jobflow are missing or old. "
            "Run: manage.py migrate --database default"
        ) in ended.stderr

    def test_database_that_cannot_be_reached_is_one_line(self, worker_env, tmp_path):
        nowhere = {
            "sqlite": f"sqlite:///{tmp_path}/nowhere/jobs.sqlite3",
            "postgresql": "postgresql://postgres@127.0.0.1:1/jobs",
            "mariadb": "mysql://root@127.0.0.1:1/jobs",
        }
        env = worker_env | {"DATABASE_URL": nowhere[databases.kind()]}
        env.pop("JOBFLOW_TEST_DATABASE_NAMES")

        ended = subprocess.run(
            [sys.executable, "-m", "django", "runjobs"],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )

        assert 1 == ended.returncode
        assert ended.stderr.startswith("CommandError: The database 'default' cannot be read: ")

    @pytest.mark.parametrize("text", ["1", "250"])
    def test_whole_numbers_are_read(self, text):
        assert int(text) == runjobs.from_one(text)

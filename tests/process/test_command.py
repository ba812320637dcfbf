"""What ``runjobs`` refuses, and what it says then."""

import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError

from django_jobflow.management.commands import runjobs


class RefusingTests:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--threads=0"], "argument --threads: expected a whole number from 1, got '0'"),
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
        ],
    )
    def test_wrong_option_is_named(self, arguments, message):
        with pytest.raises(CommandError) as caught:
            call_command("runjobs", *arguments)

        assert message in str(caught.value)

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

    @pytest.mark.parametrize("text", ["1", "250"])
    def test_whole_numbers_are_read(self, text):
        assert int(text) == runjobs.from_one(text)

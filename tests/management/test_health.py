import json
import subprocess
import sys
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests import databases
from tests.factories import JobRecordFactory, PauseFactory, WorkerFactory
from tests.health import broken

HOUR = timedelta(hours=1)
PATIENCE = 90  # seconds


@pytest.fixture
def run(transactional_db):
    """Call the command in this process; return its exit code and what it has printed."""

    def run(*arguments):
        printed = StringIO()
        code = 0
        try:
            call_command("jobflow", "health", *arguments, stdout=printed, no_color=True)
        except SystemExit as ended:
            code = ended.code
        return code, printed.getvalue()

    return run


class ReportTests:
    def test_healthy_is_one_line_for_each_fact(self, run):
        WorkerFactory(now=timezone.now() + HOUR)

        assert (
            0,
            "ok    database  'default' answers\n"
            "ok    workers   1 alive, last heartbeat 0 s ago\n"
            "ok    queues    each one with jobs is served\n"
            "ok    waiting   no job\n"
            "ok    overdue   no job\n"
            "ok    lapsed    no job\n",
        ) == run()

    def test_what_fails_is_marked(self, run):
        JobRecordFactory(queue="email", now=timezone.now() + HOUR)

        assert (
            1,
            "ok    database  'default' answers\n"
            "FAIL  workers   0 alive, expected at least 1\n"
            "FAIL  queues    jobs wait, and no living worker serves 'email'\n"
            "ok    waiting   the oldest job for 0 s, on 'email'\n"
            "ok    overdue   no job\n"
            "ok    lapsed    no job\n",
        ) == run()

    def test_json_is_one_object(self, run):
        WorkerFactory(queues=["email"], now=timezone.now() + HOUR)
        JobRecordFactory(queue="reports", now=timezone.now() + HOUR)
        JobRecordFactory(queue="paused", now=timezone.now() + HOUR)
        PauseFactory(value="paused")

        code, printed = run("--json", "--max-wait=1.5", "--min-workers=0", "--max-beat", "30")

        assert 1 == code
        assert json.loads(printed) == {
            "healthy": False,
            "findings": ["queue_unserved"],
            "workers": {"alive": 1, "silent": 0, "youngest_beat": 0.0, "oldest_beat": 0.0},
            "oldest_waiting": 0.0,
            "oldest_paused": 0.0,
            "oldest_overdue": None,
            "oldest_lapsed": None,
            "limits": {"max_wait": 1.5, "max_beat": 30.0, "min_workers": 0},
            "database": "default",
            "error": None,
            "queues": {
                "paused": {
                    "oldest_waiting": None,
                    "oldest_paused": 0.0,
                    "served": None,
                    "unserved_partitions": [],
                },
                "reports": {
                    "oldest_waiting": 0.0,
                    "oldest_paused": None,
                    "served": False,
                    "unserved_partitions": [],
                },
            },
        }

    @pytest.mark.parametrize("arguments", [["--verbosity=0"], ["-v0", "--json"]])
    def test_code_alone_is_enough_for_some(self, run, arguments):
        assert (1, "") == run(*arguments)

    def test_database_that_cannot_be_reached_is_one_line(self, run, monkeypatch, tmp_path):
        with broken.unreachable(monkeypatch, tmp_path):
            code, printed = run()

        [line] = printed.splitlines()
        assert 1 == code
        assert line.startswith("FAIL  database  'default' cannot be reached: ")


class LimitTests:
    def test_limits_are_those_of_the_options(self, run):
        WorkerFactory(now=timezone.now() - HOUR, queues=["email"])
        JobRecordFactory(queue="email", now=timezone.now() - HOUR)

        assert 1 == run()[0]
        assert 1 == run("--max-wait=7200")[0]
        assert 0 == run("--max-wait=7200", "--max-beat=7200")[0]
        assert 1 == run("--max-wait=7200", "--max-beat=7200", "--min-workers=2")[0]

    def test_queues_are_those_of_the_option(self, run):
        WorkerFactory()
        JobRecordFactory(queue="email", now=timezone.now() - HOUR)

        assert 1 == run("--queues=email,reports")[0]
        assert 0 == run("--queues=reports,default")[0]


class UsageTests:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "the following arguments are required: SUBCOMMAND"),
            (["health", "--max-wait=x"], "--max-wait: expected seconds, from 0, got 'x'"),
            (["health", "--max-wait=-1"], "--max-wait: expected seconds, from 0, got '-1'"),
            (["health", "--max-beat=nan"], "--max-beat: expected seconds, from 0, got 'nan'"),
            (
                ["health", "--min-workers=-1"],
                "--min-workers: expected a whole number from 0, got '-1'",
            ),
            (
                ["health", "--queues=,"],
                "--queues: expected queue names separated by commas, got ','",
            ),
            (["health", "--queues=a b"], "--queues: expected queue to be 1 to 100 letters"),
            (
                ["health", "--database=nowhere"],
                "--database: expected one of the aliases in DATABASES ['default', 'other'], "
                "got 'nowhere'",
            ),
        ],
    )
    def test_wrong_usage_is_named(self, arguments, message):
        with pytest.raises(CommandError) as caught:
            call_command("jobflow", *arguments)

        assert message in str(caught.value)

    def test_wrong_settings_are_named(self, settings, transactional_db):
        settings.JOBFLOW = {"LEASES": 1}

        with pytest.raises(CommandError) as caught:
            call_command("jobflow", "health")

        assert "JOBFLOW['LEASES'] is not a setting. Did you mean 'LEASE'?" == str(caught.value)


class ProcessTests:
    """What a probe sees: the exit code of a process, and what it writes."""

    @pytest.fixture
    def start(self, worker_env):
        def start(*arguments, **env):
            return subprocess.run(
                [sys.executable, "-W", "error", "-m", "django", "jobflow", *arguments],
                env=worker_env | env,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )

        return start

    def test_healthy_ends_with_0(self, start):
        WorkerFactory()

        ended = start("health", "--max-beat=3600")

        assert (0, "") == (ended.returncode, ended.stderr)
        assert ended.stdout.startswith(
            "ok    database  'default' answers\nok    workers   1 alive"
        )

    def test_unhealthy_ends_with_1(self, start):
        ended = start("health", "--json")

        assert (1, "") == (ended.returncode, ended.stderr)
        assert ["too_few_workers"] == json.loads(ended.stdout)["findings"]

    @pytest.mark.parametrize("arguments", [["-v", "0", "health"], ["health", "--verbosity=0"]])
    def test_quiet_says_nothing(self, start, arguments):
        ended = start(*arguments)

        assert (1, "", "") == (ended.returncode, ended.stdout, ended.stderr)

    @pytest.mark.parametrize(
        "arguments", [[], ["healthy"], ["health", "--max-wait"], ["health", "--min-workers=x"]]
    )
    def test_wrong_usage_ends_with_2(self, start, arguments):
        ended = start(*arguments)

        assert (2, "") == (ended.returncode, ended.stdout)
        assert "usage: " in ended.stderr

    def test_database_that_cannot_be_reached_ends_with_1(self, start, tmp_path):
        with broken.closed_port() as port:
            scheme = {"postgresql": "postgresql", "mariadb": "mysql"}.get(databases.kind())
            url = f"{scheme}://jobflow:secret@127.0.0.1:{port}/jobflow"
            if scheme is None:
                url = f"sqlite:///{tmp_path}/nowhere/jobs.sqlite3"

            ended = start("health", DATABASE_URL=url, JOBFLOW_TEST_DATABASE_NAMES="{}")

        [line] = ended.stdout.splitlines()
        assert (1, "") == (ended.returncode, ended.stderr)
        assert line.startswith("FAIL  database  'default' cannot be reached: ")
        assert "secret" not in line

    @pytest.mark.skipif(not broken.needs_server, reason="There is no server.")
    def test_process_ends_though_the_server_never_answers(self, start):
        with broken.silent_port() as port:
            scheme = {"postgresql": "postgresql", "mariadb": "mysql"}[databases.kind()]
            url = f"{scheme}://jobflow:secret@127.0.0.1:{port}/jobflow"

            ended = start(
                "health", "--timeout=0.5", DATABASE_URL=url, JOBFLOW_TEST_DATABASE_NAMES="{}"
            )

        assert (1, "FAIL  database  'default' does not answer in time\n", "") == (
            ended.returncode,
            ended.stdout,
            ended.stderr,
        )

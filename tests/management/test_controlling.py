"""The sub-commands that change what workers may take: pause, resume, limit and purge."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from django_jobflow import control, job, observe
from django_jobflow.declare import registry
from django_jobflow.models import JobRecord, Pause
from django_jobflow.quotas import Quota
from django_jobflow.states import JobState
from tests.factories import FailedJobFactory, JobRecordFactory, LimitFactory, PauseFactory
from tests.management.asking import ask, ask_json, refusal

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


class PauseTests:
    def test_queue_is_paused_and_told_of(self):
        code, printed = ask("pause", "--queue=email", "--by=ann", "--reason=the server moves")

        assert (0, "Queue 'email' is paused by ann: the server moves.\n") == (code, printed)
        assert [("queue", "email")] == [(each.kind, each.value) for each in control.paused()]

    @pytest.mark.parametrize(
        ("option", "kind", "value"),
        [
            ("--name=shop.jobs.Send", "job", "shop.jobs.Send"),
            ("--partition=acme", "partition", "acme"),
            ("--partition=", "partition", ""),
        ],
    )
    def test_each_kind_can_be_paused_and_resumed(self, option, kind, value):
        assert 0 == ask("pause", option)[0]
        [pause] = control.paused()
        assert (kind, value) == (pause.kind, pause.value)

        expected = {"kind": kind, "name": value, "resumed": True}
        assert expected == ask_json("resume", option)
        assert [] == control.paused()

    def test_pause_ends_after_a_time(self):
        [pause] = ask_json("pause", "--queue=email", "--for=2h")["pauses"]

        until, since = (datetime.fromisoformat(pause[name]) for name in ("until", "since"))
        assert abs(until - since - 2 * HOUR) < timedelta(seconds=10)

    def test_pause_ends_at_a_moment(self):
        ask("pause", "--queue=email", "--until=2099-01-31T18:00+01:00")
        ask("pause", "--queue=sms", "--until=2099-01-31T18:00")

        moments = [pause.until.isoformat() for pause in control.paused()]
        local = timezone.make_aware(datetime(2099, 1, 31, 18))
        assert ["2099-01-31T17:00:00+00:00", local.astimezone(UTC).isoformat()] == moments

    def test_moment_that_has_passed_pauses_nothing(self):
        expected = "That moment has passed: nothing is paused.\n"
        assert (0, expected) == ask("pause", "--queue=email", "--until=2001-01-31")

    def test_pauses_are_listed(self):
        PauseFactory(by="ann", reason="Deploy")
        PauseFactory(value="old", until=timezone.now() - HOUR)

        code, printed = ask("pause")

        heads, line = (
            [cell.strip() for cell in each.split("  ") if cell] for each in printed.splitlines()
        )
        assert 0 == code
        assert ["PAUSED", "NAME", "UNTIL", "BY", "REASON", "SINCE"] == heads
        assert ["queue", "email", "-", "ann", "Deploy"] == line[:5]

    def test_json_has_the_pauses(self):
        assert {"pauses": []} == ask_json("pause")

        pause = PauseFactory(by="ann", reason="Deploy")
        pause.refresh_from_db()
        assert {
            "pauses": [
                {
                    "kind": "queue",
                    "name": "email",
                    "since": pause.created_at.isoformat(),
                    "until": None,
                    "by": "ann",
                    "reason": "Deploy",
                }
            ]
        } == ask_json("pause")

    def test_nothing_is_said_to_be_nothing(self):
        assert (0, "Nothing is paused.\n") == ask("pause")

    def test_resuming_says_whether_there_was_a_pause(self):
        PauseFactory()

        assert (0, "Queue 'email' is resumed.\n") == ask("resume", "--queue=email")
        assert (0, "Queue 'email' was not paused.\n") == ask("resume", "--queue=email")

    def test_terminal_is_not_commanded(self):
        printed = ask("pause", "--partition=\x1b[2J", "--reason=\x1b[2J", "--by=\x1b[2J")[1]

        assert "\x1b" not in printed + ask("pause")[1] + ask("resume", "--partition=\x1b[2J")[1]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["pause", "--reason=x"], "pause: expected the name of what --reason is for."),
            (["pause", "--for=1h"], "pause: expected the name of what --for is for."),
            (["pause", "--queue=a b"], "pause: expected queue to be 1 to 100 letters"),
            (["pause", "--queue=a", "--name=b"], "--name: not allowed with argument --queue"),
            (["pause", "--queue=a", "--for=1h", "--until=2099-01-31"], "not allowed with"),
            (
                ["pause", "--queue=a", "--until=soon"],
                "--until: expected a moment, as 2030-01-31T18:00+01:00, got 'soon'",
            ),
            (["resume"], "one of the arguments --queue --name --partition is required"),
        ],
    )
    def test_wrong_usage_is_named(self, arguments, message):
        assert message in refusal(*arguments)[1]
        assert not Pause.objects.exists()

    def test_wrong_usage_ends_with_2(self):
        assert 2 == refusal("pause", "--by=ann")[0]
        assert 2 == refusal("pause", "--queue=a b")[0]


class LimitTests:
    def quotas(self):
        return {(each.kind, each.name): each.quota for each in observe.limits()}

    def test_limit_is_set_and_told_of(self):
        arguments = ["--queue=sms", "--concurrency=3", "--rate=100/m", "--burst=20", "--by=ann"]

        code, printed = ask("limit", *arguments)

        assert (
            0,
            "Queue 'sms' may run 3 at a time (0 running) and may start 100/m, 20 at once, "
            "set by ann.\n",
        ) == (code, printed)
        assert {("queue", "sms"): Quota(3, 100, timedelta(minutes=1), 20)} == self.quotas()

    def test_limit_of_a_key_or_a_job_is_kept_too(self):
        ask("limit", "--key=smtp:1", "--concurrency=1")
        ask("limit", "--name=a", "--rate=1/10s")

        expected = {("key", "smtp:1"): Quota(1), ("job", "a"): Quota(None, 1, 10 * HOUR / 3600)}
        assert expected == self.quotas()

        told = "Execution key 'smtp:1' has no limit.\n"
        assert (0, told) == ask("limit", "--key=smtp:1", "--clear")
        assert (0, told) == ask("limit", "--key=smtp:1", "--clear")  # there is none any more
        assert [("job", "a")] == [*self.quotas()]

    def test_limit_is_shown(self):
        LimitFactory(by="ann")
        JobRecordFactory(state=JobState.IN_PROGRESS, queue="email")

        expected = "Queue 'email' may run 2 at a time (1 running), set by ann.\n"
        assert (0, expected) == ask("limit", "--queue=email")
        assert (0, "Queue 'sms' has no limit.\n") == ask("limit", "--queue=sms")
        assert {"limits": []} == ask_json("limit", "--queue=sms")

    def test_limits_are_listed(self, settings):
        settings.JOBFLOW = {"QUEUES": {"email": {"limit": 40}, "sms": {"rate": "100/m"}}}
        LimitFactory(value="email", concurrency=2)

        assert (
            0,
            "LIMITED  NAME   RUNNING  AT A TIME  RATE   BURST  NEXT START  SET BY\n"
            "queue    email        0          2  -          -  -           an operator\n"
            "queue    sms          -          -  100/m      -  -           the settings\n",
        ) == ask("limit")

    def test_limit_of_the_code_is_listed(self):
        with registry.isolated():

            @job(name="crawl", rate="5/s")
            def crawl(): ...

            expected = "Job 'crawl' may start 5/s, set by the code.\n"
            assert (0, expected) == ask("limit", "--name=crawl")

    def test_json_has_the_limits(self):
        LimitFactory(by="ann", rate=5, period=HOUR, burst=2)

        assert {
            "limits": [
                {
                    "kind": "queue",
                    "name": "email",
                    "concurrency": 2,
                    "running": 0,
                    "rate": 5,
                    "period": 3600.0,
                    "burst": 2,
                    "next_at": None,
                    "is_override": True,
                    "by": "ann",
                }
            ]
        } == ask_json("limit")

    def test_nothing_is_said_to_be_nothing(self):
        assert (0, "There are no limits.\n") == ask("limit")

    def test_settings_decide_again_after_a_clear(self, settings):
        settings.JOBFLOW = {"QUEUES": {"email": {"limit": 40}}}
        LimitFactory()

        expected = "Queue 'email' may run 40 at a time (0 running), set by the settings.\n"
        assert (0, expected) == ask("limit", "--queue=email", "--clear")

    def test_limit_of_the_settings_is_lifted(self, settings):
        settings.JOBFLOW = {"QUEUES": {"email": {"limit": 40}}}

        expected = "Queue 'email' has no limit, set by ann.\n"
        assert (0, expected) == ask("limit", "--queue=email", "--unlimited", "--by=ann")
        assert "any number" in ask("limit")[1]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--concurrency=3"], "limit: expected the name of what --concurrency is for."),
            (["--clear"], "limit: expected the name of what --clear is for."),
            (
                ["--queue=a", "--rate=1/s", "--clear"],
                "limit: expected a limit or --clear, got both.",
            ),
            (["--queue=a", "--burst=2"], "set_limit: expected a rate with burst, got burst=2"),
        ],
    )
    def test_what_means_nothing_is_refused(self, arguments, message):
        code, text = refusal("limit", *arguments)

        assert (2, True) == (code, text.startswith(message))
        assert {} == self.quotas()

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ("--concurrency=0", "expected a whole number from 1, got '0'"),
            ("--concurrency=9999999999", "expected a whole number from 1, got '9999999999'"),
            ("--rate=5", "expected so many in a time, as 100/m, got '5'"),
        ],
    )
    def test_wrong_value_is_named(self, option, message):
        expected = f"Error: argument {option.split('=')[0]}: {message}"
        assert expected == refusal("limit", "--queue=a", option)[1]


class PurgeTests:
    def test_queue_is_emptied_after_a_yes(self):
        JobRecordFactory.create_batch(2, queue="email")
        kept = [FailedJobFactory(queue="email"), JobRecordFactory()]

        arguments = ["purge", "--queue=email"]
        assert (0, "This would delete 2 jobs.\n") == ask(*arguments, "--dry-run")
        assert (1, "This would delete 2 jobs. Add --yes to do it.") == refusal(*arguments)
        assert 4 == JobRecord.objects.count()

        assert (0, "2 jobs deleted.\n") == ask(*arguments, "--yes")
        assert {each.pk for each in kept} == set(JobRecord.objects.values_list("pk", flat=True))

    def test_dry_run_is_one_even_with_a_yes(self):
        JobRecordFactory(queue="email")

        found = ask_json("purge", "--queue=email", "--yes", "--dry-run")

        assert {"dry_run": True, "count": 1, "more": False} == found
        assert JobRecord.objects.exists()

    def test_json_has_the_number(self):
        JobRecordFactory(queue="email")

        expected = {"dry_run": False, "done": 1}
        assert expected == ask_json("purge", "--queue=email", "--yes")

    def test_options_narrow(self):
        wanted = {"name": "a", "partition": "acme"}
        JobRecordFactory(**wanted)
        FailedJobFactory(**wanted)
        for column in wanted:
            JobRecordFactory(**(wanted | {column: "other"}))
        narrowed = ["purge", "--queue=default", "--name=a", "--partition=acme", "--yes"]

        assert (0, "1 job deleted.\n") == ask(*narrowed, "--state=failed", "--state=retry")
        assert (0, "1 job deleted.\n") == ask(*narrowed)
        assert 2 == JobRecord.objects.count()

    @pytest.mark.parametrize("state", ["in_progress", "succeeded"])
    def test_what_cannot_be_purged_is_named(self, state):
        code, text = refusal("purge", "--queue=email", f"--state={state}", "--yes")

        assert (2, True) == (code, text.startswith("purge: expected states to be some of FAILED,"))

    def test_queue_has_to_be_named(self):
        expected = "Error: the following arguments are required: --queue"
        assert expected == refusal("purge", "--yes")[1]

"""The sub-commands that only read: stats, list, show and workers."""

from datetime import timedelta
from functools import partial

import pytest
from django.core.management import CommandError
from django.utils import timezone

from django_jobflow import observe
from django_jobflow.arguments import DOTS
from django_jobflow.declare import registry
from django_jobflow.declare.job import Job
from django_jobflow.models import Batch
from django_jobflow.states import JobState
from tests.factories import (
    FailedJobFactory,
    JobLogFactory,
    JobRecordFactory,
    LimitFactory,
    PauseFactory,
    SucceededJobFactory,
    WorkerFactory,
)
from tests.management.asking import ask, ask_json, refusal

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def own_jobs():
    with registry.isolated():
        yield


class StatsTests:
    def test_lines_are_queues_and_columns_the_states_that_there_are(self):
        JobRecordFactory(queue="email")
        JobRecordFactory(queue="email", state=JobState.IN_PROGRESS)
        SucceededJobFactory.create_batch(2, queue="reports")

        assert (
            0,
            "QUEUE    AVAILABLE  IN PROGRESS  SUCCEEDED  TOTAL\n"
            "email            1            1          0      2\n"
            "reports          0            0          2      2\n"
            "all              1            1          2      4\n",
        ) == ask("stats")

    def test_lines_may_be_several_things(self):
        JobRecordFactory(name="a", partition="acme")

        assert (
            0,
            "NAME  PARTITION  AVAILABLE  TOTAL\n"
            "a     acme               1      1\n"
            "all   -                  1      1\n",
        ) == ask("stats", "--by", "name,partition")

    def test_nothing_is_said_to_be_nothing(self):
        assert (0, "There are no jobs.\n") == ask("stats")

    def test_json_has_all_states_and_the_groups(self):
        FailedJobFactory(queue="email")

        found = ask_json("stats")

        one, none = {"count": 1, "more": False}, {"count": 0, "more": False}
        expected = dict.fromkeys([*JobState.values, "SUCCEEDED"], none) | {"FAILED": one}
        assert {
            "database": "default",
            "states": expected,
            "groups": [{"queue": "email", "states": {"FAILED": one}}],
            "pauses": [],
            "limits": [],
        } == found

    def test_what_is_paused_and_limited_is_told(self):
        PauseFactory(by="ann")
        LimitFactory(by="ann")

        assert (
            0,
            "There are no jobs.\n"
            "Queue 'email' is paused by ann.\n"
            "Queue 'email' may run 2 at a time (0 running), set by ann.\n",
        ) == ask("stats")
        found = ask_json("stats")
        assert (ask_json("pause")["pauses"], ask_json("limit")["limits"]) == (
            found["pauses"],
            found["limits"],
        )

    def test_members_of_a_batch_are_counted_alone(self):
        batch = Batch.objects.open()
        JobRecordFactory(batch_id=batch.pk, queue="email")
        SucceededJobFactory(batch_id=batch.pk)
        JobRecordFactory()

        assert (
            0,
            "QUEUE    AVAILABLE  SUCCEEDED  TOTAL\n"
            "default          0          1      1\n"
            "email            1          0      1\n"
            "all              1          1      2\n",
        ) == ask("stats", "--batch", batch.pk)

    def test_unknown_batch_is_an_error(self):
        with pytest.raises(CommandError) as caught:
            ask("stats", "--batch", 10**12)

        assert f"There is no batch {10**12} in the database 'default'." == str(caught.value)

    def test_unknown_kind_is_named(self):
        with pytest.raises(CommandError) as caught:
            ask("stats", "--by=queue,state")

        expected = "argument --by: expected some of queue, name, partition, got 'queue,state'"
        assert f"Error: {expected}" == str(caught.value)


class ListTests:
    def test_line_says_what_and_when(self):
        due = JobRecordFactory(
            state=JobState.SCHEDULED, available_at=timezone.now() + 2 * HOUR + HOUR / 2
        )
        failed = FailedJobFactory(queue="email")

        code, printed = ask("list")

        heads, *lines = (
            [cell.strip() for cell in line.split("  ") if cell] for line in printed.splitlines()
        )
        assert 0 == code
        expected = "ID STATE JOB QUEUE ATTEMPTS AGE|NEXT RUN|LAST ERROR".replace(" ", "|", 5)
        assert expected.split("|") == heads
        name, error = "shop.jobs.SendReceipt", "ConnectionError: Attempt 3 was refused."
        assert [
            [str(failed.pk), "FAILED", name, "email", "3/3", "2 min", "-", error],
            [str(due.pk), "SCHEDULED", name, "default", "0/3", "2 min", "in 2 h", "-"],
        ] == lines

    def test_succeeded_have_other_columns(self):
        job = SucceededJobFactory(now=timezone.now() - HOUR)

        code, printed = ask("list", "--state=succeeded")

        heads, line = printed.splitlines()
        assert (0, "succeeded".upper()) == (code, heads.split()[-1])
        assert [
            str(job.pk),
            job.name,
            "default",
            "1/3",
            "1",
            "h",
            "1.0",
            "s",
            "1",
            "h",
            "ago",
        ] == (line.split())

    def test_filters_are_those_of_the_options(self):
        wanted = {"queue": "email", "name": "a", "partition": "acme"}
        record = JobRecordFactory(**wanted, tags=["t"], queue_key="k")
        for column in wanted:
            JobRecordFactory(**(wanted | {column: "other"}), tags=["t"])

        found = ask_json(
            *("list", "--state=available", "--queue=email", "--name=a", "--partition=acme"),
            *("--tag=t", "--key=k", "--older-than=1m", "--newer-than=3m"),
        )

        assert ([record.pk], False) == ([job["id"] for job in found["jobs"]], found["more"])
        assert [] == ask_json("list", "--worker=w")["jobs"]

    @pytest.mark.parametrize("age", ["2w", "14d", "336h", "1209600"])
    def test_ages_have_units(self, age):
        now = timezone.now()
        fresh = JobRecordFactory(created_at=now - timedelta(days=13))
        old = JobRecordFactory(created_at=now - timedelta(days=15))

        for option, record in (("--newer-than", fresh), ("--older-than", old)):
            found = ask_json("list", f"{option}={age}")["jobs"]
            assert [record.pk] == [job["id"] for job in found]

    def test_members_of_a_batch_are_listed(self):
        record, succeeded = JobRecordFactory(batch_id=7), SucceededJobFactory(batch_id=7)
        JobRecordFactory()

        assert [record.pk] == [job["id"] for job in ask_json("list", "--batch=7")["jobs"]]
        found = ask_json("list", "--batch=7", "--state=succeeded")["jobs"]
        assert [succeeded.pk] == [job["id"] for job in found]

    def test_limit_is_kept_and_said(self):
        JobRecordFactory.create_batch(3)

        code, printed = ask("list", "--limit=2")

        assert (0, 4) == (code, len(printed.splitlines()))
        assert printed.endswith("There are more than these 2.\n")
        assert ask_json("list", "--limit=2")["more"]
        assert not ask_json("list", "--limit=3")["more"]

    def test_nothing_is_said_to_be_nothing(self):
        assert (0, "There are no such jobs.\n") == ask("list", "--queue=nowhere")
        JobRecordFactory()
        assert (0, "There are more than these 0.\n") == ask("list", "--limit=0")

    def test_json_has_no_arguments(self):
        JobRecordFactory(kwargs={"order_id": 7})

        [job] = ask_json("list")["jobs"]

        assert "AVAILABLE" == job["state"]
        assert {"args", "kwargs", "meta"}.isdisjoint(job)

    def test_arguments_are_not_even_read(self, django_assert_num_queries):
        FailedJobFactory.create_batch(3)

        with django_assert_num_queries(1) as statements:
            ask("list", "--state=failed")

        assert "kwargs" not in statements[0]["sql"]

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            (
                "--state=done",
                "expected one of scheduled, available, reserved, in_progress, retry, "
                "failed, waiting, cancelled, succeeded, got 'done'",
            ),
            (
                "--older-than=soon",
                "expected seconds, or a number with s, m, h, d or w, got 'soon'",
            ),
            (
                "--limit=99999999999999999999",
                "expected a whole number from 0, got '99999999999999999999'",
            ),
            (
                "--older-than=9999999999d",
                "expected seconds, or a number with s, m, h, d or w, got '9999999999d'",
            ),
            ("--queue=a\0b", "expected text, got 'a\\x00b'"),
            ("--queue=\udcff", "expected text, got '\\udcff'"),
            ("--batch=x", "expected the number of a batch, got 'x'"),
            ("--limit=-1", "expected a whole number from 0, got '-1'"),
            (
                "--database=nowhere",
                "expected one of the aliases in DATABASES ['default', 'other'], got 'nowhere'",
            ),
        ],
    )
    def test_wrong_value_is_named(self, option, message):
        with pytest.raises(CommandError) as caught:
            ask("list", option)

        assert f"Error: argument {option.split('=')[0]}: {message}" == str(caught.value)


class ShowTests:
    def test_facts_arguments_and_errors_are_shown(self):
        class Send(Job):
            name = "shop.jobs.SendReceipt"

            def perform(self, order_id): ...

        record = FailedJobFactory(
            kwargs={"order_id": 7}, max_attempts=1, queue_key="receipt:7", tags=["a", "b"]
        )

        code, printed = ask("show", record.pk)

        assert 0 == code
        for line in (
            f"Job         {record.pk}",
            "State       FAILED",
            "Attempts    1 of 1",
            "Time limit  30 s",
            "Queue key   receipt:7",
            "Tags        a, b",
            'Arguments\n  {"order_id": 7}',
            "  Traceback (most recent call last):\n    ...\n  ConnectionError",
        ):
            assert line in printed

    def test_sensitive_values_are_dots(self):
        class Pay(Job):
            name = "pay"
            sensitive = ("card", "return")

            def perform(self, card, amount): ...

        record = JobRecordFactory(name="pay", args=["4242"], kwargs={"amount": 3})
        succeeded = SucceededJobFactory(
            name="pay", args=[], kwargs={"card": "4242", "amount": 3}, result="4242"
        )

        for job in (record, succeeded):
            assert "4242" not in ask("show", job.pk)[1]
        assert [DOTS] == ask_json("show", record.pk)["args"]
        found = ask_json("show", succeeded.pk)
        assert ({"card": DOTS, "amount": 3}, DOTS) == (found["kwargs"], found["result"])

    def test_arguments_of_an_unknown_job_are_dots(self):
        record = JobRecordFactory(name="gone", kwargs={"order_id": 7})

        assert {"order_id": DOTS} == ask_json("show", record.pk)["kwargs"]

    def test_running_and_succeeded_jobs_are_shown(self):
        running = JobRecordFactory(
            state=JobState.IN_PROGRESS, progress=40, progress_message="half", meta={"a": 1}
        )
        succeeded = SucceededJobFactory(args=[1], timeout=None)

        assert "40 % half" in ask("show", running.pk)[1]
        assert "Time limit  none" in ask("show", succeeded.pk)[1]

    def test_json_is_the_whole_job(self):
        record = FailedJobFactory()

        found = ask_json("show", record.pk)

        assert (record.pk, "FAILED", 30.0) == (found["id"], found["state"], found["timeout"])
        assert record.finished_at.isoformat() == found["finished_at"]
        assert record.errors == found["errors"]
        assert "builtins" not in found["last_error"]

    def test_lines_are_shown_to_who_asks(self):
        job = SucceededJobFactory()
        JobLogFactory(job=job, attempt=1, left_out=2)
        log = JobLogFactory(job=job, attempt=2)
        log.entries.append([0.5, "ERROR", "shop", "two\nlines \x1b"])
        log.save()

        code, printed = ask("show", job.pk, "--logs")

        assert 0 == code
        assert "Logged by attempt 1, host-1:4711\n" in printed
        assert "INFO django_jobflow: 2 earlier lines were left out.\n" in printed
        assert "INFO shop.mail: Said by 1.\n" in printed
        late = "  1970-01-01 00:00:00.500+00:00 ERROR shop: two\n  lines \\x1b\n"
        assert printed.endswith(late)
        assert "Said by" not in ask("show", job.pk)[1]

    def test_lines_come_as_json_to_who_asks(self):
        record = JobRecordFactory()
        JobLogFactory(job=record, entries=[[0.5, "INFO", "shop", "begun"]])

        found = ask_json("show", record.pk, "--logs")

        expected = {"attempt": 1, "at": "1970-01-01T00:00:00.500000+00:00", "level": "INFO"}
        assert [expected | {"logger": "shop", "message": "begun"}] == found["logs"]
        assert "logs" not in ask_json("show", record.pk)

    def test_row_that_a_hand_wrote_is_shown_too(self):
        record = JobRecordFactory(errors=["x", {"number": 1}], tags={"a": 1}, args="x", kwargs=3)

        code, printed = ask("show", record.pk)

        assert (0, True) == (code, "None: None" in printed)

    def test_unknown_number_is_an_error(self):
        with pytest.raises(CommandError) as caught:
            ask("show", 10**12)

        assert f"There is no job {10**12} in the database 'default'." == str(caught.value)
        assert 1 == caught.value.returncode

    @pytest.mark.parametrize("number", ["0", "-1", "x", "9" * 30, "²"])
    def test_what_is_no_number_is_named(self, number):
        with pytest.raises(CommandError) as caught:
            ask("show", "--", number)

        assert f"expected the number of a job, got {number!r}" in str(caught.value)


class WorkersTests:
    def test_line_says_what_a_worker_serves_and_runs(self):
        now = timezone.now() + HOUR
        WorkerFactory(host="a", pid=1, now=now, queues=["email", "reports"])
        WorkerFactory(host="b", pid=2, now=now - 3 * HOUR, excluded=["sms"], partitions=["", "a"])
        JobRecordFactory(state=JobState.IN_PROGRESS, reserved_by="a:1")

        code, printed = ask("workers")

        first, second = (line.split() for line in printed.splitlines()[1:])
        assert 0 == code
        assert ["a:1", "alive", "email,", "reports", "all", "4", "1", "0"] == first[:8]
        assert ["b:2", "silent", "all", "but", "sms", "'',", "a", "4", "0", "0"] == second[:10]

    def test_nobody_is_said_to_be_nobody(self):
        assert (0, "There are no workers.\n") == ask("workers")

    def test_json_has_the_facts(self):
        WorkerFactory(host="a", pid=1)

        [worker] = ask_json("workers")["workers"]

        assert ("a:1", 4, [], True) == (
            worker["name"],
            worker["slots"],
            worker["queues"],
            worker["is_alive"],
        )

    def test_code_alone_is_enough_for_some(self):
        assert (0, "") == ask("workers", "--verbosity=0")


class SearchTests:
    def test_language_of_the_admin_finds_jobs(self):
        one = FailedJobFactory(queue="email")
        FailedJobFactory(queue="sms")

        found = ask_json("list", "--search=state:failed queue:email")

        assert ([one.pk], False, None) == (
            [each["id"] for each in found["jobs"]],
            found["more"],
            found["looked_at"],
        )
        assert str(SucceededJobFactory().pk) in ask("list", "--search=state:succeeded")[1]

    def test_it_says_what_was_not_looked_through(self, monkeypatch):
        monkeypatch.setattr(observe, "find_rows", partial(observe.find_rows, window=2))
        JobRecordFactory.create_batch(3)

        printed = ask("list", "--search=queue:none")[1]

        assert (
            "There are no such jobs.\n"
            "Only 2 jobs were looked through; name a state to see others.\n"
        ) == printed

    def test_mistake_has_a_mark(self):
        code, text = refusal("list", "--search=queue:a quue:b")

        assert 2 == code
        assert text.endswith("\nqueue:a quue:b\n        ^^^^")

    def test_it_stands_alone(self):
        expected = (2, "Expected --search or --queue, --older-than, got both.")
        assert expected == refusal("list", "--search=x", "--queue=a", "--older-than=1h")

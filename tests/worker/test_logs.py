"""Lines that are kept with the attempts that have logged them, through the real worker."""

import asyncio
import logging
import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_jobflow import Job, JobState, Snooze
from django_jobflow.declare import registry
from django_jobflow.models import JobLog, JobRecord, SucceededJob
from tests.app import jobs as app_jobs
from tests.app.models import Order

PATIENCE = 60  # seconds after which a test gives up waiting for another thread

logger = logging.getLogger("tests.shop")


@pytest.fixture(autouse=True)
def own_jobs(transactional_db):
    with registry.isolated():
        yield


def said(job):
    """Return the number of the attempt and the message of each line."""
    return [(line.attempt, line.message) for line in job.logs()]


@contextmanager
def without_table():
    """Take the table of the lines away."""
    rename = "ALTER TABLE {} RENAME TO {}"
    with connection.cursor() as cursor:
        cursor.execute(rename.format("jobflow_log", "jobflow_log_away"))
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(rename.format("jobflow_log_away", "jobflow_log"))


class Talk(Job):
    """Says something through a logger and through its context, and ends in some way."""

    abstract = True
    keep_logs = True

    def perform(self, word="", then=None):
        logger.warning("logged %s", word)
        self.context.log(f"noted {word}")
        if then == "fail":
            raise ValueError(word)
        if then == "snooze":
            raise Snooze(0)


class EndingTests:
    @pytest.fixture(autouse=True)
    def jobs(self, own_jobs):
        class Plain(Talk):
            max_attempts = 2
            base_delay = 0

        class Alone(Talk):
            transactional = True

        class Grouped(Talk):
            transactional = "grouped"

        self.plain, self.alone, self.grouped = Plain, Alone, Grouped

    def test_success_has_the_lines_of_its_body(self, drain):
        self.plain.enqueue("a")
        before = time.time()

        drain()

        kept = SucceededJob.objects.get()
        assert [(1, "logged a"), (1, "noted a")] == said(kept)
        lines = kept.logs()
        assert [("WARNING", "tests.shop"), ("INFO", kept.name)] == [
            (line.level, line.logger) for line in lines
        ]
        assert all(before <= line.at.timestamp() <= time.time() for line in lines)
        assert kept.reserved_by == JobLog.objects.get().worker

    def test_each_failed_attempt_has_its_lines(self, drain):
        record = self.plain.enqueue("a", then="fail")

        drain()

        record.refresh_from_db()
        assert JobState.FAILED == record.state
        both = [(1, "logged a"), (1, "noted a"), (2, "logged a"), (2, "noted a")]
        assert both == said(record)

    @pytest.mark.parametrize("kind", ["alone", "grouped"])
    def test_transactional_body_has_them_whether_or_not_it_is_undone(self, drain, kind):
        job = getattr(self, kind)
        failed = [job.enqueue("bad", then="fail") for _ in range(2)]
        job.enqueue("good")

        drain(threads=1)

        for record in failed:
            assert [(1, "logged bad"), (1, "noted bad")] == said(record)
        assert [(1, "logged good"), (1, "noted good")] == said(SucceededJob.objects.get())

    def test_call_says_otherwise_than_the_job(self, drain):
        class Silent(Talk):
            keep_logs = False

        Silent.using(keep_logs="WARNING").enqueue("a")
        self.plain.using(keep_logs=False, meta={"a": 1}).enqueue("b")

        drain()

        loud, silent = SucceededJob.objects.order_by("pk")
        assert [(1, "logged a")] == said(loud)
        assert [] == said(silent)
        assert {"a": 1, "jobflow.keep_logs": False} == silent.meta

    def test_project_says_it_for_all_jobs(self, drain, settings):
        settings.JOBFLOW = {"DEFAULTS": {"keep_logs": "WARNING"}}
        app_jobs.end_by.enqueue("error")

        class Own(Job):
            def perform(self):
                logger.warning("kept")
                self.context.log("too low")

        Own.enqueue()
        drain()

        assert [(1, "kept")] == said(SucceededJob.objects.get())

    def test_lines_of_after_run_are_its_own_too(self, drain):
        class Hooked(Talk):
            def after_run(self, outcome):
                logger.warning("after %s", type(outcome).__name__)

        Hooked.enqueue("a")

        drain()

        assert (1, "after Succeeded") == said(SucceededJob.objects.get())[-1]

    def test_what_no_database_holds_does_not_keep_lines_from_being_written(
        self, drain, monkeypatch
    ):
        monkeypatch.setattr(logger, "propagate", False)  # pytest could not pass it on
        self.plain.enqueue()

        class Odd(Job):
            keep_logs = True

            def perform(self):
                logger.warning("a\x00b\ud800c")

        Odd.enqueue()
        drain()

        assert [(1, "a\ufffdb?c")] == said(SucceededJob.objects.get(name=Odd._name))

    def test_job_that_does_not_ask_pays_nothing(self, drain):
        class Silent(Job):
            def perform(self):
                logger.warning("not kept")
                self.context.log("not kept")

        Silent.enqueue()

        with CaptureQueriesContext(connection) as statements:
            drain()

        assert [] == [each for each in statements if "jobflow_log" in str(each["sql"])]
        assert not JobLog.objects.exists()

    def test_job_that_asks_and_logs_nothing_pays_nothing(self, drain):
        class Silent(Job):
            keep_logs = True

            def perform(self):
                pass

        Silent.enqueue()

        with CaptureQueriesContext(connection) as statements:
            drain()

        assert [] == [each for each in statements if "jobflow_log" in str(each["sql"])]


class ForgettingTests:
    def test_success_that_is_not_kept_leaves_no_lines(self, drain):
        class Passing(Talk):
            retain_succeeded = 0
            max_attempts = 2
            base_delay = 0

            def perform(self):
                super().perform()
                if self.context.attempt == 1:
                    assert not JobLog.objects.exists()
                    raise ValueError("again")
                assert 1 == JobLog.objects.count()

        Passing.enqueue()

        drain()

        assert (0, 0) == (JobLog.objects.count(), JobRecord.objects.count())

    def test_strays_are_swept_by_a_worker(self, drain, monkeypatch):
        class Plain(Talk):
            pass

        Plain.enqueue()
        drain()
        SucceededJob.objects.all().delete()
        assert JobLog.objects.exists()

        monkeypatch.setattr("django_jobflow.worker.duties.PRUNE_INTERVAL", timedelta(0))
        app_jobs.add.enqueue(1)
        drain()

        assert not JobLog.objects.exists()


class SeparationTests:
    def test_bodies_that_run_at_once_have_their_own_lines_only(self, drain):
        meeting = threading.Barrier(3)

        class Meet(Job):
            keep_logs = True

            def perform(self, word):
                meeting.wait(PATIENCE)
                logger.warning("one %s", word)
                meeting.wait(PATIENCE)
                logger.warning("two %s", word)

        class Silent(Meet):
            keep_logs = False

        Meet.enqueue("a")
        Meet.enqueue("b")
        Silent.enqueue("c")

        drain(threads=3)

        found = [said(job) for job in SucceededJob.objects.order_by("pk")]
        assert [[(1, f"one {word}"), (1, f"two {word}")] for word in "ab"] + [[]] == found

    def test_async_bodies_too(self, drain):
        class Meet(Job):
            keep_logs = True

            async def perform(self, word):
                for number in range(3):
                    logger.warning("%s %d", word, number)
                    await asyncio.sleep(0)
                await asyncio.to_thread(logger.warning, "in a thread of %s", word)
                await asyncio.gather(*(self.part(word) for _ in range(2)))

            async def part(self, word):
                self.context.log(f"part of {word}")

        Meet.enqueue("a")
        Meet.enqueue("b")

        drain(threads=2)

        for word, job in zip("ab", SucceededJob.objects.order_by("pk"), strict=True):
            expected = [*(f"{word} {number}" for number in range(3)), f"in a thread of {word}"]
            expected += [f"part of {word}"] * 2
            assert expected == [message for _, message in said(job)]

    def test_what_follows_in_the_same_slot_is_not_heard(self, drain):
        class First(Talk):
            priority = 1

        class Second(Job):
            def perform(self):
                logger.warning("not kept")

        First.enqueue("a")
        Second.enqueue()

        drain(threads=1)

        assert 1 == JobLog.objects.count()
        [first] = SucceededJob.objects.filter(name=First._name)
        assert [(1, "logged a"), (1, "noted a")] == said(first)


class InterruptedTests:
    @pytest.mark.parametrize("kind", ["plain", "async"])
    def test_attempt_that_timed_out_has_its_lines(self, drain, kind):
        class Plain(Job):
            keep_logs = True
            timeout = 0.5

            def perform(self):
                logger.warning("begun")
                while True:
                    time.sleep(0.01)

        class Async(Job):
            keep_logs = True
            timeout = 0.5

            async def perform(self):
                logger.warning("begun")
                await asyncio.Event().wait()

        record = {"plain": Plain, "async": Async}[kind].enqueue()

        drain()

        record.refresh_from_db()
        assert "django_jobflow.exceptions.JobTimeout" == record.errors[0]["exception"]
        assert [(1, "begun")] == said(record)

    def test_stuck_body_has_the_lines_from_before_it_was_given_up(self, drain, settings):
        settings.JOBFLOW = {"TIMEOUT_GRACE": 0}
        release = threading.Event()
        ended = threading.Event()

        class Stuck(Job):
            keep_logs = True
            timeout = 0.5

            def perform(self):
                logger.warning("begun")
                try:
                    release.wait(PATIENCE)
                finally:
                    logger.warning("too late")
                    ended.set()

        record = Stuck.enqueue()

        drain()
        release.set()

        assert ended.wait(PATIENCE)
        assert [(1, "begun")] == said(record)

    def test_cancelled_body_has_its_lines(self, drain, settings):
        settings.JOBFLOW = {"POLL_INTERVAL": 0.05}

        class Long(Job):
            keep_logs = True
            timeout = PATIENCE

            async def perform(self):
                logger.warning("begun")
                record = await JobRecord.objects.aget(pk=self.context.job_id)
                await sync_to_async(record.cancel)()
                await asyncio.Event().wait()

        record = Long.enqueue()

        drain()

        record.refresh_from_db()
        assert JobState.CANCELLED == record.state
        assert [(1, "begun")] == said(record)


class LiveTests:
    def test_lines_of_a_running_body_can_be_read(self, drain, monkeypatch):
        monkeypatch.setattr("django_jobflow.worker.duties.LOG_INTERVAL", timedelta(seconds=0.02))
        seen = []

        class Long(Job):
            keep_logs = True
            timeout = PATIENCE

            def perform(self):
                record = JobRecord.objects.get(pk=self.context.job_id)
                for word in ("one", "two"):
                    logger.warning(word)
                    while (1, word) not in said(record):
                        time.sleep(0.01)
                    seen.append(said(record))

        Long.enqueue()

        drain()

        assert [[(1, "one")], [(1, "one"), (1, "two")]] == seen
        assert seen[-1] == said(SucceededJob.objects.get())
        assert 1 == JobLog.objects.count()


class TroubleTests:
    @pytest.mark.parametrize("then", [None, "fail", "snooze"])
    def test_lines_that_cannot_be_written_cost_the_job_nothing(self, drain, caplog, then):
        class Plain(Talk):
            pass

        record = Plain.using(max_attempts=2).enqueue("a", then=then)

        with without_table():
            drain(max_jobs=1)

        found = JobRecord.objects.find(record.pk)
        expected = {
            None: ("SUCCEEDED", 1),
            "fail": (JobState.RETRY, 1),
            "snooze": (JobState.SCHEDULED, 0),
        }
        assert expected[then] == (getattr(found, "state", "SUCCEEDED"), found.attempt)
        assert 1 == caplog.text.count(f"logs_not_written job_ids=[{record.pk}]")
        assert "database_trouble" not in caplog.text
        assert [] == said(found)

    def test_what_a_body_has_written_itself_is_kept(self, drain):
        class Writing(Talk):
            transactional = True

            def perform(self):
                super().perform()
                Order.objects.create(number="1", email="a@example.com", total=1)

        Writing.enqueue()

        with without_table():
            drain()

        assert (1, 1) == (Order.objects.count(), SucceededJob.objects.count())

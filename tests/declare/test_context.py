import asyncio
import logging
import threading
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime

import pytest

from django_jobflow import Cancel, JobContext, JobflowError, current_context
from django_jobflow.declare.context import set_current
from tests.test_endings import reserved


class Recorder:
    """A reporter that keeps what it is told."""

    def __init__(self, *, cancelled=False):
        self.cancelled = cancelled
        self.told = []

    def progress(self, *values):
        self.told.append(("progress", *values))

    def log(self, *values):
        self.told.append(("log", *values))

    def heartbeat(self, *values):
        self.told.append(("heartbeat", *values))

    def is_cancelled(self, job_id):
        return self.cancelled


class DetachedContextTests:
    def test_has_the_values_of_a_first_attempt(self):
        context = JobContext()

        assert (0, "", "default", 1, 1, None, {}) == (
            context.job_id,
            context.name,
            context.queue,
            context.attempt,
            context.max_attempts,
            context.deadline,
            context.meta,
        )

    def test_says_nothing_to_anybody(self):
        context = JobContext()

        context.progress(50, "half")
        context.log("half")
        context.heartbeat()
        context.raise_if_cancelled()

        assert context.is_cancelled() is False

    def test_takes_what_a_test_wants(self):
        deadline = datetime(2030, 1, 1, tzinfo=UTC)

        context = JobContext(attempt=2, max_attempts=3, deadline=deadline, meta={"trace": "x"})

        assert (2, 3, deadline, {"trace": "x"}) == (
            context.attempt,
            context.max_attempts,
            context.deadline,
            context.meta,
        )


class AttemptTests:
    """What a worker makes past ``__init__`` is what that would have made."""

    def test_has_what_its_reservation_says(self):
        deadline, reporter = datetime(2030, 1, 1, tzinfo=UTC), Recorder()
        reservation = reserved(id=7, queue="mail", attempt=2, max_attempts=3, meta={"a": 1})

        context = JobContext.of(reservation, deadline, reporter)

        expected = JobContext(
            job_id=7,
            name=reservation.name,
            queue="mail",
            attempt=2,
            max_attempts=3,
            deadline=deadline,
            meta={"a": 1},
            worker=reservation.worker,
            reporter=reporter,
            reservation=reservation,
        )
        assert vars(expected) == vars(context)
        assert (expected, repr(expected)) == (context, repr(context))

    def test_is_not_to_be_changed(self):
        context = JobContext.of(reserved(), None, Recorder())

        with pytest.raises(FrozenInstanceError):
            context.attempt = 3


class ReportingTests:
    def test_progress_goes_to_the_worker_as_whole_percent(self):
        reporter = Recorder()

        JobContext(job_id=7, reporter=reporter).progress(33.9, "a third")

        assert [("progress", 7, 33, "a third")] == reporter.told

    def test_message_of_progress_is_cut_to_its_column(self):
        reporter = Recorder()

        JobContext(reporter=reporter).progress(0, "x" * 201)

        assert [("progress", 0, 0, "x" * 200)] == reporter.told

    def test_message_of_progress_is_one_that_every_database_holds(self):
        reporter = Recorder()

        JobContext(reporter=reporter).progress(0, "a\x00b\ud800c")

        assert [("progress", 0, 0, "a\ufffdb?c")] == reporter.told

    @pytest.mark.parametrize("percent", [-1, 100.1, "50", None, float("nan")])
    def test_progress_out_of_range_is_refused(self, percent):
        with pytest.raises(JobflowError) as caught:
            JobContext(name="send").progress(percent)

        assert f"send: expected progress to be a number from 0 to 100, got {percent!r}." == str(
            caught.value
        )

    def test_line_goes_to_the_worker_with_its_level(self):
        reporter = Recorder()

        JobContext(job_id=7, reporter=reporter).log("begun")
        JobContext(job_id=7, reporter=reporter).log(8, logging.ERROR)

        assert [("log", 7, 20, "begun"), ("log", 7, 40, "8")] == reporter.told

    @pytest.mark.parametrize("level", ["INFO", None, True, 20.0])
    def test_level_that_is_none_is_refused(self, level):
        with pytest.raises(JobflowError) as caught:
            JobContext(name="send").log("begun", level)

        expected = "a level of logging, such as logging.WARNING"
        assert f"send: expected level to be {expected}, got {level!r}." == str(caught.value)

    def test_heartbeat_goes_to_the_worker(self):
        reporter = Recorder()

        JobContext(job_id=7, reporter=reporter).heartbeat()

        assert [("heartbeat", 7)] == reporter.told

    def test_cancelled_body_can_see_it(self):
        assert JobContext(reporter=Recorder(cancelled=True)).is_cancelled() is True
        assert JobContext(reporter=Recorder()).is_cancelled() is False

    def test_cancelled_body_can_end_there(self):
        with pytest.raises(Cancel) as caught:
            JobContext(reporter=Recorder(cancelled=True)).raise_if_cancelled()

        assert "Cancelled while running." == str(caught.value)


class CurrentContextTests:
    def test_each_thread_has_its_own(self):
        seen = {}

        def see(attempt):
            set_current(JobContext(attempt=attempt))
            seen[attempt] = current_context().attempt

        threads = [threading.Thread(target=see, args=[attempt]) for attempt in (2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)

        assert ({2: 2, 3: 3}, 1) == (seen, current_context().attempt)

    def test_each_async_task_has_its_own(self):
        async def see(attempt):
            set_current(JobContext(attempt=attempt))
            await asyncio.sleep(0)
            return current_context().attempt

        async def both():
            return await asyncio.gather(see(2), see(3))

        assert [2, 3] == asyncio.run(both())
        assert 1 == current_context().attempt

"""What ``notify`` has told on channels of PostgreSQL."""

import pytest
from django.db import connection, connections

from django_jobflow import Job, maintain
from django_jobflow.declare import registry
from django_jobflow.engines import engine_for
from django_jobflow.models import JobRecord, SucceededJob
from django_jobflow.notices import notice
from django_jobflow.states import JobState
from tests.factories import JobRecordFactory

CHANNELS = ("default.completed", "default.retry", "default.failed")


@pytest.fixture(autouse=True)
def own_jobs():
    with registry.isolated():
        yield


@pytest.fixture
def heard(transactional_db):
    """Return what was said on the channels since the last call."""
    if connection.vendor != "postgresql":
        pytest.skip("This database has no channels.")
    said = []
    other = connections["default"].copy()
    with other.cursor() as cursor:
        for channel in CHANNELS:
            cursor.execute(f'LISTEN "{channel}"')
    other.connection.add_notify_handler(lambda each: said.append((each.channel, each.payload)))

    def take():
        with other.cursor() as cursor:
            cursor.execute("SELECT 1")
        taken = sorted(said)
        said.clear()
        return taken

    yield take
    other.close()


def declare(**options):
    class Tell(Job):
        locals().update(options)

        def perform(self, fails=False):
            if fails:
                raise ValueError("no")
            return 7

    return Tell


class NoticeTests:
    def test_success_is_told_to_those_who_ask(self, drain, heard):
        job = declare(notify="of the job")
        job.enqueue()
        job.using(notify="of the call", meta={"a": 1}).enqueue()
        declare().enqueue_many([{}, {}])

        drain()

        assert [
            ("default.completed", "of the call"),
            ("default.completed", "of the job"),
        ] == heard()

    @pytest.mark.parametrize("transactional", [False, True, "grouped"])
    def test_retry_and_failure_have_their_channels(self, drain, heard, transactional):
        job = declare(max_attempts=2, base_delay=0, notify="x", transactional=transactional)
        job.enqueue_many([{"fails": True}, {}])

        drain()

        expected = [("default.completed", "x"), ("default.failed", "x"), ("default.retry", "x")]
        assert expected == heard()

    def test_lost_attempt_is_told_by_who_rescues_it(self, heard):
        JobRecordFactory(
            state=JobState.IN_PROGRESS, lapsed=True, spent=True, meta={"jobflow.notify": "lost"}
        )

        maintain.rescue(engine_for())

        assert [("default.failed", "lost")] == heard()

    def test_more_than_one_statement_takes_are_told(self, heard):
        engine_for().tell([("default.retry", str(number)) for number in range(1200)])

        assert 1200 == len(heard())

    def test_what_the_server_refuses_is_logged(self, heard, caplog):
        engine_for().tell([("x" * 64, "")])

        assert "wake_up_failed" in caplog.text


class EverywhereTests:
    def test_option_is_taken_on_every_database(self, drain):
        record = declare(notify="x").using(meta={"a": 1}).enqueue()

        drain()

        assert {"a": 1, "jobflow.notify": "x"} == record.meta
        assert 7 == SucceededJob.objects.get().result

    @pytest.mark.parametrize("meta", [None, [], {}, {"jobflow.notify": 7}, "jobflow.notify"])
    def test_meta_that_somebody_has_made_up_says_nothing(self, meta):
        assert notice(JobRecord(queue="default", meta=meta), "job_failed") is None

    def test_channel_is_no_longer_than_the_server_takes(self):
        record = JobRecord(queue="q" * 100, meta={"jobflow.notify": "x"})

        channel, _ = notice(record, "job_succeeded")

        assert 63 == len(channel)

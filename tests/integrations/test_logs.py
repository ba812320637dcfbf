"""The job on the lines that are logged while it runs: by logging, and by structlog."""

import io
import json
import logging

import pytest

from django_jobflow.integrations.logs import JobFilter, add_job
from django_jobflow.models import JobRecord
from tests.app import jobs

structlog = pytest.importorskip("structlog")


@pytest.fixture
def listening():
    """Attach a handler with a formatter to the loggers; return what was written."""
    written = io.StringIO()
    handlers = []

    def attach(formatter, *filters):
        handler = logging.StreamHandler(written)
        handler.setFormatter(formatter)
        for each in filters:
            handler.addFilter(each)
        for name in ("shop", "django_jobflow.settle"):
            handlers.append((logging.getLogger(name), handler))
            handlers[-1][0].addHandler(handler)
        return written

    yield attach
    for logger, handler in handlers:
        logger.removeHandler(handler)


class LoggingTests:
    def test_line_of_a_body_has_its_job(self, drain, listening, tmp_path):
        text = "%(job_id)s %(job_name)s %(job_queue)s %(job_attempt)s %(message)s"
        written = listening(logging.Formatter(text), JobFilter())
        (tmp_path / "release").touch()
        logging.getLogger("shop").warning("outside")
        record = jobs.log_and_wait.using(queue="q").enqueue(str(tmp_path / "release"))

        drain()

        assert [
            "None None None None outside",
            f"{record.pk} tests.app.jobs.log_and_wait q 1 begun",
        ] == written.getvalue().splitlines()

    def test_worker_tells_of_the_job_that_ended(self, drain, listening):
        written = listening(logging.Formatter("%(job_id)s %(event)s"), JobFilter())
        record = jobs.end_by.enqueue("error")

        drain()

        assert [f"{record.pk} job_failed"] == written.getvalue().splitlines()


class StructlogTests:
    @pytest.fixture(autouse=True)
    def configured(self):
        yield
        structlog.reset_defaults()

    @pytest.fixture
    def lines(self, listening):
        """Let structlog render all, as the page on it says; return what it has written."""
        shared = [
            structlog.contextvars.merge_contextvars,
            add_job,
            structlog.stdlib.add_log_level,
        ]
        structlog.configure(
            processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
            logger_factory=structlog.stdlib.LoggerFactory(),
        )
        written = listening(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
                processors=[
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.JSONRenderer(),
                ],
            )
        )
        return lambda: [json.loads(line) for line in written.getvalue().splitlines()]

    def test_event_of_the_worker_has_its_fields_as_keys(self, drain, lines):
        record = jobs.end_by.enqueue("error")

        drain()

        [said] = lines()
        assert 0 <= said.pop("job_seconds")
        assert {
            "event": "job_failed",
            "job_id": record.pk,
            "job_name": "tests.app.jobs.end_by",
            "job_queue": "default",
            "job_attempt": 1,
            "job_max_attempts": 1,
            "job_exception": "builtins.ZeroDivisionError",
            "job_message": "by zero",
            "level": "error",
        } == said

    @pytest.mark.parametrize("declared", [jobs.log_by_structlog, jobs.log_by_structlog_async])
    def test_line_of_a_body_has_its_job(self, drain, lines, declared):
        record = declared.using(queue="q").enqueue()

        drain()

        assert [
            {
                "event": "packed",
                "order": 7,
                "job_id": record.pk,
                "job_name": record.name,
                "job_queue": "q",
                "job_attempt": 1,
                "level": "warning",
            }
        ] == [line for line in lines() if line["event"] == "packed"]
        assert not JobRecord.objects.exists()
